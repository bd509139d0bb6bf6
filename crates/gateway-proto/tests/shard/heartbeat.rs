//! When heartbeats are sent, and their content
//! ([Discord Docs, Gateway > Sending Heartbeats](https://discord.com/developers/docs/events/gateway#sending-heartbeats)).

use std::collections::BTreeSet;
use std::time::Duration;

use gateway_proto::health::Phase;
use gateway_proto::{Event, Input, Output, Reconnect, Shutdown};

use crate::support::{HEARTBEAT_NULL, INTERVAL, OPEN, PHASES, Scenario, ms, raw_command, secs, server};

/// On every connection the first heartbeat is sent after `interval * jitter`, with `jitter` uniform between 0 and 1
/// (twilight-rs/twilight#1973).
#[test]
fn the_first_heartbeat_is_jittered_over_the_whole_interval() {
    let mut waits = BTreeSet::new();
    for seed in 0..200 {
        let mut scenario = Scenario::with(Phase::AwaitingIdentify, |config| config.seed = Some(seed));
        let wait = scenario.advance_until("send");
        assert!(wait < INTERVAL, "{wait:?}");
        waits.insert(wait);
    }
    assert!(waits.len() > 190, "they differ");
    assert!(*waits.first().unwrap() < INTERVAL / 10 && *waits.last().unwrap() > INTERVAL * 9 / 10);
}

/// The same seed gives the same jitter; shards of one bot with the same seed have different jitter.
#[test]
fn jitter_comes_from_the_seed_and_the_shard_id() {
    let first_beat = |id| {
        let shard = gateway_proto::ShardId::new(id, 3).unwrap();
        let mut scenario = Scenario::with(Phase::AwaitingIdentify, |config| config.shard = shard);
        scenario.advance_until("send")
    };
    assert_eq!(first_beat(0), first_beat(0));
    let all: BTreeSet<Duration> = (0..3).map(first_beat).collect();
    assert_eq!(all.len(), 3);
}

/// After the first, a heartbeat is sent every `interval`, regardless of the latency.
#[test]
fn after_the_first_heartbeat_one_is_sent_every_interval() {
    let mut scenario = Scenario::at(Phase::Ready);
    let first = scenario.advance_until("send");
    for beat in 1..=50 {
        scenario.advance(ms(700));
        scenario.server(&server::acknowledgement());
        assert_eq!(scenario.advance_until("send"), first + INTERVAL * beat);
    }
}

/// Before Hello nothing is sent: the interval is not known.
#[test]
fn no_heartbeat_before_hello() {
    let mut scenario = Scenario::at(Phase::AwaitingHello);
    scenario.advance(ms(19_999));
    assert_eq!(scenario.log(), [""; 0]);
}

/// `d` is the newest `s` received, and null before the first: never 0 or -1 (twilight-rs/twilight#1944).
#[test]
fn a_heartbeat_has_the_newest_sequence_number_or_null() {
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    scenario.server(&server::heartbeat_request());
    assert_eq!(scenario.log(), [HEARTBEAT_NULL]);
    scenario.server(&server::ready());
    scenario.log();
    scenario.server(&server::heartbeat_request());
    assert_eq!(scenario.log(), [r#"send {"op":1,"d":1}"#]);
    for sequence in [2, 3] {
        scenario.server(&server::message(sequence));
    }
    scenario.log();
    scenario.server(&server::heartbeat_request());
    assert_eq!(scenario.log(), [r#"send {"op":1,"d":3}"#]);
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    scenario.server(r#"{"t":"READY","s":3000000000000,"op":0,"d":{"session_id":"x"}}"#);
    scenario.server(&server::heartbeat_request());
    assert_eq!(scenario.log().last().unwrap(), r#"send {"op":1,"d":3000000000000}"#);
}

/// A READY without `s` begins a session without a number: still null.
#[test]
fn a_ready_without_a_sequence_number_leaves_null() {
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    scenario.server(r#"{"t":"READY","s":null,"op":0,"d":{"session_id":"x","resume_gateway_url":"wss://r"}}"#);
    scenario.server(&server::heartbeat_request());
    assert_eq!(scenario.log().last().unwrap(), HEARTBEAT_NULL);
}

/// On a connection that resumes, heartbeats have the session's number, also before RESUMED.
#[test]
fn heartbeats_while_resuming_have_the_sessions_number() {
    let mut scenario = Scenario::at(Phase::Resuming);
    scenario.advance_until(r#"send {"op":1,"d":1}"#);
}

/// Heartbeats are sent while the shard waits for its permit to identify, for any time.
#[test]
fn heartbeats_are_sent_while_the_permit_is_awaited() {
    let mut scenario = Scenario::at(Phase::AwaitingIdentify);
    let first = scenario.advance_until("send");
    for beat in 1..=200 {
        scenario.server(&server::acknowledgement());
        assert_eq!(scenario.advance_until(HEARTBEAT_NULL), first + INTERVAL * beat);
    }
    assert_eq!(scenario.shard.phase(), Phase::AwaitingIdentify);
}

/// On opcode 1 with any `d` a heartbeat is sent at once, with our own number, and the schedule is unchanged
/// (twilight-rs/twilight#1968).
#[test]
fn a_requested_heartbeat_is_sent_at_once_and_changes_no_schedule() {
    for request in [
        r#"{"t":null,"s":null,"op":1,"d":null}"#,
        r#"{"t":null,"s":null,"op":1,"d":251}"#,
        r#"{"op":1}"#,
        r#"{"d":{"s":99},"op":1}"#,
    ] {
        let mut scenario = Scenario::at(Phase::Ready);
        let first = scenario.advance_until("send");
        scenario.server(&server::acknowledgement());
        scenario.advance(secs(10));
        scenario.log();
        scenario.server(request);
        assert_eq!(scenario.log(), [r#"send {"op":1,"d":1}"#], "{request}");
        scenario.server(&server::acknowledgement());
        assert_eq!(scenario.advance_until("send"), first + INTERVAL, "{request}");
    }
}

/// Opcode 1 is handled in every phase with an open connection, also before Hello.
#[test]
fn a_requested_heartbeat_is_sent_in_every_phase() {
    for phase in OPEN {
        let mut scenario = Scenario::at(phase);
        scenario.server(&server::heartbeat_request());
        let log = scenario.log();
        assert!(log.len() == 1 && log[0].starts_with(r#"send {"op":1,"#), "{phase:?}: {log:?}");
    }
}

/// A server that requests heartbeats continuously does not make the shard exceed the rate limit (close code 4008).
#[test]
fn requested_heartbeats_stay_within_the_send_limit() {
    let mut scenario = Scenario::at(Phase::Ready);
    for _ in 0..500 {
        scenario.server(&server::heartbeat_request());
        scenario.server(&server::acknowledgement());
    }
    let beats = scenario.log().iter().filter(|line| line.starts_with("send")).count();
    // 120, less Identify and the two slots for scheduled heartbeats. `Watch` checks the 60 seconds.
    assert_eq!(beats, 117);
    scenario.advance_until(r#"send {"op":1,"d":1}"#);
}

/// A request for which there is no slot waits, and no command takes a slot before it.
#[test]
fn a_requested_heartbeat_that_waits_goes_before_commands() {
    let mut scenario = Scenario::at(Phase::Ready);
    for _ in 0..500 {
        scenario.shard.send(raw_command(50, "null")).unwrap();
    }
    scenario.settle();
    scenario.server(&server::heartbeat_request());
    assert_eq!(scenario.log().last().unwrap(), r#"send {"op":1,"d":1}"#, "one place is kept for it");
    for _ in 0..10 {
        scenario.server(&server::heartbeat_request());
    }
    assert_eq!(scenario.log(), [""; 0]);
    scenario.live(secs(61) - ms(1));
    scenario.log();
    scenario.live(ms(1));
    let log = scenario.log();
    let beats = log.iter().take_while(|line| *line == r#"send {"op":1,"d":1}"#).count();
    let commands = log.iter().filter(|line| line.contains(r#""op":50"#)).count();
    assert_eq!(beats, 10, "{log:?}");
    // 118 slots besides those of the scheduled heartbeats: ten are used, and one is kept for the next request.
    assert_eq!(commands, 118 - 10 - 1);
}

/// A server that requests a heartbeat every three seconds, while more commands are queued than can be sent. Each request
/// is answered at once, except in the first window, which commands filled before the first request.
#[test]
fn requested_heartbeats_do_not_starve_under_commands() {
    let mut scenario = Scenario::at(Phase::Ready);
    let first = scenario.time_left();
    let (mut asked, mut at_once) = (0, 0);
    for second in 0..900 {
        while scenario.shard.health().queued_commands < 500 {
            scenario.shard.send(raw_command(50, "null")).unwrap();
        }
        scenario.live(secs(1));
        if second % 3 == 0 {
            let before = scenario.shard.stats().heartbeats;
            scenario.server(&server::heartbeat_request());
            asked += 1;
            at_once += scenario.shard.stats().heartbeats - before;
        }
    }
    let scheduled = (scenario.elapsed() - first).as_secs() / INTERVAL.as_secs() + 1;
    assert_eq!(scenario.shard.stats().heartbeats, asked + scheduled);
    assert_eq!((asked, at_once), (300, 281));
    assert!(scenario.shard.stats().commands > 1000, "{}", scenario.shard.stats().commands);
}

/// A heartbeat that the application requests is sent at the next call, as soon as the limit allows, with the session's
/// number. Two calls before it is sent cause one heartbeat, and the schedule is unchanged.
#[test]
fn a_heartbeat_of_the_application_is_sent_at_once_and_changes_no_schedule() {
    let mut scenario = Scenario::at(Phase::Ready);
    let first = scenario.advance_until("send");
    scenario.server(&server::acknowledgement());
    scenario.advance(secs(10));
    scenario.log();
    scenario.shard.heartbeat();
    scenario.shard.heartbeat();
    scenario.settle();
    assert_eq!(scenario.log(), [r#"send {"op":1,"d":1}"#]);
    let wanted = scenario.now();
    scenario.advance(ms(30));
    scenario.server(&server::acknowledgement());
    let events = scenario.outputs();
    let Output::Event(Event::HeartbeatAcknowledged { sent, latency }) = &events[0].1 else {
        panic!("{events:?}")
    };
    assert_eq!((*sent, *latency), (wanted, ms(30)));
    assert_eq!(scenario.advance_until("send"), first + INTERVAL);
}

/// Without an open session the request has no effect, also not on a later session.
#[test]
fn a_heartbeat_of_the_application_needs_an_open_session() {
    for phase in PHASES {
        let mut scenario = Scenario::at(phase);
        let deadline = scenario.time_left_if_any();
        scenario.shard.heartbeat();
        let beats = scenario.shard.stats().heartbeats;
        if phase != Phase::Ready {
            assert_eq!(scenario.log(), [""; 0], "{phase:?}");
            assert_eq!(scenario.time_left_if_any(), deadline, "{phase:?}");
        }
        scenario.input(Input::Timeout);
        let sent = scenario.shard.stats().heartbeats - beats;
        assert_eq!(sent, u64::from(phase == Phase::Ready), "{phase:?}");
    }
    for ends in [true, false] {
        let mut scenario = Scenario::at(Phase::Ready);
        match ends {
            true => scenario.shard.shutdown(Shutdown::Resumable),
            false => scenario.shard.reconnect(Reconnect::Resume),
        }
        scenario.shard.heartbeat();
        scenario.settle();
        assert!(!scenario.log().iter().any(|line| line.contains(r#""op":1,"#)));
    }
    // The connection of the request has ended.
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.shard.heartbeat();
    scenario.eof();
    scenario.input(Input::Opened);
    scenario.server(&server::hello());
    scenario.server(&server::resumed(2));
    assert!(!scenario.log().iter().any(|line| line.contains(r#""op":1,"#)));
}

/// It is sent before commands, and leaves the slots of scheduled heartbeats and one for a request of the server.
#[test]
fn a_heartbeat_of_the_application_that_waits_goes_before_commands() {
    let mut scenario = Scenario::at(Phase::Ready);
    for _ in 0..500 {
        scenario.shard.send(raw_command(50, "null")).unwrap();
    }
    scenario.settle();
    scenario.log();
    scenario.shard.heartbeat();
    scenario.settle();
    assert_eq!(scenario.log(), [""; 0], "the place that commands leave is the server's");
    scenario.live(secs(20));
    assert!(scenario.log().iter().all(|line| !line.contains(r#""op":50"#)));
    scenario.server(&server::heartbeat_request());
    assert_eq!(scenario.log(), [r#"send {"op":1,"d":1}"#], "which serves for both");
}

/// Latency is the time from a heartbeat to its acknowledgement; an unexpected acknowledgement has none
/// (Rapptz/discord.py@f9c66a6).
#[test]
fn latency_is_paired_with_a_heartbeat() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::acknowledgement());
    assert_eq!(scenario.log(), [""; 0]);
    assert_eq!(scenario.shard.health().latency, None);
    scenario.advance_until("send");
    scenario.advance(ms(80));
    scenario.server(&server::acknowledgement());
    scenario.server(&server::acknowledgement());
    assert_eq!(scenario.log(), ["acknowledged after 80ms"]);
    assert_eq!(scenario.shard.health().latency, Some(ms(80)));
    assert_eq!(scenario.shard.stats().acknowledgements, 1);
    // A requested heartbeat has an acknowledgement too.
    scenario.server(&server::heartbeat_request());
    scenario.log();
    scenario.advance(ms(30));
    scenario.server(&server::acknowledgement());
    assert_eq!(scenario.log(), ["acknowledged after 30ms"]);
}

/// An acknowledgement counts for the oldest unacknowledged heartbeat, so that nothing unread counts as read.
#[test]
fn of_several_heartbeats_the_oldest_is_acknowledged_first() {
    let mut scenario = Scenario::at(Phase::Ready);
    let mut sent = Vec::new();
    for _ in 0..3 {
        scenario.shard.heartbeat();
        scenario.settle();
        sent.push(scenario.now());
        scenario.advance(ms(100));
    }
    scenario.log();
    let mut acknowledged = Vec::new();
    for _ in 0..5 {
        scenario.server(&server::acknowledgement());
        acknowledged.extend(scenario.outputs().into_iter().filter_map(|(_, output)| match output {
            Output::Event(Event::HeartbeatAcknowledged { sent, latency }) => Some((sent, latency)),
            _ => None,
        }));
    }
    let expected: Vec<_> = sent.iter().map(|at| (*at, scenario.now() - *at)).collect();
    assert_eq!(acknowledged, expected);
    assert_eq!(scenario.shard.stats().acknowledgements, 3);
}

/// An acknowledgement may have `d` null, no `d`, or any other form.
#[test]
fn an_acknowledgement_counts_in_any_form() {
    for text in [r#"{"op":11}"#, r#"{"d":{"op":1},"op":11}"#, r#"{"t":null,"s":null,"op":11,"d":null}"#] {
        let mut scenario = Scenario::at(Phase::Ready);
        scenario.advance_until("send");
        scenario.server(text);
        assert_eq!(scenario.log(), ["acknowledged after 0ns"], "{text}");
    }
}

/// After a suspended process one heartbeat is sent in place of the missed ones, and the next an interval later.
#[test]
fn a_suspended_process_sends_one_heartbeat() {
    let mut scenario = Scenario::at(Phase::Ready);
    let first = scenario.advance_until("send");
    scenario.server(&server::acknowledgement());
    scenario.log();
    scenario.lag(secs(3600));
    scenario.advance(secs(0));
    let late = secs(3600) - INTERVAL;
    let notice = format!("notice NotDriven {{ late: {late:?} }}");
    assert_eq!(scenario.log(), [notice.as_str(), r#"send {"op":1,"d":1}"#]);
    scenario.server(&server::acknowledgement());
    assert_eq!(scenario.advance_until("send"), first + secs(3600) + INTERVAL);
}

/// A small delay does not move the schedule: heartbeats do not drift.
#[test]
fn a_late_heartbeat_does_not_move_the_schedule() {
    let mut scenario = Scenario::at(Phase::Ready);
    let first = scenario.advance_until("send");
    scenario.server(&server::acknowledgement());
    scenario.lag(INTERVAL + ms(1500));
    scenario.settle();
    assert_eq!(scenario.advance_until("send"), first + INTERVAL + ms(1500));
    scenario.server(&server::acknowledgement());
    assert_eq!(scenario.advance_until("send"), first + INTERVAL * 2);
}

/// An interval below a second or above ten minutes is clamped, and one that is not a number is replaced.
#[test]
fn an_absurd_interval_is_clamped() {
    for (d, used) in [
        (r#"{"heartbeat_interval":0}"#, secs(1)),
        (r#"{"heartbeat_interval":999}"#, secs(1)),
        (r#"{"heartbeat_interval":600001}"#, secs(600)),
        (r#"{"heartbeat_interval":18446744073709551615}"#, secs(600)),
        (r#"{"heartbeat_interval":-5}"#, ms(41_250)),
        (r#"{"heartbeat_interval":"45000"}"#, ms(41_250)),
        (r#"{"heartbeat_interval":0.9}"#, secs(1)),
        (r#"{"heartbeat_interval":1e300}"#, secs(600)),
        (r#"{"heartbeat_interval":-5.0}"#, ms(41_250)),
        (r#"{"heartbeat_interval":1e400}"#, ms(41_250)),
        (r#"{"heartbeat_interval":[20000]}"#, ms(41_250)),
        ("{}", ms(41_250)),
        ("null", ms(41_250)),
    ] {
        let mut scenario = Scenario::at(Phase::AwaitingHello);
        scenario.server(&format!(r#"{{"op":10,"d":{d}}}"#));
        let log = scenario.log();
        assert!(log[0].starts_with("notice HeartbeatIntervalClamped"), "{d}: {log:?}");
        assert_eq!(log[1], format!("hello {used:?}"), "{d}");
        let first = scenario.advance_until("send");
        scenario.server(&server::acknowledgement());
        assert_eq!(scenario.advance_until("send"), first + used, "{d}");
    }
}

/// Intervals at these limits are used unchanged.
#[test]
fn an_interval_at_the_limits_is_used_unchanged() {
    for interval in [1_000, 41_250, 45_000, 600_000] {
        let mut scenario = Scenario::at(Phase::AwaitingHello);
        scenario.server(&server::hello_with(interval));
        assert_eq!(scenario.log(), [format!("hello {:?}", ms(interval)), "acquire identify".to_owned()]);
    }
}

/// An interval written as a float is the same interval; a fraction of a millisecond is dropped. There is no notice.
#[test]
fn an_interval_may_be_a_float() {
    for interval in ["20000", "20000.0", "2e4", "20000.5", "200000e-1"] {
        let mut scenario = Scenario::at(Phase::AwaitingHello);
        scenario.server(&format!(r#"{{"op":10,"d":{{"heartbeat_interval":{interval}}}}}"#));
        assert_eq!(scenario.log(), ["hello 20s", "acquire identify"], "{interval}");
        let first = scenario.advance_until("send");
        assert!(first <= secs(20));
        scenario.server(&server::acknowledgement());
        assert_eq!(scenario.advance_until("send"), first + secs(20), "{interval}");
    }
}

/// A second Hello changes only the interval: a second Identify would be answered with 4005.
#[test]
fn a_second_hello_changes_the_interval_only() {
    for phase in [Phase::AwaitingIdentify, Phase::AwaitingReady, Phase::Resuming, Phase::Ready] {
        let mut scenario = Scenario::at(phase);
        scenario.server(&server::hello_with(10_000));
        assert_eq!(scenario.log(), ["hello 10s"], "{phase:?}");
        assert_eq!(scenario.shard.phase(), phase);
        let restarted = scenario.elapsed();
        let first = scenario.advance_until(r#"send {"op":1"#);
        assert!(first - restarted <= secs(10));
        scenario.server(&server::acknowledgement());
        assert_eq!(scenario.advance_until(r#"send {"op":1"#), first + secs(10));
    }
}

/// A shorter interval on an open connection may leave no slot in the send window: the limit still applies. `Watch` counts
/// every 60 seconds.
#[test]
fn a_shortened_interval_does_not_break_the_send_limit() {
    let mut scenario = Scenario::at(Phase::Ready);
    for _ in 0..300 {
        scenario.shard.send(raw_command(50, "null")).unwrap();
    }
    scenario.settle();
    scenario.server(&server::hello_with(1_000));
    for _ in 0..500 {
        scenario.server(&server::acknowledgement());
        scenario.advance(ms(500));
    }
    assert_eq!(scenario.shard.phase(), Phase::Ready);
    assert_eq!(scenario.shard.stats().commands, 300);
}

/// With Hello every millisecond, heartbeats keep their schedule.
#[test]
fn repeated_hello_moves_no_heartbeat() {
    let beats = |hello: bool| {
        let mut scenario = Scenario::at(Phase::Ready);
        for _ in 0..100_000 {
            scenario.live(ms(1));
            if hello {
                scenario.server(&server::hello());
            }
        }
        assert_eq!(scenario.shard.phase(), Phase::Ready);
        let log = scenario.log_at().into_iter();
        log.filter(|(_, line)| line.starts_with(r#"send {"op":1"#)).map(|(at, _)| at).collect::<Vec<_>>()
    };
    let without = beats(false);
    assert!(without.len() >= 2);
    assert_eq!(beats(true), without);
}

/// After each of many Hellos with a short interval there is one heartbeat per interval, neither fewer nor more.
#[test]
fn repeated_hello_causes_one_heartbeat_per_interval() {
    let mut scenario = Scenario::at(Phase::Ready);
    for _ in 0..2_000 {
        scenario.server(&server::hello_with(1_000));
        scenario.live(ms(50));
    }
    assert_eq!(scenario.shard.phase(), Phase::Ready);
    let beats = scenario.shard.stats().heartbeats;
    assert!((99..=101).contains(&beats), "{beats}");
}

/// Hello proves that the connection is alive, as any message does, but for two intervals at most: it neither replaces nor
/// excuses an acknowledgement.
#[test]
fn repeated_hello_hides_no_zombie() {
    for interval in [40_000, 600_000] {
        let mut scenario = Scenario::at(Phase::Ready);
        let first = scenario.time_left();
        for _ in 0..20_000 {
            scenario.advance(ms(100));
            if scenario.shard.phase() == Phase::Ready {
                scenario.server(&server::hello_with(interval));
            }
        }
        assert!(scenario.shard.stats().zombies > 0);
        let dropped = scenario.advance_until("disconnect");
        let interval = ms(interval);
        assert!(dropped <= first + interval * 2, "{dropped:?} with an interval of {interval:?}");
    }
}

/// Heartbeats and their acknowledgements are counted.
#[test]
fn heartbeats_are_counted() {
    let mut scenario = Scenario::at(Phase::Ready);
    for _ in 0..3 {
        scenario.advance_until("send");
        scenario.server(&server::acknowledgement());
    }
    scenario.input(Input::Timeout);
    assert_eq!((scenario.shard.stats().heartbeats, scenario.shard.stats().acknowledgements), (3, 3));
}
