//! The suite finds what is wrong, whatever it is, and says where.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gateway_conformance::words::*;
use gateway_conformance::{Driving, JSON, Report, Scenario, Step, Suite};
use gateway_driver::Runtime;
use gateway_sim::Control;
use gateway_tokio::TokioRuntime;
use serde_json::json;

fn scenario(steps: impl IntoIterator<Item = Step>) -> Scenario {
    Scenario::new("wrong-on-purpose", "a test of the suite").variants(JSON).steps(steps)
}

fn on_tokio(driving: Driving) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(driving);
}

fn in_memory(steps: impl IntoIterator<Item = Step>) -> Report {
    let mut suite = Suite::of(vec![scenario(steps)]);
    suite.on_virtual_clock().over_raw_bytes();
    suite.run()
}

/// Every result is bad, and says this.
fn assert_failed(report: &Report, results: usize, words: &str) {
    assert_eq!(report.failures().count(), results, "{report}");
    for outcome in report.failures() {
        let (_, failure) = outcome.failure.as_ref().unwrap();
        assert!(failure.to_string().contains(words), "{failure}");
        assert!(!outcome.trace.is_empty());
    }
}

#[test]
fn what_is_missing_is_found() {
    assert_failed(
        &in_memory([session(), emits(1), messages(2, 2)]),
        2,
        "step 7: the application should have seen",
    );
    assert_failed(
        &in_memory([session(), says(PRESENCE_UPDATE, json!({}))]),
        2,
        "step 5: the client should have been seen",
    );
}

#[test]
fn what_is_too_much_is_found() {
    assert_failed(&in_memory([session(), emits(2), messages(2, 1)]), 2, "besides all that it should");
    assert_failed(&in_memory([session(), send(presence())]), 2, "besides all that it should");
}

#[test]
fn what_is_something_else_is_found() {
    assert_failed(
        &in_memory([session(), gateway(Control::Reconnect { then_emit: 0 }), closes(4001)]),
        2,
        "closes with 4000",
    );
    assert_failed(&in_memory([opens_resume_url()]), 2, "step 1: the client opens /?v=10");
    assert_failed(
        &in_memory([session(), holds!(|probe| probe.stats.identifies == 2)]),
        2,
        "it does not hold",
    );
}

#[test]
fn what_is_too_early_or_too_late_is_found() {
    let late = [session(), beats(1), beats(1).after(milliseconds(41_249))];
    assert_failed(&in_memory(late), 2, "after 41.25s, where it should be 41.249s to 41.249s");
    let early = [session(), beats(1), beats(1).between(seconds(42), seconds(50))];
    assert_failed(&in_memory(early), 2, "after 41.25s");
}

#[test]
fn what_never_comes_is_found_in_live_runs_too() {
    let mut suite = Suite::of(vec![scenario([session(), messages(2, 1)])]);
    suite.patience(Duration::from_millis(500)).live("tokio", TokioRuntime, on_tokio);
    let report = suite.run();
    assert_failed(&report, 1, "nothing more happened in time");
    assert_eq!(report.summary(), "conformance: 1 scenarios x 1 ways: 0 passed, 1 failed, 0 skipped");
    assert!(report.to_string().contains("wrong-on-purpose  FAIL"), "{report}");
}

/// A runtime that hangs, the first time that it is asked.
#[derive(Clone, Default)]
struct HangsOnce(Arc<AtomicBool>);

impl Runtime for HangsOnce {
    type Stream = <TokioRuntime as Runtime>::Stream;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Self::Stream> {
        TokioRuntime.connect(host, port).await
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        TokioRuntime.sleep_until(deadline)
    }

    fn now(&self) -> Instant {
        if !self.0.swap(true, Ordering::SeqCst) {
            loop {
                thread::park();
            }
        }
        TokioRuntime.now()
    }
}

#[test]
fn what_hangs_is_named_and_the_others_go_on() {
    let live = |name| Scenario::new(name, "a test of the suite").variants(JSON).steps([session()]);
    let mut suite = Suite::of(vec![live("one"), live("other")]);
    suite.limit(Duration::from_secs(10)).live("hangs-once", HangsOnce::default(), on_tokio);
    let report = suite.run();
    assert_eq!((report.passed(), report.failures().count()), (1, 1), "{report}");
    assert!(report.to_string().contains("it has not come to its end within 10s"), "{report}");
}
