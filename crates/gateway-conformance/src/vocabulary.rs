//! The vocabulary of scenarios.

use std::time::Duration;

use gateway_driver::proto::command::{Presence, Status, VoiceStateUpdate};
use gateway_driver::proto::disconnect::{DisconnectReason, Disconnected};
use gateway_driver::proto::{Command, Event, Reconnect, ShardConfig, Shutdown, Snowflake};
use gateway_sim::{Action, Control, Point, Rule};
use serde_json::Value;

use crate::observation::{ClientAct, Seen};
use crate::scenario::{ClientAction, DialFault, Expectation, Network, Step};

/// The opcode of a heartbeat.
pub const HEARTBEAT: u64 = 1;
/// The opcode of Identify.
pub const IDENTIFY: u64 = 2;
/// The opcode of Presence Update.
pub const PRESENCE_UPDATE: u64 = 3;
/// The opcode of Voice State Update.
pub const VOICE_STATE_UPDATE: u64 = 4;
/// The opcode of Resume.
pub const RESUME: u64 = 6;
/// The opcode of Request Guild Members.
pub const REQUEST_GUILD_MEMBERS: u64 = 8;
/// The opcode of Request Soundboard Sounds.
pub const REQUEST_SOUNDBOARD_SOUNDS: u64 = 31;
/// The opcode of Request Channel Info.
pub const REQUEST_CHANNEL_INFO: u64 = 43;

/// The application must receive an event that matches this pattern next.
#[macro_export]
macro_rules! sees {
    ($($pattern:tt)+) => {
        $crate::Step::App($crate::Expectation::new(
            stringify!($($pattern)+),
            |seen: &$crate::Seen| match seen {
                $crate::Seen::Event(event) => matches!(event, $($pattern)+),
                _ => false,
            },
        ))
    };
}

/// The application must see that a connection has ended for a reason that matches this pattern, with the session kept.
#[macro_export]
macro_rules! loses {
    ($($reason:tt)+) => {
        $crate::Step::App($crate::Expectation::new(
            concat!("the connection lost, the session kept: ", stringify!($($reason)+)),
            |seen: &$crate::Seen| match seen {
                $crate::Seen::Event(Event::Disconnected(end)) => {
                    end.resumable && end.retry_in.is_some() && matches!(&end.reason, $($reason)+)
                }
                _ => false,
            },
        ))
    };
}

/// The application must see that a connection has ended for a reason that matches this pattern, without a session.
#[macro_export]
macro_rules! loses_all {
    ($($reason:tt)+) => {
        $crate::Step::App($crate::Expectation::new(
            concat!("the connection lost, and no session: ", stringify!($($reason)+)),
            |seen: &$crate::Seen| match seen {
                $crate::Seen::Event(Event::Disconnected(end)) => {
                    !end.resumable && end.retry_in.is_some() && matches!(&end.reason, $($reason)+)
                }
                _ => false,
            },
        ))
    };
}

/// This condition must hold for the shard.
#[macro_export]
macro_rules! holds {
    (|$probe:ident| $condition:expr) => {
        $crate::Step::Holds($crate::Expectation::new(stringify!($condition), |$probe: &$crate::Probe| {
            $condition
        }))
    };
}

/// The application sends a command that must be refused with an error that matches this pattern.
#[macro_export]
macro_rules! send_refused {
    ($command:expr, $($pattern:tt)+) => {
        $crate::Step::Client($crate::ClientAction::SendRefused(
            $command,
            $crate::Expectation::new(stringify!($($pattern)+), |error| matches!(error, $($pattern)+)),
        ))
    };
}

/// Combines steps into one.
pub fn all(steps: impl IntoIterator<Item = Step>) -> Step {
    Step::Group(steps.into_iter().collect())
}

/// A duration in seconds.
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A duration in milliseconds.
pub const fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

// ---- Expected observations of the server ---------------------------------------------------------------------------

/// The client requests a WebSocket at any URL.
pub fn opens() -> Step {
    opens_where("requests a WebSocket", |_| true)
}

/// The client requests a WebSocket at the base URL.
pub fn opens_base_url() -> Step {
    opens_where("requests a WebSocket at the base URL", |target| target.starts_with('/'))
}

/// The client requests a WebSocket at the URL that READY named.
pub fn opens_resume_url() -> Step {
    opens_where("requests a WebSocket at the resume URL", |target| target.starts_with("ws"))
}

/// The client requests a WebSocket at a target that meets the predicate.
pub fn opens_where(text: &str, test: impl Fn(&str) -> bool + Send + Sync + 'static) -> Step {
    Step::Wire(Expectation::new(text, move |act: &ClientAct| match act {
        ClientAct::Opens { target } => test(target),
        _ => false,
    }))
}

/// The client sends a payload with this opcode, whose data has at least these fields with these values.
pub fn sends(opcode: u64, data: Value) -> Step {
    Step::Wire(Expectation::new(format!("sends op {opcode} {data}"), move |act: &ClientAct| match act {
        ClientAct::Sends { op, data: sent } => *op == opcode && contains(sent, &data),
        _ => false,
    }))
}

/// The client sends a payload with this opcode, whose data meets the predicate.
pub fn sends_where(opcode: u64, text: &str, test: impl Fn(&Value) -> bool + Send + Sync + 'static) -> Step {
    Step::Wire(Expectation::new(format!("sends op {opcode} {text}"), move |act: &ClientAct| match act {
        ClientAct::Sends { op, data } => *op == opcode && test(data),
        _ => false,
    }))
}

/// The client sends a heartbeat with this sequence number, or with null.
pub fn beats(sequence: impl Into<Option<u64>>) -> Step {
    let sequence = sequence.into();
    let data = sequence.map_or(Value::Null, Value::from);
    sends_where(HEARTBEAT, &data.to_string(), move |sent| {
        sent.as_u64() == sequence && sent.is_null() == sequence.is_none()
    })
}

/// The client sends the first close frame, with this code.
pub fn closes(code: u16) -> Step {
    Step::Wire(Expectation::new(format!("closes with {code}"), move |act: &ClientAct| {
        *act == ClientAct::Closes { code: Some(code) }
    }))
}

/// The client answers the server's close frame.
pub fn echoes() -> Step {
    Step::Wire(Expectation::new("answers the close frame", |act: &ClientAct| {
        matches!(act, ClientAct::Echoes { .. })
    }))
}

/// The client answers a ping.
pub fn pongs() -> Step {
    Step::Wire(Expectation::new("answers the ping", |act: &ClientAct| *act == ClientAct::Pong))
}

/// The client ends the stream.
pub fn ends_stream() -> Step {
    Step::Wire(Expectation::new("ends the stream", |act: &ClientAct| *act == ClientAct::EndsStream))
}

/// The client abandons a connection: it ends the stream, or first sends a close frame with a code that keeps the session.
pub fn breaks_off() -> Step {
    Step::Wire(Expectation::new("breaks off", |act: &ClientAct| {
        matches!(act, ClientAct::EndsStream | ClientAct::Closes { code: Some(1002 | 1007 | 4000) })
    }))
}

/// Whether a value contains everything in another one.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|found| contains(found, value)))
        }
        _ => whole == part,
    }
}

// ---- Expected observations of the application ----------------------------------------------------------------------

/// A dispatch of this name and sequence number is delivered.
pub fn dispatches(name: &'static str, sequence: impl Into<Option<u64>>) -> Step {
    let sequence = sequence.into();
    Step::App(Expectation::new(format!("{name} {sequence:?}"), move |seen: &Seen| match seen {
        Seen::Event(Event::Dispatch(dispatch)) => dispatch.name() == name && dispatch.sequence() == sequence,
        _ => false,
    }))
}

/// This many messages are delivered, from this sequence number on.
pub fn messages(from: u64, count: u64) -> Step {
    Step::Group((from..from + count).map(|sequence| dispatches("MESSAGE_CREATE", sequence)).collect())
}

/// A dispatch is delivered whose data, as JSON, has at least these fields with these values. Ids may be numbers.
pub fn delivers(name: &'static str, data: Value) -> Step {
    Step::App(Expectation::new(format!("{name} {data}"), move |seen: &Seen| match seen {
        Seen::Event(Event::Dispatch(dispatch)) => {
            dispatch.name() == name
                && dispatch
                    .data()
                    .value()
                    .is_ok_and(|delivered| contains(&with_ids_as_text(delivered), &data))
        }
        _ => false,
    }))
}

/// A connection or an attempt has ended in a way that meets the predicate.
pub fn ends_where(text: &str, test: impl Fn(&Disconnected) -> bool + Send + Sync + 'static) -> Step {
    Step::App(Expectation::new(text, move |seen: &Seen| match seen {
        Seen::Event(Event::Disconnected(end)) => test(end),
        _ => false,
    }))
}

/// The same value with numeric ids as text, since the two encodings differ in that.
fn with_ids_as_text(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_u64() {
            Some(id) if id >= 1 << 53 => Value::String(id.to_string()),
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(with_ids_as_text).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (key, with_ids_as_text(value))).collect()
        }
        other => other,
    }
}

/// The shard has stopped, and the events have ended.
pub fn stops(reason: gateway_driver::proto::StopReason) -> Step {
    Step::App(Expectation::new(format!("the end: {reason:?}"), move |seen: &Seen| match seen {
        Seen::Stopped(seen) => *seen == reason,
        Seen::Event(_) => false,
    }))
}

// ---- Actions -------------------------------------------------------------------------------------------------------

/// The server performs a command.
pub fn gateway(control: Control) -> Step {
    Step::Gateway(control)
}

/// The next time that a client reaches this point, the server performs this action instead of the usual one.
pub fn once(on: Point, action: Action) -> Step {
    Step::Gateway(Control::Rule(Rule::once(on, action)))
}

/// The next times that a client reaches this point, the server performs this action instead of the usual one.
pub fn times(count: u32, on: Point, action: Action) -> Step {
    Step::Gateway(Control::Rule(Rule { count: Some(count), ..Rule::once(on, action) }))
}

/// The server dispatches this many messages.
pub fn emits(count: u32) -> Step {
    Step::Gateway(Control::Emit { count, padding: 0 })
}

/// The server dispatches an event of this name.
pub fn emits_event(name: &str, data: Value) -> Step {
    Step::Gateway(Control::Event { name: name.to_owned(), data })
}

/// The server sends this payload, in the encoding and compression of the connection.
pub fn payload(payload: Value) -> Step {
    Step::Gateway(Control::Payload(payload))
}

/// The application sends a command.
pub fn send(command: Command) -> Step {
    Step::Client(ClientAction::Send(command))
}

/// The application acknowledges all events up to this sequence number.
pub fn acknowledges(sequence: u64) -> Step {
    Step::Client(ClientAction::Acknowledge(sequence))
}

/// The wall clock is this many seconds ahead, or behind.
pub fn wall_clock(ahead: i64) -> Step {
    Step::Client(ClientAction::SetWallClock(ahead))
}

/// The application shuts the shard down.
pub fn shutdown(how: Shutdown) -> Step {
    Step::Client(ClientAction::Shutdown(how))
}

/// The application requests another connection.
pub fn reconnect(how: Reconnect) -> Step {
    Step::Client(ClientAction::Reconnect(how))
}

/// Another shard starts with the session of the last one, and with these changes.
pub fn restart(change: fn(&mut ShardConfig)) -> Step {
    Step::Client(ClientAction::Restart(change))
}

/// This many of the next connections fail with this fault.
pub fn dials_fail(count: u32, fault: DialFault) -> Step {
    Step::Network(Network::Dials(fault, count))
}

/// This much time passes.
pub fn elapse(time: Duration) -> Step {
    Step::Elapse(time)
}

// ---- Steps of many scenarios ---------------------------------------------------------------------------------------

/// A new session, up to READY, which has sequence number 1.
pub fn session() -> Step {
    Step::Group(vec![opens_base_url(), sends(IDENTIFY, Value::Object(serde_json::Map::new())), readies()])
}

/// The application sees the beginning of a new session.
pub fn readies() -> Step {
    Step::Group(vec![dispatches("READY", 1), sees!(Event::Ready)])
}

/// The session is resumed at the resume URL, from this sequence number; this many messages are replayed.
pub fn resumes(sequence: u64, replayed: u64) -> Step {
    Step::Group(vec![opens_resume_url(), resumes_here(sequence, replayed)])
}

/// The connection is lost, and the server does not answer the Resume from this sequence number.
pub fn resume_unanswered(sequence: u64) -> Step {
    Step::Group(vec![
        once(Point::Resume, Action::Ignore),
        gateway(Control::Abort),
        loses!(DisconnectReason::Closed(_)),
        opens_resume_url(),
        sends(RESUME, serde_json::json!({"seq": sequence})),
    ])
}

/// The session is resumed on a connection that is already open.
pub fn resumes_here(sequence: u64, replayed: u64) -> Step {
    let resumed = Step::App(Expectation::new(
        format!("Resumed with {replayed} replayed"),
        move |seen: &Seen| match seen {
            Seen::Event(Event::Resumed { replayed: seen }) => *seen == replayed,
            _ => false,
        },
    ));
    Step::Group(vec![
        sends(RESUME, serde_json::json!({"seq": sequence})),
        messages(sequence + 1, replayed),
        dispatches("RESUMED", sequence + replayed + 1),
        resumed,
    ])
}

/// The application logs off, and the shard stops.
pub fn logs_off() -> Step {
    Step::Group(vec![
        shutdown(Shutdown::LogOff),
        closes(1000),
        sees!(Event::Disconnected(Disconnected {
            reason: gateway_driver::proto::disconnect::DisconnectReason::Shutdown(Shutdown::LogOff),
            resumable: false,
            retry_in: None,
            ..
        })),
        stops(gateway_driver::proto::StopReason::Shutdown(Shutdown::LogOff)),
    ])
}

/// A small command that has no answer.
pub fn presence() -> Command {
    Command::UpdatePresence(Presence::default())
}

/// A command that changes the status.
pub fn idle() -> Command {
    Command::UpdatePresence(Presence::new(Status::Idle, []))
}

/// A command that leaves the voice channels of a guild.
pub fn leave_voice() -> Command {
    Command::UpdateVoiceState(VoiceStateUpdate::new(Snowflake::from(1), None))
}
