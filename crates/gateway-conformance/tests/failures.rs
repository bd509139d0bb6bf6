//! The suite reports every kind of failure with its step.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use gateway_conformance::words::*;
use gateway_conformance::{Driving, JSON, Report, Scenario, Step, Suite};
use gateway_driver::{Runtime, Spawn};
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

/// Checks that every result has failed with this text.
fn assert_failed(report: &Report, results: usize, words: &str) {
    assert_eq!(report.failures().count(), results, "{report}");
    for outcome in report.failures() {
        let (_, failure) = outcome.failure.as_ref().unwrap();
        assert!(failure.to_string().contains(words), "{failure}");
        assert!(!outcome.trace.is_empty());
    }
}

#[test]
fn a_missing_observation_fails() {
    assert_failed(
        &in_memory([session(), emits(1), messages(2, 2)]),
        2,
        "step 7: expected that the application sees",
    );
    assert_failed(
        &in_memory([session(), sends(PRESENCE_UPDATE, json!({}))]),
        2,
        "step 5: expected that the client",
    );
}

#[test]
fn an_unexpected_observation_fails() {
    assert_failed(&in_memory([session(), emits(2), messages(2, 1)]), 2, "which no step expects");
    assert_failed(&in_memory([session(), send(presence())]), 2, "which no step expects");
}

#[test]
fn another_observation_fails() {
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
fn an_observation_at_another_time_fails() {
    let late = [session(), beats(1), beats(1).after(milliseconds(41_249))];
    assert_failed(&in_memory(late), 2, "after 41.25s, but should be 41.249s to 41.249s");
    let early = [session(), beats(1), beats(1).between(seconds(42), seconds(50))];
    assert_failed(&in_memory(early), 2, "after 41.25s");
}

#[test]
fn a_missing_observation_fails_in_live_runs() {
    let mut suite = Suite::of(vec![scenario([session(), messages(2, 1)])]);
    suite.patience(Duration::from_millis(500)).live("tokio", TokioRuntime, on_tokio);
    let report = suite.run();
    assert_failed(&report, 1, "nothing further happened in time");
    assert_eq!(report.summary(), "conformance: 1 scenarios x 1 ways: 0 passed, 1 failed, 0 skipped");
    assert!(report.to_string().contains("wrong-on-purpose  FAIL"), "{report}");
}

/// A runtime that hangs on its first call.
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
fn a_scenario_that_hangs_is_named_and_the_others_continue() {
    let live = |name| Scenario::new(name, "a test of the suite").variants(JSON).steps([session()]);
    let mut suite = Suite::of(vec![live("one"), live("other")]);
    suite.limit(Duration::from_secs(10)).live("hangs-once", HangsOnce::default(), on_tokio);
    let report = suite.run();
    assert_eq!((report.passed(), report.failures().count()), (1, 1), "{report}");
    assert!(report.to_string().contains("it has not ended within 10s"), "{report}");
}

/// A runtime without other threads, whose wakers need not work across threads. It looks up no names.
#[derive(Clone)]
struct OneThread;

impl Runtime for OneThread {
    type Stream = <TokioRuntime as Runtime>::Stream;

    async fn connect(&self, _: &str, port: u16) -> io::Result<Self::Stream> {
        TokioRuntime.connect("127.0.0.1", port).await
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        TokioRuntime.sleep_until(deadline)
    }
}

/// Wakes its task only from the task's own thread.
struct LocalWaker {
    task: Waker,
    thread: ThreadId,
}

impl Wake for LocalWaker {
    fn wake(self: Arc<Self>) {
        if thread::current().id() == self.thread {
            self.task.wake_by_ref();
        }
    }
}

fn with_local_wakers(mut driving: Driving) {
    on_tokio(Box::pin(poll_fn(move |context| {
        let waker = LocalWaker { task: context.waker().clone(), thread: thread::current().id() };
        driving.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::new(waker))))
    })));
}

#[test]
fn wakers_that_do_not_work_across_threads_fail() {
    let of_commands = |name: &str| name.starts_with("a-command-from-another-thread-wakes-an-idle-shard");
    let mut suite = Suite::new();
    suite.only(of_commands).live("across-threads", OneThread, on_tokio);
    suite.run().assert_passed();
    let mut suite = Suite::new();
    suite.only(of_commands).patience(Duration::from_secs(3)).live("local", OneThread, with_local_wakers);
    assert_failed(&suite.run(), 2, "expected that the client sends op 4");
}

/// A runtime whose spawner runs nothing.
#[derive(Clone)]
struct LosesTasks;

impl Runtime for LosesTasks {
    type Stream = <TokioRuntime as Runtime>::Stream;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Self::Stream> {
        TokioRuntime.connect(host, port).await
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        TokioRuntime.sleep_until(deadline)
    }
}

impl Spawn for LosesTasks {
    fn spawn(&self, task: Driving) {
        drop(task);
    }
}

#[test]
fn a_spawner_that_loses_tasks_fails_the_scenarios_of_clusters() {
    let mut suite = Suite::new();
    suite.only(|name| name == "the-recommended-number-of-shards-is-started");
    suite.patience(Duration::from_millis(500)).clusters("loses-tasks", LosesTasks, on_tokio);
    let report = suite.run();
    assert_eq!(report.failures().count(), 1, "{report}");
    assert!(
        report.to_string().contains("step 2: it does not come in time: all shards are ready"),
        "{report}"
    );
    let summary = "conformance: 1 of clusters x 1 runtimes: 0 passed, 1 failed, 0 skipped";
    assert_eq!(report.summary(), summary);
}

#[test]
fn a_scenario_of_clusters_that_is_not_run_to_its_end_fails() {
    let mut suite = Suite::new();
    suite.only(|name| name == "the-recommended-number-of-shards-is-started");
    suite.clusters("gives-up", TokioRuntime, drop).clusters("panics", TokioRuntime, |_| panic!("no runtime"));
    let report = suite.run();
    assert_eq!(report.failures().count(), 2, "{report}");
    assert!(report.to_string().contains("its runtime gave it up"), "{report}");
    assert!(report.to_string().contains("on panics"), "{report}");
}
