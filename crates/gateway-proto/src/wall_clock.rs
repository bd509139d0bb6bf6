//! A suspended machine, noticed from two clocks.

use std::time::{Duration, Instant};

/// The wall clock may run ahead of the monotonic one by this much without meaning anything: it is adjusted in small steps.
const TOLERANCE: Duration = Duration::from_secs(5);
/// How often the clocks are compared at the least, where there is a wall clock.
const EVERY: Duration = Duration::from_secs(10);

/// Compares the clocks. The monotonic one stands still while a machine sleeps, on some systems; the wall clock does not.
///
/// Nothing else depends on the wall clock: no limit, no deadline, no judgement of a heartbeat.
#[derive(Debug, Default)]
pub(crate) struct WallClock {
    last: Option<(Instant, Duration)>,
    /// When it should be told again.
    next: Option<Instant>,
}

impl WallClock {
    /// Takes the time since 1970. Some: the machine has slept this long since it was last told.
    ///
    /// A step back means nothing, and is the new reference.
    pub(crate) fn tell(&mut self, since_1970: Duration, now: Instant) -> Option<Duration> {
        self.next = Some(now + EVERY);
        let (then, wall_then) = self.last.replace((now, since_1970))?;
        let gap = since_1970.saturating_sub(wall_then).saturating_sub(now.saturating_duration_since(then));
        (gap > TOLERANCE).then_some(gap)
    }

    /// When it should be told again. None: nobody tells it.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Somebody who tells it no more is not asked without end.
    pub(crate) fn pass(&mut self, now: Instant) {
        self.next = self.next.map(|next| if next > now { next } else { now + EVERY });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const SECOND: Duration = Duration::from_secs(1);

    /// What is said when both clocks move by these.
    fn told(monotonic: Duration, wall: impl Fn(Duration) -> Duration) -> Option<Duration> {
        let (start, epoch) = (Instant::now(), 1000 * HOUR);
        let mut clock = WallClock::default();
        assert_eq!(clock.tell(epoch, start), None);
        let said = clock.tell(wall(epoch), start + monotonic);
        assert_eq!(clock.tell(wall(epoch) + SECOND, start + monotonic + SECOND), None, "said once");
        said
    }

    #[test]
    fn only_a_wall_clock_that_runs_ahead_is_a_sleep() {
        assert_eq!(told(SECOND, |epoch| epoch + HOUR), Some(HOUR - SECOND));
        assert_eq!(told(SECOND, |epoch| epoch + SECOND * 7), Some(SECOND * 6));
        assert_eq!(told(SECOND, |epoch| epoch + SECOND * 6), None);
        assert_eq!(told(HOUR, |epoch| epoch + HOUR), None, "both went on");
        assert_eq!(told(HOUR, |epoch| epoch), None, "it stood still");
        assert_eq!(told(SECOND, |epoch| epoch - HOUR), None, "it was set back");
        assert_eq!(told(SECOND, |_| Duration::ZERO), None);
    }
}
