//! What each close code of the gateway means for the session.

use crate::disconnect::Rejection;

/// What to do after the server closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reaction {
    /// Connect again and resume.
    Resume,
    /// Connect again and resume, after a pause: the bot has sent too much.
    ResumeLater,
    /// Connect again with a new session.
    Identify,
    /// Never connect again.
    Stop(Rejection),
}

impl Reaction {
    /// The reaction to a close code. `None` stands for an end without a code (an empty close frame, a reset, the end of the
    /// stream).
    ///
    /// Follows Discord Docs, Opcodes and Status Codes > Gateway Close Event Codes. The documentation's column "reconnect" does
    /// not say whether to resume. A Resume is tried, because it costs nothing and Identifies are scarce, and the server answers
    /// an impossible Resume with opcode 9. Where the explanation speaks of a new session, the reaction is an Identify.
    pub const fn for_close_code(code: Option<u16>) -> Self {
        let Some(code) = code else { return Self::Resume };
        match code {
            // "The account token sent with your identify payload is incorrect."
            4004 => Self::Stop(Rejection::AuthenticationFailed),
            // Not documented for this gateway; seen with the reason "Session invalid.".
            4006 => Self::Identify,
            // "The sequence sent when resuming the session was invalid. Reconnect and start a new session."
            4007 => Self::Identify,
            // "You're sending payloads to us too quickly. Slow it down!"
            4008 => Self::ResumeLater,
            // "Your session timed out. Reconnect and start a new one."
            4009 => Self::Identify,
            // "You sent us an invalid shard when identifying."
            4010 => Self::Stop(Rejection::InvalidShard),
            // "The session would have handled too many guilds - you are required to shard your connection"
            4011 => Self::Stop(Rejection::ShardingRequired),
            // "You sent an invalid version for the gateway."
            4012 => Self::Stop(Rejection::InvalidApiVersion),
            // "You sent an invalid intent for a Gateway Intent."
            4013 => Self::Stop(Rejection::InvalidIntents),
            // "You sent a disallowed intent for a Gateway Intent."
            4014 => Self::Stop(Rejection::DisallowedIntents),
            // 4000 unknown error, 4001 unknown opcode, 4002 decode error, 4005 already authenticated, the WebSocket's own
            // codes (1000, 1001, 1011, …) and all future codes. Also 4003, "You sent us a payload prior to identifying, or
            // this session has been invalidated": the first concerns the connection alone, and after the second the Resume
            // gets opcode 9.
            _ => Self::Resume,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        use Reaction::{Identify, Resume, ResumeLater, Stop};
        let table = [
            (None, Resume),
            (Some(1000), Resume),
            (Some(1001), Resume),
            (Some(1006), Resume),
            (Some(1011), Resume),
            (Some(3000), Resume),
            (Some(4000), Resume),
            (Some(4001), Resume),
            (Some(4002), Resume),
            (Some(4003), Resume),
            (Some(4004), Stop(Rejection::AuthenticationFailed)),
            (Some(4005), Resume),
            (Some(4006), Identify),
            (Some(4007), Identify),
            (Some(4008), ResumeLater),
            (Some(4009), Identify),
            (Some(4010), Stop(Rejection::InvalidShard)),
            (Some(4011), Stop(Rejection::ShardingRequired)),
            (Some(4012), Stop(Rejection::InvalidApiVersion)),
            (Some(4013), Stop(Rejection::InvalidIntents)),
            (Some(4014), Stop(Rejection::DisallowedIntents)),
            (Some(4015), Resume),
            (Some(4016), Resume),
            (Some(4999), Resume),
        ];
        for (code, reaction) in table {
            assert_eq!(Reaction::for_close_code(code), reaction, "{code:?}");
        }
    }

    #[test]
    fn every_rejection_is_its_own_code() {
        for code in 0..=u16::MAX {
            if let Reaction::Stop(rejection) = Reaction::for_close_code(Some(code)) {
                assert_eq!(rejection.code(), code);
            }
        }
    }
}
