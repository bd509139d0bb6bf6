//! A client in memory on a virtual clock, for scenarios of the sans-I/O core.
#![allow(dead_code, reason = "each scenario file uses a part of it")]

#[cfg(feature = "front")]
pub(crate) mod live;

use std::time::{Duration, Instant};

use gateway_sim::{ClientMessage, Config, ConnectionId, Control, Gateway, Output, Target};
use serde_json::{Value, json};

/// All intents that a bot can have.
pub(crate) const ALL_INTENTS: u64 = 53_608_447;
/// The usual target of an upgrade request.
pub(crate) const URL: &str = "/?v=10&encoding=json";

/// A gateway, the time, and the outputs.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) now: Instant,
}

/// What a client receives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    Accept,
    Payload(Value),
    Binary(Vec<u8>),
    Close(Option<u16>),
    End(&'static str),
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        let now = now();
        Self { gateway: Gateway::new(config, now), now }
    }

    pub(crate) fn plain() -> Self {
        Self::new(Config::default())
    }

    /// Opens a connection and reads Hello.
    pub(crate) fn connect(&mut self) -> ConnectionId {
        let id = self.open(URL);
        let seen = self.seen(id);
        assert_eq!(seen[0], Seen::Accept);
        assert_eq!(op(&seen[1]), Some(10), "{seen:?}");
        id
    }

    pub(crate) fn open(&mut self, target: &str) -> ConnectionId {
        self.gateway.open(target, self.now)
    }

    /// Opens a connection, identifies, and reads READY and the guilds. Returns the connection and the session id.
    pub(crate) fn start(&mut self) -> (ConnectionId, String) {
        let id = self.connect();
        self.send(id, &identify());
        let seen = self.seen(id);
        assert_eq!(name(&seen[0]), Some("READY"), "{seen:?}");
        (id, session_id(&seen[0]))
    }

    pub(crate) fn send(&mut self, id: ConnectionId, payload: &Value) {
        self.gateway.receive(id, ClientMessage::Text(&payload.to_string()), self.now);
    }

    pub(crate) fn client(&mut self, id: ConnectionId, message: ClientMessage<'_>) {
        self.gateway.receive(id, message, self.now);
    }

    pub(crate) fn control(&mut self, control: Control) -> Value {
        self.gateway.control(Target::All, control, self.now).unwrap()
    }

    /// Lets time pass, stopping at every deadline.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.gateway.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.gateway.handle_timeout(self.now);
        }
        self.now = end;
        self.gateway.handle_timeout(end);
    }

    /// The outputs for a connection since the last call. Those for other connections are dropped.
    pub(crate) fn seen(&mut self, id: ConnectionId) -> Vec<Seen> {
        let mut seen = Vec::new();
        while let Some((connection, output)) = self.gateway.poll_output() {
            if connection == id {
                seen.extend(see(output));
            }
        }
        seen
    }
}

fn see(output: Output) -> Option<Seen> {
    Some(match output {
        Output::Accept => Seen::Accept,
        Output::Send(message) if message.binary => Seen::Binary(message.payload),
        Output::Send(message) => match serde_json::from_slice(&message.payload) {
            Ok(value) => Seen::Payload(value),
            Err(_) => Seen::Binary(message.payload),
        },
        Output::Close(code, _) => Seen::Close(code),
        Output::Drop => Seen::End("drop"),
        Output::Abort => Seen::End("abort"),
        Output::Cut(_) => Seen::End("cut"),
        Output::Refuse(_) => Seen::End("refuse"),
        Output::Silence => Seen::End("silence"),
        _ => return None,
    })
}

pub(crate) fn op(seen: &Seen) -> Option<u64> {
    match seen {
        Seen::Payload(value) => value["op"].as_u64(),
        _ => None,
    }
}

pub(crate) fn name(seen: &Seen) -> Option<&str> {
    match seen {
        Seen::Payload(value) => value["t"].as_str(),
        _ => None,
    }
}

pub(crate) fn data(seen: &Seen) -> &Value {
    match seen {
        Seen::Payload(value) => &value["d"],
        other => panic!("not a payload: {other:?}"),
    }
}

pub(crate) fn session_id(ready: &Seen) -> String {
    data(ready)["session_id"].as_str().expect("a session id").to_owned()
}

/// Names and sequences of the dispatches.
pub(crate) fn dispatches(seen: &[Seen]) -> Vec<(String, u64)> {
    seen.iter()
        .filter_map(|seen| match seen {
            Seen::Payload(value) if value["op"] == 0 => {
                Some((value["t"].as_str()?.to_owned(), value["s"].as_u64()?))
            }
            _ => None,
        })
        .collect()
}

pub(crate) fn identify() -> Value {
    identify_with(json!({}))
}

/// Identify with some fields changed; null removes a field.
pub(crate) fn identify_with(changes: Value) -> Value {
    let mut data = json!({
        "token": "simulated-token", "intents": ALL_INTENTS,
        "properties": {"os": "linux", "browser": "test", "device": "test"},
    });
    for (key, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            data.as_object_mut().expect("an object").remove(key);
        } else {
            data[key] = value.clone();
        }
    }
    json!({"op": 2, "d": data})
}

pub(crate) fn resume(session_id: &str, seq: u64) -> Value {
    json!({"op": 6, "d": {"token": "simulated-token", "session_id": session_id, "seq": seq}})
}

pub(crate) fn heartbeat(seq: Option<u64>) -> Value {
    json!({"op": 1, "d": seq})
}

/// Any instant as the start.
#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
