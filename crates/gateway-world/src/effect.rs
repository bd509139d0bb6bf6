//! What a fault does to an engine: to its gateway, to a connection, to a dial.

use std::time::Duration;

use gateway_proto::ConnectError;
use gateway_proto::disconnect::Refused;
use gateway_sim::{Control, Target};

use crate::engine::{ClientId, Dial, Engine, Link, Observer};
use crate::fault::{Fault, Nonsense, Unreachable, rule};
use crate::plan::HEARTBEAT_INTERVAL;

/// Makes the gateway do something that makes sense.
pub(crate) fn control<T, O: Observer>(engine: &mut Engine<T, O>, target: Target, control: Control) {
    engine.control(target, control).expect("the world asks for nothing impossible");
}

/// What concerns the whole gateway. False: the fault is not of that kind.
pub(crate) fn of_the_gateway<T, O: Observer>(
    engine: &mut Engine<T, O>,
    fault: &Fault,
    shard: Option<u32>,
) -> bool {
    match fault {
        Fault::Restart { lasting, forgets } => {
            control(engine, Target::All, Control::Down { duration: *lasting, emit: 0 });
            if *forgets {
                control(engine, Target::All, Control::Expire);
            }
        }
        Fault::HeartbeatInterval { interval } => {
            control(engine, Target::All, Control::HeartbeatInterval(*interval));
        }
        Fault::AckDelay { by } => control(engine, Target::All, Control::AckDelay(*by)),
        Fault::Rule { at, action, times } => {
            let rule = rule(*at, action.clone(), *times, shard);
            if rule.check().is_ok() {
                control(engine, Target::All, Control::Rule(rule));
            }
        }
        Fault::EndRules => control(engine, Target::All, Control::ClearRules(None)),
        _ => return false,
    }
    true
}

/// Ends what has no end of its own.
pub(crate) fn end_all<T, O: Observer>(engine: &mut Engine<T, O>) {
    control(engine, Target::All, Control::ClearRules(None));
    control(engine, Target::All, Control::HeartbeatInterval(HEARTBEAT_INTERVAL));
    control(engine, Target::All, Control::AckDelay(Duration::ZERO));
}

/// What concerns the connection of a client. Other faults do nothing.
pub(crate) fn of_the_connection<T, O: Observer>(engine: &mut Engine<T, O>, id: ClientId, fault: &Fault) {
    let now = engine.now();
    let mut on_link = |change: &dyn Fn(&mut Link)| {
        if let Some(link) = engine.link_mut(id) {
            change(link);
        }
    };
    match fault {
        Fault::Reset => engine.break_link(id),
        Fault::ResetAfter { messages, direction } => {
            on_link(&|link| link.break_after(*messages, *direction));
        }
        Fault::HalfOpen { direction } => on_link(&|link| link.lose(*direction)),
        Fault::Stall { lasting } => on_link(&|link| link.stall(now + *lasting)),
        Fault::Slow { by, lasting } => on_link(&|link| link.slow_down(*by, now + *lasting)),
        fault => gateway_does(engine, id, fault),
    }
}

/// What the gateway does on the connection of a client.
fn gateway_does<T, O: Observer>(engine: &mut Engine<T, O>, id: ClientId, fault: &Fault) {
    let Some(connection) = engine.connection(id) else { return };
    let mut control = |what| control(engine, Target::Connection(connection), what);
    match fault {
        Fault::Reconnect { then_emit } => control(Control::Reconnect { then_emit: *then_emit }),
        Fault::Invalid { resumable } => control(Control::Invalid { resumable: *resumable }),
        Fault::Close { code } => control(Control::Close { code: *code }),
        Fault::Beat { times } => (0..*times).for_each(|_| control(Control::Beat)),
        Fault::Hello => control(Control::Hello),
        Fault::Mute => control(Control::Mute(true)),
        Fault::Nonsense { what } => control(nonsense(*what)),
        _ => {}
    }
}

fn nonsense(what: Nonsense) -> Control {
    match what {
        Nonsense::Text => Control::Raw("this is no JSON".to_owned()),
        Nonsense::Bytes => Control::RawBytes(vec![0xff, 0, 0xff, 0, 0xff]),
        Nonsense::Opcode => Control::Raw(r#"{"t":null,"s":null,"op":77,"d":{"a":[1]}}"#.to_owned()),
        Nonsense::Dispatch => Control::Raw(r#"{"t":"NOBODY_KNOWS","s":null,"op":0,"d":null}"#.to_owned()),
        Nonsense::Hello => {
            Control::Raw(r#"{"t":null,"s":null,"op":10,"d":{"heartbeat_interval":0}}"#.to_owned())
        }
    }
}

/// How a dial goes where no connection can be opened for this reason, or for none.
pub(crate) fn dial(unreachable: Option<Unreachable>) -> Dial {
    match unreachable {
        None => Dial::Succeeds,
        Some(Unreachable::Nothing) => Dial::Hangs,
        Some(how) => Dial::Fails(failure(how)),
    }
}

fn failure(how: Unreachable) -> ConnectError {
    match how {
        Unreachable::Dns => ConnectError::Dns("no such host".to_owned()),
        Unreachable::Tcp | Unreachable::Nothing => ConnectError::Tcp("connection refused".to_owned()),
        Unreachable::Tls => ConnectError::Tls("bad certificate".to_owned()),
        Unreachable::Handshake => ConnectError::Handshake("no WebSocket".to_owned()),
        Unreachable::Refused { status, retry_after } => {
            let mut refused = Refused::new(status);
            refused.retry_after = retry_after.map(|seconds| Duration::from_secs(seconds.into()));
            ConnectError::Refused(refused)
        }
    }
}
