//! The documented names of gateway events, as constants.

/// The event name in these bytes, if Discord documents it (Discord Docs, Gateway Events > Receive Events).
///
/// A known name needs no UTF-8 check and no allocation. The gateway also sends names that are not documented.
///
/// ```
/// assert_eq!(gateway_codec::known_event_name(b"MESSAGE_CREATE"), Some("MESSAGE_CREATE"));
/// assert_eq!(gateway_codec::known_event_name(b"MESSAGE_CREATED"), None);
/// ```
pub fn known_event_name(name: &[u8]) -> Option<&'static str> {
    /// Expands to a match from the bytes of each name to its text.
    macro_rules! known {
        ($($known:literal)*) => {
            match name {
                $($known => {
                    const TEXT: &str = text($known);
                    Some(TEXT)
                })*
                _ => None,
            }
        };
    }
    known! {
        b"READY" b"RESUMED" b"RATE_LIMITED"
        b"APPLICATION_COMMAND_PERMISSIONS_UPDATE"
        b"AUTO_MODERATION_RULE_CREATE" b"AUTO_MODERATION_RULE_UPDATE" b"AUTO_MODERATION_RULE_DELETE"
        b"AUTO_MODERATION_ACTION_EXECUTION"
        b"CHANNEL_CREATE" b"CHANNEL_UPDATE" b"CHANNEL_DELETE" b"CHANNEL_PINS_UPDATE" b"CHANNEL_INFO"
        b"THREAD_CREATE" b"THREAD_UPDATE" b"THREAD_DELETE" b"THREAD_LIST_SYNC"
        b"THREAD_MEMBER_UPDATE" b"THREAD_MEMBERS_UPDATE"
        b"ENTITLEMENT_CREATE" b"ENTITLEMENT_UPDATE" b"ENTITLEMENT_DELETE"
        b"GUILD_CREATE" b"GUILD_UPDATE" b"GUILD_DELETE"
        b"GUILD_AUDIT_LOG_ENTRY_CREATE" b"GUILD_BAN_ADD" b"GUILD_BAN_REMOVE"
        b"GUILD_EMOJIS_UPDATE" b"GUILD_STICKERS_UPDATE" b"GUILD_INTEGRATIONS_UPDATE"
        b"GUILD_MEMBER_ADD" b"GUILD_MEMBER_REMOVE" b"GUILD_MEMBER_UPDATE" b"GUILD_MEMBERS_CHUNK"
        b"GUILD_ROLE_CREATE" b"GUILD_ROLE_UPDATE" b"GUILD_ROLE_DELETE"
        b"GUILD_SCHEDULED_EVENT_CREATE" b"GUILD_SCHEDULED_EVENT_UPDATE" b"GUILD_SCHEDULED_EVENT_DELETE"
        b"GUILD_SCHEDULED_EVENT_USER_ADD" b"GUILD_SCHEDULED_EVENT_USER_REMOVE"
        b"GUILD_SOUNDBOARD_SOUND_CREATE" b"GUILD_SOUNDBOARD_SOUND_UPDATE" b"GUILD_SOUNDBOARD_SOUND_DELETE"
        b"GUILD_SOUNDBOARD_SOUNDS_UPDATE" b"SOUNDBOARD_SOUNDS"
        b"INTEGRATION_CREATE" b"INTEGRATION_UPDATE" b"INTEGRATION_DELETE"
        b"INTERACTION_CREATE" b"INVITE_CREATE" b"INVITE_DELETE"
        b"MESSAGE_CREATE" b"MESSAGE_UPDATE" b"MESSAGE_DELETE" b"MESSAGE_DELETE_BULK"
        b"MESSAGE_REACTION_ADD" b"MESSAGE_REACTION_REMOVE"
        b"MESSAGE_REACTION_REMOVE_ALL" b"MESSAGE_REACTION_REMOVE_EMOJI"
        b"MESSAGE_POLL_VOTE_ADD" b"MESSAGE_POLL_VOTE_REMOVE"
        b"PRESENCE_UPDATE" b"TYPING_START" b"USER_UPDATE"
        b"STAGE_INSTANCE_CREATE" b"STAGE_INSTANCE_UPDATE" b"STAGE_INSTANCE_DELETE"
        b"SUBSCRIPTION_CREATE" b"SUBSCRIPTION_UPDATE" b"SUBSCRIPTION_DELETE"
        b"VOICE_CHANNEL_EFFECT_SEND" b"VOICE_CHANNEL_START_TIME_UPDATE" b"VOICE_CHANNEL_STATUS_UPDATE"
        b"VOICE_STATE_UPDATE" b"VOICE_SERVER_UPDATE" b"WEBHOOKS_UPDATE"
    }
}

const fn text(bytes: &'static [u8]) -> &'static str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("the names above are text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_by_all_of_its_bytes() {
        for name in ["READY", "MESSAGE_CREATE", "GUILD_SCHEDULED_EVENT_USER_REMOVE", "WEBHOOKS_UPDATE"] {
            assert_eq!(known_event_name(name.as_bytes()), Some(name));
            for other in [&name[1..], &name[..name.len() - 1], &format!("{name}S"), &name.to_lowercase()] {
                assert_eq!(known_event_name(other.as_bytes()), None, "{other}");
            }
        }
        assert_eq!(known_event_name(b""), None);
        assert_eq!(known_event_name(b"\xff"), None);
    }
}
