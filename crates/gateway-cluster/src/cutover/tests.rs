//! The cutover against a model of a server: arbitrary traffic, delays and orders of arrival.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use gateway_proto::{Dispatch, Encoding, ShardId, Snowflake};
use proptest::prelude::*;

use super::*;

const OLD: (Generation, u32) = (Generation(1), 2);
const NEW: (Generation, u32) = (Generation(2), 3);
const GUILDS: u64 = 5;
const BOT: u64 = 77;

fn config() -> ClusterConfig {
    ClusterConfig { held_bytes: 1 << 20, seed: 3, ..ClusterConfig::default() }
}

/// The id of a guild. Each shard of both generations has at least one.
fn guild_id(guild: u64) -> u64 {
    (1000 + guild) << 22
}

/// What a shard will receive next.
#[derive(Debug)]
enum Message {
    Ready { create_guilds: bool },
    Dispatch { name: &'static str, data: String, event: Option<usize> },
    Acknowledged(Instant),
}

/// A server with two generations of sessions, and the links to them.
struct Model {
    now: Instant,
    cutover: Cutover,
    links: BTreeMap<ShardKey, VecDeque<Message>>,
    /// The sequence numbers that each shard has received.
    sequences: BTreeMap<ShardKey, u64>,
    /// Which event each sequence number of a shard is.
    names: BTreeMap<(ShardKey, u64), Option<usize>>,
    /// The guild of each event; None: it has none.
    events: Vec<Option<u64>>,
    delivered: Vec<usize>,
    switches: BTreeMap<Option<u64>, (Switch, bool)>,
    /// Which guild was switched when.
    turns: Vec<Option<u64>>,
    most_bytes: usize,
}

impl Model {
    fn new(config: ClusterConfig) -> Self {
        let now = Instant::now();
        let mut this = Self {
            now,
            cutover: Cutover::new(config, OLD, NEW, now),
            links: BTreeMap::new(),
            sequences: BTreeMap::new(),
            names: BTreeMap::new(),
            events: Vec::new(),
            delivered: Vec::new(),
            switches: BTreeMap::new(),
            turns: Vec::new(),
            most_bytes: 0,
        };
        for id in 0..OLD.1 {
            let key = this.key(OLD, id);
            this.links.insert(key, VecDeque::new());
        }
        this
    }

    fn key(&self, (generation, count): (Generation, u32), id: u32) -> ShardKey {
        ShardKey { generation, shard: ShardId::new(id % count, count).unwrap() }
    }

    fn home(&self, guild: Option<u64>, (generation, count): (Generation, u32)) -> ShardKey {
        let guild = guild.map_or(0, guild_id);
        ShardKey { generation, shard: ShardId::of_guild(Snowflake(guild), count) }
    }

    /// A new session of the new generation, whether there is one already or not.
    fn identify(&mut self, id: u32) {
        let key = self.key(NEW, id);
        self.cutover.handle_began(key, self.now);
        // What was on its way to the session before is lost with it.
        self.links.insert(key, VecDeque::from([Message::Ready { create_guilds: true }]));
        for guild in 0..GUILDS {
            if self.home(Some(guild), NEW) != key {
                continue;
            }
            let id = guild_id(guild);
            let voice =
                if guild == 1 { format!(r#"{{"user_id":"{BOT}","channel_id":"5"}}"#) } else { String::new() };
            let data = format!(r#"{{"id":"{id}","name":"g","voice_states":[{voice}]}}"#);
            self.links.entry(key).or_default().push_back(Message::Dispatch {
                name: "GUILD_CREATE",
                data,
                event: None,
            });
        }
    }

    /// The server dispatches an event to all sessions that serve it. Without `unique` it looks like all others of its guild.
    fn dispatch(&mut self, guild: Option<u64>, unique: bool) {
        let event = self.events.len();
        self.events.push(guild);
        let id = if unique { event } else { 0 };
        let guild_field =
            guild.map_or_else(String::new, |guild| format!(r#","guild_id":"{}""#, guild_id(guild)));
        for generation in [OLD, NEW] {
            let key = self.home(guild, generation);
            // The spelling of ids and the order of keys differ between sessions.
            let data = match generation == OLD {
                true => format!(r#"{{"user_id":"{id}"{guild_field}}}"#),
                false => format!(r#"{{"user_id":{id}{guild_field}}}"#),
            };
            if let Some(link) = self.links.get_mut(&key) {
                link.push_back(Message::Dispatch { name: "TYPING_START", data, event: Some(event) });
            }
        }
    }

    /// A shard receives its next message.
    fn receive(&mut self, key: ShardKey) {
        let message = self.links.get_mut(&key).and_then(VecDeque::pop_front);
        let (name, data, event) = match message {
            None => return,
            Some(Message::Acknowledged(sent_at)) => {
                self.cutover.handle_acknowledged(key, sent_at);
                return;
            }
            Some(Message::Ready { create_guilds }) => {
                self.sequences.insert(key, 0);
                let ids = (0..GUILDS).filter(|guild| create_guilds && self.home(Some(*guild), NEW) == key);
                let guilds: Vec<String> =
                    ids.map(|guild| format!(r#"{{"id":"{}"}}"#, guild_id(guild))).collect();
                ("READY", format!(r#"{{"user":{{"id":"{BOT}"}},"guilds":[{}]}}"#, guilds.join(",")), None)
            }
            Some(Message::Dispatch { name, data, event }) => (name, data, event),
        };
        let sequence = self.sequences.entry(key).or_default();
        *sequence += 1;
        self.names.insert((key, *sequence), event);
        let payload = format!(r#"{{"t":"{name}","s":{sequence},"op":0,"d":{data}}}"#);
        let dispatch = Dispatch::from_payload(payload, Encoding::Json).unwrap();
        if name == "READY" {
            self.cutover.handle_ready(key, &dispatch, self.now);
        }
        self.cutover.handle_dispatch(key, dispatch, self.now);
        self.take_outputs();
    }

    fn order_cutover(&mut self) {
        self.cutover.order(self.now + Duration::from_secs(60), self.now);
    }

    fn advance(&mut self, time: Duration) {
        self.now += time;
        self.cutover.handle_timeout(self.now);
        self.take_outputs();
    }

    fn take_outputs(&mut self) {
        self.most_bytes = self.most_bytes.max(self.cutover.held_bytes());
        while let Some(output) = self.cutover.poll_output() {
            match output {
                CutoverOutput::Deliver(from, dispatch) => {
                    let sequence = dispatch.sequence().unwrap();
                    self.delivered.extend(self.names[&(from, sequence)]);
                }
                CutoverOutput::Discard(..) => {}
                CutoverOutput::Heartbeat(key) => {
                    if let Some(link) = self.links.get_mut(&key) {
                        link.push_back(Message::Acknowledged(self.now));
                    }
                }
                CutoverOutput::Switched { guild, how, voice } => {
                    let guild = guild.map(|guild| (guild.0 >> 22) - 1000);
                    self.turns.push(guild);
                    assert!(
                        self.switches.insert(guild, (how, voice)).is_none(),
                        "{guild:?} is switched once"
                    );
                }
            }
        }
    }

    /// Orders the cutover and lets everything arrive. What is dispatched meanwhile arrives too.
    fn finish(&mut self) {
        if self.cutover.ordered_at.is_none() {
            self.order_cutover();
            self.take_outputs();
        }
        for _ in 0..500 {
            for key in self.links.keys().copied().collect::<Vec<_>>() {
                while !self.links[&key].is_empty() {
                    self.receive(key);
                }
            }
            if self.cutover.is_finished() {
                break;
            }
            self.advance(Duration::from_secs(1));
        }
        assert!(self.cutover.is_finished(), "{:?}", self.cutover);
        // What the new generation receives from now on is delivered without the cutover: the old one's part is over.
        assert_eq!(self.cutover.held_bytes(), 0);
    }

    /// What every user may rely on.
    fn check(&self) -> Result<(), TestCaseError> {
        for (event, guild) in self.events.iter().enumerate() {
            let times = self.delivered.iter().filter(|delivered| **delivered == event).count();
            prop_assert!(times >= 1, "event {event} of {guild:?} is lost; switches {:?}", self.switches);
            let exactly = !matches!(self.switches.get(guild), Some((Switch::Unmatched { .. }, _)));
            prop_assert!(
                times == 1 || !exactly,
                "event {event} of {guild:?} came {times} times; switches {:?}",
                self.switches
            );
        }
        for guild in (0..GUILDS).map(Some).chain([None]) {
            let of_guild: Vec<usize> =
                self.delivered.iter().copied().filter(|event| self.events[*event] == guild).collect();
            let mut seen = std::collections::BTreeSet::new();
            let first: Vec<usize> = of_guild.into_iter().filter(|event| seen.insert(*event)).collect();
            prop_assert!(first.is_sorted(), "{guild:?} is out of order: {first:?}");
        }
        Ok(())
    }
}

#[derive(Debug, Clone)]
enum Step {
    Dispatch { guild: u64, unique: bool },
    Receive { new: bool, id: u32, count: usize },
    Identify(u32),
    Advance(u64),
    Order,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..=GUILDS, any::<bool>()).prop_map(|(guild, unique)| Step::Dispatch { guild, unique }),
        8 => (any::<bool>(), 0..3_u32, 1..6_usize).prop_map(|(new, id, count)| Step::Receive { new, id, count }),
        1 => (0..NEW.1).prop_map(Step::Identify),
        2 => (0..4000_u64).prop_map(Step::Advance),
        1 => Just(Step::Order),
    ]
}

fn play(config: ClusterConfig, steps: &[Step]) -> Result<Model, TestCaseError> {
    let mut model = Model::new(config);
    for step in steps {
        match *step {
            Step::Dispatch { guild, unique } => model.dispatch((guild < GUILDS).then_some(guild), unique),
            Step::Receive { new, id, count } => {
                let key = model.key(if new { NEW } else { OLD }, id);
                (0..count).for_each(|_| model.receive(key));
            }
            // A new session would be a second GUILD_CREATE for what the new generation is in charge of.
            Step::Identify(id) if model.cutover.ordered_at.is_none() => model.identify(id),
            Step::Identify(_) => {}
            Step::Advance(ms) => model.advance(Duration::from_millis(ms)),
            Step::Order => {
                let all = (0..NEW.1).all(|id| model.links.contains_key(&model.key(NEW, id)));
                if all && model.cutover.ordered_at.is_none() {
                    model.order_cutover();
                    model.take_outputs();
                }
            }
        }
    }
    for id in 0..NEW.1 {
        if !model.links.contains_key(&model.key(NEW, id)) {
            model.identify(id);
        }
    }
    model.finish();
    Ok(model)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_event_is_delivered_once_and_in_order(steps in proptest::collection::vec(step(), 0..200)) {
        play(config(), &steps)?.check()?;
    }

    /// With so little room nothing can be held for long, and events may come twice. None may be lost.
    #[test]
    fn the_bound_on_memory_costs_no_event(steps in proptest::collection::vec(step(), 0..200), room in 0..2000_usize) {
        let config = ClusterConfig { held_bytes: room, ..config() };
        let model = play(config, &steps)?;
        model.check()?;
        // One event may lie above it, while it is looked at.
        prop_assert!(model.most_bytes <= room + 1000, "{} of {room}", model.most_bytes);
    }
}

#[test]
fn a_silent_guild_is_switched_without_its_guild_create() {
    let mut model = Model::new(config());
    (0..NEW.1).for_each(|id| model.identify(id));
    model.finish();
    for guild in 0..GUILDS {
        assert_eq!(model.switches[&Some(guild)], (Switch::Silent, guild == 1));
    }
    assert_eq!(model.cutover.tally().to_string(), "matched=0 silent=6 unmatched=0");
}

#[test]
fn a_guild_with_a_voice_connection_comes_last() {
    let mut model = Model::new(config());
    (0..NEW.1).for_each(|id| model.identify(id));
    model.order_cutover();
    model.finish();
    assert_eq!(model.turns.len(), 6);
    assert_eq!(model.turns.last(), Some(&Some(1)), "{:?}", model.turns);
}

/// A cutover of which a guild's sessions receive something each second, and never the same: the switches, and what was delivered of
/// the new session.
fn disagreeing(seconds: u64, is_old_gone: bool) -> (Model, Vec<String>) {
    let mut model = Model::new(config());
    (0..NEW.1).for_each(|id| model.identify(id));
    let [old, new] = [OLD, NEW].map(|generation| model.home(Some(0), generation));
    model.order_cutover();
    if is_old_gone {
        model.cutover.handle_gone(old, model.now);
    }
    let mut names = Vec::new();
    for second in 0..seconds {
        for key in model.links.keys().copied().collect::<Vec<_>>() {
            while !model.links[&key].is_empty() {
                model.receive(key);
            }
        }
        for (key, id) in [(new, 1000 + second), (old, second)].into_iter().take(2 - usize::from(is_old_gone))
        {
            let sequence = 100 + second;
            model.names.insert((key, sequence), None);
            let data = format!(r#"{{"user_id":"{id}","guild_id":"{}"}}"#, guild_id(0));
            let payload = format!(r#"{{"t":"TYPING_START","s":{sequence},"op":0,"d":{data}}}"#);
            model.cutover.handle_dispatch(
                key,
                Dispatch::from_payload(payload, Encoding::Json).unwrap(),
                model.now,
            );
        }
        model.now += Duration::from_secs(1);
        model.cutover.handle_timeout(model.now);
        while let Some(output) = model.cutover.poll_output() {
            match output {
                CutoverOutput::Deliver(from, dispatch) if from == new => {
                    names.push(dispatch.name().to_owned());
                }
                CutoverOutput::Switched { guild, how, voice } => {
                    model.switches.insert(guild.map(|guild| (guild.0 >> 22) - 1000), (how, voice));
                }
                CutoverOutput::Heartbeat(key) => {
                    let now = model.now;
                    model.links.get_mut(&key).unwrap().push_back(Message::Acknowledged(now));
                }
                _ => {}
            }
        }
    }
    names.retain(|name| name != "READY");
    (model, names)
}

#[test]
fn sessions_that_never_agree_are_switched_at_guild_create() {
    let (model, names) = disagreeing(70, false);
    assert_eq!(model.switches[&Some(0)], (Switch::Unmatched { snapshot: true }, false));
    assert_eq!(names[0], "GUILD_CREATE", "{names:?}");
    assert!(names.len() > 60, "what was held since follows it");
}

#[test]
fn a_guild_whose_old_session_is_gone_does_not_wait_for_the_end_of_the_overlap() {
    let (model, names) = disagreeing(10, true);
    assert_eq!(model.switches[&Some(0)], (Switch::Unmatched { snapshot: true }, false));
    assert_eq!(names[0], "GUILD_CREATE", "{names:?}");
    assert_eq!(names.len(), 1 + 10, "nothing is held any more");
}

/// What a cutover asks for, in words, heartbeats left out.
fn said(cutover: &mut Cutover) -> Vec<String> {
    let mut said = Vec::new();
    while let Some(output) = cutover.poll_output() {
        match output {
            CutoverOutput::Deliver(from, dispatch) => {
                said.push(format!(
                    "{} from {}",
                    dispatch.data().get("n").unwrap().as_id().unwrap(),
                    from.generation
                ));
            }
            CutoverOutput::Switched { how, .. } => said.push(format!("{how:?}")),
            CutoverOutput::Discard(..) | CutoverOutput::Heartbeat(_) => {}
        }
    }
    said
}

/// Events of guild 0, numbered. The old session receives 1 and 2 and is lost; the new one receives 2, 3 and 4.
#[test]
fn what_an_old_session_is_lost_with_comes_from_the_new_one_before_anything_newer() {
    for cutting_over in [false, true] {
        let mut now = Instant::now();
        let mut cutover = Cutover::new(config(), OLD, NEW, now);
        let key = |(generation, count): (Generation, u32)| ShardKey {
            generation,
            shard: ShardId::of_guild(Snowflake(guild_id(0)), count),
        };
        let (old, new) = (key(OLD), key(NEW));
        let receive = |cutover: &mut Cutover, key: ShardKey, n: u64, now: Instant| {
            let data = format!(r#"{{"n":"{n}","guild_id":"{}"}}"#, guild_id(0));
            let payload = format!(r#"{{"t":"TYPING_START","s":{n},"op":0,"d":{data}}}"#);
            let dispatch = Dispatch::from_payload(payload, Encoding::Json).unwrap();
            cutover.handle_dispatch(key, dispatch, now);
        };
        cutover.handle_began(new, now);
        receive(&mut cutover, old, 1, now);
        receive(&mut cutover, old, 2, now);
        now += Duration::from_secs(1);
        [2, 3, 4].into_iter().for_each(|n| receive(&mut cutover, new, n, now));
        if cutting_over {
            cutover.order(now + Duration::from_secs(60), now);
        }
        assert_eq!(said(&mut cutover), ["1 from 1", "2 from 1"]);
        now += Duration::from_secs(1);
        cutover.handle_began(old, now);
        receive(&mut cutover, old, 5, now);
        receive(&mut cutover, new, 5, now);
        let unmatched = format!("{:?}", Switch::Unmatched { snapshot: false });
        let mut expected = vec!["3 from 2", "4 from 2", "5 from 1"];
        expected.extend(cutting_over.then_some(&*unmatched));
        assert_eq!(said(&mut cutover), expected);
    }
}

/// Only the old session has what was dropped for lack of memory, and it does not answer although it may still be resumed.
#[test]
fn a_guild_that_was_dropped_waits_for_its_old_session_however_long() {
    let mut now = Instant::now();
    let mut cutover = Cutover::new(ClusterConfig { held_bytes: 0, ..config() }, OLD, NEW, now);
    let guild = Some(Snowflake(guild_id(0)));
    let key = |(generation, count): (Generation, u32)| ShardKey {
        generation,
        shard: ShardId::of_guild(Snowflake(guild_id(0)), count),
    };
    cutover.handle_began(key(NEW), now);
    let payload =
        format!(r#"{{"t":"TYPING_START","s":2,"op":0,"d":{{"n":"1","guild_id":"{}"}}}}"#, guild_id(0));
    cutover.handle_dispatch(key(NEW), Dispatch::from_payload(payload, Encoding::Json).unwrap(), now);
    cutover.order(now + Duration::from_secs(60), now);
    let wait = |cutover: &mut Cutover, now: &mut Instant| {
        for _ in 0..1000 {
            *now += Duration::from_secs(1);
            cutover.handle_acknowledged(key(NEW), *now);
            cutover.handle_timeout(*now);
        }
        cutover.in_charge(guild)
    };
    assert_eq!(wait(&mut cutover, &mut now), OLD.0);
    cutover.handle_acknowledged(key(OLD), now);
    assert_eq!(wait(&mut cutover, &mut now), NEW.0);
}
