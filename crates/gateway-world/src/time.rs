//! The virtual clock: the time since the start of the world, and its conversion to instants.

use std::fmt;
use std::ops::Add;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A time in nanoseconds since the start of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// The start.
    pub const ZERO: Self = Self(0);
    /// Later than any other time.
    pub const NEVER: Self = Self(u64::MAX);

    /// This many hours after the start.
    pub fn from_hours(hours: f64) -> Self {
        Self::ZERO + Duration::from_secs_f64(hours * 3600.0)
    }

    /// Hours since the start.
    pub fn hours(self) -> f64 {
        self.0 as f64 / 3.6e12
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanoseconds))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, microseconds) = (self.0 / 1_000_000_000, self.0 / 1000 % 1_000_000);
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        write!(formatter, "{hours}:{minutes:02}:{:02}.{microseconds:06}", seconds % 60)
    }
}

/// Converts world time to instants. The instant of the start has no effect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    beginning: Instant,
    /// How long it has stood still.
    behind: Duration,
}

impl Clock {
    pub(crate) fn new(beginning: Instant) -> Self {
        Self { beginning, behind: Duration::ZERO }
    }

    /// Stops the clock for this time.
    pub(crate) fn stop(&mut self, lasting: Duration) {
        self.behind += lasting;
    }

    pub(crate) fn instant(self, time: Time) -> Instant {
        self.beginning + Duration::from_nanos(time.0).saturating_sub(self.behind)
    }

    pub(crate) fn time(self, instant: Instant) -> Time {
        Time::ZERO + instant.saturating_duration_since(self.beginning) + self.behind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_times_agree_to_the_nanosecond() {
        let clock = Clock::new(Instant::now());
        let time = Time::from_hours(20_000.0) + Duration::from_nanos(1);
        assert_eq!(clock.time(clock.instant(time)), time);
        assert_eq!(time.since(Time::from_hours(20_000.0)), Duration::from_nanos(1));
    }

    #[test]
    fn a_clock_that_stood_still_goes_on_from_where_it_was() {
        let mut clock = Clock::new(Instant::now());
        let before = clock.instant(Time::from_hours(1.0));
        clock.stop(Duration::from_secs(3600));
        assert_eq!(clock.instant(Time::from_hours(2.0)), before);
        assert_eq!(clock.time(before), Time::from_hours(2.0));
    }

    #[test]
    fn times_are_read_as_on_a_clock() {
        let time = Time::from_hours(26.5) + Duration::from_micros(1_000_042);
        assert_eq!(time.to_string(), "26:30:01.000042");
    }
}
