//! The bot's token.

use std::fmt;

use crate::config::ConfigError;

/// A bot token. `Debug` hides it.
///
/// The gateway expects it without the prefix `Bot `, which the HTTP API requires; the prefix is removed. See [Discord
/// Docs, Gateway Events > Identify](https://discord.com/developers/docs/events/gateway-events#identify).
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

impl Token {
    /// Takes a token, with or without the prefix `Bot `.
    pub fn new(token: impl AsRef<str>) -> Self {
        let token = token.as_ref().trim();
        match token.strip_prefix("Bot") {
            Some(bare) if bare.is_empty() || bare.starts_with(char::is_whitespace) => {
                Self(bare.trim().into())
            }
            _ => Self(token.into()),
        }
    }

    /// Rejects an empty token, and characters that would end a header line.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.0.is_empty() {
            return Err(ConfigError::new("token", "it is empty"));
        }
        if self.0.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(ConfigError::new("token", "it contains white space or control characters"));
        }
        Ok(())
    }

    /// The token without the prefix. It is a secret: do not log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Token {
    fn from(token: String) -> Self {
        Self::new(token)
    }
}

impl From<&str> for Token {
    fn from(token: &str) -> Self {
        Self::new(token)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_removed_and_nothing_is_printed() {
        let token = Token::new(" Bot abc.def ");
        assert_eq!(token.expose(), "abc.def");
        assert_eq!(format!("{token:?}"), "Token(…)");
        assert_eq!(Token::new("Bot ").expose(), "", "a prefix alone is no token");
        assert_eq!(Token::new("Botany").expose(), "Botany");
    }
}
