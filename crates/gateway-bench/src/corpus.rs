//! Realistic traffic from a seed.

use serde_json::Value;

/// One gateway payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload {
    /// The opcode.
    pub op: u8,
    /// The sequence number of a dispatch.
    pub s: Option<u64>,
    /// The name of a dispatch.
    pub t: Option<&'static str>,
    /// The data.
    pub d: Value,
}

impl Payload {
    /// As the gateway writes it in JSON: `t`, `s`, `op`, `d`.
    pub fn to_json(&self) -> Vec<u8> {
        format!(
            r#"{{"t":{},"s":{},"op":{},"d":{}}}"#,
            serde_json::json!(self.t),
            serde_json::json!(self.s),
            self.op,
            self.d
        )
        .into_bytes()
    }

    /// As the gateway writes it in ETF: its keys and its name are atoms.
    pub fn to_etf(&self) -> Vec<u8> {
        Vec::new()
    }
}
