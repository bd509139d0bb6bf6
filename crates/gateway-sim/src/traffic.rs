//! The times of generated events: the background of the guilds, and floods requested by commands.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::control::Target;
use crate::timers::{Timer, Timers};

/// The shortest time between two ticks of one source. Events due within it are sent together.
const TICK: Duration = Duration::from_millis(1);
/// The number of the background source.
const BACKGROUND: u64 = 0;

/// Sources of events, by number.
pub(crate) struct Traffic {
    pumps: BTreeMap<u64, Pump>,
    count: u64,
    background_rate: f64,
}

struct Pump {
    started: Instant,
    rate: f64,
    emitted: u64,
    until: Option<Instant>,
    kind: Kind,
}

/// What a source generates.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Background,
    Emit { target: Target, padding: usize },
}

impl Traffic {
    pub(crate) fn new(background_rate: f64) -> Self {
        Self { pumps: BTreeMap::new(), count: BACKGROUND, background_rate }
    }

    /// Starts the background if its rate is above 0 and it is not running.
    pub(crate) fn start_background(&mut self, timers: &mut Timers, now: Instant) {
        let rate = self.background_rate;
        if rate > 0.0 && !self.pumps.contains_key(&BACKGROUND) {
            let pump = Pump { started: now, rate, emitted: 0, until: None, kind: Kind::Background };
            self.start(BACKGROUND, pump, timers);
        }
    }

    /// Stops the background; [`start_background`](Self::start_background) starts it with this rate.
    pub(crate) fn set_background_rate(&mut self, rate: f64) {
        self.background_rate = rate;
        self.pumps.remove(&BACKGROUND);
    }

    /// Adds a source of `rate` events a second from `now` to `until`.
    pub(crate) fn flood(&mut self, kind: Kind, rate: f64, until: Instant, timers: &mut Timers, now: Instant) {
        self.count += 1;
        let pump = Pump { started: now, rate, emitted: 0, until: Some(until), kind };
        self.start(self.count, pump, timers);
    }

    /// The events due from a source whose timer was set for `at`. Without sessions the background stops.
    pub(crate) fn due(
        &mut self,
        number: u64,
        at: Instant,
        no_sessions: bool,
        timers: &mut Timers,
        now: Instant,
    ) -> Option<(u64, Kind)> {
        let pump = self.pumps.get_mut(&number)?;
        if pump.next() > at && pump.until.is_none_or(|until| until > at) {
            // The timer of a source that has been replaced.
            return None;
        }
        let end = pump.until.map_or(now, |until| until.min(now));
        // A small addition, so that an event due exactly now is not rounded away.
        let owed = (end.saturating_duration_since(pump.started).as_secs_f64() * pump.rate + 1e-6) as u64;
        let count = owed.saturating_sub(pump.emitted);
        pump.emitted += count;
        let kind = pump.kind;
        if pump.until.is_some_and(|until| until <= now) || (number == BACKGROUND && no_sessions) {
            self.pumps.remove(&number);
        } else {
            let next = pump.next().max(now + TICK);
            let next = pump.until.map_or(next, |until| until.min(next));
            timers.set(next, Timer::Traffic(number));
        }
        Some((count, kind))
    }

    fn start(&mut self, number: u64, pump: Pump, timers: &mut Timers) {
        timers.set(pump.next(), Timer::Traffic(number));
        self.pumps.insert(number, pump);
    }
}

impl Pump {
    /// The time of the next event.
    fn next(&self) -> Instant {
        let seconds = (self.emitted + 1) as f64 / self.rate;
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(1 << 32));
        self.started + wait
    }
}
