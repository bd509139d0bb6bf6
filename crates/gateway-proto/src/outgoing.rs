//! The messages that a shard sends by itself.

use gateway_codec::{Encoding, Error};
use serde::Serialize;

use crate::config::IdentifyProperties;
use crate::{Intents, ShardConfig, ShardId, Token};

/// Opcodes (Discord Docs, Opcodes and Status Codes > Gateway Opcodes).
pub(crate) mod opcode {
    pub(crate) const DISPATCH: u64 = 0;
    pub(crate) const HEARTBEAT: u64 = 1;
    pub(crate) const IDENTIFY: u64 = 2;
    pub(crate) const PRESENCE_UPDATE: u64 = 3;
    pub(crate) const VOICE_STATE_UPDATE: u64 = 4;
    pub(crate) const RESUME: u64 = 6;
    pub(crate) const RECONNECT: u64 = 7;
    pub(crate) const REQUEST_GUILD_MEMBERS: u64 = 8;
    pub(crate) const INVALID_SESSION: u64 = 9;
    pub(crate) const HELLO: u64 = 10;
    pub(crate) const HEARTBEAT_ACK: u64 = 11;
    pub(crate) const REQUEST_SOUNDBOARD_SOUNDS: u64 = 31;
    pub(crate) const REQUEST_CHANNEL_INFO: u64 = 43;
}

/// A client's payload: `op` and `d` only (Discord Docs, Gateway Events > Payload Structure).
#[derive(Serialize)]
pub(crate) struct Payload<'a, D: ?Sized> {
    pub(crate) op: u64,
    pub(crate) d: &'a D,
}

impl<D: Serialize + ?Sized> Payload<'_, D> {
    pub(crate) fn encode(&self, encoding: Encoding) -> Result<Vec<u8>, Error> {
        gateway_codec::encode(self, encoding)
    }
}

/// Opcode 1: the newest sequence number, or null if there is none yet
/// (Discord Docs, Gateway Events > Heartbeat).
pub(crate) fn heartbeat(sequence: Option<u64>, encoding: Encoding) -> Result<Vec<u8>, Error> {
    Payload { op: opcode::HEARTBEAT, d: &sequence }.encode(encoding)
}

/// Opcode 2 (Discord Docs, Gateway Events > Identify).
#[derive(Serialize)]
pub(crate) struct Identify<'a, P> {
    token: &'a str,
    properties: &'a IdentifyProperties,
    /// Payload compression.
    compress: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    large_threshold: Option<u8>,
    shard: ShardId,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence: Option<&'a P>,
    intents: Intents,
}

impl<'a, P: Serialize> Identify<'a, P> {
    pub(crate) fn new(config: &'a ShardConfig, presence: Option<&'a P>) -> Self {
        Self {
            token: config.token.expose(),
            properties: &config.properties,
            compress: config.compression == gateway_codec::Compression::Payload,
            large_threshold: config.large_threshold,
            shard: config.shard,
            presence,
            intents: config.intents,
        }
    }

    pub(crate) fn encode(&self, encoding: Encoding) -> Result<Vec<u8>, Error> {
        Payload { op: opcode::IDENTIFY, d: self }.encode(encoding)
    }
}

/// Opcode 6 (Discord Docs, Gateway Events > Resume).
#[derive(Serialize)]
struct Resume<'a> {
    token: &'a str,
    session_id: &'a str,
    seq: u64,
}

pub(crate) fn resume(
    token: &Token,
    session_id: &str,
    seq: u64,
    encoding: Encoding,
) -> Result<Vec<u8>, Error> {
    let resume = Resume { token: token.expose(), session_id, seq };
    Payload { op: opcode::RESUME, d: &resume }.encode(encoding)
}
