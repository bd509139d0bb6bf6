//! Notices a suspended machine by comparing two clocks.

use std::time::{Duration, Instant};

/// How far the wall clock may run ahead of the monotonic one without a suspension: it is adjusted in small steps.
const TOLERANCE: Duration = Duration::from_secs(5);
/// The longest time between two comparisons, if there is a wall clock.
const EVERY: Duration = Duration::from_secs(10);

/// Compares the clocks. The monotonic one stands still while a machine sleeps, on some systems; the wall clock does not.
///
/// Nothing else depends on the wall clock: no limit, no deadline, no heartbeat.
#[derive(Debug, Default)]
pub(crate) struct WallClock {
    last: Option<(Instant, Duration)>,
    /// When the next reading is due.
    next: Option<Instant>,
}

impl WallClock {
    /// Takes the time since 1970. Returns how long the machine was suspended since the last reading, if it was.
    ///
    /// A clock that was set back is the new reference, and no suspension.
    pub(crate) fn read(&mut self, since_1970: Duration, now: Instant) -> Option<Duration> {
        self.next = Some(now + EVERY);
        let (then, wall_then) = self.last.replace((now, since_1970))?;
        let gap = since_1970.saturating_sub(wall_then).saturating_sub(now.saturating_duration_since(then));
        (gap > TOLERANCE).then_some(gap)
    }

    /// When the next reading is due. `None` if the caller passes no wall clock.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Moves a missed reading to the next interval, so that a caller that stops passing the clock is not called at once again.
    pub(crate) fn pass(&mut self, now: Instant) {
        self.next = self.next.map(|next| if next > now { next } else { now + EVERY });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const SECOND: Duration = Duration::from_secs(1);

    /// The result when the clocks advance by these amounts.
    fn suspended(monotonic: Duration, wall: impl Fn(Duration) -> Duration) -> Option<Duration> {
        let (start, epoch) = (Instant::now(), 1000 * HOUR);
        let mut clock = WallClock::default();
        assert_eq!(clock.read(epoch, start), None);
        let said = clock.read(wall(epoch), start + monotonic);
        assert_eq!(clock.read(wall(epoch) + SECOND, start + monotonic + SECOND), None, "reported once");
        said
    }

    #[test]
    fn only_a_wall_clock_that_runs_ahead_is_a_sleep() {
        assert_eq!(suspended(SECOND, |epoch| epoch + HOUR), Some(HOUR - SECOND));
        assert_eq!(suspended(SECOND, |epoch| epoch + SECOND * 7), Some(SECOND * 6));
        assert_eq!(suspended(SECOND, |epoch| epoch + SECOND * 6), None);
        assert_eq!(suspended(HOUR, |epoch| epoch + HOUR), None, "both went on");
        assert_eq!(suspended(HOUR, |epoch| epoch), None, "it stood still");
        assert_eq!(suspended(SECOND, |epoch| epoch - HOUR), None, "it was set back");
        assert_eq!(suspended(SECOND, |_| Duration::ZERO), None);
    }
}
