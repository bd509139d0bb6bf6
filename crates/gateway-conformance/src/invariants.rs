//! What holds in every scenario, whatever else is in it.

use std::collections::BTreeSet;

use gateway_driver::proto::{Dispatch, Event};
use serde_json::Value;

use crate::observation::Seen;
use crate::scenario::TOKEN;

/// A secret that is shorter may be in anything.
const SHORTEST_SECRET: usize = 12;

/// Looks at everything that an application has seen of one shard.
pub(crate) fn check(seen: &[Seen]) -> Result<(), String> {
    let events: Vec<&Event> = seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::Event(event) => Some(event),
            Seen::Stopped(_) => None,
        })
        .collect();
    one_end_for_each_beginning(&events)?;
    nothing_twice(&events)?;
    no_secret(&secrets(&events), seen.iter().map(|seen| format!("{seen} {seen:?}")))
}

/// Exactly one `Disconnected` for each `Connecting`, in turns.
fn one_end_for_each_beginning(events: &[&Event]) -> Result<(), String> {
    let mut connected = false;
    for event in events {
        let begins = match event {
            Event::Connecting { .. } => true,
            Event::Disconnected(_) => false,
            _ => continue,
        };
        if begins == connected {
            return Err(format!("{event:?} came twice in a row"));
        }
        connected = begins;
    }
    match connected {
        true => Err("the last Connecting had no Disconnected".to_owned()),
        false => Ok(()),
    }
}

/// Within a session, sequence numbers only grow.
fn nothing_twice(events: &[&Event]) -> Result<(), String> {
    let mut delivered = BTreeSet::new();
    let mut newest = 0;
    for event in events {
        let Event::Dispatch(dispatch) = event else { continue };
        if dispatch.name() == "READY" {
            (newest, delivered) = (0, BTreeSet::new());
        }
        let Some(sequence) = dispatch.sequence() else { continue };
        if sequence < newest || !delivered.insert(sequence) {
            return Err(format!("{event:?} came out of order, or twice, after sequence {newest}"));
        }
        newest = newest.max(sequence);
    }
    Ok(())
}

/// What must not show, and what it is: the token, and of each session its id and the host of its URL for Resume.
fn secrets(events: &[&Event]) -> Vec<(&'static str, String)> {
    let mut secrets = vec![("the token", TOKEN.to_owned())];
    for event in events {
        let Event::Dispatch(dispatch) = event else { continue };
        if dispatch.name() == "READY" {
            secrets.extend(secrets_of(dispatch));
        }
    }
    secrets.retain(|(_, secret)| secret.len() >= SHORTEST_SECRET);
    secrets
}

fn secrets_of(ready: &Dispatch) -> impl Iterator<Item = (&'static str, String)> {
    let data = ready.data().value().unwrap_or_default();
    let text = |key: &str| data.get(key).and_then(Value::as_str).map(str::to_owned);
    let host = text("resume_gateway_url").map(|url| match url.split_once("://") {
        Some((_, host)) => host.to_owned(),
        None => url,
    });
    let id = text("session_id").map(|id| ("the session id", id));
    id.into_iter().chain(host.map(|host| ("the URL for Resume", host)))
}

/// The secrets show nowhere.
fn no_secret(
    secrets: &[(&'static str, String)],
    mut printed: impl Iterator<Item = String>,
) -> Result<(), String> {
    let shown = |text: String| secrets.iter().find(|(_, secret)| text.contains(secret.as_str()));
    match printed.find_map(shown) {
        Some((what, _)) => Err(format!("{what} shows in what is printed of an event")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use gateway_driver::proto::{Closed, Input, Intents, Message, Output, Shard, ShardConfig};

    use super::*;

    /// The events of a shard that was READY, had two messages, and lost its connection.
    fn life() -> Vec<Event> {
        let now = Instant::now();
        let mut config = ShardConfig::new(TOKEN, Intents::GUILDS);
        config.compression = gateway_driver::proto::Compression::None;
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
        check(&events.iter().cloned().map(Seen::Event).collect::<Vec<_>>())
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
        assert!(judged(&events).unwrap_err().ends_with("came twice in a row"));
        let mut events = life();
        let begin = place(&events, |event| matches!(event, Event::Connecting { .. }));
        events.insert(begin, events[begin].clone());
        assert!(judged(&events).unwrap_err().ends_with("came twice in a row"));
    }

    #[test]
    fn what_comes_twice_or_out_of_order_is_found() {
        let mut events = life();
        let message = place(&events, is_message);
        events.insert(message, events[message].clone());
        assert!(judged(&events).unwrap_err().contains("came out of order, or twice, after sequence 2"));
        let mut events = life();
        events.swap(message, message + 1);
        assert!(judged(&events).unwrap_err().contains("came out of order, or twice, after sequence 3"));
        // A new session counts from the start.
        let mut events = life();
        let mut again = life();
        events.append(&mut again);
        assert_eq!(judged(&events), Ok(()));
    }

    #[test]
    fn a_secret_that_shows_is_found() {
        let events = life();
        let secrets = secrets(&events.iter().collect::<Vec<_>>());
        for (text, what) in [
            (format!("Connect({TOKEN})"), "the token"),
            ("Session { id: 0123456789abcdef }".to_owned(), "the session id"),
            ("cannot reach resume.gateway.test".to_owned(), "the URL for Resume"),
        ] {
            let found = no_secret(&secrets, std::iter::once(text)).unwrap_err();
            assert_eq!(found, format!("{what} shows in what is printed of an event"));
        }
        assert_eq!(no_secret(&secrets, std::iter::once("cannot reach gateway.test".to_owned())), Ok(()));
    }
}
