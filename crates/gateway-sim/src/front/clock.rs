//! The clock of the gateway.

use std::time::{Duration, Instant};

/// A clock as fast as the wall's, or faster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    started: Instant,
    speed: u32,
}

impl Clock {
    /// A clock that begins now and runs `speed` times as fast as the wall's.
    pub(super) fn start(speed: u32) -> Self {
        Self { started: now(), speed: speed.max(1) }
    }

    pub(super) fn started(self) -> Instant {
        self.started
    }

    pub(super) fn now(self) -> Instant {
        self.started + (now() - self.started) * self.speed
    }

    /// The time on the wall's clock in which `time` passes on this one.
    pub(super) fn wait(self, time: Duration) -> Duration {
        time / self.speed
    }
}

/// The only source of time of the simulator.
#[expect(clippy::disallowed_methods, reason = "the front is where time comes from")]
fn now() -> Instant {
    Instant::now()
}
