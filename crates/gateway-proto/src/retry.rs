//! How long to wait before the next connection.

use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::config::BackoffConfig;
use crate::{Closed, ConnectError, DisconnectReason, Reaction};

/// The wait after "You're sending payloads to us too quickly" (close code 4008).
const AFTER_RATE_LIMIT: Duration = Duration::from_secs(5);
/// The wait after opcode 9, whose documentation once asked for "a random amount of time (between 1 and 5 seconds)".
const AFTER_INVALID_SESSION: std::ops::RangeInclusive<f64> = 1.0..=5.0;
/// The longest `Retry-After` that is obeyed: a longer one is a mistake of somebody's.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);
/// The ceiling of the wait before a connection that will identify again, when Identifies came to nothing: uniform below
/// it, a day has 288 of them, and the gateway resets the token of a bot that sends 1000
/// (Discord Docs, Gateway > Rate Limiting).
const IDENTIFY_CAP: Duration = Duration::from_secs(600);
/// As long as the gateway counts Identifies together.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// One Identify is forgotten in this time, which is the mean wait below that ceiling. So their number tells whether a shard
/// identifies more often than that for whatever reason, also if each session comes up and is lost a minute later.
const IDENTIFY_FORGOTTEN_IN: Duration = Duration::from_secs(IDENTIFY_CAP.as_secs() / 2);
/// So many Identifies may come close together: a new session is wanted soon where nothing speaks against it.
const IDENTIFIES_AT_ONCE: u32 = 2;

/// What the waits depend on: how badly it went lately.
pub(crate) struct Retry {
    config: BackoffConfig,
    /// Connections in a row that failed; 0 after a stable one.
    failures: u32,
    /// Identifies sent and not forgotten yet.
    identifies: u32,
    /// Time that has gone into forgetting the next one.
    forgetting: Duration,
    /// When the last connection ended.
    last: Option<Instant>,
    /// Opcode 9 since the last stable connection.
    invalid_sessions: u32,
}

/// How the connection went that has just ended.
#[derive(Clone, Copy)]
pub(crate) struct Outcome {
    /// Since when it was READY or RESUMED, if ever.
    pub(crate) ready_since: Option<Instant>,
    /// Whether the next connection has no session to resume.
    pub(crate) will_identify: bool,
}

impl Retry {
    pub(crate) fn new(config: BackoffConfig) -> Self {
        Self {
            config,
            failures: 0,
            identifies: 0,
            forgetting: Duration::ZERO,
            last: None,
            invalid_sessions: 0,
        }
    }

    /// Connections in a row that failed.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) fn identify_sent(&mut self) {
        self.identifies = self.identifies.saturating_add(1);
    }

    /// The wait before the next connection. Counts the one that ended.
    pub(crate) fn after(
        &mut self,
        reason: &DisconnectReason,
        outcome: Outcome,
        now: Instant,
        rng: &mut Rng,
    ) -> Duration {
        let stable_after = self.config.stable_after;
        if outcome.ready_since.is_some_and(|since| now.saturating_duration_since(since) >= stable_after) {
            (self.failures, self.invalid_sessions) = (0, 0);
        }
        self.forget_identifies(outcome, now);
        let wait = self.wait(reason, outcome, rng);
        self.failures = self.failures.saturating_add(1);
        wait
    }

    fn forget_identifies(&mut self, outcome: Outcome, now: Instant) {
        let since = self.last.replace(now).or(outcome.ready_since).unwrap_or(now);
        self.forgetting += now.saturating_duration_since(since);
        while self.identifies > 0 && self.forgetting >= IDENTIFY_FORGOTTEN_IN {
            self.identifies -= 1;
            self.forgetting -= IDENTIFY_FORGOTTEN_IN;
        }
        if self.identifies == 0 {
            self.forgetting = Duration::ZERO;
        }
    }

    /// Whether the next connection will identify, and others have done so lately.
    fn identifies_often(&self, outcome: Outcome) -> bool {
        outcome.will_identify && self.identifies > IDENTIFIES_AT_ONCE
    }

    fn wait(&mut self, reason: &DisconnectReason, outcome: Outcome, rng: &mut Rng) -> Duration {
        match reason {
            DisconnectReason::Requested => Duration::ZERO,
            DisconnectReason::InvalidSession { .. } => {
                self.invalid_sessions = self.invalid_sessions.saturating_add(1);
                let (low, high) = (*AFTER_INVALID_SESSION.start(), *AFTER_INVALID_SESSION.end());
                let pause = Duration::from_secs_f64(low + (high - low) * rng.f64());
                match self.invalid_sessions {
                    0..=2 if !self.identifies_often(outcome) => pause,
                    row => pause + self.jitter(row.saturating_sub(3), outcome, rng),
                }
            }
            DisconnectReason::Closed(Closed::Frame { code, .. })
                if Reaction::to_close_code(*code) == Reaction::ResumeLater =>
            {
                AFTER_RATE_LIMIT + self.jitter(self.failures, outcome, rng)
            }
            DisconnectReason::ConnectFailed(ConnectError::Refused(refused)) => {
                let asked = refused.retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
                asked.max(self.jitter(self.failures, outcome, rng))
            }
            // The first redial after a session that was up is immediate: nothing speaks against it yet.
            _ if outcome.ready_since.is_some() && self.failures == 0 && !self.identifies_often(outcome) => {
                Duration::ZERO
            }
            _ => self.jitter(self.failures, outcome, rng),
        }
    }

    /// Full jitter: uniform below a ceiling that doubles with each failure.
    fn jitter(&self, failures: u32, outcome: Outcome, rng: &mut Rng) -> Duration {
        let mut ceiling = ceiling(self.config.base, failures, self.config.cap);
        if outcome.will_identify {
            ceiling = ceiling.max(self::ceiling(self.config.base, self.identifies, IDENTIFY_CAP));
        }
        ceiling.mul_f64(rng.f64()).max(self.config.minimum)
    }
}

/// How many Identifies a day has, as the dice say in the mean, if none comes to anything.
pub(crate) fn identifies_in_a_day(config: &BackoffConfig) -> u32 {
    let ceiling = [config.cap, IDENTIFY_CAP].map(|cap| ceiling(config.base, u32::MAX, cap)).into_iter().max();
    let mean = (ceiling.unwrap_or_default() / 2).clamp(config.minimum.max(Duration::from_millis(1)), DAY);
    u32::try_from(DAY.as_millis() / mean.as_millis()).unwrap_or(u32::MAX)
}

fn ceiling(base: Duration, doublings: u32, cap: Duration) -> Duration {
    base.saturating_mul(1 << doublings.min(20)).min(cap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Refused;

    fn eof() -> DisconnectReason {
        DisconnectReason::Closed(Closed::Eof)
    }

    const NEVER_READY: Outcome = Outcome { ready_since: None, will_identify: false };

    fn waits(reason: &DisconnectReason, outcome: Outcome, count: usize, seed: u64) -> Vec<Duration> {
        let mut retry = Retry::new(BackoffConfig::default());
        let mut rng = Rng::with_seed(seed);
        (0..count).map(|_| retry.after(reason, outcome, Instant::now(), &mut rng)).collect()
    }

    #[test]
    fn the_ceiling_doubles_up_to_the_cap_and_the_floor_holds() {
        for seed in 0..200 {
            for (failures, wait) in waits(&eof(), NEVER_READY, 12, seed).into_iter().enumerate() {
                let ceiling = Duration::from_secs(60.min(1 << failures));
                assert!(wait <= ceiling && wait >= Duration::from_millis(100), "{failures}: {wait:?}");
            }
        }
    }

    #[test]
    fn the_wait_is_jittered() {
        let tenth: Vec<Duration> = (0..200).map(|seed| waits(&eof(), NEVER_READY, 10, seed)[9]).collect();
        let (short, long) = (Duration::from_secs(20), Duration::from_secs(40));
        assert!(tenth.iter().any(|wait| *wait < short) && tenth.iter().any(|wait| *wait > long));
    }

    #[test]
    fn only_the_first_redial_after_a_session_is_immediate() {
        let start = Instant::now();
        let mut retry = Retry::new(BackoffConfig::default());
        let mut rng = Rng::with_seed(1);
        let outcome = Outcome { ready_since: Some(start), will_identify: false };
        assert_eq!(retry.after(&eof(), outcome, start, &mut rng), Duration::ZERO);
        assert!(retry.after(&eof(), outcome, start, &mut rng) > Duration::ZERO, "it did not hold");
        assert_eq!(retry.failures(), 2);
        let later = start + Duration::from_secs(60);
        assert_eq!(retry.after(&eof(), outcome, later, &mut rng), Duration::ZERO, "it held for a minute");
        assert_eq!(retry.failures(), 1);
    }

    #[test]
    fn opcode_9_waits_1_to_5_seconds_and_then_more() {
        let reason = DisconnectReason::InvalidSession { resumable: true };
        let mut longest = Duration::ZERO;
        for seed in 0..100 {
            let waits = waits(&reason, NEVER_READY, 8, seed);
            for wait in &waits[..2] {
                assert!((1.0..=5.0).contains(&wait.as_secs_f64()), "{wait:?}");
            }
            assert!(waits.iter().all(|wait| wait.as_secs_f64() >= 1.0));
            longest = longest.max(waits[7]);
        }
        assert!(longest > Duration::from_secs(10), "{longest:?}");
    }

    #[test]
    fn the_servers_wishes_are_obeyed() {
        let refused = |retry_after| {
            DisconnectReason::ConnectFailed(ConnectError::Refused(Refused {
                status: 429,
                retry_after,
                ..Refused::default()
            }))
        };
        let minute = Duration::from_secs(60);
        assert_eq!(waits(&refused(Some(minute)), NEVER_READY, 1, 1)[0], minute);
        let year = Duration::from_secs(31_536_000);
        assert_eq!(waits(&refused(Some(year)), NEVER_READY, 1, 1)[0], LONGEST_RETRY_AFTER);
        assert!(waits(&refused(None), NEVER_READY, 1, 1)[0] <= Duration::from_secs(1));
        let rate_limited =
            DisconnectReason::Closed(Closed::Frame { code: Some(4008), reason: String::new() });
        let outcome = Outcome { ready_since: Some(Instant::now()), will_identify: false };
        assert!(waits(&rate_limited, outcome, 1, 1)[0] >= AFTER_RATE_LIMIT);
    }

    #[test]
    fn identifies_that_come_to_nothing_are_spread_over_the_day() {
        let mut total = Duration::ZERO;
        for seed in 0..20 {
            let mut retry = Retry::new(BackoffConfig::default());
            let mut rng = Rng::with_seed(seed);
            let outcome = Outcome { ready_since: None, will_identify: true };
            for _ in 0..100 {
                retry.identify_sent();
                total += retry.after(&eof(), outcome, Instant::now(), &mut rng);
            }
        }
        assert!(total / (20 * 100) > Duration::from_secs(200), "the mean is {:?}", total / 2000);
    }

    /// How the connections of a day go, again and again.
    struct Life {
        /// How long each stays up after READY. None: READY never comes.
        up: Option<Duration>,
        reason: DisconnectReason,
    }

    /// The Identifies of three days, each of which is lost again, in the worst of them.
    fn identifies_of_lives(config: &BackoffConfig, lives: &[Life], seed: u64) -> usize {
        let mut retry = Retry::new(config.clone());
        let mut rng = Rng::with_seed(seed);
        let start = Instant::now();
        let (mut now, mut sent) = (start, Vec::new());
        for life in lives.iter().cycle() {
            if now > start + DAY * 3 {
                break;
            }
            retry.identify_sent();
            sent.push(now);
            let ready_since = life.up.map(|_| now);
            now += life.up.unwrap_or_default();
            now += retry.after(&life.reason, Outcome { ready_since, will_identify: true }, now, &mut rng);
        }
        let within =
            |(index, at): (usize, &Instant)| sent[index..].partition_point(|other| *other < *at + DAY);
        sent.iter().enumerate().map(within).max().unwrap_or_default()
    }

    /// B28: whatever way there is to lose each session, at whatever moment, a day costs a third of the 1000 starts.
    #[test]
    fn a_day_of_lost_sessions_costs_a_third_of_its_starts() {
        let invalid = || DisconnectReason::InvalidSession { resumable: false };
        let closed = || DisconnectReason::Closed(Closed::Frame { code: Some(4007), reason: String::new() });
        let least = Duration::from_millis(1);
        let smallest = BackoffConfig {
            base: least,
            minimum: least,
            stable_after: Duration::ZERO,
            ..BackoffConfig::default()
        };
        for config in [BackoffConfig::default(), smallest] {
            for reason in [invalid, closed, eof] {
                let life = |up: Option<u64>| Life { up: up.map(Duration::from_secs), reason: reason() };
                let mut storm = vec![life(Some(1000))];
                storm.extend((0..12).map(|_| life(None)));
                for lives in [
                    vec![life(None)],
                    vec![life(Some(0))],
                    vec![life(Some(61))],
                    vec![life(Some(250))],
                    vec![life(Some(299)), life(None)],
                    storm,
                ] {
                    let worst = (0..20).map(|seed| identifies_of_lives(&config, &lives, seed)).max().unwrap();
                    assert!(
                        worst < 350,
                        "{worst} with {} lives of {reason:?}",
                        lives.len(),
                        reason = reason()
                    );
                }
            }
        }
    }

    #[test]
    fn what_a_configuration_costs_is_known() {
        let with_base = |base: Duration| {
            let mut config = BackoffConfig::default();
            (config.base, config.minimum) = (base, base.min(config.minimum));
            identifies_in_a_day(&config)
        };
        assert_eq!(with_base(Duration::from_secs(1)), 288);
        assert_eq!(with_base(Duration::from_millis(1)), 288);
        assert_eq!(with_base(Duration::from_micros(100)), 86_400_000 / 52_428);
        assert!(with_base(Duration::from_nanos(1)) > 10_000_000);
    }
}
