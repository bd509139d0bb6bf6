//! Dispatches that are held back.

use gateway_proto::Dispatch;
use gateway_proto::session::DispatchKey;

use crate::ShardKey;
use crate::cutover::digest::Digest;

/// Dispatches from this size on are kept compressed: a GUILD_CREATE may have half a megabyte.
#[cfg(feature = "zlib")]
const COMPRESS_FROM: usize = 4096;

/// What a held dispatch and the digest of a delivered one cost besides their data. An estimate, for the bound on memory.
pub(crate) const OVERHEAD: usize = 128;

/// A dispatch of the new generation that is held back.
#[derive(Debug)]
pub(crate) struct Held {
    /// The shard that received it.
    pub(crate) from: ShardKey,
    pub(crate) digest: Digest,
    pub(crate) key: Option<DispatchKey>,
    /// It is the guild as the new session found it. The old session has no equal.
    pub(crate) is_snapshot: bool,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Whole(Dispatch),
    #[cfg(feature = "zlib")]
    Compressed {
        bytes: Vec<u8>,
        size: usize,
    },
}

impl Held {
    pub(crate) fn new(from: ShardKey, dispatch: Dispatch, digest: Digest, is_snapshot: bool) -> Self {
        Self { from, digest, key: dispatch.key(), is_snapshot, form: Form::new(dispatch) }
    }

    /// How many bytes it holds, roughly.
    pub(crate) fn bytes(&self) -> usize {
        OVERHEAD
            + match &self.form {
                Form::Whole(dispatch) => dispatch.data().as_bytes().len(),
                #[cfg(feature = "zlib")]
                Form::Compressed { bytes, .. } => bytes.len(),
            }
    }

    pub(crate) fn into_dispatch(self) -> Option<Dispatch> {
        match self.form {
            Form::Whole(dispatch) => Some(dispatch),
            #[cfg(feature = "zlib")]
            Form::Compressed { bytes, size } => {
                let whole = gateway_proto::codec::inflate_zlib(&bytes, size).ok()?;
                Dispatch::from_bytes(whole).ok()
            }
        }
    }
}

impl Form {
    #[cfg(feature = "zlib")]
    fn new(dispatch: Dispatch) -> Self {
        if dispatch.data().as_bytes().len() < COMPRESS_FROM {
            return Self::Whole(dispatch);
        }
        let whole = dispatch.to_bytes();
        Self::Compressed { bytes: gateway_proto::codec::deflate_zlib(&whole), size: whole.len() }
    }

    #[cfg(not(feature = "zlib"))]
    fn new(dispatch: Dispatch) -> Self {
        Self::Whole(dispatch)
    }
}

#[cfg(test)]
mod tests {
    use gateway_proto::{Encoding, ShardId};

    use super::*;
    use crate::Generation;

    #[test]
    fn what_is_held_comes_back_as_it_was() {
        let from = ShardKey { generation: Generation(2), shard: ShardId::ONE };
        for size in [0, 10_000] {
            let padding = "x".repeat(size);
            let payload =
                format!(r#"{{"t":"GUILD_CREATE","s":9,"op":0,"d":{{"id":"7","name":"{padding}"}}}}"#);
            let dispatch = Dispatch::from_payload(payload, Encoding::Json).unwrap();
            let held = Held::new(from, dispatch.clone(), Digest::of(&dispatch, 0), true);
            if cfg!(feature = "zlib") {
                assert!(held.bytes() < 1000, "{}", held.bytes());
            }
            let back = held.into_dispatch().unwrap();
            assert_eq!(
                (back.name(), back.sequence(), back.key()),
                (dispatch.name(), Some(9), dispatch.key())
            );
            assert_eq!(back.data().as_bytes(), dispatch.data().as_bytes());
        }
    }
}
