//! A number that the server may write as an integer or as a float.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// A number of zero or more, in JSON or ETF: `20000`, `20000.0` and `2e4` are the same. JSON has one grammar for all of them
/// (RFC 8259, section 6), and encoders choose freely.
///
/// A fraction is dropped, and a number beyond 64 bits saturates. Negative numbers, NaN and text are errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // `f64` accepts integers too, and in ETF, unlike "any", those beyond 2^53 as numbers.
        deserializer.deserialize_f64(AnyNumber)
    }
}

struct AnyNumber;

impl Visitor<'_> for AnyNumber {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of zero or more")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
        Ok(Number(number))
    }

    fn visit_u128<E: Error>(self, number: u128) -> Result<Number, E> {
        Ok(Number(u64::try_from(number).unwrap_or(u64::MAX)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
        let unsigned = u64::try_from(number);
        unsigned.map(Number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Number, E> {
        // Every comparison with NaN is false. The conversion drops the fraction, and saturates.
        match number >= 0.0 {
            true => Ok(Number(number as u64)),
            false => Err(E::invalid_value(Unexpected::Float(number), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use gateway_codec::{etf, json};

    use super::Number;

    fn in_json(text: &str) -> Option<u64> {
        json::from_slice::<Number>(text.as_bytes()).ok().map(|number| number.0)
    }

    fn in_etf(term: &[u8]) -> Option<u64> {
        etf::from_slice::<Number>(&[&[131], term].concat()).ok().map(|number| number.0)
    }

    /// NEW_FLOAT_EXT.
    fn float(number: f64) -> Vec<u8> {
        [&[70][..], &number.to_be_bytes()].concat()
    }

    #[test]
    fn an_integer_and_a_float_are_the_same_number() {
        for text in ["20000", "20000.0", "2e4", "2E+4", "200000e-1", "20000.5", "20000.999"] {
            assert_eq!(in_json(text), Some(20_000), "{text}");
        }
        assert_eq!(in_etf(&float(20_000.0)), Some(20_000));
        assert_eq!(in_etf(&float(20_000.5)), Some(20_000));
        assert_eq!(in_etf(&[98, 0, 0, 0x4e, 0x20]), Some(20_000));
        // FLOAT_EXT: text of 31 bytes.
        let mut old = [0; 32];
        old[0] = 99;
        old[1..=26].copy_from_slice(b"2.00000000000000000000e+04");
        assert_eq!(in_etf(&old), Some(20_000));
    }

    #[test]
    fn zero_and_the_largest_numbers_are_numbers() {
        for text in ["0", "0.0", "-0.0", "0.5", "1e-300"] {
            assert_eq!(in_json(text), Some(0), "{text}");
        }
        for text in ["18446744073709551615", "18446744073709551616", "1e300"] {
            assert_eq!(in_json(text), Some(u64::MAX), "{text}");
        }
        assert_eq!(in_etf(&float(1e300)), Some(u64::MAX));
        // SMALL_BIG_EXT with nine bytes.
        assert_eq!(in_etf(&[110, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), Some(u64::MAX));
        assert_eq!(in_etf(&[110, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0]), Some(1 << 48));
    }

    #[test]
    fn what_is_no_number_of_zero_or_more_is_refused() {
        for text in ["-1", "-0.5", "-1e300", "1e400", "\"20000\"", "null", "true", "[20000]", "{}", "NaN"] {
            assert_eq!(in_json(text), None, "{text}");
        }
        for number in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(in_etf(&float(number)), None, "{number}");
        }
        assert_eq!(in_etf(&[98, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(in_etf(&[109, 0, 0, 0, 2, b'4', b'2']), None);
    }
}
