//! Two readers of an envelope, of which one leaves `d` unread where it can.

use gateway_codec::Encoding;

#[path = "../../crates/gateway-codec/tests/decoys/mod.rs"]
mod decoys;

/// `Envelope::skim` reads the same as `Envelope::parse`, for any bytes, and for payloads whose `d` imitates the structure
/// around it: whole, truncated anywhere, or damaged.
pub fn skim_is_parse(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    match choice % 4 {
        0 => decoys::check_bytes(rest, Encoding::Json),
        1 => decoys::check_bytes(rest, Encoding::Etf),
        2 => {
            let Some((cut, script)) = rest.split_first_chunk::<2>() else { return };
            decoys::check(&decoys::case(&mut decoys::Script(script)), [u16::from_be_bytes(*cut).into()]);
        }
        _ => {
            let Some((damage, script)) = rest.split_first_chunk::<3>() else { return };
            let case = decoys::case(&mut decoys::Script(script));
            let [high, low, byte] = *damage;
            let at = usize::from(u16::from_be_bytes([high, low])) % case.payload.len();
            let mut bytes = case.payload;
            bytes[at] = byte;
            decoys::check_bytes(&bytes, case.encoding);
            bytes.truncate(at);
            decoys::check_bytes(&bytes, case.encoding);
        }
    }
}
