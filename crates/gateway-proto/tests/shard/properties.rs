//! Arbitrary inputs, requests and delays in any order. `Watch` checks every output; `support/watch.rs` contains the
//! invariants.

use std::collections::VecDeque;
use std::time::Duration;

use gateway_proto::disconnect::Refused;
use gateway_proto::health::Phase;
use gateway_proto::identify::IdentifyRefused;
use gateway_proto::{Closed, ConnectError, Input, Message, Output, Reconnect, Shutdown};
use proptest::prelude::*;

use crate::support::{INTERVAL, Scenario, raw_command, saved_session, secs, server};

/// A step of a generated session.
#[derive(Debug, Clone)]
enum Happening {
    Input(Vec<Word>),
    Advance(Duration),
    /// The shard is not driven for this long.
    Lag(Duration),
    /// The event that the shard waits for.
    Proceed,
    Commands(u8),
    Heartbeat,
    Shutdown(Shutdown),
    Reconnect(Reconnect),
}

/// An input in words.
#[derive(Debug, Clone)]
enum Word {
    Opened,
    ConnectFailed(Option<u16>),
    Closed(Option<u16>),
    TooLarge,
    IdentifyGranted,
    IdentifyRefused,
    WallClock(u64),
    Progress(bool),
    Paused,
    Resumed,
    Timeout,
    Text(String),
    Binary(Vec<u8>),
}

impl Word {
    fn into_input(self) -> Input {
        match self {
            Self::Opened => Input::Opened,
            Self::ConnectFailed(None) => Input::ConnectFailed(ConnectError::Tcp(String::new())),
            Self::ConnectFailed(Some(status)) => {
                let refused = Refused::new(status);
                Input::ConnectFailed(ConnectError::Refused(refused))
            }
            Self::Closed(None) => Input::Closed(Closed::Eof),
            Self::Closed(code) => Input::Closed(Closed::Frame { code, reason: String::new() }),
            Self::TooLarge => Input::Closed(Closed::MessageTooLarge),
            Self::IdentifyGranted => Input::IdentifyGranted,
            Self::IdentifyRefused => Input::IdentifyRefused(IdentifyRefused::new(0, 0, secs(60))),
            Self::WallClock(seconds) => Input::WallClock(secs(seconds)),
            Self::Progress(message) => Input::Progress { message },
            Self::Paused => Input::ReadingPaused,
            Self::Resumed => Input::ReadingResumed,
            Self::Timeout => Input::Timeout,
            Self::Text(text) => Input::Message(Message::Text(text.into())),
            Self::Binary(bytes) => Input::Message(Message::Binary(bytes.into())),
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    let sequence = prop_oneof![8 => 1_u64..50, 1 => any::<u64>()];
    prop_oneof![
        6 => sequence.clone().prop_map(server::message),
        2 => Just(server::ready()),
        1 => Just(server::ready_with(r#""x":0"#)),
        2 => sequence.prop_map(server::resumed),
        2 => Just(server::heartbeat_request()),
        3 => Just(server::acknowledgement()),
        1 => Just(server::reconnect()),
        1 => any::<bool>().prop_map(server::invalid_session),
        2 => prop_oneof![Just(1_000), Just(41_250), any::<u64>()].prop_map(server::hello_with),
        1 => any::<u64>().prop_map(|op| format!(r#"{{"op":{op},"d":null}}"#)),
        1 => ".{0,20}",
    ]
}

fn word() -> impl Strategy<Value = Word> {
    let code = prop_oneof![Just(1000), Just(4000), Just(4008), Just(4009), 4000_u16..4017, any::<u16>()];
    let status = prop_oneof![Just(403), Just(429), Just(503)];
    prop_oneof![
        2 => Just(Word::Opened),
        1 => proptest::option::of(status).prop_map(Word::ConnectFailed),
        2 => proptest::option::of(code).prop_map(Word::Closed),
        1 => Just(Word::TooLarge),
        6 => Just(Word::IdentifyGranted),
        1 => Just(Word::IdentifyRefused),
        1 => (0_u64..100_000).prop_map(Word::WallClock),
        2 => any::<bool>().prop_map(Word::Progress),
        1 => Just(Word::Paused),
        1 => Just(Word::Resumed),
        1 => Just(Word::Timeout),
        12 => text().prop_map(Word::Text),
        1 => proptest::collection::vec(any::<u8>(), 0..30).prop_map(Word::Binary),
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    let lapse = prop_oneof![
        (0_u64..3_000).prop_map(Duration::from_millis),
        (0_u64..120).prop_map(Duration::from_secs),
    ];
    let shutdown = prop_oneof![Just(Shutdown::Resumable), Just(Shutdown::LogOff)];
    let reconnect = prop_oneof![Just(Reconnect::Resume), Just(Reconnect::Fresh)];
    prop_oneof![
        12 => proptest::collection::vec(word(), 1..4).prop_map(Happening::Input),
        6 => lapse.clone().prop_map(Happening::Advance),
        2 => lapse.prop_map(Happening::Lag),
        14 => Just(Happening::Proceed),
        3 => (1_u8..120).prop_map(Happening::Commands),
        2 => Just(Happening::Heartbeat),
        1 => shutdown.prop_map(Happening::Shutdown),
        2 => reconnect.prop_map(Happening::Reconnect),
    ]
}

/// Performs the event that the shard waits for.
fn proceed(scenario: &mut Scenario) {
    match scenario.shard.phase() {
        Phase::BackingOff => {
            scenario.next_deadline();
        }
        Phase::Connecting => scenario.input(Input::Opened),
        Phase::AwaitingHello => scenario.server(&server::hello()),
        Phase::AwaitingIdentify => scenario.input(Input::IdentifyGranted),
        Phase::AwaitingReady => scenario.server(&server::ready()),
        Phase::Resuming => scenario.server(&server::resumed(60)),
        Phase::Closing => scenario.eof(),
        _ => scenario.server(&server::acknowledgement()),
    }
}

/// Runs a session from its start. Returns the outputs and their times. Every step is watched.
fn live(happenings: Vec<Happening>, seed: u64, resume: bool) -> Vec<(Duration, String)> {
    let mut scenario = Scenario::with(Phase::Connecting, |config| {
        config.seed = Some(seed);
        config.session = resume.then(saved_session);
        config.limits.queued_commands = 300;
    });
    let mut commands = 0_u64;
    for happening in happenings {
        match happening {
            Happening::Input(words) => words.into_iter().for_each(|word| scenario.input(word.into_input())),
            Happening::Advance(by) => scenario.advance(by),
            Happening::Lag(by) => scenario.lag(by),
            Happening::Proceed => proceed(&mut scenario),
            Happening::Commands(count) => {
                for _ in 0..count {
                    let sent = scenario.shard.send(raw_command(50, &commands.to_string()));
                    commands += u64::from(sent.is_ok());
                }
            }
            Happening::Heartbeat => scenario.shard.heartbeat(),
            Happening::Shutdown(how) => scenario.shard.shutdown(how),
            Happening::Reconnect(how) => scenario.shard.reconnect(how),
        }
        assert!(scenario.shard.health().queued_commands <= 300);
        // Every phase except the last has a deadline.
        if scenario.shard.phase() != Phase::Stopped {
            assert!(scenario.time_left() <= secs(3_600), "in {:?}", scenario.shard.phase());
        }
    }
    scenario.log_at()
}

fn lives() -> impl Strategy<Value = Vec<Happening>> {
    proptest::collection::vec(happening(), 1..80)
}

/// Intervals in milliseconds, and the time before each Hello.
fn hellos() -> impl Strategy<Value = Vec<(u64, Duration)>> {
    let interval = prop_oneof![Just(1), 1_000_u64..60_000, 1_000_u64..700_000, any::<u64>()];
    let wait = prop_oneof![0_u64..5, 0_u64..2_000, 0_u64..60_000];
    proptest::collection::vec((interval, wait.prop_map(Duration::from_millis)), 1..40)
}

/// Messages that compete for the slots of the send window.
#[derive(Debug, Clone)]
enum Traffic {
    Commands(usize),
    Requests(usize),
    Advance(Duration),
}

fn traffic() -> impl Strategy<Value = Traffic> {
    prop_oneof![
        2 => (1_usize..150).prop_map(Traffic::Commands),
        2 => prop_oneof![1_usize..4, 1_usize..50, 100_usize..130].prop_map(Traffic::Requests),
        3 => (0_u64..35_000).prop_map(|ms| Traffic::Advance(Duration::from_millis(ms))),
    ]
}

/// A step on an open session.
#[derive(Debug, Clone)]
enum OnSession {
    Wanted(usize),
    Commands(usize),
    Acknowledged,
    Dispatched,
    Advance(Duration),
}

fn on_session() -> impl Strategy<Value = OnSession> {
    prop_oneof![
        4 => prop_oneof![1_usize..3, 100_usize..150].prop_map(OnSession::Wanted),
        1 => (1_usize..150).prop_map(OnSession::Commands),
        3 => Just(OnSession::Acknowledged),
        2 => Just(OnSession::Dispatched),
        4 => (0_u64..50_000).prop_map(|ms| OnSession::Advance(Duration::from_millis(ms))),
    ]
}

/// Outputs until the session is no longer open, and the times at which heartbeats were requested.
fn with_wanted(happenings: &[OnSession], seed: u64, wants: bool) -> (Vec<(Duration, String)>, Vec<Duration>) {
    let mut scenario = Scenario::with(Phase::Ready, |config| config.seed = Some(seed));
    let (mut wanted, mut sequence) = (Vec::new(), 1);
    let end = [OnSession::Advance(INTERVAL * 3)];
    for happening in happenings.iter().chain(&end) {
        match happening {
            OnSession::Wanted(count) if wants => {
                for _ in 0..*count {
                    wanted.push(scenario.elapsed());
                    scenario.shard.heartbeat();
                    scenario.settle();
                }
            }
            OnSession::Wanted(_) => {}
            OnSession::Commands(count) => {
                for _ in 0..*count {
                    // The queue may be full.
                    let _ = scenario.shard.send(raw_command(50, "null"));
                }
                scenario.settle();
            }
            OnSession::Acknowledged => scenario.server(&server::acknowledgement()),
            OnSession::Dispatched => {
                sequence += 1;
                scenario.server(&server::message(sequence));
            }
            OnSession::Advance(by) => scenario.advance(*by),
        }
        if scenario.shard.stats().disconnects > 0 {
            break;
        }
    }
    let log = scenario.log_at();
    let end = log.iter().position(|(_, line)| line.starts_with("disconnected")).unwrap_or(log.len());
    (log[..end].to_vec(), wanted)
}

fn beats(log: &[(Duration, String)]) -> Vec<Duration> {
    let beats = log.iter().filter(|(_, line)| line.starts_with(r#"send {"op":1,"#));
    beats.map(|(at, _)| *at).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// With any requests of the application for heartbeats, the scheduled ones are sent at the same times, and the
    /// connection is dropped at the same time, as without requests. One heartbeat is sent for each request that the
    /// window allows, and no other. `Watch` counts the messages of every minute.
    #[test]
    fn heartbeats_of_the_application_change_neither_schedule_nor_liveness(
        happenings in proptest::collection::vec(on_session(), 1..40),
        seed in any::<u64>(),
    ) {
        let (without, _) = with_wanted(&happenings, seed, false);
        let (with, wanted) = with_wanted(&happenings, seed, true);
        let (scheduled, all) = (beats(&without), beats(&with));
        for beat in &scheduled {
            prop_assert!(all.contains(beat), "{beat:?} is not in {all:?}");
        }
        prop_assert!(all.len() <= scheduled.len() + wanted.len());
        let last = |log: &[(Duration, String)]| {
            log.iter().rfind(|(_, line)| line.starts_with("close")).cloned()
        };
        prop_assert_eq!(last(&with), last(&without));
        let end = last(&with).map_or(Duration::MAX, |(at, _)| at);
        for at in wanted {
            let served = all.iter().any(|beat| *beat >= at && *beat <= at + secs(61));
            prop_assert!(served || at + secs(61) >= end, "wanted at {at:?}: {all:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// With any steps nothing panics and the invariants hold; commands are sent in order and once.
    #[test]
    fn every_sequence_of_steps_keeps_the_invariants(happenings in lives(), seed in any::<u64>(), resume in any::<bool>()) {
        let log = live(happenings, seed, resume);
        let number = |line: &str| line.strip_prefix(r#"send {"op":50,"d":"#)?.strip_suffix('}')?.parse().ok();
        let commands: Vec<u64> = log.iter().filter_map(|(_, line)| number(line)).collect();
        prop_assert!(commands.windows(2).all(|pair| pair[0] < pair[1]), "{commands:?}");
    }

    /// A session depends only on its inputs, their times and the seed.
    #[test]
    fn equal_inputs_give_equal_outputs(happenings in lives(), seed in any::<u64>()) {
        prop_assert_eq!(live(happenings.clone(), seed, true), live(happenings, seed, true));
    }

    /// Any number of inputs may come before an output is polled. The outputs are finite: those of each input, then a
    /// deadline or `Stopped`.
    #[test]
    fn inputs_may_come_in_any_number_before_the_outputs_are_polled(
        words in proptest::collection::vec((word(), 0_u64..200_000), 1..200),
    ) {
        let mut scenario = Scenario::at(Phase::Connecting);
        let (mut now, inputs) = (scenario.now(), words.len());
        for (word, later) in words {
            now += Duration::from_millis(later);
            scenario.shard.handle_input(word.into_input(), now);
        }
        let mut outputs = 0;
        let end = loop {
            match scenario.shard.poll_output() {
                end @ (Output::Timeout(_) | Output::Stopped(_)) => break end,
                _ => outputs += 1,
            }
        };
        prop_assert!(outputs <= 12 * inputs, "{outputs} outputs for {inputs} inputs");
        prop_assert_eq!(format!("{end:?}"), format!("{:?}", scenario.shard.poll_output()), "it repeats");
    }
}

proptest! {
    // Each case is long.
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// With any series of Hellos, two heartbeats are no further apart than the interval at the time of the first, and the
    /// first is sent within an interval.
    #[test]
    fn no_series_of_hellos_postpones_a_heartbeat(hellos in hellos(), seed in any::<u64>()) {
        let mut scenario = Scenario::with(Phase::AwaitingIdentify, |config| config.seed = Some(seed));
        let mut series = vec![(scenario.elapsed(), INTERVAL)];
        for (interval_ms, wait) in hellos {
            scenario.live(wait);
            scenario.server(&server::hello_with(interval_ms));
            series.push((scenario.elapsed(), Duration::from_millis(interval_ms).clamp(secs(1), secs(600))));
        }
        scenario.live(series.iter().map(|(_, interval)| *interval).max().unwrap_or_default().min(secs(90)));
        prop_assert_eq!(scenario.shard.phase(), Phase::AwaitingIdentify);
        let beats = scenario.log_at().into_iter().filter(|(_, line)| line.starts_with(r#"send {"op":1"#));
        let (start, end) = (series[0].0, scenario.elapsed());
        let times: Vec<Duration> =
            std::iter::once(start).chain(beats.map(|(at, _)| at)).chain(std::iter::once(end)).collect();
        for pair in times.windows(2) {
            let in_force = series.iter().rfind(|(since, _)| *since <= pair[0]).unwrap().1;
            prop_assert!(pair[1] - pair[0] <= in_force, "{pair:?} under {in_force:?}");
        }
    }

    /// With any order of commands and requests for heartbeats: a command is sent only if no request waits, a request
    /// waits only if the window is full, and every message was requested.
    #[test]
    fn no_command_takes_the_slot_of_a_requested_heartbeat(
        happenings in proptest::collection::vec(traffic(), 1..30),
        seed in any::<u64>(),
    ) {
        // The time for which messages count.
        let window = secs(61);
        // As long as a request waits at most.
        let patience = 2 * window;
        let mut scenario = Scenario::with(Phase::Ready, |config| config.seed = Some(seed));
        let mut scheduled = scenario.time_left();
        let mut waiting: VecDeque<Duration> = VecDeque::new();
        // Identify is the first.
        let mut sends: VecDeque<Duration> = VecDeque::from([Duration::ZERO]);
        let steps = happenings.into_iter().flat_map(|happening| match happening {
            Traffic::Requests(count) => vec![Traffic::Requests(1); count],
            other => vec![other],
        });
        for step in steps {
            match step {
                Traffic::Commands(count) => {
                    for _ in 0..count {
                        let _ = scenario.shard.send(raw_command(50, "null"));
                    }
                    scenario.settle();
                }
                Traffic::Requests(_) => {
                    scenario.server(&server::heartbeat_request());
                    // Later requests could not be answered in time.
                    if waiting.len() < 120 {
                        waiting.push_back(scenario.elapsed());
                    }
                }
                Traffic::Advance(by) => scenario.live(by),
            }
            for (at, line) in scenario.log_at() {
                let beat = line.starts_with(r#"send {"op":1,"#);
                if beat && at == scheduled {
                    scheduled += INTERVAL;
                    continue;
                }
                waiting.retain(|asked| *asked + patience >= at);
                if beat {
                    prop_assert!(waiting.pop_front().is_some(), "a heartbeat that was not asked for");
                    sends.push_back(at);
                } else if line.contains(r#""op":50"#) {
                    prop_assert!(waiting.is_empty(), "a command at {at:?} before {waiting:?}");
                    sends.push_back(at);
                }
            }
            let now = scenario.elapsed();
            waiting.retain(|asked| *asked + patience >= now);
            sends.retain(|sent| *sent + window > now);
            prop_assert!(waiting.is_empty() || sends.len() == 118, "{} sent, {waiting:?}", sends.len());
        }
    }
}
