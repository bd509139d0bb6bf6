//! Sessions of an earlier process. No network fault ends a session.

use gateway_proto::health::Phase;
use gateway_proto::{Input, Shard, ShardId};

use crate::support::{BASE, PHASES, Scenario, config, resume_message, saved_session, secs, server};

/// A new process resumes a saved session, after conversion to JSON and back (twilight-rs/twilight#2324).
#[test]
fn a_saved_session_is_resumed() {
    let mut before = Scenario::at(Phase::Ready);
    before.server(&server::message(2));
    let saved = serde_json::to_string(&before.shard.session().unwrap()).unwrap();
    let mut scenario = Scenario::with(Phase::Connecting, |config| {
        config.session = Some(serde_json::from_str(&saved).unwrap());
    });
    scenario.open();
    scenario.server(&server::resumed(3));
    assert_eq!(
        scenario.log(),
        [
            "connected".to_owned(),
            "hello 40s".to_owned(),
            "resuming from 2".to_owned(),
            resume_message(2),
            "dispatch RESUMED 3".to_owned(),
            "resumed, 0 replayed".to_owned(),
        ]
    );
    assert_eq!(scenario.shard.stats().identifies, 0);
}

/// A session of another shard id or count is not resumed: it has other guilds (twilight-rs/twilight#2324).
#[test]
fn a_saved_session_of_another_shard_is_not_used() {
    let mut config = config();
    config.session = Some(saved_session());
    config.shard = ShardId::new(0, 2).unwrap();
    let mut scenario = Scenario::new(config);
    assert_eq!(scenario.log(), ["notice SavedSessionForOtherShard", "connecting, attempt 0", BASE]);
    assert_eq!(scenario.shard.session(), None);
}

/// A saved session id that a Resume cannot contain is an error of the caller.
#[test]
fn a_saved_session_without_a_usable_id_is_refused() {
    for id in [String::new(), "x".repeat(513)] {
        let mut config = config();
        config.session = Some(gateway_proto::session::SessionSnapshot::new(id, None, 1, ShardId::ONE));
        let scenario = Scenario::at(Phase::Connecting);
        assert_eq!(Shard::new(config, scenario.now()).unwrap_err().field(), "session");
    }
}

/// No network failure ends the session: not a refused connection, not an outage, not a silent server
/// (disgoorg/disgo@d072b7c).
#[test]
fn no_network_fault_costs_the_session() {
    for phase in PHASES {
        if matches!(phase, Phase::Stopped | Phase::AwaitingIdentify | Phase::AwaitingReady) {
            continue;
        }
        let mut scenario = Scenario::with(phase, |config| config.session = Some(saved_session()));
        for round in 0..4 {
            scenario.eof();
            scenario.connect_failed();
            scenario.advance(secs(100));
            scenario.input(Input::Opened);
            scenario.advance(secs(100));
            assert!(scenario.shard.session().is_some(), "from {phase:?}, round {round}");
        }
    }
}
