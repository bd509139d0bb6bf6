//! Failed Resumes: when the session is given up, and what counts as an answer.

use gateway_proto::config::Delivery;
use gateway_proto::health::Phase;
use gateway_proto::{Event, Notice, Output};

use crate::support::{BASE, Scenario, Step, ms, saved_session, secs, server};

/// The ways in which a server ends a connection without an answer to Resume.
const FAILURES: [(&str, Step); 7] = [
    ("end of stream", Scenario::eof),
    ("close code 4000", |scenario| scenario.closed(4000)),
    ("close code 4003", |scenario| scenario.closed(4003)),
    ("close code 4008", |scenario| scenario.closed(4008)),
    ("op 9 true", |scenario| {
        scenario.server(&server::invalid_session(true));
        scenario.eof();
    }),
    ("op 7", |scenario| {
        scenario.server(&server::reconnect());
        scenario.eof();
    }),
    ("silence", |scenario| {
        while scenario.shard.phase() == Phase::Resuming {
            scenario.next_deadline();
        }
        if scenario.shard.phase() == Phase::Closing {
            scenario.eof();
        }
    }),
];

/// Connects again and sends Resume.
fn resume_again(scenario: &mut Scenario) {
    scenario.next_connect();
    scenario.open();
    assert_eq!(scenario.shard.phase(), Phase::Resuming);
    scenario.log();
}

/// Resumes that fail for 180 s: the session is given up, and a new one begins at the base URL
/// (discordeno/discordeno#3907). Before that it may recover, however many Resumes fail (discord/discord-api-docs#1619).
#[test]
fn resumes_that_fail_for_three_minutes_end_the_session() {
    for (name, fail) in FAILURES {
        let mut scenario = Scenario::at(Phase::Resuming);
        fail(&mut scenario);
        let (first, mut attempts) = (scenario.elapsed(), 1);
        let end = loop {
            resume_again(&mut scenario);
            fail(&mut scenario);
            attempts += 1;
            let (lasting, end) = (scenario.elapsed() - first, scenario.outputs());
            assert_eq!(scenario.shard.session().is_some(), lasting < secs(180) || attempts < 5, "{name}");
            if scenario.shard.session().is_none() {
                break end;
            }
        };
        let given_up = Output::Event(Event::Notice(Notice::ResumeGivenUp { attempts }));
        let place =
            |output: &Output| end.iter().position(|(_, log)| format!("{log:?}") == format!("{output:?}"));
        assert!(place(&given_up).is_some(), "{name}: {end:?}");
        assert!(attempts >= 5, "{name}: {attempts}");
        assert_eq!(scenario.next_connect(), BASE, "{name}");
        scenario.open();
        assert_eq!(scenario.log().last().unwrap(), "acquire identify");
    }
}

/// Time alone does not end the session: five Resumes must fail. Waits and failed connection attempts between them do not
/// end the row.
#[test]
fn four_resumes_that_fail_within_a_day_end_no_session() {
    let mut scenario = Scenario::at(Phase::Resuming);
    for _ in 0..4 {
        scenario.eof();
        let start = scenario.elapsed();
        while scenario.elapsed() - start < secs(6 * 3600) {
            scenario.next_connect();
            scenario.connect_failed();
        }
        resume_again(&mut scenario);
    }
    assert!(scenario.shard.session().is_some());
    scenario.eof();
    assert_eq!(scenario.log()[0], "notice ResumeGivenUp { attempts: 5 }");
    assert_eq!(scenario.shard.session(), None);
}

/// Both limits are configurable.
#[test]
fn when_a_session_is_given_up_is_configurable() {
    let mut scenario = Scenario::with(Phase::Resuming, |config| {
        config.limits.resume_attempts = 1;
        config.limits.resume_timeout = ms(1);
    });
    scenario.eof();
    assert!(scenario.shard.session().is_some(), "no time has passed since the first that failed");
    resume_again(&mut scenario);
    scenario.eof();
    assert_eq!(scenario.log()[0], "notice ResumeGivenUp { attempts: 2 }");
}

/// An answer to a Resume ends the row: RESUMED, or any requested event, also one that was delivered before.
#[test]
fn an_answer_ends_the_row_of_failed_resumes() {
    let answers: [(&str, Step); 3] = [
        ("RESUMED", |scenario| scenario.server(&server::resumed(4))),
        ("an event", |scenario| scenario.server(&server::message(4))),
        ("an event that was delivered before", |scenario| scenario.server(&server::message(3))),
    ];
    for (name, answer) in answers {
        let mut scenario = Scenario::with(Phase::Ready, |config| {
            config.delivery = Delivery::Acknowledged;
        });
        scenario.server(&server::message(2));
        scenario.server(&server::message(3));
        scenario.eof();
        resume_again(&mut scenario);
        for row in 0..2 {
            let start = scenario.elapsed();
            for _ in 0..4 {
                scenario.eof();
                scenario.advance(secs(50));
                resume_again(&mut scenario);
            }
            assert!(scenario.elapsed() - start > secs(180));
            if row == 0 {
                answer(&mut scenario);
                // The end of a connection after an answer is not a failed Resume.
                scenario.eof();
                resume_again(&mut scenario);
            }
        }
        assert!(scenario.shard.session().is_some(), "{name}");
        scenario.eof();
        assert!(scenario.log()[0].starts_with("notice ResumeGivenUp { attempts: 5 }"), "{name}");
    }
}

/// An interrupted replay has begun: it continues from the newest number, any number of times.
#[test]
fn a_replay_that_progresses_keeps_the_session() {
    let mut scenario = Scenario::at(Phase::Resuming);
    let start = scenario.elapsed();
    for sequence in 2..22 {
        scenario.server(&server::message(sequence));
        scenario.eof();
        scenario.next_connect();
        scenario.open_and_resume(sequence);
    }
    assert!(scenario.elapsed() - start > secs(180));
}

/// A reconnect of the application is not a failed Resume.
#[test]
fn a_reconnect_of_the_application_is_not_a_failed_resume() {
    let mut scenario = Scenario::at(Phase::Resuming);
    for _ in 0..10 {
        scenario.advance(secs(30));
        scenario.shard.reconnect(gateway_proto::Reconnect::Resume);
        scenario.settle();
        scenario.eof();
        scenario.open();
    }
    assert!(scenario.elapsed() > secs(180) && scenario.shard.session().is_some());
}

/// 4003 means that a message came before Identify, or that the session has ended. If it has, the Resume is answered with opcode 9.
#[test]
fn a_session_is_resumed_after_4003_whenever_it_comes() {
    for phase in [Phase::AwaitingHello, Phase::Resuming, Phase::Ready] {
        let mut scenario = Scenario::with(phase, |config| config.session = Some(saved_session()));
        scenario.closed(4003);
        assert!(scenario.disconnected().resumable, "{phase:?}");
        resume_again(&mut scenario);
        scenario.server(&server::invalid_session(false));
        assert_eq!(scenario.shard.session(), None);
    }
    for phase in [Phase::AwaitingIdentify, Phase::AwaitingReady] {
        let mut scenario = Scenario::at(phase);
        scenario.closed(4003);
        scenario.next_connect();
        scenario.open();
        assert_eq!(scenario.log().last().unwrap(), "acquire identify", "{phase:?}");
    }
}

/// RESUMED ends a row of failed Resumes even if its number reveals a gap: the server has the session.
#[test]
fn resumed_with_a_gap_is_an_answer() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.eof();
    for _ in 0..4 {
        resume_again(&mut scenario);
        scenario.eof();
        scenario.advance(secs(60));
    }
    resume_again(&mut scenario);
    scenario.server(&server::resumed(50));
    scenario.eof();
    assert!(scenario.shard.session().is_some());
    resume_again(&mut scenario);
    scenario.eof();
    assert!(scenario.shard.session().is_some(), "the row begins anew");
}

/// Events that were not requested do not answer a Resume: a server that sends only these does not have the session.
#[test]
fn unrequested_events_do_not_keep_the_session() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.eof();
    let start = scenario.elapsed();
    while scenario.shard.session().is_some() && scenario.elapsed() < start + secs(3600) {
        scenario.next_connect();
        scenario.open();
        scenario.server(&server::message(1));
        scenario.eof();
    }
    assert!(scenario.shard.session().is_none());
    assert!(scenario.elapsed() >= start + secs(180));
}
