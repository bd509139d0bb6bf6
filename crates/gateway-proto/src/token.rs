//! The bot's token, kept out of sight.

use std::fmt;

use crate::config::ConfigError;

/// A bot token. It never appears in `Debug` output, and nothing else prints it.
///
/// The gateway wants it bare (Discord Docs, Gateway Events > Identify): a leading `Bot `, which the HTTP API wants, is
/// taken off.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

impl Token {
    /// Takes a token, with or without `Bot ` in front.
    pub fn new(token: impl AsRef<str>) -> Self {
        let token = token.as_ref().trim();
        match token.strip_prefix("Bot") {
            Some(bare) if bare.is_empty() || bare.starts_with(char::is_whitespace) => {
                Self(bare.trim().into())
            }
            _ => Self(token.into()),
        }
    }

    /// Refuses what can be no token, and what would end the line of a header.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.0.is_empty() {
            return Err(ConfigError::new("token", "it is empty"));
        }
        if self.0.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(ConfigError::new("token", "it contains white space or control characters"));
        }
        Ok(())
    }

    /// The bare token. Mind where it goes.
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
    fn the_prefix_is_taken_off_and_nothing_is_printed() {
        let token = Token::new(" Bot abc.def ");
        assert_eq!(token.expose(), "abc.def");
        assert_eq!(format!("{token:?}"), "Token(…)");
        assert_eq!(Token::new("Bot ").expose(), "", "a prefix alone is no token");
        assert_eq!(Token::new("Botany").expose(), "Botany");
    }
}
