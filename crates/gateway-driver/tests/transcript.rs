//! The driver's transcript can be replayed.

#[path = "../../gateway-proto/tests/support/played.rs"]
mod played;
mod support;

use std::time::Duration;

use gateway_driver::proto::{Event, Shutdown};
use gateway_driver::{BuildError, DriverConfig, Runtime, Shard, TranscriptWriter};
use played::Pages;
use serde_json::json;
use support::clock::VirtualRuntime;
use support::{Client, RESUME_HOST, SESSION_ID, TOKEN, config, dispatch, event};

#[test]
fn a_transcript_can_be_replayed() {
    let (pages, runtime) = (Pages::default(), VirtualRuntime::default());
    let start = runtime.now();
    let mut driver = DriverConfig::default();
    driver.transcript = Some(TranscriptWriter::new(pages.clone()));
    let mut client = Client::with(runtime, config(), driver.clone());
    let mut server = client.connect_and_identify();
    server.send(event(2));
    server.send(dispatch(
        "MESSAGE_CREATE",
        3,
        json!({"content": "what people say", "author": {"id": "4711"}}),
    ));
    client.settle();
    server.end.reset();
    let (silent, _) = client.connect_and_resume();
    let (mut server, _) = client.connect_and_resume();
    drop(silent);
    server.send(json!({"op": 9, "d": false, "s": null, "t": null}));
    client.settle();
    server.expect_close();
    client.connect_and_identify();
    client.runtime.sleep(Duration::from_secs(3600));
    client.pass(Duration::from_secs(10));
    client.connect_and_resume();
    client.shard.shutdown(Shutdown::Resumable);
    client.pass(Duration::from_secs(6));
    assert!(client.ended);

    let steps = pages.check(start, &[TOKEN, SESSION_ID, RESUME_HOST, "gateway.example", "people", "4711"]);
    let text: String = steps.iter().map(|step| format!("{step}\n")).collect();
    for event in &client.events {
        if let Event::Disconnected(end) = event {
            assert!(text.contains(&format!("disconnected, {:?}", end.reason.kind())), "{:?}", end.reason);
        }
    }
    assert!(steps.last().unwrap().to_string().contains("stopped: "));

    // A transcript belongs to one shard.
    let Err(BuildError::Config(error)) = Shard::with(VirtualRuntime::default(), config(), driver) else {
        panic!("a second shard writes into the same transcript")
    };
    assert_eq!(error.field(), "transcript");
}
