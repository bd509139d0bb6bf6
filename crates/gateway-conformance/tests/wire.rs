//! The traffic is the same on every runtime.

use gateway_async_std::{AsyncStdRuntime, async_std};
use gateway_conformance::{Driving, Suite};
use gateway_smol::SmolRuntime;
use gateway_tokio::TokioRuntime;

/// Scenarios that take no time, so that no heartbeat is sent at an undetermined moment.
const SCENARIOS: [&str; 4] = [
    "the-life-of-a-session",
    "op-7-reconnects-at-once",
    "a-session-outlives-its-process",
    "commands-are-sent-in-order",
];

#[test]
fn the_wire_is_the_same_on_three_runtimes() {
    let mut suite = Suite::new();
    suite.only(|name| SCENARIOS.contains(&name));
    suite.live("tokio", TokioRuntime, |driving| {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(driving);
    });
    suite.live("async-std", AsyncStdRuntime, async_std::task::block_on::<Driving, ()>);
    suite.live("smol", SmolRuntime, smol::future::block_on::<()>);
    let report = suite.run();
    report.assert_passed();
    assert_eq!(report.outcomes.len(), SCENARIOS.len() * 3);
    for outcomes in report.outcomes.chunks(3) {
        let wire = |index: usize| {
            let lines = outcomes[index].trace.iter().map(|line| line.text.as_str());
            lines.filter(|text| text.starts_with('#')).collect::<Vec<_>>()
        };
        assert!(wire(0).len() > 5, "{report}");
        assert_eq!(wire(0), wire(1), "{} on async-std", outcomes[1].scenario);
        assert_eq!(wire(0), wire(2), "{} on smol", outcomes[2].scenario);
    }
}
