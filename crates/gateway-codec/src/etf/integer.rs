//! Integers of ETF: of any width in the format, of up to 128 bits here.

use std::fmt;

/// An integer of at most 128 bits and a sign. Exhaustive: these are all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Integer {
    /// Zero or above, in 64 bits.
    Unsigned(u64),
    /// Below zero, in 64 bits.
    Negative(i64),
    /// Any other integer.
    Wide {
        /// Whether it is below zero.
        negative: bool,
        /// The distance from zero.
        magnitude: u128,
    },
}

/// The greatest integer up to which a double, and so JavaScript, holds every integer.
pub(crate) const MAX_SAFE: u64 = 1 << 53;

impl Integer {
    /// The integer with this sign and distance from zero.
    pub fn from_magnitude(negative: bool, magnitude: u128) -> Self {
        if !negative || magnitude == 0 {
            return match u64::try_from(magnitude) {
                Ok(number) => Integer::Unsigned(number),
                Err(_) => Integer::Wide { negative: false, magnitude },
            };
        }
        match i64::try_from(magnitude) {
            Ok(number) => Integer::Negative(-number),
            Err(_) if magnitude == 1 << 63 => Integer::Negative(i64::MIN),
            Err(_) => Integer::Wide { negative: true, magnitude },
        }
    }

    /// The value, if it is from 0 to 2^64 - 1.
    pub fn to_u64(self) -> Option<u64> {
        match self {
            Integer::Unsigned(number) => Some(number),
            Integer::Negative(_) | Integer::Wide { .. } => None,
        }
    }

    /// The value, if it is from -2^63 to 2^63 - 1.
    pub fn to_i64(self) -> Option<i64> {
        match self {
            Integer::Unsigned(number) => i64::try_from(number).ok(),
            Integer::Negative(number) => Some(number),
            Integer::Wide { .. } => None,
        }
    }

    /// The value, if it is from -2^127 to 2^127 - 1.
    pub fn to_i128(self) -> Option<i128> {
        match self {
            Integer::Unsigned(number) => Some(number.into()),
            Integer::Negative(number) => Some(number.into()),
            Integer::Wide { negative: false, magnitude } => magnitude.try_into().ok(),
            Integer::Wide { negative: true, magnitude } => 0_i128.checked_sub_unsigned(magnitude),
        }
    }

    /// Whether it is below zero.
    pub fn is_negative(self) -> bool {
        matches!(self, Integer::Negative(_) | Integer::Wide { negative: true, .. })
    }

    /// The distance from zero.
    pub fn magnitude(self) -> u128 {
        match self {
            Integer::Unsigned(number) => number.into(),
            Integer::Negative(number) => number.unsigned_abs().into(),
            Integer::Wide { magnitude, .. } => magnitude,
        }
    }

    /// Passes the text of `Display` to a callback.
    pub(crate) fn with_digits<T>(self, use_them: impl FnOnce(&str) -> T) -> T {
        let mut buffer = itoa::Buffer::new();
        match self {
            Integer::Unsigned(number) => use_them(buffer.format(number)),
            Integer::Negative(number) => use_them(buffer.format(number)),
            Integer::Wide { .. } => use_them(&self.to_string()),
        }
    }

    /// Whether a double may not hold it exactly.
    pub(crate) fn is_unsafe_for_doubles(self) -> bool {
        self.magnitude() > u128::from(MAX_SAFE)
    }
}

impl From<u64> for Integer {
    fn from(number: u64) -> Self {
        Integer::Unsigned(number)
    }
}

impl From<i64> for Integer {
    fn from(number: i64) -> Self {
        Integer::from_magnitude(number < 0, number.unsigned_abs().into())
    }
}

impl From<u128> for Integer {
    fn from(number: u128) -> Self {
        Integer::from_magnitude(false, number)
    }
}

impl From<i128> for Integer {
    fn from(number: i128) -> Self {
        Integer::from_magnitude(number < 0, number.unsigned_abs())
    }
}

impl fmt::Display for Integer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Integer::Unsigned(number) => number.fmt(formatter),
            Integer::Negative(number) => number.fmt(formatter),
            Integer::Wide { negative, magnitude } => {
                write!(formatter, "{}{magnitude}", if *negative { "-" } else { "" })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_what_is_displayed() {
        for number in [
            Integer::from(0_u64),
            Integer::from(9_u64),
            Integer::from(10_u64),
            Integer::from(105_u64),
            Integer::from(u64::MAX),
            Integer::from(i64::MIN),
            Integer::from(u128::MAX),
            Integer::from(i128::MIN),
            Integer::from_magnitude(true, u128::MAX),
        ] {
            number.with_digits(|digits| assert_eq!(digits, number.to_string()));
        }
    }
}
