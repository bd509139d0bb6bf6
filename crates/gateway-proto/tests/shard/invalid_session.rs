//! Opcode 9
//! ([Discord Docs, Gateway Events > Invalid Session](https://discord.com/developers/docs/events/gateway-events#invalid-session)).

use gateway_proto::disconnect::DisconnectReason;
use gateway_proto::health::Phase;

use crate::support::{BASE, OPEN, RESUME, Scenario, secs, server};

/// Opcode 9 `true`: close with a code that keeps the session, wait one to five seconds, resume at the resume URL
/// (shardlab/discordrb#438).
#[test]
fn op_9_true_resumes() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::invalid_session(true));
    assert_eq!(scenario.log(), ["close 4000 session to be resumed"]);
    scenario.eof();
    let wait = scenario.disconnected().retry_in.unwrap();
    assert!((secs(1)..=secs(5)).contains(&wait), "{wait:?}");
    scenario.advance(wait);
    assert_eq!(scenario.log(), ["connecting to resume, attempt 1", RESUME]);
}

/// Opcode 9 `false`: forget session, number and URL, wait one to five seconds, identify with a permit
/// (twilight-rs/twilight#1942; shardlab/discordrb#438).
#[test]
fn op_9_false_identifies_at_the_base_url() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::invalid_session(false));
    assert_eq!(scenario.log(), ["close 1000 session invalid"]);
    assert_eq!(scenario.shard.session(), None);
    scenario.closed(1000);
    let end = scenario.disconnected();
    assert_eq!(end.reason, DisconnectReason::InvalidSession { resumable: false });
    let wait = end.retry_in.unwrap();
    assert!((secs(1)..=secs(5)).contains(&wait), "{wait:?}");
    scenario.advance(wait);
    assert_eq!(scenario.log(), ["connecting, attempt 1", BASE]);
    scenario.open();
    assert_eq!(scenario.log().last().unwrap(), "acquire identify");
}

/// The wait is uniform between one and five seconds.
#[test]
fn the_wait_is_uniform_between_one_and_five_seconds() {
    let waits: Vec<f64> = (0..300)
        .map(|seed| {
            let mut scenario = Scenario::with(Phase::Ready, |config| config.seed = Some(seed));
            scenario.server(&server::invalid_session(false));
            scenario.eof();
            scenario.disconnected().retry_in.unwrap().as_secs_f64()
        })
        .collect();
    assert!(waits.iter().all(|wait| (1.0..=5.0).contains(wait)));
    let mean = waits.iter().sum::<f64>() / 300.0;
    assert!((2.7..3.3).contains(&mean), "{mean}");
    assert!(waits.iter().any(|wait| *wait < 1.2) && waits.iter().any(|wait| *wait > 4.8));
}

/// Opcode 9 is handled in every phase, also before Hello (bwmarrin/discordgo#513).
#[test]
fn op_9_is_handled_in_every_phase() {
    for phase in OPEN {
        for resumable in [true, false] {
            let mut scenario = Scenario::at(phase);
            let session = scenario.shard.session().is_some();
            scenario.server(&server::invalid_session(resumable));
            assert_eq!(scenario.shard.phase(), Phase::Closing, "{phase:?}");
            assert_eq!(scenario.shard.session().is_some(), session && resumable, "{phase:?}");
            scenario.eof();
            assert_eq!(scenario.disconnected().reason, DisconnectReason::InvalidSession { resumable });
        }
    }
}

/// Any data other than `true` means that the session has ended.
#[test]
fn anything_but_true_means_false() {
    for d in ["null", "0", "1", r#""true""#, "{}", "[true]"] {
        let mut scenario = Scenario::at(Phase::Ready);
        scenario.server(&format!(r#"{{"op":9,"d":{d}}}"#));
        assert_eq!(scenario.shard.session(), None, "{d}");
    }
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(r#"{"op":9}"#);
    assert_eq!(scenario.shard.session(), None);
}

/// The server may close at once after opcode 9, or wait for our close: both have the same result
/// (discord/discord-api-docs#5296).
#[test]
fn either_side_may_close_after_op_9() {
    let lives: Vec<Vec<String>> = [true, false]
        .into_iter()
        .map(|server_closes| {
            let mut scenario = Scenario::at(Phase::Ready);
            scenario.server(&server::invalid_session(false));
            match server_closes {
                true => scenario.closed(1000),
                false => scenario.advance(secs(5)),
            }
            scenario.next_deadline();
            scenario.open();
            scenario.log().into_iter().filter(|line| line != "disconnect").collect()
        })
        .collect();
    assert_eq!(lives[0], lives[1]);
}

/// No command is sent after opcode 9: it would be answered with 4003.
#[test]
fn nothing_is_sent_after_op_9() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(&server::invalid_session(true));
    scenario.shard.send(crate::support::raw_command(50, "1")).unwrap();
    scenario.log();
    scenario.advance(secs(4));
    assert_eq!(scenario.log(), [""; 0]);
    assert_eq!(scenario.shard.health().queued_commands, 1, "it waits for the next READY");
}

/// Events after opcode 9 do not count: a Resume replays them, or they belong to no session.
#[test]
fn nothing_counts_after_op_9() {
    for resumable in [true, false] {
        let mut scenario = Scenario::at(Phase::Ready);
        scenario.server(&server::invalid_session(resumable));
        scenario.log();
        scenario.server(&server::message(2));
        scenario.server(&server::ready());
        assert_eq!(scenario.log(), [""; 0]);
        let sequence = scenario.shard.session().map(|session| session.sequence());
        assert_eq!(sequence, resumable.then_some(1));
    }
}

/// From the third in a row on, the wait grows.
#[test]
fn from_the_third_in_a_row_the_wait_grows() {
    let mut longest = secs(0);
    for seed in 0..20 {
        let mut scenario = Scenario::with(Phase::AwaitingReady, |config| config.seed = Some(seed));
        for row in 1..=10 {
            scenario.server(&server::invalid_session(false));
            scenario.log();
            scenario.eof();
            let wait = scenario.disconnected().retry_in.unwrap();
            assert!(wait >= secs(1));
            assert!(row > 2 || wait <= secs(5), "{row}: {wait:?}");
            longest = longest.max(wait);
            scenario.advance(wait);
            scenario.open();
            scenario.input(gateway_proto::Input::IdentifyGranted);
        }
    }
    assert!(longest > secs(120), "{longest:?}");
}
