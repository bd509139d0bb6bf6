//! The wait before the next connection. No failure causes reconnects without a pause.

use gateway_proto::disconnect::Refused;
use gateway_proto::health::Phase;
use gateway_proto::{ConnectError, Input, Reconnect};

use crate::support::{BASE, PHASES, Scenario, ms, secs, server};

fn refused(status: u16, retry_after: Option<u64>) -> Input {
    let retry_after = retry_after.map(secs);
    let mut refused = Refused::new(status);
    refused.retry_after = retry_after;
    Input::ConnectFailed(ConnectError::Refused(refused))
}

/// Ten minutes without a network: few attempts with increasing distance, and no tight loop (serenity-rs/serenity#1433;
/// discordjs/discord.js#9517; discord-jda/JDA#2448).
#[test]
fn ten_minutes_offline_take_few_attempts() {
    for seed in 0..50 {
        let mut scenario = Scenario::with(Phase::Connecting, |config| config.seed = Some(seed));
        let mut attempts = vec![scenario.elapsed()];
        while scenario.elapsed() < secs(600) {
            let outage = scenario.elapsed();
            scenario.connect_failed();
            let wait = scenario.disconnected().retry_in.unwrap();
            assert!(wait >= outage.mul_f64(0.4).clamp(ms(300), secs(48)), "{wait:?} after {outage:?}");
            assert!(wait <= outage.mul_f64(0.6).clamp(ms(700), secs(60)), "{wait:?} after {outage:?}");
            assert_eq!(scenario.next_connect(), BASE);
            attempts.push(scenario.elapsed());
        }
        let within = |time| attempts.iter().filter(|at| **at <= time).count();
        assert!(within(secs(30)) <= 14 && within(secs(600)) <= 28, "{attempts:?}");
    }
}

/// Whenever the server recovers, the shard reconnects within 0.6 of the outage's length.
#[test]
fn recovery_takes_a_share_of_the_outage() {
    for seed in 0..50 {
        for outage in [2, 12, 30, 90, 600] {
            let mut scenario = Scenario::with(Phase::Ready, |config| config.seed = Some(seed));
            scenario.live(secs(60));
            let lost = scenario.elapsed();
            scenario.eof();
            while scenario.elapsed() - lost < secs(outage) {
                scenario.connect_failed();
                scenario.next_connect();
            }
            let late = scenario.elapsed() - lost - secs(outage);
            assert!(late <= secs(outage).mul_f64(0.6).min(secs(60)), "{late:?} after {outage} s");
        }
    }
}

/// A gateway that resumes each session and then drops the connection: one reconnect is immediate, and the others are as
/// far apart as if the shard had never been READY.
#[test]
fn only_the_first_redial_is_immediate() {
    for seed in 0..50 {
        let mut scenario = Scenario::with(Phase::Ready, |config| config.seed = Some(seed));
        scenario.live(secs(60));
        let lost = scenario.elapsed();
        let mut attempts = Vec::new();
        for sequence in 2.. {
            scenario.eof();
            scenario.next_connect();
            attempts.push(scenario.elapsed() - lost);
            if scenario.elapsed() - lost > secs(600) {
                break;
            }
            scenario.open();
            scenario.server(&server::resumed(sequence));
        }
        assert_eq!(attempts.iter().filter(|at| at.is_zero()).count(), 1);
        let within = |time| attempts.iter().filter(|at| **at <= time).count();
        assert!(within(secs(30)) <= 14 && within(secs(600)) <= 28, "{attempts:?}");
    }
}

/// If all shards of a bot lose their connections at once, their reconnects are spread: no tenth of a second contains more
/// than a quarter of the second attempts.
#[test]
fn shards_that_lose_their_connections_at_once_reconnect_spread_out() {
    const SHARDS: u32 = 200;
    let second_attempt = |id: u32| {
        let mut scenario = Scenario::with(Phase::Ready, |config| {
            config.shard = gateway_proto::ShardId::new(id, SHARDS).unwrap();
            config.seed = Some(u64::from(id) * 7919);
        });
        scenario.live(secs(60));
        scenario.eof();
        assert_eq!(scenario.shard.phase(), Phase::Connecting, "the first attempt is immediate");
        scenario.log();
        scenario.connect_failed();
        scenario.disconnected().retry_in.unwrap()
    };
    let mut attempts: Vec<_> = (0..SHARDS).map(second_attempt).collect();
    attempts.sort();
    for (index, first) in attempts.iter().enumerate() {
        let within = attempts[index..].partition_point(|at| *at < *first + ms(100));
        assert!(within <= SHARDS as usize / 4 + 1, "{within} from {first:?} on");
    }
}

/// The shard backs off after every kind of failed connection attempt, also at the first connection
/// (disgoorg/disgo@d072b7c; discordjs/discord.js#10554).
#[test]
fn every_failed_dial_is_tried_again() {
    let detail = || "detail".to_owned();
    for error in [
        ConnectError::Dns(detail()),
        ConnectError::Tcp(detail()),
        ConnectError::Tls(detail()),
        ConnectError::Handshake(detail()),
    ] {
        let mut scenario = Scenario::at(Phase::Connecting);
        for attempt in 1..=10 {
            scenario.input(Input::ConnectFailed(error.clone()));
            assert!(scenario.log()[0].starts_with(&format!("disconnected: {error};")));
            scenario.advance_until(&format!("connecting, attempt {attempt}"));
            assert_eq!(scenario.log(), [BASE]);
        }
        scenario.open();
        assert_eq!(scenario.log().last().unwrap(), "acquire identify");
    }
}

/// The shard backs off after every refusal of the upgrade (hikari-py/hikari#90).
#[test]
fn every_refused_upgrade_is_tried_again() {
    for status in [400, 401, 403, 404, 429, 500, 502, 503, 520, 530] {
        let mut scenario = Scenario::at(Phase::Connecting);
        scenario.input(refused(status, None));
        let wait = scenario.disconnected().retry_in.unwrap();
        assert!(wait >= ms(100) && wait <= secs(1), "{status}: {wait:?}");
        assert_eq!(scenario.next_connect(), BASE);
    }
}

/// The shard waits for `Retry-After`, up to an hour (hikari-py/hikari#90).
#[test]
fn retry_after_is_observed() {
    for (asked, wait) in [(60, 60), (3600, 3600), (10_000_000, 3600)] {
        for status in [429, 503] {
            let mut scenario = Scenario::at(Phase::Connecting);
            scenario.input(refused(status, Some(asked)));
            assert_eq!(scenario.disconnected().retry_in, Some(secs(wait)));
            scenario.advance(secs(wait) - ms(1));
            assert_eq!(scenario.log(), [""; 0]);
            scenario.advance(ms(1));
            assert_eq!(scenario.log().last().unwrap(), BASE);
        }
    }
}

/// Five refusals in a row that a wait may not cure are reported, and so are ten. Other failures do not count.
#[test]
fn refusals_in_a_row_are_reported() {
    let mut scenario = Scenario::at(Phase::Connecting);
    let mut told = Vec::new();
    for attempt in 1..=10 {
        scenario.input(refused(403, None));
        if scenario.log().contains(&format!("notice RefusedRepeatedly {{ status: 403, times: {attempt} }}")) {
            told.push(attempt);
        }
        scenario.next_connect();
    }
    assert_eq!(told, [5, 10]);
    for status in [403, 403, 403, 503, 403, 403, 403, 403] {
        scenario.input(refused(status, None));
        scenario.log();
        scenario.next_connect();
    }
    scenario.input(refused(404, None));
    assert_eq!(scenario.log()[0], "notice RefusedRepeatedly { status: 404, times: 5 }");
    // A connection that opens ends the row.
    scenario.next_connect();
    scenario.input(Input::Opened);
    for _ in 0..5 {
        scenario.eof();
        scenario.next_connect();
        scenario.input(refused(403, None));
        assert!(scenario.log()[0].starts_with("disconnected"), "one in a row");
        scenario.next_connect();
        scenario.input(Input::Opened);
    }
}

/// A gateway that opens, sends Hello and closes: the waits grow, because the shard was never READY
/// (twilight-rs/twilight#2505).
#[test]
fn a_gateway_that_closes_after_hello_is_not_flooded() {
    let mut scenario = Scenario::at(Phase::Connecting);
    let start = scenario.elapsed();
    for _ in 0..50 {
        scenario.open();
        scenario.closed(4000);
        scenario.next_connect();
    }
    let mean = (scenario.elapsed() - start) / 50;
    assert!(mean > secs(15), "{mean:?}");
    assert_eq!(scenario.shard.stats().connect_attempts, 51);
}

/// READY does not reset the back-off; READY for a minute does (twilight-rs/twilight#2505).
#[test]
fn only_a_minute_of_ready_resets_the_back_off() {
    let mut scenario = Scenario::at(Phase::Ready);
    let mut life = |up: std::time::Duration| {
        scenario.advance(up);
        scenario.log();
        scenario.eof();
        let wait = scenario.disconnected().retry_in.unwrap();
        scenario.next_connect();
        scenario.open();
        scenario.server(&server::resumed(2));
        wait
    };
    assert_eq!(life(secs(1)), secs(0), "the first redial is immediate");
    let waits: Vec<_> = (0..8).map(|_| life(secs(2))).collect();
    assert!(waits.iter().all(|wait| *wait >= ms(100)), "{waits:?}");
    assert!(waits.iter().max().unwrap() > &secs(5), "{waits:?}");
    for up in [59_999, 60_000] {
        scenario.live(ms(up));
        scenario.log();
        scenario.eof();
        assert_eq!(scenario.disconnected().retry_in.unwrap().is_zero(), up == 60_000, "up for {up} ms");
        scenario.next_connect();
        scenario.open();
        scenario.server(&server::resumed(2));
    }
}

/// A day of failing Identifies costs less than a third of the thousand starts after which Discord resets the token, with
/// any seed (discord/discord-api-docs#1023).
#[test]
fn a_day_of_failing_identifies_stays_within_the_budget() {
    let ends: [(&str, crate::support::Step); 4] = [
        ("closed with 1011 instead of READY", |scenario| scenario.closed(1011)),
        ("op 9 instead of READY", |scenario| {
            scenario.server(&server::invalid_session(false));
            scenario.eof();
        }),
        ("READY, and the session times out at once", |scenario| {
            scenario.server(&server::ready());
            scenario.closed(4009);
        }),
        ("READY, and op 9 at once", |scenario| {
            scenario.server(&server::ready());
            scenario.server(&server::invalid_session(false));
            scenario.eof();
        }),
    ];
    for (name, end) in ends {
        for seed in 0..10 {
            let mut scenario = Scenario::with(Phase::Connecting, |config| config.seed = Some(seed));
            while scenario.elapsed() < secs(86_400) {
                scenario.open();
                scenario.input(Input::IdentifyGranted);
                end(&mut scenario);
                scenario.next_connect();
            }
            let identifies = scenario.shard.stats().identifies;
            assert!(identifies < 400, "{name}: {identifies} in a day");
        }
    }
}

/// The application may end a wait (tatsuworks/gateway#87; discord-jda/JDA#2464). The count of attempts continues.
#[test]
fn a_reconnect_ends_the_wait() {
    for how in [Reconnect::Resume, Reconnect::Fresh] {
        let mut scenario = Scenario::at(Phase::BackingOff);
        scenario.shard.reconnect(how);
        scenario.settle();
        assert_eq!(scenario.log(), ["connecting, attempt 1", BASE]);
    }
}

/// The configuration determines the waits.
#[test]
fn the_waits_are_configurable() {
    let mut scenario = Scenario::with(Phase::Connecting, |config| {
        config.backoff.base = secs(7);
        config.backoff.cap = secs(7);
        config.backoff.minimum = secs(7);
    });
    for _ in 0..5 {
        scenario.connect_failed();
        assert_eq!(scenario.disconnected().retry_in, Some(secs(7)));
        scenario.next_connect();
    }
}

/// The end of a connection is noticed in every phase: no deadline has to pass (serenity-rs/serenity#3099;
/// DSharpPlus/DSharpPlus#279).
#[test]
fn the_end_of_the_stream_is_noticed_in_every_phase() {
    for phase in PHASES.into_iter().filter(|phase| *phase != Phase::Stopped) {
        let mut scenario = Scenario::at(phase);
        scenario.eof();
        scenario.connect_failed();
        scenario.next_connect();
    }
}
