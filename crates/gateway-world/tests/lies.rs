//! Each invariant against a shard that breaks it on purpose: a wrapper that lies.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use gateway_proto::{
    Command, ConfigError, Event, Input, Message, Output, Phase, Reconnect, SendError, SessionSnapshot, Shard,
    ShardConfig, Shutdown, Stats,
};
use gateway_world::{Fault, Machine, Planned, Profile, Setting, Time, World};

/// What a liar does wrong.
trait Lie: Default {
    /// Changes what comes out.
    fn output(&mut self, shard: &mut Shard, output: Output, more: &mut VecDeque<Output>) -> Option<Output> {
        let _ = (shard, more);
        Some(output)
    }

    /// Looks at what goes in.
    fn input(&mut self, shard: &mut Shard, input: &Input, now: Instant) {
        let _ = (shard, input, now);
    }

    /// Changes what is stored.
    fn session(&self, session: Option<SessionSnapshot>) -> Option<SessionSnapshot> {
        session
    }

    /// Changes how many commands are said to wait.
    fn queued_commands(&self, waiting: usize) -> usize {
        waiting
    }
}

/// A shard, and the lie it is wrapped in.
struct Liar<L> {
    shard: Shard,
    config: ShardConfig,
    lie: L,
    more: VecDeque<Output>,
}

impl<L: Lie> Machine for Liar<L> {
    fn start(config: ShardConfig, now: Instant) -> Result<Self, ConfigError> {
        let shard = Shard::new(config.clone(), now)?;
        Ok(Self { shard, config, lie: L::default(), more: VecDeque::new() })
    }

    fn handle_input(&mut self, input: Input, now: Instant) {
        self.lie.input(&mut self.shard, &input, now);
        self.shard.handle_input(input, now);
    }

    fn poll_output(&mut self) -> Output {
        loop {
            if let Some(output) = self.more.pop_front() {
                return output;
            }
            let output = self.shard.poll_output();
            if let Some(output) = self.lie.output(&mut self.shard, output, &mut self.more) {
                return output;
            }
        }
    }

    fn send(&mut self, command: Command) -> Result<(), SendError> {
        self.shard.send(command)
    }

    fn shutdown(&mut self, how: Shutdown) {
        self.shard.shutdown(how);
    }

    fn reconnect(&mut self, how: Reconnect) {
        self.shard.reconnect(how);
    }

    fn session(&self) -> Option<SessionSnapshot> {
        self.lie.session(self.shard.session())
    }

    fn stats(&self) -> &Stats {
        self.shard.stats()
    }

    fn phase(&self) -> Phase {
        self.shard.phase()
    }

    fn queued_commands(&self) -> usize {
        self.lie.queued_commands(self.config.limits.queued_commands.min(1))
    }
}

/// Which rule a liar is found to break, in six hours with some faults.
fn caught<L: Lie>(faults: &[(f64, Fault)]) -> Option<&'static str> {
    caught_in::<L>(6.0, 2, faults)
}

fn caught_in<L: Lie>(hours: f64, shards: u32, faults: &[(f64, Fault)]) -> Option<&'static str> {
    let setting = Setting { seed: 1, hours, shards, profile: Profile::Calm };
    let mut cycle = setting.cycle(0).expect("a world has a beginning");
    cycle.faults = faults
        .iter()
        .map(|(hours, fault)| Planned { at: Time::from_hours(*hours), shard: None, fault: fault.clone() })
        .collect();
    let outcome = World::<Liar<L>>::new(setting, Time::ZERO, std::iter::once(cycle)).run();
    outcome.violation.map(|violation| violation.invariant)
}

fn is_op(message: &Message, op: u32) -> bool {
    message.as_bytes().starts_with(format!("{{\"op\":{op},").as_bytes())
}

/// Says the truth.
#[derive(Default)]
struct Honest;
impl Lie for Honest {}

#[test]
fn an_honest_shard_is_caught_at_nothing() {
    let faults = [(1.0, Fault::Reset), (2.0, Fault::Commands { count: 300 }), (3.0, Fault::Expire)];
    assert_eq!(caught::<Honest>(&faults), None);
}

/// Sends every command many times.
#[derive(Default)]
struct Chatty;
impl Lie for Chatty {
    fn output(&mut self, _: &mut Shard, output: Output, more: &mut VecDeque<Output>) -> Option<Output> {
        if let Output::Send(message) = &output
            && is_op(message, 1)
        {
            more.extend(std::iter::repeat_n(output.clone(), 120));
        }
        Some(output)
    }
}

#[test]
fn send_limit() {
    assert_eq!(caught::<Chatty>(&[]), Some("send limit"));
}

/// Forgets every third heartbeat.
#[derive(Default)]
struct Forgetful(u32);
impl Lie for Forgetful {
    fn output(&mut self, _: &mut Shard, output: Output, _: &mut VecDeque<Output>) -> Option<Output> {
        if let Output::Send(message) = &output
            && is_op(message, 1)
        {
            self.0 += 1;
            return (!self.0.is_multiple_of(3)).then_some(output);
        }
        Some(output)
    }
}

#[test]
fn heartbeats() {
    assert_eq!(caught::<Forgetful>(&[]), Some("heartbeats"));
}

/// Begins a new session whenever a connection is lost.
#[derive(Default)]
struct Fresh;
impl Lie for Fresh {
    fn output(&mut self, shard: &mut Shard, output: Output, _: &mut VecDeque<Output>) -> Option<Output> {
        if let Output::Event(Event::Disconnected(_)) = &output {
            shard.reconnect(Reconnect::Fresh);
        }
        Some(output)
    }
}

#[test]
fn resume_first() {
    assert_eq!(caught::<Fresh>(&[(1.0, Fault::Reset)]), Some("resume first"));
}

/// Gives itself the permit to identify.
#[derive(Default)]
struct Pushy;
impl Lie for Pushy {
    fn output(&mut self, _: &mut Shard, output: Output, more: &mut VecDeque<Output>) -> Option<Output> {
        if let Output::AcquireIdentify = output {
            let identify = Message::Text(br#"{"op":2,"d":{}}"#.as_slice().into());
            more.push_back(Output::Send(identify));
        }
        Some(output)
    }
}

#[test]
fn identify_spacing() {
    assert_eq!(caught::<Pushy>(&[]), Some("identify spacing"));
}

/// Comes back after the gateway has refused the bot for good.
#[derive(Default)]
struct Stubborn(Option<Output>);
impl Lie for Stubborn {
    fn output(&mut self, _: &mut Shard, output: Output, more: &mut VecDeque<Output>) -> Option<Output> {
        match &output {
            Output::Connect(_) => self.0 = Some(output.clone()),
            Output::Stopped(_) => {
                more.push_back(output);
                return self.0.take().or_else(|| more.pop_front());
            }
            _ => {}
        }
        Some(output)
    }
}

#[test]
fn final_close() {
    let refused = Fault::Close { code: Some(4004) };
    assert_eq!(caught::<Stubborn>(&[(1.0, refused)]), Some("final close"));
}

/// Does not wait before it connects.
#[derive(Default)]
struct Hasty;
impl Lie for Hasty {
    fn output(&mut self, shard: &mut Shard, output: Output, _: &mut VecDeque<Output>) -> Option<Output> {
        if let Output::Event(Event::Disconnected(_)) = &output {
            shard.reconnect(Reconnect::Resume);
        }
        Some(output)
    }
}

#[test]
fn connects() {
    let how = gateway_world::Unreachable::Tcp;
    let outage = Fault::Unreachable { how, lasting: Duration::from_secs(3600) };
    assert_eq!(caught::<Hasty>(&[(1.0, outage), (1.0, Fault::Reset)]), Some("connects"));
}

/// Has nothing to do for a day.
#[derive(Default)]
struct Sleepy;
impl Lie for Sleepy {
    fn output(&mut self, _: &mut Shard, output: Output, _: &mut VecDeque<Output>) -> Option<Output> {
        Some(match output {
            Output::Timeout(at) => Output::Timeout(at + Duration::from_secs(24 * 3600)),
            output => output,
        })
    }
}

/// Wants to be called again at once, for ever.
#[derive(Default)]
struct Nervous(Option<Instant>);
impl Lie for Nervous {
    fn output(&mut self, _: &mut Shard, output: Output, _: &mut VecDeque<Output>) -> Option<Output> {
        Some(match output {
            Output::Timeout(at) => Output::Timeout(*self.0.get_or_insert(at)),
            output => output,
        })
    }
}

#[test]
fn deadlines() {
    assert_eq!(caught::<Sleepy>(&[]), Some("deadlines"));
    assert_eq!(caught::<Nervous>(&[]), Some("deadlines"));
}

/// Never identifies a second time.
#[derive(Default)]
struct Shy(u32);
impl Lie for Shy {
    fn output(&mut self, _: &mut Shard, output: Output, _: &mut VecDeque<Output>) -> Option<Output> {
        if let Output::AcquireIdentify = output {
            self.0 += 1;
            return (self.0 == 1).then_some(output);
        }
        Some(output)
    }
}

#[test]
fn recovery() {
    assert_eq!(caught::<Shy>(&[(1.0, Fault::Expire), (1.01, Fault::Reset)]), Some("recovery"));
}

/// Hands on every tenth dispatch twice.
#[derive(Default)]
struct Stammering(u32);
impl Lie for Stammering {
    fn output(&mut self, _: &mut Shard, output: Output, more: &mut VecDeque<Output>) -> Option<Output> {
        if let Output::Event(Event::Dispatch(_)) = &output {
            self.0 += 1;
            more.extend(self.0.is_multiple_of(10).then(|| output.clone()));
        }
        Some(output)
    }
}

/// Keeps every tenth dispatch for itself.
#[derive(Default)]
struct Greedy(u32);
impl Lie for Greedy {
    fn output(&mut self, _: &mut Shard, output: Output, _: &mut VecDeque<Output>) -> Option<Output> {
        if let Output::Event(Event::Dispatch(_)) = &output {
            self.0 += 1;
            return (!self.0.is_multiple_of(10)).then_some(output);
        }
        Some(output)
    }
}

#[test]
fn order() {
    assert_eq!(caught::<Stammering>(&[]), Some("order"));
    assert_eq!(caught::<Greedy>(&[]), Some("order"));
}

/// Stores a sequence number that nobody has seen.
#[derive(Default)]
struct Boastful;
impl Lie for Boastful {
    fn session(&self, session: Option<SessionSnapshot>) -> Option<SessionSnapshot> {
        let session = session?;
        let sequence = session.sequence() + 1;
        Some(SessionSnapshot::new(String::from("another"), None, sequence, session.shard()))
    }
}

#[test]
fn counters() {
    assert_eq!(caught::<Boastful>(&[]), Some("counters"));
}

/// Sends one more message after its close frame.
#[derive(Default)]
struct LastWord;
impl Lie for LastWord {
    fn output(&mut self, _: &mut Shard, output: Output, more: &mut VecDeque<Output>) -> Option<Output> {
        if let Output::Close(_) = &output {
            let heartbeat = Message::Text(br#"{"op":1,"d":null}"#.as_slice().into());
            more.push_back(Output::Send(heartbeat));
        }
        Some(output)
    }
}

#[test]
fn socket() {
    assert_eq!(caught::<LastWord>(&[(1.0, Fault::Reconnect { then_emit: 0 })]), Some("socket"));
}

/// Keeps every command that it is given.
#[derive(Default)]
struct Hoarder;
impl Lie for Hoarder {
    fn queued_commands(&self, waiting: usize) -> usize {
        waiting + 2000
    }
}

#[test]
fn memory() {
    assert_eq!(caught::<Hoarder>(&[(1.0, Fault::Commands { count: 1 })]), Some("memory"));
}

/// Needs no permit: what it was asked for it grants itself with the next input.
#[derive(Default)]
struct Independent(bool);
impl Lie for Independent {
    fn output(&mut self, _: &mut Shard, output: Output, _: &mut VecDeque<Output>) -> Option<Output> {
        if let Output::AcquireIdentify = output {
            self.0 = true;
            return None;
        }
        Some(output)
    }

    fn input(&mut self, shard: &mut Shard, _: &Input, now: Instant) {
        if std::mem::take(&mut self.0) {
            shard.handle_input(Input::IdentifyGranted, now);
        }
    }
}

#[test]
fn identify_budget() {
    let fresh = Fault::UserReconnect { fresh: true };
    let faults: Vec<(f64, Fault)> =
        (0..1380).map(|minute| (f64::from(minute) / 60.0, fresh.clone())).collect();
    assert_eq!(caught_in::<Independent>(24.0, 1, &faults), Some("identify budget"));
    assert_eq!(caught_in::<Honest>(24.0, 1, &faults), None);
}
