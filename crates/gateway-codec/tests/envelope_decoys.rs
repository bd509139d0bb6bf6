//! Text that a user of Discord can write is never read as structure.

mod decoys;

use decoys::{Script, case, check, check_bytes};
use gateway_codec::Encoding;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn payloads_that_imitate_themselves_are_read_by_their_structure(
        script in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let case = case(&mut Script(&script));
        check(&case, 0..case.payload.len());
    }

    #[test]
    fn both_readers_agree_on_payloads_that_are_damaged(
        script in prop::collection::vec(any::<u8>(), 0..200),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let case = case(&mut Script(&script));
        let mut bytes = case.payload;
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for encoding in [Encoding::Json, Encoding::Etf] {
            check_bytes(&bytes, encoding);
        }
    }
}
