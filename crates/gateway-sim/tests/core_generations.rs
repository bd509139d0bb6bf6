//! Several generations of sessions of one bot at the same time: the same shard twice, and other shard counts.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{ALL_INTENTS, World};
use gateway_sim::{Config, ConnectionId, Control, Output, Target, guild_id};
use serde_json::{Value, json};

/// A bot whose generations serve the same guilds, and the messages to each connection.
struct Bot {
    world: World,
    received: BTreeMap<ConnectionId, Vec<Value>>,
}

impl Bot {
    fn new(guilds: u32, rate: f64) -> Self {
        let mut config = Config::default();
        (config.guilds, config.rate) = (guilds, rate);
        config.identify_interval = Duration::ZERO;
        Self { world: World::new(config), received: BTreeMap::new() }
    }

    /// Starts a session. Sessions are numbered from 1.
    fn start(&mut self, shard: (u32, u32)) -> ConnectionId {
        let id = self.world.open(common::URL);
        let data = json!({
            "token": "simulated-token", "intents": ALL_INTENTS, "properties": {}, "shard": [shard.0, shard.1],
        });
        self.world.send(id, &json!({"op": 2, "d": data}));
        self.receive();
        id
    }

    fn receive(&mut self) {
        while let Some((id, output)) = self.world.gateway.poll_output() {
            if let Output::Send(message) = output {
                self.received.entry(id).or_default().push(serde_json::from_slice(&message.payload).unwrap());
            }
        }
    }

    fn control(&mut self, target: Target, control: Control) {
        self.world.gateway.control(target, control, self.world.now).unwrap();
    }

    /// The dispatches to a connection since the last call, as name and `d`.
    fn events(&mut self, id: ConnectionId) -> Vec<(String, Value)> {
        self.receive();
        let payloads = self.received.remove(&id).unwrap_or_default();
        let dispatches = payloads.into_iter().filter(|payload| payload["op"] == 0);
        dispatches.map(|mut it| (it["t"].as_str().unwrap().to_owned(), it["d"].take())).collect()
    }
}

fn names(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn an_event_of_a_guild_goes_to_every_session_that_serves_it() {
    let shards = [(0, 1), (0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3), (0, 2)];
    let guilds = 12;
    let mut bot = Bot::new(guilds, 0.0);
    let connections: Vec<_> = shards.into_iter().map(|shard| bot.start(shard)).collect();
    bot.control(Target::All, Control::Rate(100.0));
    for guild in 0..guilds {
        let target = Target::Guild(guild_id(guild));
        let at = json!({"guild_id": guild_id(guild).to_string(), "n": guild});
        bot.control(target, Control::Event { name: "A_TEST".to_owned(), data: at });
        bot.control(target, Control::Emit { count: 2, padding: 10 });
        bot.control(target, Control::Voice { joins: guild % 2 == 0 });
        bot.world.wait(Duration::from_millis(500));
    }
    let join = json!({"guild_id": guild_id(3).to_string(), "channel_id": "5", "self_mute": false, "self_deaf": false});
    bot.world.send(connections[1], &json!({"op": 4, "d": join}));
    bot.receive();

    let ledger = bot.world.gateway.ledger();
    let events = ledger.events();
    assert!(events.len() > 500, "{} events", events.len());
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for event in &events {
        *seen.entry(event.name).or_default() += 1;
        let guild = event.guild.unwrap();
        let serving: Vec<u64> = (1..)
            .zip(shards)
            .filter(|(_, (id, count))| (guild >> 22) % u64::from(*count) == u64::from(*id))
            .map(|(session, _)| session)
            .collect();
        let sessions: Vec<u64> = event.dispatches.iter().map(|(session, _)| *session).collect();
        assert_eq!(sessions, serving, "{event:?}");
        assert!(sessions.len() >= 4);
        let data: Vec<&Value> = event
            .dispatches
            .iter()
            .map(|(session, sequence)| {
                let received = &bot.received[&connections[*session as usize - 1]];
                let payload = received.iter().find(|payload| payload["s"] == *sequence).unwrap();
                assert_eq!(payload["t"], event.name);
                &payload["d"]
            })
            .collect();
        assert!(data.iter().all(|it| *it == data[0]), "{data:?}");
    }
    assert_eq!(
        (seen["A_TEST"], seen["VOICE_STATE_UPDATE"] > 12, seen["MESSAGE_CREATE"] > 24),
        (12, true, true)
    );
    // In each session in the order of the events.
    for session in 1..=shards.len() as u64 {
        let numbers: Vec<u64> =
            (1..=ledger.newest(session)).filter_map(|sequence| ledger.event(session, sequence)).collect();
        assert!(numbers.len() > 100 && numbers.is_sorted_by(|one, other| one < other));
    }
}

#[test]
fn a_session_has_the_events_from_its_start_to_its_end() {
    let mut bot = Bot::new(1, 0.0);
    let target = Target::Guild(guild_id(0));
    let happens = |bot: &mut Bot| bot.control(target, Control::Emit { count: 1, padding: 0 });
    happens(&mut bot);
    let first = bot.start((0, 1));
    happens(&mut bot);
    bot.start((0, 1));
    happens(&mut bot);
    // A lost event has its number in both sessions, and is replayed.
    bot.control(target, Control::Lose { count: 1 });
    bot.control(Target::Session(1), Control::Expire);
    happens(&mut bot);
    let events = bot.world.gateway.ledger().events();
    let sessions: Vec<Vec<u64>> =
        events.iter().map(|event| event.dispatches.iter().map(|(session, _)| *session).collect()).collect();
    assert_eq!(sessions, [vec![1], vec![1, 2], vec![1, 2], vec![2]]);
    assert_eq!(names(&bot.events(first)), ["READY", "GUILD_CREATE", "MESSAGE_CREATE", "MESSAGE_CREATE"]);
}

#[test]
fn a_guild_contains_the_bots_voice_state() {
    let mut bot = Bot::new(2, 0.0);
    let (old, other) = (bot.start((0, 1)), bot.start((1, 2)));
    let here = Target::Guild(guild_id(0));
    let states = |bot: &mut Bot, id| {
        let created = bot.events(id).into_iter().filter(|(name, _)| name == "GUILD_CREATE");
        created.map(|(_, data)| data["voice_states"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(states(&mut bot, old), [json!([]), json!([])]);
    bot.events(other);
    bot.control(here, Control::Voice { joins: true });
    let (name, state) = bot.events(old).remove(0);
    assert_eq!((&*name, &state["guild_id"]), ("VOICE_STATE_UPDATE", &json!(guild_id(0).to_string())));
    assert!(!state["channel_id"].is_null());
    assert_eq!(bot.events(other), [], "it has another guild");
    let new = bot.start((0, 2));
    let mut kept = state.clone();
    kept.as_object_mut().unwrap().remove("guild_id");
    assert_eq!(states(&mut bot, new), [json!([kept])]);
    // The new session moves the bot to another channel: both sessions see it, and only the new one receives the server.
    let voice = |channel: Value| json!({"guild_id": guild_id(0).to_string(), "channel_id": channel, "self_mute": true, "self_deaf": true});
    bot.world.send(new, &json!({"op": 4, "d": voice(json!("77"))}));
    let (in_new, in_old) = (bot.events(new), bot.events(old));
    assert_eq!(names(&in_new), ["VOICE_STATE_UPDATE", "VOICE_SERVER_UPDATE"]);
    assert_eq!(in_old, in_new[..1]);
    let again = bot.start((0, 1));
    assert_eq!(states(&mut bot, again)[0][0]["channel_id"], "77");
    bot.world.send(new, &json!({"op": 4, "d": voice(Value::Null)}));
    let last = bot.start((0, 1));
    assert_eq!(states(&mut bot, last), [json!([]), json!([])]);
}

#[test]
fn a_target_without_a_guild_is_rejected() {
    let mut bot = Bot::new(1, 0.0);
    let now = bot.world.now;
    let mut refused =
        |target, control| bot.world.gateway.control(target, control, now).unwrap_err().to_string();
    assert_eq!(refused(Target::Guild(1), Control::Voice { joins: true }), "there is no guild 1");
    assert_eq!(
        refused(Target::Guild(guild_id(1)), Control::Abort),
        format!("there is no guild {}", guild_id(1))
    );
    assert_eq!(refused(Target::All, Control::Voice { joins: true }), "voice needs guild");
}
