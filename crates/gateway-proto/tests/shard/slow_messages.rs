//! Messages that take long to arrive: their bytes prove that the connection is alive, for a limited time.

use std::time::Duration;

use gateway_proto::Input;
use gateway_proto::disconnect::DisconnectReason;
use gateway_proto::health::Phase;

use crate::support::{INTERVAL, Scenario, ms, secs, server};

/// Receives a part of a message every second, for this long.
fn download(scenario: &mut Scenario, time: Duration) {
    let end = scenario.elapsed() + time;
    while scenario.elapsed() < end {
        scenario.advance(secs(1));
        scenario.input(Input::Progress { message: true });
    }
}

/// Five megabytes at 40 kB/s, with a heartbeat every 40 s: no acknowledgement can arrive before the message is complete
/// (twilight-rs/twilight#1997).
#[test]
fn a_message_that_keeps_arriving_is_not_silence() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.advance_until("send");
    download(&mut scenario, secs(125));
    scenario.server(&server::message(2));
    scenario.server(&server::acknowledgement());
    scenario.live(secs(600));
    assert_eq!((scenario.shard.phase(), scenario.shard.stats().disconnects), (Phase::Ready, 0));
    assert_eq!(scenario.shard.stats().heartbeats, 1 + 3 + 15, "heartbeats go out meanwhile");
}

/// The same for a message that spans several WebSocket messages, as zlib-stream allows.
#[cfg(feature = "zlib")]
#[test]
fn parts_of_a_payload_are_not_silence() {
    use gateway_codec::{Compression, Deflater};

    let mut scenario =
        Scenario::with(Phase::Connecting, |config| config.compression = Compression::ZlibStream);
    let mut deflater = Deflater::new(Compression::ZlibStream).unwrap();
    let mut deflated = |text: &str| deflater.push(text.as_bytes());
    scenario.input(Input::Opened);
    scenario.server_binary(deflated(&server::hello()));
    scenario.input(Input::IdentifyGranted);
    scenario.server_binary(deflated(&server::ready()));
    scenario.advance_until(r#"send {"op":1"#);
    let message = deflated(&server::message(2));
    let (last, parts) = message.split_last().unwrap();
    let began = scenario.elapsed();
    for part in parts {
        scenario.advance(INTERVAL * 4 / parts.len() as u32);
        scenario.server_binary([*part]);
    }
    assert!(scenario.elapsed() - began > INTERVAL * 3);
    scenario.server_binary([*last]);
    assert_eq!((scenario.shard.phase(), scenario.shard.stats().dispatches), (Phase::Ready, 2));
}

/// Once the bytes stop, silence counts as usual.
#[test]
fn a_message_that_stops_arriving_is_a_zombie() {
    let mut scenario = Scenario::at(Phase::Ready);
    let first = scenario.advance_until("send");
    download(&mut scenario, INTERVAL * 3 - secs(5));
    assert_eq!(scenario.advance_until("disconnect"), first + INTERVAL * 4);
    assert_eq!(scenario.disconnected().reason, DisconnectReason::Zombie);
}

/// A server that never completes a message does not keep a connection open forever.
#[test]
fn an_endless_message_times_out() {
    let mut scenario = Scenario::at(Phase::Ready);
    let first = scenario.advance_until("send");
    while scenario.shard.phase() == Phase::Ready {
        download(&mut scenario, secs(1));
    }
    assert_eq!(scenario.advance_until("disconnect"), first + secs(600), "`Timeouts::message`");
    assert_eq!(scenario.disconnected().reason, DisconnectReason::Zombie);
}

/// After the message, an acknowledgement is overdue after two intervals again.
#[test]
fn a_complete_message_excuses_no_later_silence() {
    let mut scenario = Scenario::at(Phase::Ready);
    let first = scenario.advance_until("send");
    download(&mut scenario, secs(100));
    scenario.server(&server::message(2));
    scenario.advance(secs(10));
    scenario.server(&server::message(3));
    assert_eq!(scenario.advance_until("disconnect"), first + INTERVAL * 3);
}

/// A ping proves that the connection is alive for one interval, as any message does.
#[test]
fn pings_prove_life_for_one_interval() {
    let mut scenario = Scenario::at(Phase::Ready);
    let first = scenario.advance_until("send");
    while scenario.shard.phase() == Phase::Ready {
        scenario.advance(secs(1));
        scenario.input(Input::Progress { message: false });
    }
    assert_eq!(scenario.advance_until("disconnect"), first + INTERVAL * 2);
}

/// The wait for READY or for replayed events continues while their bytes arrive.
#[test]
fn a_wait_continues_while_bytes_arrive() {
    for (phase, message) in [(Phase::AwaitingReady, server::ready()), (Phase::Resuming, server::message(2))] {
        let mut scenario = Scenario::at(phase);
        let before = scenario.shard.stats().disconnects;
        download(&mut scenario, secs(430));
        assert_eq!(scenario.shard.phase(), phase, "17 MB at 40 kB/s");
        scenario.server(&message);
        scenario.server(&server::acknowledgement());
        if phase == Phase::Resuming {
            download(&mut scenario, secs(430));
            scenario.server(&server::resumed(3));
        }
        assert_eq!((scenario.shard.phase(), scenario.shard.stats().disconnects), (Phase::Ready, before));
    }
}

/// It ends when the bytes stop, or after a limited time.
#[test]
fn a_wait_ends_when_bytes_stop_or_never_end() {
    let mut scenario = Scenario::at(Phase::Resuming);
    let resumed = scenario.elapsed();
    download(&mut scenario, secs(80));
    scenario.server(&server::acknowledgement());
    download(&mut scenario, secs(10));
    let beat = scenario.advance_until(r#"send {"op":1"#);
    assert!(beat < resumed + secs(150));
    assert_eq!(scenario.advance_until("close 4000 timed out"), resumed + secs(150));
    scenario.eof();
    assert_eq!(scenario.disconnected().reason, DisconnectReason::ResumedTimeout);

    let mut scenario = Scenario::at(Phase::Resuming);
    let resumed = scenario.elapsed();
    while scenario.shard.phase() == Phase::Resuming {
        download(&mut scenario, secs(1));
        scenario.server(&server::acknowledgement());
        scenario.input(Input::Progress { message: true });
    }
    assert_eq!(scenario.advance_until("close 4000 timed out"), resumed + secs(600));
}

/// Hello is a small message: its bytes do not extend the wait.
#[test]
fn bytes_do_not_extend_the_wait_for_hello() {
    let mut scenario = Scenario::at(Phase::AwaitingHello);
    while scenario.shard.phase() == Phase::AwaitingHello {
        download(&mut scenario, secs(1));
    }
    assert_eq!(scenario.advance_until("close 4000 timed out"), secs(20));
}

/// Bytes of an incomplete message have no other effect: the splitting of a stream must not change a shard's outputs.
#[test]
fn progress_has_no_other_effect() {
    let mut scenario = Scenario::at(Phase::Ready);
    let left = scenario.time_left();
    scenario.lag(left + ms(500));
    scenario.shard.handle_input(Input::Progress { message: true }, scenario.now());
    assert_eq!(scenario.shard.health().last_received, Some(scenario.now()));
    assert_eq!(scenario.log(), [""; 0], "the heartbeat waits for an input that moves the clock");
    scenario.input(Input::Timeout);
    assert_eq!(scenario.log().len(), 1);
}

/// The time limit for a message is configurable.
#[test]
fn the_time_for_a_message_is_configurable() {
    let mut scenario = Scenario::with(Phase::Resuming, |config| config.timeouts.message = secs(90));
    while scenario.shard.phase() == Phase::Resuming {
        download(&mut scenario, secs(1));
    }
    assert_eq!(scenario.advance_until("close 4000 timed out"), secs(90));
}
