//! Ids as Discord writes them.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde::{Serialize, Serializer};

/// An id: of a guild, a channel, a user (Discord Docs, Reference > Snowflakes).
///
/// Written as text, read from text or from an integer. Exhaustive: it is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Snowflake(pub u64);

impl From<u64> for Snowflake {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

impl fmt::Display for Snowflake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Snowflake {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl Serialize for Snowflake {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Snowflake {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Id;
        impl Visitor<'_> for Id {
            type Value = Snowflake;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id, as text or as an integer")
            }

            fn visit_u64<E: Error>(self, id: u64) -> Result<Snowflake, E> {
                Ok(Snowflake(id))
            }

            fn visit_i64<E: Error>(self, id: i64) -> Result<Snowflake, E> {
                u64::try_from(id).map(Snowflake).map_err(|_| E::invalid_value(Unexpected::Signed(id), &self))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Snowflake, E> {
                text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_text_and_read_from_either() {
        let id = Snowflake(81384788765712384);
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"81384788765712384\"");
        for text in ["\"81384788765712384\"", "81384788765712384"] {
            assert_eq!(serde_json::from_str::<Snowflake>(text).unwrap(), id);
        }
        for bad in ["-1", "\"x\"", "1.5", "null", "[]"] {
            assert!(serde_json::from_str::<Snowflake>(bad).is_err(), "{bad}");
        }
    }
}
