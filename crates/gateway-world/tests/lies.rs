//! Each invariant against a shard that breaks it on purpose: a wrapper that lies.

mod liar;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use gateway_proto::disconnect::DisconnectReason;
use gateway_proto::session::SessionSnapshot;
use gateway_proto::{ConnectError, Event, Input, Message, Output, Reconnect, Shard};
use gateway_world::Fault;
use liar::{Honest, Lie, caught, violation_in};

fn is_op(message: &Message, op: u32) -> bool {
    message.as_bytes().starts_with(format!("{{\"op\":{op},").as_bytes())
}

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

/// Stores a sequence number that was never received.
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
    let caught = violation_in::<Independent>(24.0, 1, &faults).map(|violation| violation.invariant);
    assert_eq!(caught, Some("identify budget"));
    assert_eq!(violation_in::<Honest>(24.0, 1, &faults), None);
}

/// Says in an event what must not stand in a log.
#[derive(Default)]
struct Gossip;
impl Lie for Gossip {
    fn output(&mut self, _: &mut Shard, output: Output, _: &mut VecDeque<Output>) -> Option<Output> {
        Some(match output {
            Output::Event(Event::Disconnected(mut end)) => {
                let text = "no answer to the-token-of-the-world".to_owned();
                end.reason = DisconnectReason::ConnectFailed(ConnectError::Tcp(text));
                Output::Event(Event::Disconnected(end))
            }
            output => output,
        })
    }
}

#[test]
fn secrets() {
    assert_eq!(caught::<Gossip>(&[(1.0, Fault::Reset)]), Some("secrets"));
}
