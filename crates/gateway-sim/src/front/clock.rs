//! The clock of the gateway.

use std::time::{Duration, Instant};

/// A clock that runs as fast as the wall clock, or faster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    started: Instant,
    speed: u32,
}

impl Clock {
    /// Starts a clock that runs `speed` times as fast as the wall clock.
    pub(super) fn start(speed: u32) -> Self {
        Self { started: now(), speed: speed.max(1) }
    }

    pub(super) fn started(self) -> Instant {
        self.started
    }

    pub(super) fn now(self) -> Instant {
        self.started + (now() - self.started) * self.speed
    }

    /// The duration on the wall clock in which `time` passes on this clock.
    pub(super) fn wait(self, time: Duration) -> Duration {
        time / self.speed
    }
}

/// The only source of time of the simulator.
#[expect(clippy::disallowed_methods, reason = "the front is where time comes from")]
fn now() -> Instant {
    Instant::now()
}
