//! Which events a bot asks for.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign};

use serde::{Deserialize, Serialize};

/// A set of gateway intents (Discord Docs, Gateway > List of Intents). Sent as an integer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Intents(u64);

macro_rules! intents {
    ($($bit:literal $name:ident $doc:literal,)*) => {
        impl Intents {
            $(#[doc = $doc] pub const $name: Self = Self(1 << $bit);)*

            /// Every intent that a bot can have. Three of them are privileged.
            pub const ALL: Self = Self($(Self::$name.0)|*);

            /// The names of the known intents, with their values.
            pub const NAMED: &'static [(&'static str, Self)] = &[$((stringify!($name), Self::$name)),*];
        }
    };
}

intents! {
    0 GUILDS "Guilds, roles, channels, threads and stages.",
    1 GUILD_MEMBERS "Members who join, change or leave. Privileged.",
    2 GUILD_MODERATION "Audit log entries and bans.",
    3 GUILD_EXPRESSIONS "Emojis, stickers and soundboard sounds.",
    4 GUILD_INTEGRATIONS "Integrations.",
    5 GUILD_WEBHOOKS "Webhooks.",
    6 GUILD_INVITES "Invites.",
    7 GUILD_VOICE_STATES "Voice states and voice channel effects.",
    8 GUILD_PRESENCES "Presences. Privileged.",
    9 GUILD_MESSAGES "Messages in guilds.",
    10 GUILD_MESSAGE_REACTIONS "Reactions in guilds.",
    11 GUILD_MESSAGE_TYPING "Typing in guilds.",
    12 DIRECT_MESSAGES "Direct messages.",
    13 DIRECT_MESSAGE_REACTIONS "Reactions to direct messages.",
    14 DIRECT_MESSAGE_TYPING "Typing in direct messages.",
    15 MESSAGE_CONTENT "Fills the content of messages. Privileged.",
    16 GUILD_SCHEDULED_EVENTS "Scheduled events.",
    20 AUTO_MODERATION_CONFIGURATION "Auto moderation rules.",
    21 AUTO_MODERATION_EXECUTION "What auto moderation has done.",
    24 GUILD_MESSAGE_POLLS "Votes in polls in guilds.",
    25 DIRECT_MESSAGE_POLLS "Votes in polls in direct messages.",
}

impl Intents {
    /// No intents: only the events that every bot receives.
    pub const NONE: Self = Self(0);

    /// The intents that must be switched on in the developer portal (Discord Docs, Gateway > Privileged Intents).
    pub const PRIVILEGED: Self =
        Self(Self::GUILD_MEMBERS.0 | Self::GUILD_PRESENCES.0 | Self::MESSAGE_CONTENT.0);

    /// Every intent that needs no permission.
    pub const UNPRIVILEGED: Self = Self(Self::ALL.0 & !Self::PRIVILEGED.0);

    /// The set with exactly these bits, known or not: the gateway answers an unknown one with close code 4013.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether every intent of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Intents {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Intents {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Intents {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl FromIterator<Intents> for Intents {
    fn from_iter<I: IntoIterator<Item = Self>>(intents: I) -> Self {
        intents.into_iter().fold(Self::NONE, BitOr::bitor)
    }
}

impl fmt::Debug for Intents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::NAMED.iter().filter(|(_, intent)| self.contains(*intent)).map(|(name, _)| *name);
        let unknown = self.0 & !Self::ALL.0;
        let names: Vec<&str> = named.collect();
        match (names.is_empty(), unknown) {
            (_, 0) => write!(f, "Intents({})", names.join(" | ")),
            (true, bits) => write!(f, "Intents({bits:#x})"),
            (false, bits) => write!(f, "Intents({} | {bits:#x})", names.join(" | ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sums that the documentation's list adds up to.
    #[test]
    fn sums() {
        assert_eq!(Intents::ALL.bits(), 53_608_447);
        assert_eq!(Intents::PRIVILEGED.bits(), 33_026);
        assert_eq!(Intents::UNPRIVILEGED.bits(), 53_575_421);
    }

    #[test]
    fn debug_names_the_bits() {
        assert_eq!(
            format!("{:?}", Intents::GUILDS | Intents::GUILD_MESSAGES),
            "Intents(GUILDS | GUILD_MESSAGES)"
        );
        assert_eq!(format!("{:?}", Intents::from_bits(1 << 60 | 1)), "Intents(GUILDS | 0x1000000000000000)");
        assert_eq!(format!("{:?}", Intents::NONE), "Intents()");
    }

    #[test]
    fn sets_are_written_as_integers() {
        assert_eq!(serde_json::to_string(&(Intents::GUILDS | Intents::GUILD_MEMBERS)).unwrap(), "3");
    }
}
