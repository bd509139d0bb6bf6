//! State shared by the threads of a live scenario: the observations, and the instructions for the application.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::observation::{ClientAct, Observed, Seen, TraceLine};
use crate::runner::Stall;

/// A clock that runs faster than the wall clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    speed: u32,
}

impl Clock {
    pub(crate) fn start(speed: u32) -> Self {
        Self { started: Instant::now(), speed }
    }

    pub(crate) fn started(self) -> Instant {
        self.started
    }

    /// The time on this clock at a time of the wall clock.
    pub(crate) fn at_wall(self, wall: Instant) -> Instant {
        self.started + wall.saturating_duration_since(self.started) * self.speed
    }

    /// The time on the wall clock at a time of this clock, rounded up.
    pub(crate) fn wall_at(self, moment: Instant) -> Instant {
        let time = moment.saturating_duration_since(self.started);
        self.started + time / self.speed + Duration::from_nanos(1)
    }
}

pub(crate) struct Stage {
    clock: Clock,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    acts: VecDeque<Observed<ClientAct>>,
    seen: VecDeque<Observed<Seen>>,
    lines: Vec<TraceLine>,
    /// Whether the application takes events.
    blocked: bool,
    suspended: bool,
    aborted: bool,
    /// Whether the shard's thread has ended.
    ended: bool,
    waker: Option<Waker>,
}

/// What the shard's thread must do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Drive the shard and take its events.
    Take,
    /// Drive the shard and take none.
    Block,
    /// Do nothing.
    Wait,
    /// End.
    Abort,
}

impl Stage {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, state: Mutex::default(), changed: Condvar::new() }
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.at_wall(Instant::now()) - self.clock.started()
    }

    // ---- Observations
    // --------------------------------------------------------------------------------------------------

    pub(crate) fn observe(&self, act: Option<Observed<ClientAct>>, line: TraceLine) {
        let at = self.now();
        self.change(|state| {
            state.acts.extend(act.map(|act| Observed { at, ..act }));
            state.lines.push(TraceLine { at, ..line });
        });
    }

    pub(crate) fn see(&self, what: Seen) {
        let at = self.now();
        self.change(|state| {
            state.lines.push(TraceLine { at, text: format!("   = {what}") });
            state.seen.push_back(Observed { at, what });
        });
    }

    pub(crate) fn note(&self, text: &str) {
        let line = TraceLine { at: self.now(), text: text.to_owned() };
        self.change(|state| state.lines.push(line));
    }

    pub(crate) fn lines(&self) -> Vec<TraceLine> {
        self.lock().lines.clone()
    }

    pub(crate) fn next_act(&self, patience: Duration) -> Result<Observed<ClientAct>, Stall> {
        self.next(patience, |state| state.acts.pop_front())
    }

    pub(crate) fn put_back(&self, acts: Vec<Observed<ClientAct>>) {
        let mut state = self.lock();
        acts.into_iter().rev().for_each(|act| state.acts.push_front(act));
    }

    pub(crate) fn next_seen(&self, patience: Duration) -> Result<Observed<Seen>, Stall> {
        self.next(patience, |state| state.seen.pop_front())
    }

    pub(crate) fn acts_so_far(&self) -> Vec<Observed<ClientAct>> {
        self.lock().acts.drain(..).collect()
    }

    fn next<T>(&self, patience: Duration, take: impl Fn(&mut State) -> Option<T>) -> Result<T, Stall> {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            if let Some(found) = take(&mut state) {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Stall("nothing further happened in time"));
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets time pass if there is no event to wait for.
    pub(crate) fn let_pass(&self, time: Duration) {
        let deadline = Instant::now() + time;
        let mut state = self.lock();
        while !state.aborted {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    // ---- Instructions for the application
    // ------------------------------------------------------------------------------

    pub(crate) fn set_taking(&self, taking: bool) {
        self.change(|state| state.blocked = !taking);
    }

    pub(crate) fn set_suspended(&self, suspended: bool) {
        self.change(|state| state.suspended = suspended);
    }

    pub(crate) fn abort(&self) {
        self.change(|state| state.aborted = true);
    }

    pub(crate) fn begin_again(&self) {
        self.change(|state| state.ended = false);
    }

    pub(crate) fn turn(&self, waker: &Waker) -> Turn {
        let mut state = self.lock();
        state.waker = Some(waker.clone());
        match *state {
            State { aborted: true, .. } => Turn::Abort,
            State { suspended: true, .. } => Turn::Wait,
            State { blocked: true, .. } => Turn::Block,
            _ => Turn::Take,
        }
    }

    pub(crate) fn end(&self) {
        self.change(|state| state.ended = true);
    }

    /// Waits for the end of the shard's thread. Returns whether it ended in time.
    pub(crate) fn wait_for_end(&self, patience: Duration) -> bool {
        self.next(patience, |state| state.ended.then_some(())).is_ok()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
