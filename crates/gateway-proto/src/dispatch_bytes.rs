//! A dispatch as bytes, for a queue that another process reads.
//!
//! ```text
//! byte 0      the version: 1
//! byte 1      flags: 1 the data is ETF, not JSON; 2 a sequence number follows; 4 the key of a session follows
//! 8 bytes     the sequence number, if flagged
//! 8 bytes     the key of the session, if flagged
//! 4 bytes     the length of the name
//!             the name
//!             the data, up to the end
//! ```
//!
//! Numbers have their highest byte first.

use std::fmt;

use bytes::Bytes;
use gateway_codec::{Encoding, Envelope, Error, Place};
use serde::de::{Error as _, Unexpected};

use crate::Dispatch;
use crate::dispatch_key::SessionKey;
use crate::event::Fields;
use crate::outgoing::opcode;

const VERSION: u8 = 1;
const ETF: u8 = 1;
const NUMBERED: u8 = 2;
const OF_SESSION: u8 = 4;

impl Dispatch {
    /// The dispatch as bytes, for [`Dispatch::from_bytes`] in this process or another: name, sequence number, key, encoding and
    /// the encoded data.
    ///
    /// ```
    /// use gateway_proto::{Dispatch, Encoding};
    ///
    /// let payload = r#"{"t":"TYPING_START","s":3,"op":0,"d":{"user_id":"7"}}"#;
    /// let dispatch = Dispatch::from_payload(payload, Encoding::Json)?;
    /// let there = Dispatch::from_bytes(dispatch.to_bytes()).unwrap();
    /// assert_eq!((there.name(), there.sequence(), there.key()), ("TYPING_START", Some(3), dispatch.key()));
    /// assert_eq!(there.data().as_bytes(), br#"{"user_id":"7"}"#);
    /// # Ok::<(), gateway_proto::codec::Error>(())
    /// ```
    pub fn to_bytes(&self) -> Vec<u8> {
        let (name, data) = (self.name().as_bytes(), self.raw());
        let mut bytes = Vec::with_capacity(22 + name.len() + data.as_bytes().len());
        let encoding = match self.encoding() {
            Encoding::Json => 0,
            Encoding::Etf => ETF,
        };
        let numbered = self.sequence().map_or(0, |_| NUMBERED);
        let of_session = self.session_key().map_or(0, |_| OF_SESSION);
        bytes.extend([VERSION, encoding | numbered | of_session]);
        let numbers = self.sequence().into_iter().chain(self.session_key().map(SessionKey::bits));
        numbers.for_each(|number| bytes.extend(number.to_be_bytes()));
        // A name has at most 4 KiB.
        bytes.extend(u32::try_from(name.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(name);
        bytes.extend(data.as_bytes());
        bytes
    }

    /// A dispatch from the bytes of [`Dispatch::to_bytes`], which it shares.
    ///
    /// The data is not checked: errors in it show when it is decoded.
    ///
    /// # Errors
    ///
    /// If the bytes are not a dispatch, or one of another version of this format.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self, DispatchBytesError> {
        let bytes = bytes.into();
        let mut rest = &bytes[..];
        let [version, flags] = take(&mut rest)?;
        if version != VERSION {
            return Err(DispatchBytesError::Version(version));
        }
        if flags & !(ETF | NUMBERED | OF_SESSION) != 0 {
            return Err(DispatchBytesError::Damaged);
        }
        let mut number = |flag| match flags & flag {
            0 => Ok(None),
            _ => take(&mut rest).map(u64::from_be_bytes).map(Some),
        };
        let (sequence, session) = (number(NUMBERED)?, number(OF_SESSION)?);
        let session = match session.map(SessionKey::from_bits) {
            Some(None) => return Err(DispatchBytesError::Damaged),
            session => session.flatten(),
        };
        let length = usize::try_from(u32::from_be_bytes(take(&mut rest)?)).unwrap_or(usize::MAX);
        let (name, data) = rest.split_at_checked(length).ok_or(DispatchBytesError::Damaged)?;
        let name = std::str::from_utf8(name).map_err(|_| DispatchBytesError::Damaged)?;
        let encoding = if flags & ETF == 0 { Encoding::Json } else { Encoding::Etf };
        let (start, end) = (bytes.len() - data.len(), bytes.len());
        let fields = Fields::new(name, sequence, Some(Place { start, end, is_exact: true, encoding }));
        Ok(Self::new(bytes, encoding, fields).with_session(session))
    }

    /// A dispatch from a whole payload of the gateway (`{"op":0,…}`), for instance in a test of a handler. It belongs to no
    /// session, so it has no key.
    ///
    /// # Errors
    ///
    /// If the bytes are not a payload of that encoding, and [`ErrorKind::Mismatch`](gateway_codec::ErrorKind::Mismatch) if its
    /// opcode is not 0.
    pub fn from_payload(payload: impl Into<Bytes>, encoding: Encoding) -> Result<Self, Error> {
        let payload = payload.into();
        let envelope = Envelope::parse(&payload, encoding)?;
        if envelope.op != opcode::DISPATCH {
            return Err(Error::invalid_value(Unexpected::Unsigned(envelope.op), &"opcode 0"));
        }
        let fields = Fields::of(&payload, &envelope);
        Ok(Self::new(payload, encoding, fields))
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], DispatchBytesError> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(DispatchBytesError::Damaged)?;
    *bytes = rest;
    Ok(*taken)
}

/// Bytes that are not a [`Dispatch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DispatchBytesError {
    /// They are in another version of the format, this one.
    Version(u8),
    /// They are not a dispatch, or were cut or changed.
    Damaged,
}

impl fmt::Display for DispatchBytesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                write!(
                    f,
                    "the dispatch is in format {version}, and this version of gateway-proto reads format {VERSION}"
                )
            }
            Self::Damaged => f.write_str("the bytes are not a dispatch, or were cut or changed"),
        }
    }
}

impl std::error::Error for DispatchBytesError {}
