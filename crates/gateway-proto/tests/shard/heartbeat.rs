//! When heartbeats go out and what they carry (Discord Docs, Gateway > Sending Heartbeats).

use std::collections::BTreeSet;
use std::time::Duration;

use gateway_proto::health::Phase;
use gateway_proto::{Event, Input, Output, Reconnect, Shutdown};

use crate::support::{HEARTBEAT_NULL, INTERVAL, OPEN, PHASES, Scenario, ms, raw_command, secs, server};

/// The first heartbeat comes after `interval * jitter`, with `jitter` uniform between 0 and 1, on every connection anew:
/// not at once, not after a whole interval (twilight-rs/twilight#1973, peers: worth beating 10).
#[test]
fn the_first_beat_is_jittered_over_the_whole_interval() {
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

/// The same seed gives the same life; shards of one bot with the same seed do not move in step.
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

/// After the first, a heartbeat every `interval`, whatever the latency of the acknowledgements.
#[test]
fn after_the_first_beat_one_comes_every_interval() {
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
fn no_beat_before_hello() {
    let mut scenario = Scenario::at(Phase::AwaitingHello);
    scenario.advance(ms(19_999));
    assert_eq!(scenario.said(), [""; 0]);
}

/// `d` is the newest `s` received, null before there is one: never 0 or -1 in its stead (twilight-rs/twilight#1944).
#[test]
fn a_beat_carries_the_newest_sequence_number_or_null() {
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    scenario.server(&server::heartbeat_request());
    assert_eq!(scenario.said(), [HEARTBEAT_NULL]);
    scenario.server(&server::ready());
    scenario.said();
    scenario.server(&server::heartbeat_request());
    assert_eq!(scenario.said(), [r#"send {"op":1,"d":1}"#]);
    for sequence in [2, 3] {
        scenario.server(&server::message(sequence));
    }
    scenario.said();
    scenario.server(&server::heartbeat_request());
    assert_eq!(scenario.said(), [r#"send {"op":1,"d":3}"#]);
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    scenario.server(r#"{"t":"READY","s":3000000000000,"op":0,"d":{"session_id":"x"}}"#);
    scenario.server(&server::heartbeat_request());
    assert_eq!(scenario.said().last().unwrap(), r#"send {"op":1,"d":3000000000000}"#);
}

/// A READY without `s` begins a session without a number: null still.
#[test]
fn a_ready_without_a_sequence_number_leaves_null() {
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    scenario.server(r#"{"t":"READY","s":null,"op":0,"d":{"session_id":"x","resume_gateway_url":"wss://r"}}"#);
    scenario.server(&server::heartbeat_request());
    assert_eq!(scenario.said().last().unwrap(), HEARTBEAT_NULL);
}

/// On a resumed connection the session's number is sent from the first beat on, before RESUMED too.
#[test]
fn a_resuming_connection_beats_with_the_session_s_number() {
    let mut scenario = Scenario::at(Phase::Resuming);
    scenario.advance_until(r#"send {"op":1,"d":1}"#);
}

/// Beats run while the shard waits for its permit to identify, however long that takes.
#[test]
fn beats_run_while_the_permit_is_waited_for() {
    let mut scenario = Scenario::at(Phase::AwaitingIdentify);
    let first = scenario.advance_until("send");
    for beat in 1..=200 {
        scenario.server(&server::acknowledgement());
        assert_eq!(scenario.advance_until(HEARTBEAT_NULL), first + INTERVAL * beat);
    }
    assert_eq!(scenario.shard.phase(), Phase::AwaitingIdentify);
}

/// op 1 from the server, whatever its `d`: a beat at once, with our own number, and the schedule stays (twilight-rs/twilight#1968).
#[test]
fn a_requested_beat_goes_out_at_once_and_changes_no_schedule() {
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
        scenario.said();
        scenario.server(request);
        assert_eq!(scenario.said(), [r#"send {"op":1,"d":1}"#], "{request}");
        scenario.server(&server::acknowledgement());
        assert_eq!(scenario.advance_until("send"), first + INTERVAL, "{request}");
    }
}

/// op 1 is obeyed in every stage of an open connection, before Hello too.
#[test]
fn a_requested_beat_is_sent_in_every_stage() {
    for phase in OPEN {
        let mut scenario = Scenario::at(phase);
        scenario.server(&server::heartbeat_request());
        let said = scenario.said();
        assert!(said.len() == 1 && said[0].starts_with(r#"send {"op":1,"#), "{phase:?}: {said:?}");
    }
}

/// A server that asks for beats without end does not make us break the limit that it enforces (close code 4008).
#[test]
fn requested_beats_stay_within_the_send_limit() {
    let mut scenario = Scenario::at(Phase::Ready);
    for _ in 0..500 {
        scenario.server(&server::heartbeat_request());
        scenario.server(&server::acknowledgement());
    }
    let beats = scenario.said().iter().filter(|line| line.starts_with("send")).count();
    // 120, less Identify and the two places for scheduled beats. `Watch` has looked at the 60 seconds.
    assert_eq!(beats, 117);
    scenario.advance_until(r#"send {"op":1,"d":1}"#);
}

/// A request that finds no room waits for it, and no command takes a place before it.
#[test]
fn a_requested_beat_that_waits_goes_before_commands() {
    let mut scenario = Scenario::at(Phase::Ready);
    for _ in 0..500 {
        scenario.shard.send(raw_command(50, "null")).unwrap();
    }
    scenario.settle();
    scenario.server(&server::heartbeat_request());
    assert_eq!(scenario.said().last().unwrap(), r#"send {"op":1,"d":1}"#, "one place is kept for it");
    for _ in 0..10 {
        scenario.server(&server::heartbeat_request());
    }
    assert_eq!(scenario.said(), [""; 0]);
    scenario.live(secs(61) - ms(1));
    scenario.said();
    scenario.live(ms(1));
    let said = scenario.said();
    let beats = said.iter().take_while(|line| *line == r#"send {"op":1,"d":1}"#).count();
    let commands = said.iter().filter(|line| line.contains(r#""op":50"#)).count();
    assert_eq!(beats, 10, "{said:?}");
    // 118 places besides those of the scheduled beats: ten are taken, and one is kept for the next request.
    assert_eq!(commands, 118 - 10 - 1);
}

/// A server that asks every three seconds, while more commands wait than can ever be sent. Each request is answered; at
/// once, but in the first window, which commands filled before the first request.
#[test]
fn requested_beats_do_not_starve_under_commands() {
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

/// A beat that the application wants goes out once the shard is called, as soon as it may, with the session's number. Two calls
/// before it is sent are one, and the schedule stays.
#[test]
fn a_wanted_beat_goes_out_at_once_and_changes_no_schedule() {
    let mut scenario = Scenario::at(Phase::Ready);
    let first = scenario.advance_until("send");
    scenario.server(&server::acknowledgement());
    scenario.advance(secs(10));
    scenario.said();
    scenario.shard.heartbeat();
    scenario.shard.heartbeat();
    scenario.settle();
    assert_eq!(scenario.said(), [r#"send {"op":1,"d":1}"#]);
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

/// Without an open session there is nothing that it could tell, and nothing is left for a later one.
#[test]
fn a_wanted_beat_is_sent_on_an_open_session_only() {
    for phase in PHASES {
        let mut scenario = Scenario::at(phase);
        let deadline = scenario.time_left_if_any();
        scenario.shard.heartbeat();
        let beats = scenario.shard.stats().heartbeats;
        if phase != Phase::Ready {
            assert_eq!(scenario.said(), [""; 0], "{phase:?}");
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
        assert!(!scenario.said().iter().any(|line| line.contains(r#""op":1,"#)));
    }
    // The connection that it was wanted on is gone.
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.shard.heartbeat();
    scenario.eof();
    scenario.input(Input::Opened);
    scenario.server(&server::hello());
    scenario.server(&server::resumed(2));
    assert!(!scenario.said().iter().any(|line| line.contains(r#""op":1,"#)));
}

/// It goes before commands, and leaves the places of the beats that are scheduled, and one for the server.
#[test]
fn a_wanted_beat_that_waits_goes_before_commands() {
    let mut scenario = Scenario::at(Phase::Ready);
    for _ in 0..500 {
        scenario.shard.send(raw_command(50, "null")).unwrap();
    }
    scenario.settle();
    scenario.said();
    scenario.shard.heartbeat();
    scenario.settle();
    assert_eq!(scenario.said(), [""; 0], "the place that commands leave is the server's");
    scenario.live(secs(20));
    assert!(scenario.said().iter().all(|line| !line.contains(r#""op":50"#)));
    scenario.server(&server::heartbeat_request());
    assert_eq!(scenario.said(), [r#"send {"op":1,"d":1}"#], "which serves for both");
}

/// Latency is the time from the beat to its acknowledgement; one that was not asked for counts for nothing (Rapptz/discord.py@f9c66a6).
#[test]
fn latency_is_paired_with_a_beat() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::acknowledgement());
    assert_eq!(scenario.said(), [""; 0]);
    assert_eq!(scenario.shard.health().latency, None);
    scenario.advance_until("send");
    scenario.advance(ms(80));
    scenario.server(&server::acknowledgement());
    scenario.server(&server::acknowledgement());
    assert_eq!(scenario.said(), ["acknowledged after 80ms"]);
    assert_eq!(scenario.shard.health().latency, Some(ms(80)));
    assert_eq!(scenario.shard.stats().acknowledgements, 1);
    // One that was asked for has its acknowledgement too.
    scenario.server(&server::heartbeat_request());
    scenario.said();
    scenario.advance(ms(30));
    scenario.server(&server::acknowledgement());
    assert_eq!(scenario.said(), ["acknowledged after 30ms"]);
}

/// An acknowledgement counts for the oldest beat that has none, so nothing is taken for read that is not.
#[test]
fn of_several_beats_the_oldest_is_acknowledged_first() {
    let mut scenario = Scenario::at(Phase::Ready);
    let mut sent = Vec::new();
    for _ in 0..3 {
        scenario.shard.heartbeat();
        scenario.settle();
        sent.push(scenario.now());
        scenario.advance(ms(100));
    }
    scenario.said();
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

/// Acknowledgements come with `d` null, without `d`, or in any other form.
#[test]
fn an_acknowledgement_counts_in_any_form() {
    for text in [r#"{"op":11}"#, r#"{"d":{"op":1},"op":11}"#, r#"{"t":null,"s":null,"op":11,"d":null}"#] {
        let mut scenario = Scenario::at(Phase::Ready);
        scenario.advance_until("send");
        scenario.server(text);
        assert_eq!(scenario.said(), ["acknowledged after 0ns"], "{text}");
    }
}

/// After a suspended process one beat is sent, not the missed ones, and the next an interval later.
#[test]
fn a_suspended_process_sends_one_beat() {
    let mut scenario = Scenario::at(Phase::Ready);
    let first = scenario.advance_until("send");
    scenario.server(&server::acknowledgement());
    scenario.said();
    scenario.lag(secs(3600));
    scenario.advance(secs(0));
    let late = secs(3600) - INTERVAL;
    let notice = format!("notice NotDriven {{ late: {late:?} }}");
    assert_eq!(scenario.said(), [notice.as_str(), r#"send {"op":1,"d":1}"#]);
    scenario.server(&server::acknowledgement());
    assert_eq!(scenario.advance_until("send"), first + secs(3600) + INTERVAL);
}

/// A little lateness does not move the schedule: beats do not drift.
#[test]
fn a_late_beat_does_not_move_the_schedule() {
    let mut scenario = Scenario::at(Phase::Ready);
    let first = scenario.advance_until("send");
    scenario.server(&server::acknowledgement());
    scenario.lag(INTERVAL + ms(1500));
    scenario.settle();
    assert_eq!(scenario.advance_until("send"), first + INTERVAL + ms(1500));
    scenario.server(&server::acknowledgement());
    assert_eq!(scenario.advance_until("send"), first + INTERVAL * 2);
}

/// An interval below a second or above ten minutes is not believed, and one that is no number is replaced.
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
        let said = scenario.said();
        assert!(said[0].starts_with("notice HeartbeatIntervalClamped"), "{d}: {said:?}");
        assert_eq!(said[1], format!("hello {used:?}"), "{d}");
        let first = scenario.advance_until("send");
        scenario.server(&server::acknowledgement());
        assert_eq!(scenario.advance_until("send"), first + used, "{d}");
    }
}

/// The limits of what is believed are believed.
#[test]
fn an_interval_at_the_limits_is_used_as_it_is() {
    for interval in [1_000, 41_250, 45_000, 600_000] {
        let mut scenario = Scenario::at(Phase::AwaitingHello);
        scenario.server(&server::hello_with(interval));
        assert_eq!(scenario.said(), [format!("hello {:?}", ms(interval)), "acquire identify".to_owned()]);
    }
}

/// An interval that is written as a float is the same interval; a fraction of a millisecond is dropped. No notice.
#[test]
fn an_interval_may_be_a_float() {
    for interval in ["20000", "20000.0", "2e4", "20000.5", "200000e-1"] {
        let mut scenario = Scenario::at(Phase::AwaitingHello);
        scenario.server(&format!(r#"{{"op":10,"d":{{"heartbeat_interval":{interval}}}}}"#));
        assert_eq!(scenario.said(), ["hello 20s", "acquire identify"], "{interval}");
        let first = scenario.advance_until("send");
        assert!(first <= secs(20));
        scenario.server(&server::acknowledgement());
        assert_eq!(scenario.advance_until("send"), first + secs(20), "{interval}");
    }
}

/// A second Hello changes the interval and nothing else: a second Identify would be answered with 4005.
#[test]
fn a_second_hello_changes_the_interval_only() {
    for phase in [Phase::AwaitingIdentify, Phase::AwaitingReady, Phase::Resuming, Phase::Ready] {
        let mut scenario = Scenario::at(phase);
        scenario.server(&server::hello_with(10_000));
        assert_eq!(scenario.said(), ["hello 10s"], "{phase:?}");
        assert_eq!(scenario.shard.phase(), phase);
        let restarted = scenario.elapsed();
        let first = scenario.advance_until(r#"send {"op":1"#);
        assert!(first - restarted <= secs(10));
        scenario.server(&server::acknowledgement());
        assert_eq!(scenario.advance_until(r#"send {"op":1"#), first + secs(10));
    }
}

/// A shorter interval in mid-connection may leave no room in the send window: the limit is kept all the same. `Watch`
/// counts every 60 seconds.
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

/// Hello every millisecond: the beats keep the pace that they have without it.
#[test]
fn hello_without_end_moves_no_beat() {
    let beats = |hello: bool| {
        let mut scenario = Scenario::at(Phase::Ready);
        for _ in 0..100_000 {
            scenario.live(ms(1));
            if hello {
                scenario.server(&server::hello());
            }
        }
        assert_eq!(scenario.shard.phase(), Phase::Ready);
        let said = scenario.said_at().into_iter();
        said.filter(|(_, line)| line.starts_with(r#"send {"op":1"#)).map(|(at, _)| at).collect::<Vec<_>>()
    };
    let without = beats(false);
    assert!(without.len() >= 2);
    assert_eq!(beats(true), without);
}

/// Hello after Hello with a short interval: one beat in each, neither fewer nor a flood of them.
#[test]
fn hello_without_end_is_borne() {
    let mut scenario = Scenario::at(Phase::Ready);
    for _ in 0..2_000 {
        scenario.server(&server::hello_with(1_000));
        scenario.live(ms(50));
    }
    assert_eq!(scenario.shard.phase(), Phase::Ready);
    let beats = scenario.shard.stats().heartbeats;
    assert!((99..=101).contains(&beats), "{beats}");
}

/// Hello proves that something is alive, as any message does, but for two intervals at most: it neither excuses the
/// acknowledgements that are owed nor stands in for them.
#[test]
fn hello_without_end_hides_no_zombie() {
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

/// Beats and their answers are counted.
#[test]
fn beats_are_counted() {
    let mut scenario = Scenario::at(Phase::Ready);
    for _ in 0..3 {
        scenario.advance_until("send");
        scenario.server(&server::acknowledgement());
    }
    scenario.input(Input::Timeout);
    assert_eq!((scenario.shard.stats().heartbeats, scenario.shard.stats().acknowledgements), (3, 3));
}
