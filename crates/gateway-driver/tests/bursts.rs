//! Many frames in one read have the same effect as single ones.

mod support;

use gateway_driver::proto::Command;
use gateway_driver::proto::codec::{Encoding, Raw};
use serde_json::json;
use support::{Client, acknowledgement, config, event};
use tungstenite::Message;

/// The client's answers, and the sequence numbers of its events.
fn played(trickle: Option<usize>) -> (Vec<String>, Vec<u64>) {
    let mut client = Client::new(config());
    let mut server = client.connect_and_identify();
    if let Some(bytes) = trickle {
        server.end.set_trickle(bytes);
    }
    server.send(event(2));
    server.send(event(3));
    server.send_message(Message::Ping("one".into()));
    server.send(event(4));
    server.send(json!({"t": null, "s": null, "op": 1, "d": null}));
    server.send(acknowledgement());
    server.send_message(Message::Ping("two".into()));
    server.send(event(5));
    server.close(4000, "over");
    client.settle();
    let mut answers = Vec::new();
    while let Some(answer) = server.receive() {
        answers.push(match answer {
            Message::Text(text) => text.to_string(),
            // It is sent as far as possible without blocking.
            Message::Close(_) => continue,
            other => format!("{other:?}"),
        });
    }
    assert_eq!(client.disconnects().len(), 1);
    (answers, client.sequences())
}

#[test]
fn a_burst_is_handled_like_its_frames() {
    let (answers, sequences) = played(None);
    assert_eq!(sequences, [1, 2, 3, 4, 5]);
    let heartbeat = json!({"op": 1, "d": 4});
    let found = answers.iter().map(|answer| serde_json::from_str(answer).unwrap_or_else(|_| json!(answer)));
    let found: Vec<_> = found.collect();
    assert_eq!(found.iter().filter(|answer| **answer == heartbeat).count(), 1, "{answers:?}");
    for pong in ["one", "two"] {
        let is_pong = |answer: &&String| answer.starts_with("Pong") && answer.contains(pong);
        assert_eq!(answers.iter().filter(is_pong).count(), 1, "{answers:?}");
    }
    for bytes in [1, 7, 64] {
        assert_eq!(played(Some(bytes)), (answers.clone(), sequences.clone()), "{bytes} bytes at a time");
    }
}

/// A command sent by a handler does not wait for the end of the burst.
#[test]
fn a_command_is_sent_within_a_burst() {
    let mut client = Client::new(config());
    let mut server = client.connect_and_identify();
    for sequence in 2..10 {
        server.send(event(sequence));
    }
    while client.sequences().len() < 3 {
        client.step();
    }
    let data = Raw::new(r#"{"guild_id":"1"}"#, Encoding::Json);
    client.shard.send(Command::Raw { op: 4, data }).unwrap();
    client.step();
    client.step();
    assert_eq!(server.expect_op(4)["d"]["guild_id"], "1");
    assert!(client.sequences().len() < 9, "the burst goes on");
    client.settle();
    assert_eq!(client.sequences(), (1..10).collect::<Vec<_>>());
}
