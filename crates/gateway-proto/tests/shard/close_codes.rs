//! The reaction to each close code
//! ([Discord Docs, Opcodes and Status Codes > Gateway Close Event Codes](https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes)).

use gateway_proto::disconnect::{DisconnectReason, Rejection};
use gateway_proto::health::{Condition, Phase};
use gateway_proto::{Closed, Input, Reconnect, StopReason};

use crate::support::{BASE, OPEN, RESUME, Scenario, secs, server};

const RESUMES: [u16; 15] =
    [1000, 1001, 1005, 1006, 1011, 1012, 3000, 4000, 4001, 4002, 4003, 4005, 4015, 4016, 4999];
const IDENTIFIES: [u16; 3] = [4006, 4007, 4009];
const STOPS: [(u16, Rejection); 6] = [
    (4004, Rejection::AuthenticationFailed),
    (4010, Rejection::InvalidShard),
    (4011, Rejection::ShardingRequired),
    (4012, Rejection::InvalidApiVersion),
    (4013, Rejection::InvalidIntents),
    (4014, Rejection::DisallowedIntents),
];

/// A code that does not end the session: the shard resumes at once at the resume URL. Includes the server's 1000 and 1001
/// (discordeno/discordeno#4103).
#[test]
fn an_ordinary_code_resumes_at_once() {
    for code in RESUMES {
        let mut scenario = Scenario::at(Phase::Ready);
        scenario.closed(code);
        let log = scenario.log();
        assert_eq!(log[1..], ["connecting to resume, attempt 1", RESUME], "{code}");
        assert_eq!(log[0], format!("disconnected: closed with code {code}; resumable; retry in 0ns"));
    }
}

/// An end without a code is the same: an empty close frame, a reset, the end of the stream, invalid framing
/// (disgoorg/disgo@d072b7c; Rapptz/discord.py@e2f4259; frankie567/httpx-ws#25).
#[test]
fn an_end_without_a_code_resumes_at_once() {
    for closed in [
        Closed::Frame { code: None, reason: String::new() },
        Closed::Eof,
        Closed::Failed("connection reset by peer".to_owned()),
        Closed::Protocol("reserved bits".to_owned()),
    ] {
        let mut scenario = Scenario::at(Phase::Ready);
        scenario.input(Input::Closed(closed));
        assert_eq!(scenario.log().last().unwrap(), RESUME);
    }
}

/// 4008: the shard resumes after five seconds or more.
#[test]
fn a_broken_rate_limit_waits_five_seconds() {
    for seed in 0..50 {
        let mut scenario = Scenario::with(Phase::Ready, |config| config.seed = Some(seed));
        scenario.closed(4008);
        let end = scenario.disconnected();
        let wait = end.retry_in.unwrap();
        assert!(end.resumable && (secs(5)..=secs(6)).contains(&wait), "{wait:?}");
        assert_eq!(scenario.next_connect(), RESUME);
    }
}

/// A code that ends the session: the shard forgets it and its URL, and requests a permit to identify.
#[test]
fn a_code_that_ends_the_session_identifies_at_the_base_url() {
    for code in IDENTIFIES {
        let mut scenario = Scenario::at(Phase::Ready);
        scenario.closed(code);
        assert_eq!(scenario.shard.session(), None, "{code}");
        assert!(!scenario.disconnected().resumable);
        assert_eq!(scenario.next_connect(), BASE);
        scenario.open();
        assert_eq!(scenario.log().last().unwrap(), "acquire identify");
    }
}

/// A code that no reconnect can fix stops the shard in every phase, permanently and with a typed reason
/// (bwmarrin/discordgo#1429).
#[test]
fn a_final_code_stops_the_shard_in_every_phase() {
    for (code, rejection) in STOPS {
        assert_eq!(rejection.code(), code);
        for phase in OPEN {
            let mut scenario = Scenario::at(phase);
            scenario.closed(code);
            let log = scenario.log();
            let stopped = format!("stopped: {rejection}");
            assert_eq!(log.last().unwrap(), &stopped, "{phase:?}");
            assert!(log[log.len() - 2].ends_with("; no session; for good"), "{log:?}");
            // Time, the application and the network have no further effect.
            scenario.shard.reconnect(Reconnect::Fresh);
            scenario.lag(secs(86_400));
            scenario.input(Input::Timeout);
            scenario.input(Input::Opened);
            assert_eq!(scenario.log(), [""; 0]);
            let reason = StopReason::Rejected(rejection);
            assert_eq!(scenario.shard.health().condition, Condition::Stopped(reason));
        }
    }
}

/// The codes have the same meaning in answer to Identify and to Resume.
#[test]
fn codes_have_the_same_meaning_in_every_phase() {
    for phase in OPEN {
        for code in RESUMES {
            let mut scenario = Scenario::at(phase);
            let session = scenario.shard.session().is_some();
            scenario.closed(code);
            assert_eq!(scenario.shard.session().is_some(), session, "{code} in {phase:?}");
            scenario.next_connect();
        }
        for code in IDENTIFIES {
            let mut scenario = Scenario::at(phase);
            scenario.closed(code);
            assert_eq!(scenario.shard.session(), None, "{code} in {phase:?}");
            assert_eq!(scenario.next_connect(), BASE);
        }
    }
}

/// The server's reason is reported with the code, and the error says what to do.
#[test]
fn the_reason_is_passed_on() {
    let mut scenario = Scenario::at(Phase::Ready);
    let frame = Closed::Frame { code: Some(4014), reason: "Disallowed intent(s).".to_owned() };
    scenario.input(Input::Closed(frame.clone()));
    assert_eq!(scenario.disconnected().reason, DisconnectReason::Closed(frame.clone()));
    assert_eq!(frame.to_string(), "closed with code 4014: Disallowed intent(s).");
    assert!(Rejection::DisallowedIntents.to_string().contains("developer portal"));
}

/// Two crossing close frames: a code that stops the shard or ends the session is not an echo of ours, and counts.
#[test]
fn a_code_that_crosses_our_close_frame_counts() {
    for (code, rejection) in STOPS {
        let mut scenario = Scenario::at(Phase::Closing);
        scenario.closed(code);
        assert_eq!(scenario.log().last().unwrap(), &format!("stopped: {rejection}"));
    }
    for code in IDENTIFIES {
        let mut scenario = Scenario::at(Phase::Closing);
        scenario.closed(code);
        assert!(!scenario.disconnected().resumable, "{code}");
    }
    for code in RESUMES {
        let mut scenario = Scenario::at(Phase::Closing);
        scenario.closed(code);
        let end = scenario.disconnected();
        assert_eq!((end.reason, end.resumable), (DisconnectReason::ReconnectRequested, true), "{code}");
    }
    let mut scenario = Scenario::at(Phase::Closing);
    scenario.closed(4008);
    assert!(scenario.disconnected().retry_in.unwrap() >= secs(5));
}

/// Every close of the client keeps the session, unless the application or the server has ended it: never 1000, never 1001
/// (Rapptz/discord.py@403651a).
#[test]
fn our_own_closes_keep_the_session() {
    let closes: [(&str, crate::support::Step); 5] = [
        ("op 7", |scenario| scenario.server(&server::reconnect())),
        ("op 9", |scenario| scenario.server(&server::invalid_session(true))),
        ("garbage", |scenario| scenario.server("garbage")),
        ("zombie", |scenario| scenario.advance(secs(81))),
        ("reconnect", |scenario| {
            scenario.shard.reconnect(Reconnect::Resume);
            scenario.settle();
        }),
    ];
    for (name, close) in closes {
        let mut scenario = Scenario::at(Phase::Ready);
        close(&mut scenario);
        let log = scenario.log();
        assert!(log.iter().any(|line| line.starts_with("close 4000 ")), "{name}: {log:?}");
    }
}
