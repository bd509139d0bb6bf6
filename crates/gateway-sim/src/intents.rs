//! The intent that an event needs
//! ([Discord Docs, Gateway > List of Intents](https://discord.com/developers/docs/events/gateway#list-of-intents)).

/// The bits that exist, for bots or other clients; any other bit closes with 4013.
pub(crate) const KNOWN: u64 = (1 << 29) - 1;
/// GUILD_MEMBERS.
pub(crate) const GUILD_MEMBERS: u64 = 1 << 1;
/// GUILD_PRESENCES.
pub(crate) const GUILD_PRESENCES: u64 = 1 << 8;
/// GUILDS.
pub(crate) const GUILDS: u64 = 1;
/// MESSAGE_CONTENT.
pub(crate) const MESSAGE_CONTENT: u64 = 1 << 15;

/// The bits of which a session needs one to receive a guild event of this name. `None` for events that every session
/// receives.
pub(crate) fn needed(name: &str) -> Option<u64> {
    let bit = match name {
        "GUILD_MEMBER_ADD" | "GUILD_MEMBER_UPDATE" | "GUILD_MEMBER_REMOVE" => 1,
        "GUILD_AUDIT_LOG_ENTRY_CREATE" | "GUILD_BAN_ADD" | "GUILD_BAN_REMOVE" => 2,
        "INVITE_CREATE" | "INVITE_DELETE" => 6,
        "WEBHOOKS_UPDATE" => 5,
        "VOICE_STATE_UPDATE" | "VOICE_CHANNEL_EFFECT_SEND" => 7,
        "PRESENCE_UPDATE" => 8,
        "MESSAGE_CREATE" | "MESSAGE_UPDATE" | "MESSAGE_DELETE" | "MESSAGE_DELETE_BULK" => 9,
        "TYPING_START" => 11,
        name if name.starts_with("MESSAGE_REACTION_") => 10,
        name if name.starts_with("GUILD_EMOJIS")
            || name.starts_with("GUILD_STICKERS")
            || name.starts_with("GUILD_SOUNDBOARD") =>
        {
            3
        }
        name if name.contains("INTEGRATION") => 4,
        name if name.starts_with("GUILD_SCHEDULED_EVENT_") => 16,
        name if name.starts_with("AUTO_MODERATION_RULE_") => 20,
        "AUTO_MODERATION_ACTION_EXECUTION" => 21,
        name if name.starts_with("MESSAGE_POLL_VOTE_") => 24,
        name if name.starts_with("GUILD_") && name != "GUILD_MEMBERS_CHUNK" => 0,
        name if name.starts_with("CHANNEL_") && name != "CHANNEL_INFO" => 0,
        name if name.starts_with("THREAD_") || name.starts_with("STAGE_INSTANCE_") => 0,
        _ => return None,
    };
    Some(1 << bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_each_kind() {
        assert_eq!(needed("READY"), None);
        assert_eq!(needed("GUILD_MEMBERS_CHUNK"), None);
        assert_eq!(needed("INTERACTION_CREATE"), None);
        assert_eq!(needed("GUILD_CREATE"), Some(1));
        assert_eq!(needed("THREAD_CREATE"), Some(1));
        assert_eq!(needed("GUILD_MEMBER_ADD"), Some(GUILD_MEMBERS));
        assert_eq!(needed("PRESENCE_UPDATE"), Some(GUILD_PRESENCES));
        assert_eq!(needed("MESSAGE_REACTION_ADD"), Some(1 << 10));
        assert_eq!(needed("GUILD_SCHEDULED_EVENT_CREATE"), Some(1 << 16));
    }
}
