//! Commands: what they look like on the wire, when they go out, and which are refused.

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
        Scenario::new("presence-update", "Discord Docs, Gateway Events > Send Events; serenity-rs/serenity#1200: all four keys, always").steps([
            session(),
            send(idle()),
            says_exactly(
                PRESENCE_UPDATE,
                json!({"since": null, "activities": [], "status": "idle", "afk": false}),
            ),
            send(Command::UpdatePresence(busy())),
            says_exactly(
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
            "Discord Docs, Gateway Events > Send Events; serenity-rs/serenity#1200: joining and leaving; the answer in either order",
        )
        .steps([
            session(),
            send(join_voice_muted()),
            says_exactly(
                VOICE_STATE_UPDATE,
                json!({"guild_id": guild_text(), "channel_id": "5", "self_mute": true, "self_deaf": false}),
            ),
            dispatches("VOICE_STATE_UPDATE", 2),
            dispatches("VOICE_SERVER_UPDATE", 3),
        ]),
        Scenario::new("leaving-a-voice-channel", "Discord Docs, Gateway Events > Send Events: channel_id is null, and is there").steps([
            session(),
            send(leave_voice()),
            says_exactly(
                VOICE_STATE_UPDATE,
                json!({"guild_id": "1", "channel_id": null, "self_mute": false, "self_deaf": false}),
            ),
        ]),
        Scenario::new("all-members-of-a-guild", "Discord Docs, Gateway Events > Send Events; serenity-rs/serenity#1200: query and limit 0")
            .shard(with_members)
            .steps([
                session(),
                send(members(MemberSelection::Everyone)),
                says_exactly(
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
            says(REQUEST_GUILD_MEMBERS, json!({})),
            delivers("GUILD_MEMBERS_CHUNK", json!({})),
            send(members(MemberSelection::Everyone)),
            send(leave_voice()),
            // What is held back holds up nothing else.
            says(VOICE_STATE_UPDATE, json!({})).after(seconds(0)),
            says(REQUEST_GUILD_MEMBERS, json!({})).between(seconds(30), seconds(31)),
            delivers("GUILD_MEMBERS_CHUNK", json!({})),
        ]),
        Scenario::new(
            "rate-limited-by-the-server",
            "Discord Docs, Gateway Events > Send Events; discord/discord-api-docs#7760: RATE_LIMITED, no close, and retry_after is waited for",
        )
        .shard(with_members)
        .steps([
            session(),
            send(members(MemberSelection::Everyone)),
            says(REQUEST_GUILD_MEMBERS, json!({})),
            delivers("GUILD_MEMBERS_CHUNK", json!({})),
            // More than the usual 30 s.
            emits_event(
                "RATE_LIMITED",
                json!({"opcode": 8, "retry_after": 45.5, "meta": {"guild_id": guild_text(), "nonce": "n"}}),
            ),
            delivers("RATE_LIMITED", json!({"opcode": 8})),
            send(members(MemberSelection::Everyone)),
            // Only requests of that kind wait.
            send(leave_voice()),
            says(VOICE_STATE_UPDATE, json!({})).after(seconds(0)),
            says(REQUEST_GUILD_MEMBERS, json!({"query": ""})).between(milliseconds(45_500), seconds(47)),
            delivers("GUILD_MEMBERS_CHUNK", json!({})),
        ]),
        Scenario::new("members-by-name", "Discord Docs, Gateway Events > Send Events: query and limit, no user_ids").steps([
            session(),
            send(members(by_name("a", 5))),
            says_exactly(
                REQUEST_GUILD_MEMBERS,
                json!({"guild_id": guild_text(), "query": "a", "limit": 5, "presences": false, "nonce": "n"}),
            ),
            delivers("GUILD_MEMBERS_CHUNK", json!({"guild_id": guild_text()})),
        ]),
        Scenario::new("members-by-id", "Discord Docs, Gateway Events > Send Events: user_ids, no query").steps([
            session(),
            send(members(MemberSelection::Users(vec![
                Snowflake::from(7),
                Snowflake::from(81_384_788_765_712_384),
            ]))),
            says_where(REQUEST_GUILD_MEMBERS, "with both ids and without a query", |data| {
                data["user_ids"] == json!(["7", "81384788765712384"]) && data.get("query").is_none()
            }),
            delivers("GUILD_MEMBERS_CHUNK", json!({"nonce": "n"})),
        ]),
        Scenario::new("soundboard-sounds", "Discord Docs, Gateway Events > Send Events: op 31").steps([
            session(),
            send(Command::RequestSoundboardSounds { guild_ids: vec![guild()] }),
            says_exactly(REQUEST_SOUNDBOARD_SOUNDS, json!({"guild_ids": [guild_text()]})),
            delivers("SOUNDBOARD_SOUNDS", json!({"guild_id": guild_text()})),
        ]),
        Scenario::new("channel-info", "Discord Docs, Gateway Events > Send Events: op 43").steps([
            session(),
            send(Command::RequestChannelInfo {
                guild_id: guild(),
                fields: vec![ChannelInfoField::Status, ChannelInfoField::VoiceStartTime],
            }),
            says_exactly(
                REQUEST_CHANNEL_INFO,
                json!({"guild_id": guild_text(), "fields": ["status", "voice_start_time"]}),
            ),
            delivers("CHANNEL_INFO", json!({"guild_id": guild_text()})),
        ]),
        Scenario::new("a-raw-command", "written in the encoding of the connection").steps([
            session(),
            send(Command::Raw {
                op: 4,
                data: raw(&json!({
                    "guild_id": "1", "channel_id": null, "self_mute": true, "self_deaf": true,
                })),
            }),
            says_exactly(
                VOICE_STATE_UPDATE,
                json!({"guild_id": "1", "channel_id": null, "self_mute": true, "self_deaf": true}),
            ),
        ]),
        Scenario::new("an-opcode-that-the-server-does-not-know", "Discord Docs, Gateway > Rate Limiting: 4001, and a Resume").steps([
            session(),
            send(of_opcode(77)),
            says(77, json!({})),
            loses!(DisconnectReason::Closed(_)),
            resumes(1, 0),
        ]),
        Scenario::new("commands-that-are-refused", "Discord Docs, Gateway Events > Send Events: nothing is sent, nothing changes")
            .variants(BOTH)
            .steps([
                session(),
                send_in_vain!(of_opcode(1), SendError::ReservedOpcode { op: 1 }),
                send_in_vain!(of_opcode(2), SendError::ReservedOpcode { op: 2 }),
                send_in_vain!(of_opcode(6), SendError::ReservedOpcode { op: 6 }),
                send_in_vain!(presence_of("x".repeat(4096)), SendError::TooLarge { limit: 4096, .. }),
                send_in_vain!(members(MemberSelection::Users(Vec::new())), SendError::Invalid(_)),
                send_in_vain!(members(MemberSelection::Users(vec![guild(); 101])), SendError::Invalid(_)),
                send_in_vain!(members(by_name("", 1)), SendError::Invalid(_)),
                send_in_vain!(members(by_name("a", 101)), SendError::Invalid(_)),
                send_in_vain!(with_nonce("n".repeat(33)), SendError::Invalid(_)),
                send_in_vain!(
                    Command::RequestSoundboardSounds { guild_ids: Vec::new() },
                    SendError::Invalid(_)
                ),
                emits(1),
                messages(2, 1),
                holds!(|probe| probe.stats.commands == 0 && probe.health.queued_commands == 0),
            ]),
        Scenario::new("a-command-of-4096-bytes", "Discord Docs, Gateway > Rate Limiting: the largest that is accepted")
            .variants(JSON)
            .steps([
                session(),
                send(presence_of("x".repeat(4096 - 93))),
                says(PRESENCE_UPDATE, json!({"status": "online"})),
                send_in_vain!(presence_of("x".repeat(4096 - 92)), SendError::TooLarge { size: 4097, .. }),
                emits(1),
                messages(2, 1),
            ]),
        Scenario::new("too-many-commands-wait", "the queue is bounded")
            .shard(|config| config.limits.queued_commands = 3)
            .steps([
                once(Point::Identify, Action::Delay(seconds(5))),
                Step::Client(ClientAction::SendMany(leave_voice(), 3)),
                send_in_vain!(leave_voice(), SendError::QueueFull { waiting: 3 }),
                session(),
                all(std::array::from_fn::<_, 3, _>(|_| says(VOICE_STATE_UPDATE, json!({})))),
            ]),
        Scenario::new(
            "commands-wait-for-ready",
            "Discord Docs, Gateway > Connection Lifecycle; twilight-rs/twilight#2264: the first frames are op 1, 2 and 6 only",
        )
        .steps([
            once(Point::Identify, Action::Delay(seconds(5))),
            Step::Client(ClientAction::SendMany(leave_voice(), 5)),
            opens_base_url(),
            says(IDENTIFY, json!({})),
            says(VOICE_STATE_UPDATE, json!({})).after(seconds(5)),
            all(std::array::from_fn::<_, 4, _>(|_| says(VOICE_STATE_UPDATE, json!({})))),
            readies(),
        ]),
        Scenario::new("commands-wait-for-resumed", "Discord Docs, Gateway > Connection Lifecycle; twilight-rs/twilight#2264: never while Resuming").steps([
            session(),
            once(Point::Resume, Action::Delay(seconds(5))),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            Step::Client(ClientAction::SendMany(leave_voice(), 5)),
            opens_resume_url(),
            says(RESUME, json!({"seq": 1})),
            says(VOICE_STATE_UPDATE, json!({})).after(seconds(5)),
            all(std::array::from_fn::<_, 4, _>(|_| says(VOICE_STATE_UPDATE, json!({})))),
            dispatches("RESUMED", 2),
            sees!(Event::Resumed { .. }),
        ]),
        Scenario::new("commands-go-out-in-order", "Discord Docs, Gateway > Rate Limiting: as they were given").steps([
            session(),
            all((1..=10).map(|number| send(leave_voice_of(number)))),
            all((1..=10).map(|number| says(VOICE_STATE_UPDATE, json!({"guild_id": number.to_string()})))),
        ]),
        Scenario::new(
            "of-presences-that-wait-the-newest-counts",
            "Discord Docs, Gateway Events > Send Events: 5 in 20 s, and the rest of them lost",
        )
        .steps([
            once(Point::Identify, Action::Delay(seconds(5))),
            all((0..10).map(|number| send(presence_of(number.to_string())))),
            opens_base_url(),
            says(IDENTIFY, json!({})),
            readies(),
            shows("9"),
            holds!(|probe| probe.stats.commands == 1),
        ]),
        Scenario::new("five-presences-in-twenty-seconds", "Discord Docs, Gateway Events > Send Events: the sixth waits").steps([
            session(),
            all((0..5).map(|number| {
                all([send(presence_of(number.to_string())), shows(&number.to_string()).after(seconds(0))])
            })),
            send(idle()),
            says(PRESENCE_UPDATE, json!({"status": "idle"})).between(seconds(20), seconds(21)),
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
    says(PRESENCE_UPDATE, json!({"activities": [{"name": name, "type": 0}]}))
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

/// In JSON: 93 bytes, and the name.
fn presence_of(name: String) -> Command {
    Command::UpdatePresence(Presence::new(Status::Online, [Activity::new(ActivityKind::Playing, name)]))
}

fn raw(data: &serde_json::Value) -> Raw {
    Raw::new(data.to_string().into_bytes(), Encoding::Json)
}

/// The client sends a payload with this opcode and exactly this data.
fn says_exactly(opcode: u64, data: serde_json::Value) -> Step {
    says_where(opcode, &format!("{data} and no more"), move |said| *said == data)
}
