//! Commands: their form on the wire, when they are sent, and which are refused.

use gateway_driver::proto::command::{
    Activity, ActivityKind, ChannelInfoField, MemberSelection, Presence, RequestGuildMembers, SendError,
    Status, VoiceStateUpdate,
};
use gateway_driver::proto::disconnect::DisconnectReason;
use gateway_driver::proto::{Command, Encoding, Raw, Snowflake};
use gateway_sim::{Action, Control, Point};
use serde_json::json;

use crate::scenario::{BOTH, ClientAction, JSON, Scenario, Step};
use crate::words::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("presence-update", "Discord Docs, Gateway Events > Send Events; serenity-rs/serenity#1200: all four keys are always present").steps([
            session(),
            send(idle()),
            sends_exactly(
                PRESENCE_UPDATE,
                json!({"since": null, "activities": [], "status": "idle", "afk": false}),
            ),
            send(Command::UpdatePresence(busy())),
            sends_exactly(
                PRESENCE_UPDATE,
                json!({
                    "since": 91_879_201, "status": "dnd", "afk": true,
                    "activities": [
                        {"name": "Custom Status", "type": 4, "state": "text"},
                        {"name": "s", "type": 1, "url": "https://www.twitch.tv/x"},
                    ],
                }),
            ),
        ]),
        Scenario::new(
            "voice-state-update",
            "Discord Docs, Gateway Events > Send Events; serenity-rs/serenity#1200: joining and leaving; the server may answer in either order",
        )
        .steps([
            session(),
            send(join_voice_muted()),
            sends_exactly(
                VOICE_STATE_UPDATE,
                json!({"guild_id": guild_text(), "channel_id": "5", "self_mute": true, "self_deaf": false}),
            ),
            dispatches("VOICE_STATE_UPDATE", 2),
            dispatches("VOICE_SERVER_UPDATE", 3),
        ]),
        Scenario::new("leaving-a-voice-channel", "Discord Docs, Gateway Events > Send Events: channel_id is present and null").steps([
            session(),
            send(leave_voice()),
            sends_exactly(
                VOICE_STATE_UPDATE,
                json!({"guild_id": "1", "channel_id": null, "self_mute": false, "self_deaf": false}),
            ),
        ]),
        Scenario::new("all-members-of-a-guild", "Discord Docs, Gateway Events > Send Events; serenity-rs/serenity#1200: an empty query and limit 0")
            .shard(with_members)
            .steps([
                session(),
                send(members(MemberSelection::Everyone)),
                sends_exactly(
                    REQUEST_GUILD_MEMBERS,
                    json!({
                        "guild_id": guild_text(), "query": "", "limit": 0, "presences": false, "nonce": "n",
                    }),
                ),
                delivers("GUILD_MEMBERS_CHUNK", json!({"chunk_index": 0, "nonce": "n"})),
            ]),
        Scenario::new(
            "all-members-of-a-guild-not-too-often",
            "Discord Docs, Gateway Events > Send Events; discord/discord-api-docs#7760: one request in 30 s for each guild",
        )
        .shard(with_members)
        .steps([
            session(),
            send(members(MemberSelection::Everyone)),
            sends(REQUEST_GUILD_MEMBERS, json!({})),
            delivers("GUILD_MEMBERS_CHUNK", json!({})),
            send(members(MemberSelection::Everyone)),
            send(leave_voice()),
            // The waiting request delays no other command.
            sends(VOICE_STATE_UPDATE, json!({})).after(seconds(0)),
            sends(REQUEST_GUILD_MEMBERS, json!({})).between(seconds(30), seconds(31)),
            delivers("GUILD_MEMBERS_CHUNK", json!({})),
        ]),
        Scenario::new(
            "rate-limited-by-the-server",
            "Discord Docs, Gateway Events > Send Events; discord/discord-api-docs#7760: after RATE_LIMITED the shard waits for retry_after and does not close",
        )
        .shard(with_members)
        .steps([
            session(),
            send(members(MemberSelection::Everyone)),
            sends(REQUEST_GUILD_MEMBERS, json!({})),
            delivers("GUILD_MEMBERS_CHUNK", json!({})),
            // Longer than the usual 30 s.
            emits_event(
                "RATE_LIMITED",
                json!({"opcode": 8, "retry_after": 45.5, "meta": {"guild_id": guild_text(), "nonce": "n"}}),
            ),
            delivers("RATE_LIMITED", json!({"opcode": 8})),
            send(members(MemberSelection::Everyone)),
            // Only requests of that kind wait.
            send(leave_voice()),
            sends(VOICE_STATE_UPDATE, json!({})).after(seconds(0)),
            sends(REQUEST_GUILD_MEMBERS, json!({"query": ""})).between(milliseconds(45_500), seconds(47)),
            delivers("GUILD_MEMBERS_CHUNK", json!({})),
        ]),
        Scenario::new("members-by-name", "Discord Docs, Gateway Events > Send Events: query and limit without user_ids").steps([
            session(),
            send(members(by_name("a", 5))),
            sends_exactly(
                REQUEST_GUILD_MEMBERS,
                json!({"guild_id": guild_text(), "query": "a", "limit": 5, "presences": false, "nonce": "n"}),
            ),
            delivers("GUILD_MEMBERS_CHUNK", json!({"guild_id": guild_text()})),
        ]),
        Scenario::new("members-by-id", "Discord Docs, Gateway Events > Send Events: user_ids without query").steps([
            session(),
            send(members(MemberSelection::Users(vec![
                Snowflake::from(7),
                Snowflake::from(81_384_788_765_712_384),
            ]))),
            sends_where(REQUEST_GUILD_MEMBERS, "with both ids and without a query", |data| {
                data["user_ids"] == json!(["7", "81384788765712384"]) && data.get("query").is_none()
            }),
            delivers("GUILD_MEMBERS_CHUNK", json!({"nonce": "n"})),
        ]),
        Scenario::new("soundboard-sounds", "Discord Docs, Gateway Events > Send Events: opcode 31").steps([
            session(),
            send(Command::RequestSoundboardSounds { guild_ids: vec![guild()] }),
            sends_exactly(REQUEST_SOUNDBOARD_SOUNDS, json!({"guild_ids": [guild_text()]})),
            delivers("SOUNDBOARD_SOUNDS", json!({"guild_id": guild_text()})),
        ]),
        Scenario::new("channel-info", "Discord Docs, Gateway Events > Send Events: opcode 43").steps([
            session(),
            send(Command::RequestChannelInfo {
                guild_id: guild(),
                fields: vec![ChannelInfoField::Status, ChannelInfoField::VoiceStartTime],
            }),
            sends_exactly(
                REQUEST_CHANNEL_INFO,
                json!({"guild_id": guild_text(), "fields": ["status", "voice_start_time"]}),
            ),
            delivers("CHANNEL_INFO", json!({"guild_id": guild_text()})),
        ]),
        Scenario::new("a-raw-command", "the payload is written in the encoding of the connection").steps([
            session(),
            send(Command::Raw {
                op: 4,
                data: raw(&json!({
                    "guild_id": "1", "channel_id": null, "self_mute": true, "self_deaf": true,
                })),
            }),
            sends_exactly(
                VOICE_STATE_UPDATE,
                json!({"guild_id": "1", "channel_id": null, "self_mute": true, "self_deaf": true}),
            ),
        ]),
        Scenario::new("an-opcode-that-the-server-does-not-know", "Discord Docs, Gateway > Rate Limiting: close code 4001 is followed by a Resume").steps([
            session(),
            send(of_opcode(77)),
            sends(77, json!({})),
            loses!(DisconnectReason::Closed(_)),
            resumes(1, 0),
        ]),
        Scenario::new("commands-that-are-refused", "Discord Docs, Gateway Events > Send Events: an invalid command sends nothing and changes nothing")
            .variants(BOTH)
            .steps([
                session(),
                send_refused!(of_opcode(1), SendError::ReservedOpcode { op: 1 }),
                send_refused!(of_opcode(2), SendError::ReservedOpcode { op: 2 }),
                send_refused!(of_opcode(6), SendError::ReservedOpcode { op: 6 }),
                send_refused!(presence_of("x".repeat(4096)), SendError::TooLarge { limit: 4096, .. }),
                send_refused!(members(MemberSelection::Users(Vec::new())), SendError::Invalid(_)),
                send_refused!(members(MemberSelection::Users(vec![guild(); 101])), SendError::Invalid(_)),
                send_refused!(members(by_name("", 1)), SendError::Invalid(_)),
                send_refused!(members(by_name("a", 101)), SendError::Invalid(_)),
                send_refused!(with_nonce("n".repeat(33)), SendError::Invalid(_)),
                send_refused!(
                    Command::RequestSoundboardSounds { guild_ids: Vec::new() },
                    SendError::Invalid(_)
                ),
                emits(1),
                messages(2, 1),
                holds!(|probe| probe.stats.commands == 0 && probe.health.queued_commands == 0),
            ]),
        Scenario::new("a-command-of-4096-bytes", "Discord Docs, Gateway > Rate Limiting: the largest payload that is accepted")
            .variants(JSON)
            .steps([
                session(),
                send(presence_of("x".repeat(4096 - 93))),
                sends(PRESENCE_UPDATE, json!({"status": "online"})),
                send_refused!(presence_of("x".repeat(4096 - 92)), SendError::TooLarge { size: 4097, .. }),
                emits(1),
                messages(2, 1),
            ]),
        Scenario::new("too-many-queued-commands", "the queue is bounded")
            .shard(|config| config.limits.queued_commands = 3)
            .steps([
                once(Point::Identify, Action::Delay(seconds(5))),
                Step::Client(ClientAction::SendMany(leave_voice(), 3)),
                send_refused!(leave_voice(), SendError::QueueFull { waiting: 3 }),
                session(),
                all(std::array::from_fn::<_, 3, _>(|_| sends(VOICE_STATE_UPDATE, json!({})))),
            ]),
        Scenario::new(
            "commands-wait-for-ready",
            "Discord Docs, Gateway > Connection Lifecycle; twilight-rs/twilight#2264: before READY only opcodes 1, 2 and 6 are sent",
        )
        .steps([
            once(Point::Identify, Action::Delay(seconds(5))),
            Step::Client(ClientAction::SendMany(leave_voice(), 5)),
            opens_base_url(),
            sends(IDENTIFY, json!({})),
            sends(VOICE_STATE_UPDATE, json!({})).after(seconds(5)),
            all(std::array::from_fn::<_, 4, _>(|_| sends(VOICE_STATE_UPDATE, json!({})))),
            readies(),
        ]),
        Scenario::new("commands-wait-for-resumed", "Discord Docs, Gateway > Connection Lifecycle; twilight-rs/twilight#2264: commands are not sent while resuming").steps([
            session(),
            once(Point::Resume, Action::Delay(seconds(5))),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            Step::Client(ClientAction::SendMany(leave_voice(), 5)),
            opens_resume_url(),
            sends(RESUME, json!({"seq": 1})),
            sends(VOICE_STATE_UPDATE, json!({})).after(seconds(5)),
            all(std::array::from_fn::<_, 4, _>(|_| sends(VOICE_STATE_UPDATE, json!({})))),
            dispatches("RESUMED", 2),
            sees!(Event::Resumed { .. }),
        ]),
        Scenario::new("commands-are-sent-in-order", "Discord Docs, Gateway > Rate Limiting: commands are sent in the order of the calls").steps([
            session(),
            all((1..=10).map(|number| send(leave_voice_of(number)))),
            all((1..=10).map(|number| sends(VOICE_STATE_UPDATE, json!({"guild_id": number.to_string()})))),
        ]),
        Scenario::new(
            "a-presence-replaces-a-queued-one",
            "Discord Docs, Gateway Events > Send Events: 5 presences in 20 s; the server drops more",
        )
        .steps([
            once(Point::Identify, Action::Delay(seconds(5))),
            all((0..10).map(|number| send(presence_of(number.to_string())))),
            opens_base_url(),
            sends(IDENTIFY, json!({})),
            readies(),
            shows("9"),
            holds!(|probe| probe.stats.commands == 1),
        ]),
        Scenario::new("five-presences-in-twenty-seconds", "Discord Docs, Gateway Events > Send Events: the sixth presence waits").steps([
            session(),
            all((0..5).map(|number| {
                all([send(presence_of(number.to_string())), shows(&number.to_string()).after(seconds(0))])
            })),
            send(idle()),
            sends(PRESENCE_UPDATE, json!({"status": "idle"})).between(seconds(20), seconds(21)),
        ]),
    ]
}

/// The first guild of the simulated gateway.
fn guild() -> Snowflake {
    Snowflake::from(300_000_000_000_u64 << 22)
}

/// A presence with every field set.
fn busy() -> Presence {
    let mut streaming = Activity::new(ActivityKind::Streaming, "s");
    streaming.url = Some("https://www.twitch.tv/x".to_owned());
    let mut presence = Presence::new(Status::Dnd, [Activity::custom("text"), streaming]);
    presence.since = Some(91_879_201);
    presence.afk = true;
    presence
}

fn join_voice_muted() -> Command {
    let mut update = VoiceStateUpdate::new(guild(), Some(Snowflake::from(5)));
    update.self_mute = true;
    Command::UpdateVoiceState(update)
}

fn leave_voice_of(guild: u64) -> Command {
    Command::UpdateVoiceState(VoiceStateUpdate::new(Snowflake::from(guild), None))
}

fn guild_text() -> String {
    guild().to_string()
}

fn by_name(query: &str, limit: u8) -> MemberSelection {
    MemberSelection::Prefix { query: query.to_owned(), limit }
}

fn of_opcode(op: u64) -> Command {
    Command::Raw { op, data: raw(&json!({})) }
}

/// The client shows an activity of this name.
fn shows(name: &str) -> Step {
    sends(PRESENCE_UPDATE, json!({"activities": [{"name": name, "type": 0}]}))
}

fn with_members(config: &mut gateway_driver::proto::ShardConfig) {
    use gateway_driver::proto::Intents;
    config.intents = Intents::GUILD_MESSAGES | Intents::GUILD_MEMBERS;
}

fn members(members: MemberSelection) -> Command {
    let mut request = RequestGuildMembers::new(guild(), members);
    request.nonce = Some("n".to_owned());
    Command::RequestGuildMembers(request)
}

fn with_nonce(nonce: String) -> Command {
    let mut request = RequestGuildMembers::new(guild(), MemberSelection::Everyone);
    request.nonce = Some(nonce);
    Command::RequestGuildMembers(request)
}

/// 93 bytes in JSON, plus the name.
fn presence_of(name: String) -> Command {
    Command::UpdatePresence(Presence::new(Status::Online, [Activity::new(ActivityKind::Playing, name)]))
}

fn raw(data: &serde_json::Value) -> Raw {
    Raw::new(data.to_string().into_bytes(), Encoding::Json)
}

/// The client sends a payload with this opcode and exactly this data.
fn sends_exactly(opcode: u64, data: serde_json::Value) -> Step {
    sends_where(opcode, &format!("{data} only"), move |sent| *sent == data)
}
