//! Rules for everything that a shard tells its application. Worlds and scenarios check them.

use std::fmt;

use gateway_proto::{Dispatch, Event, StopReason};
use serde_json::Value;

/// A shorter secret may occur in any text.
const SHORTEST_SECRET: usize = 12;

/// Checks the events of one shard: exactly one `Disconnected` for each `Connecting`, in turn; increasing sequence numbers
/// within a session; no secret in printed text.
#[derive(Debug)]
pub struct Told {
    attempts: Attempts,
    sequence: Sequence,
    secrets: Secrets,
}

impl Told {
    /// Starts with a shard with this token, before its first event.
    pub fn new(token: &str) -> Self {
        Self { attempts: Attempts::default(), sequence: Sequence::default(), secrets: Secrets::new(token) }
    }

    /// Starts another process. Its events may repeat those of an earlier one; the secrets are kept.
    pub fn restarted(&mut self) {
        (self.attempts, self.sequence) = (Attempts::default(), Sequence::default());
    }

    /// Checks an event of the application.
    ///
    /// # Errors
    ///
    /// A sentence about the violation.
    pub fn event(&mut self, event: &Event) -> Result<(), String> {
        self.attempts.event(event)?;
        if let Event::Dispatch(dispatch) = event
            && let Some(sequence) = dispatch.sequence()
        {
            self.sequence.advance(dispatch.name(), sequence)?;
        }
        self.secrets.event(event)
    }

    /// Checks the end of the shard.
    ///
    /// # Errors
    ///
    /// A sentence about the violation.
    pub fn stopped(&mut self, reason: &StopReason) -> Result<(), String> {
        self.secrets.show_in(&format_args!("{reason} {reason:?}"))?;
        if self.attempts.under_way {
            Err("the last Connecting had no Disconnected".to_owned())
        } else {
            Ok(())
        }
    }
}

/// Exactly one `Disconnected` for each `Connecting`, in turn.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Attempts {
    /// A `Connecting` without its `Disconnected` yet.
    under_way: bool,
}

impl Attempts {
    pub(crate) fn event(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Connecting { .. } if std::mem::replace(&mut self.under_way, true) => {
                Err("a connection begins before the end of the last was told".to_owned())
            }
            Event::Disconnected(_) if !std::mem::replace(&mut self.under_way, false) => {
                Err("the end of a connection was told twice".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Within a session, sequence numbers increase.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sequence {
    /// The number of the newest dispatch that the application has received; 0 for none.
    pub(crate) newest: u64,
}

impl Sequence {
    pub(crate) fn advance(&mut self, name: &str, sequence: u64) -> Result<(), String> {
        if name != "READY" && sequence <= self.newest {
            return Err(format!("{name} {sequence} came after {}", self.newest));
        }
        self.newest = sequence;
        Ok(())
    }
}

/// The token, and the id and the host of the resume URL of each session. None of them may occur in printed text.
#[derive(Debug)]
pub(crate) struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    pub(crate) fn new(token: &str) -> Self {
        Self(vec![("the token", token.to_owned())])
    }

    pub(crate) fn event(&mut self, event: &Event) -> Result<(), String> {
        if let Event::Dispatch(dispatch) = event
            && dispatch.name() == "READY"
        {
            self.learn(dispatch);
        }
        self.show_in(&format_args!("{event:?}"))
    }

    fn learn(&mut self, ready: &Dispatch) {
        let data = ready.data().value().unwrap_or_default();
        let text = |key: &str| data.get(key).and_then(Value::as_str);
        let host = text("resume_gateway_url").map(|url| url.split_once("://").map_or(url, |(_, host)| host));
        let secrets = [("the session id", text("session_id")), ("the URL for Resume", host)];
        for (what, secret) in secrets {
            let secret = secret.filter(|secret| secret.len() >= SHORTEST_SECRET);
            if let Some(secret) = secret.filter(|secret| self.0.iter().all(|(_, known)| known != secret)) {
                self.0.push((what, secret.to_owned()));
            }
        }
    }

    pub(crate) fn show_in(&self, printed: &fmt::Arguments<'_>) -> Result<(), String> {
        let text = printed.to_string();
        match self.0.iter().find(|(_, secret)| text.contains(secret.as_str())) {
            Some((what, _)) => Err(format!("{what} shows in what is printed of an event")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use gateway_proto::{Closed, Compression, Input, Intents, Message, Output, Shard, ShardConfig};

    use super::*;

    const TOKEN: &str = "the-token-of-the-test";

    /// The events of a shard that was READY, received two messages, and lost its connection.
    fn life() -> Vec<Event> {
        let now = Instant::now();
        let mut config = ShardConfig::new(TOKEN, Intents::GUILDS);
        config.compression = Compression::None;
        config.url = "wss://gateway.test".to_owned();
        config.seed = Some(1);
        let mut shard = Shard::new(config, now).unwrap();
        let text = |text: &str| Input::Message(Message::Text(text.to_owned().into()));
        let ready = r#"{"t":"READY","s":1,"op":0,"d":{"session_id":"0123456789abcdef","resume_gateway_url":"wss://resume.gateway.test"}}"#;
        let inputs = [
            Input::Timeout,
            Input::Opened,
            text(r#"{"t":null,"s":null,"op":10,"d":{"heartbeat_interval":41250}}"#),
            Input::IdentifyGranted,
            text(ready),
            text(r#"{"t":"MESSAGE_CREATE","s":2,"op":0,"d":{}}"#),
            text(r#"{"t":"MESSAGE_CREATE","s":3,"op":0,"d":{}}"#),
            Input::Closed(Closed::Eof),
        ];
        let mut events = Vec::new();
        for input in inputs {
            loop {
                match shard.poll_output() {
                    Output::Timeout(_) => break,
                    Output::Event(event) => events.push(event),
                    _ => {}
                }
            }
            shard.handle_input(input, now);
        }
        while !matches!(events.last(), Some(Event::Disconnected(_))) {
            if let Output::Event(event) = shard.poll_output() {
                events.push(event);
            }
        }
        events
    }

    fn judged(events: &[Event]) -> Result<(), String> {
        let mut told = Told::new(TOKEN);
        events.iter().try_for_each(|event| told.event(event))?;
        told.stopped(&StopReason::Shutdown(gateway_proto::Shutdown::LogOff))
    }

    fn place(events: &[Event], what: impl Fn(&Event) -> bool) -> usize {
        events.iter().position(what).expect("it happens in the life of a shard")
    }

    fn is_message(event: &Event) -> bool {
        matches!(event, Event::Dispatch(dispatch) if dispatch.name() == "MESSAGE_CREATE")
    }

    #[test]
    fn a_good_life_is_good() {
        assert_eq!(judged(&life()), Ok(()));
    }

    #[test]
    fn a_beginning_without_an_end_is_found() {
        let mut events = life();
        let end = events.pop().unwrap();
        assert_eq!(judged(&events), Err("the last Connecting had no Disconnected".to_owned()));
        events.extend([end.clone(), end]);
        assert_eq!(judged(&events), Err("the end of a connection was told twice".to_owned()));
        let mut events = life();
        let begin = place(&events, |event| matches!(event, Event::Connecting { .. }));
        events.insert(begin, events[begin].clone());
        assert_eq!(
            judged(&events),
            Err("a connection begins before the end of the last was told".to_owned())
        );
    }

    #[test]
    fn what_comes_twice_or_out_of_order_is_found() {
        let mut events = life();
        let message = place(&events, is_message);
        events.insert(message, events[message].clone());
        assert_eq!(judged(&events), Err("MESSAGE_CREATE 2 came after 2".to_owned()));
        let mut events = life();
        events.swap(message, message + 1);
        assert_eq!(judged(&events), Err("MESSAGE_CREATE 2 came after 3".to_owned()));
        // The numbers start again with a new session, and with another process.
        let mut events = life();
        events.append(&mut life());
        assert_eq!(judged(&events), Ok(()));
        let mut told = Told::new(TOKEN);
        for event in life().iter().filter(|event| is_message(event)) {
            told.event(event).unwrap();
        }
        told.restarted();
        assert_eq!(told.event(&life()[message]), Ok(()));
    }

    #[test]
    fn a_secret_that_shows_is_found() {
        let mut secrets = Secrets::new(TOKEN);
        life().iter().for_each(|event| secrets.event(event).unwrap());
        for (text, what) in [
            (format!("Connect({TOKEN})"), "the token"),
            ("Session { id: 0123456789abcdef }".to_owned(), "the session id"),
            ("cannot reach resume.gateway.test".to_owned(), "the URL for Resume"),
        ] {
            let found = secrets.show_in(&format_args!("{text}")).unwrap_err();
            assert_eq!(found, format!("{what} shows in what is printed of an event"));
        }
        assert_eq!(secrets.show_in(&format_args!("cannot reach gateway.test")), Ok(()));
    }
}
