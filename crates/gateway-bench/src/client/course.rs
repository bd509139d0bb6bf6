//! The phases of a run, from the first shard to the last event, which all shards of a process share.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::sample::{Memory, Sample};
use super::sums::Sums;
use super::{ClientOptions, Job};

/// The state that all shards share. They change it after their READY and guilds, and after their last event.
#[derive(Debug)]
pub(super) struct Course {
    started: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    /// Shards that have not received READY and all guilds.
    beginning: u32,
    /// Shards that have not received all of their events.
    running: u32,
    /// Small events received before the last shard had its guilds.
    early: u64,
    waker: Option<Waker>,
    failure: Option<String>,
    pub(super) sums: Sums,
    /// The memory before the first shard.
    pub(super) before: Option<Memory>,
    /// The sample when all shards have READY and their guilds.
    pub(super) start: Option<Sample>,
    pub(super) ready: Option<Memory>,
    /// The sample when all shards have received all of their events.
    pub(super) end: Option<Sample>,
    pub(super) after: Option<Memory>,
}

/// The progress of one shard.
#[derive(Debug)]
pub(super) struct Runner {
    course: Arc<Course>,
    /// READY and GUILD_CREATEs that were not received yet.
    lead: u64,
    /// Small events that were not received yet. `None` for no limit.
    share: Option<u64>,
    started: bool,
    early: u64,
    pub(super) sums: Sums,
}

impl Course {
    pub(super) fn new(options: &ClientOptions) -> Self {
        let state = State {
            beginning: options.shards,
            running: options.shards,
            early: 0,
            waker: None,
            failure: None,
            sums: Sums::new(options.check),
            before: None,
            start: None,
            ready: None,
            end: None,
            after: None,
        };
        Self { started: AtomicBool::new(false), state: Mutex::new(state) }
    }

    /// Samples the memory before the first shard.
    pub(super) fn begin(&self) -> Result<(), String> {
        self.state().before = Some(Memory::now()?);
        Ok(())
    }

    /// A shard has failed.
    pub(super) fn fail(&self, sentence: String) {
        let mut state = self.state();
        state.failure.get_or_insert(sentence);
        state.wake();
    }

    /// Waits until all shards have received their events, or the idle time is over.
    pub(super) async fn watch(
        &self,
        options: &ClientOptions,
        sleep: impl AsyncFnOnce(Duration),
    ) -> Result<(), String> {
        if options.job == Job::Idle {
            self.reached(|state| state.start.is_some()).await?;
            sleep(Duration::from_secs(options.seconds)).await;
            return self.end_of_idleness();
        }
        self.reached(|state| state.end.is_some()).await
    }

    /// Samples the end of the idle time.
    pub(super) fn end_of_idleness(&self) -> Result<(), String> {
        let mut state = self.state();
        state.stop()?;
        state.failure.clone().map_or(Ok(()), Err)
    }

    async fn reached(&self, there: impl Fn(&State) -> bool) -> Result<(), String> {
        poll_fn(|context| {
            let mut state = self.state();
            match &state.failure {
                Some(failure) => return Poll::Ready(Err(failure.clone())),
                None if there(&state) => return Poll::Ready(Ok(())),
                None => {}
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Small events between the last READY and the end.
    pub(super) fn measured(&self, options: &ClientOptions) -> u64 {
        options.events - self.state().early
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard_is_ready(&self) -> Result<(), String> {
        let mut state = self.state();
        state.beginning -= 1;
        if state.beginning == 0 {
            state.ready = Some(Memory::now()?);
            state.start = Some(Sample::now());
            self.started.store(true, Ordering::Relaxed);
            state.wake();
        }
        Ok(())
    }

    fn shard_has_enough(&self, runner: &Runner) -> Result<(), String> {
        let mut state = self.state();
        state.sums.add(&runner.sums);
        state.early += runner.early;
        state.running -= 1;
        if state.running == 0 {
            state.stop()?;
            state.wake();
        }
        Ok(())
    }
}

impl State {
    fn stop(&mut self) -> Result<(), String> {
        self.end = Some(Sample::now());
        self.after = Some(Memory::now()?);
        Ok(())
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Runner {
    pub(super) fn new(options: &ClientOptions, course: &Arc<Course>) -> Self {
        Self {
            course: course.clone(),
            lead: 1 + options.guilds,
            share: (options.job != Job::Idle).then(|| options.events / u64::from(options.shards)),
            started: false,
            early: 0,
            sums: Sums::new(options.check),
        }
    }

    /// Whether the next dispatch is READY or a guild, which is counted here and needs no further work.
    pub(super) fn is_lead(&mut self) -> Result<bool, String> {
        if self.lead == 0 {
            return Ok(false);
        }
        self.lead -= 1;
        if self.lead == 0 {
            self.course.shard_is_ready()?;
        }
        Ok(true)
    }

    /// Whether READY or guilds were not received yet.
    #[cfg(feature = "twilight")]
    pub(super) fn leads(&self) -> bool {
        self.lead > 0
    }

    /// Counts a handled small event. Returns whether it was the last.
    pub(super) fn has_enough(&mut self) -> Result<bool, String> {
        if !self.started {
            self.started = self.course.started.load(Ordering::Relaxed);
            self.early += u64::from(!self.started);
        }
        let Some(share) = &mut self.share else { return Ok(false) };
        *share -= 1;
        if *share == 0 {
            self.course.shard_has_enough(self)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// The shard has failed.
    pub(super) fn fail(&self, sentence: String) {
        self.course.fail(sentence);
    }
}
