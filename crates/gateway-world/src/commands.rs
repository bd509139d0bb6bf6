//! What users of shards send.

use fastrand::Rng;
use gateway_proto::codec::Raw;
use gateway_proto::command::{
    Activity, ActivityKind, ChannelInfoField, MemberSelection, Presence, RequestGuildMembers, Status,
    VoiceStateUpdate,
};
use gateway_proto::{Command, Encoding, Snowflake};
use gateway_sim::guild_id;

use crate::invariants::UNKNOWN_OPCODE;

/// A presence, or a question of few bytes about a guild that there is not.
pub(crate) fn quick(rng: &mut Rng) -> Command {
    let guild_id = Snowflake(rng.u64(1..1 << 60));
    match rng.u8(0..4) {
        0 => {
            let game = Activity::new(ActivityKind::Playing, format!("game {}", rng.u8(..)));
            Command::UpdatePresence(Presence::new(Status::Online, [game]))
        }
        1 => Command::RequestSoundboardSounds { guild_ids: vec![guild_id] },
        _ => {
            let members = MemberSelection::Prefix { query: "a".to_owned(), limit: 10 };
            let mut request = RequestGuildMembers::new(guild_id, members);
            request.nonce = Some(rng.u64(..).to_string());
            Command::RequestGuildMembers(request)
        }
    }
}

/// Of all kinds, about guilds that there are. Two requests for all members of a guild within 30 s, of two shards or of two
/// processes, get RATE_LIMITED.
pub(crate) fn any(rng: &mut Rng, guilds: u32, encoding: Encoding) -> Command {
    let guild_id = Snowflake(guild_id(rng.u32(0..guilds)));
    about(rng, guild_id, encoding)
}

/// As [`any`], about this guild.
pub(crate) fn about(rng: &mut Rng, guild_id: Snowflake, encoding: Encoding) -> Command {
    match rng.u8(0..8) {
        0 | 1 => {
            let mut request = RequestGuildMembers::new(guild_id, MemberSelection::Everyone);
            request.nonce = Some(rng.u32(..).to_string());
            Command::RequestGuildMembers(request)
        }
        2 => {
            let mut update = VoiceStateUpdate::new(guild_id, rng.bool().then_some(guild_id));
            update.self_mute = rng.bool();
            Command::UpdateVoiceState(update)
        }
        3 => Command::RequestSoundboardSounds { guild_ids: vec![guild_id] },
        4 => Command::RequestChannelInfo { guild_id, fields: vec![ChannelInfoField::Status] },
        5 => {
            let data = serde_json::json!({"guild_ids": [guild_id.0.to_string()]});
            let data = Raw::encode(&data, encoding).expect("JSON values can be written");
            // The gateway closes with 4001.
            Command::Raw { op: if rng.u8(0..50) == 0 { UNKNOWN_OPCODE } else { 31 }, data }
        }
        _ => quick(rng),
    }
}
