//! How long to wait before the next connection.

use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::config::BackoffConfig;
use crate::disconnect::{DisconnectReason, Reaction};
use crate::{Closed, ConnectError, ShardId};

/// The wait after "You're sending payloads to us too quickly" (close code 4008).
const AFTER_RATE_LIMIT: Duration = Duration::from_secs(5);
/// The wait after opcode 9, whose documentation once asked for "a random amount of time (between 1 and 5 seconds)".
const AFTER_INVALID_SESSION: Range = (1.0, 5.0);
/// The longest `Retry-After` that is followed. A longer one is taken for a mistake.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);
/// A wait, in shares of the outage so far. An outage that ends within a wait becomes longer by the upper share at most.
/// Attempts that fail at once are spaced by the lower share at least, which makes 14 of them in 30 s.
const SHARE: Range = (0.4, 0.6);
/// The least wait, in multiples of the configured one: by default 300 to 700 ms.
const LEAST: Range = (1.0, 7.0 / 3.0);
/// The longest wait, in shares of the configured one: shards that have all waited for long are spread too. The lower share
/// makes 28 attempts in ten minutes where each fails at once.
const LONGEST: Range = (0.8, 1.0);
/// The ceiling of the wait before a connection that will identify again after Identifies that failed. Waits are uniform below it,
/// so a day has 288 of them; the gateway resets the token of a bot that sends 1000 (Discord Docs, Gateway > Rate Limiting).
pub(crate) const IDENTIFY_CAP: Duration = Duration::from_secs(600);
/// The period in which the gateway counts Identifies.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// One Identify is forgotten in this time, the mean wait below that ceiling. So the count shows whether a shard identifies more
/// often than that for any reason, also if each session becomes ready and is lost a minute later.
const IDENTIFY_FORGOTTEN_IN: Duration = Duration::from_secs(IDENTIFY_CAP.as_secs() / 2);
/// The number of Identifies that may follow each other closely, so that a new session usually begins soon.
const IDENTIFIES_AT_ONCE: u32 = 2;

/// The least and the greatest value of a uniform draw.
type Range = (f64, f64);

/// The state of the waits: the length of the outage, and the number of recent Identifies.
pub(crate) struct Retry {
    config: BackoffConfig,
    shard: ShardId,
    /// When the outage began: at the end of the last stable connection. Before there was one: of the first connection.
    outage_since: Instant,
    /// Connections in a row that failed; 0 after a stable one.
    failures: u32,
    /// Identifies sent and not forgotten yet.
    identifies: u32,
    /// The time that counts towards forgetting the next one.
    forgetting: Duration,
    /// When the last connection ended.
    last: Option<Instant>,
    /// Opcode 9 since the last stable connection.
    invalid_sessions: u32,
}

/// The outcome of a connection that has ended.
#[derive(Clone, Copy)]
pub(crate) struct Outcome {
    /// Since when it was READY or RESUMED, if ever.
    pub(crate) ready_since: Option<Instant>,
    /// Whether the next connection has no session to resume.
    pub(crate) will_identify: bool,
}

impl Retry {
    pub(crate) fn new(config: BackoffConfig, shard: ShardId, now: Instant) -> Self {
        Self {
            config,
            shard,
            outage_since: now,
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
        if self.failures == 0 {
            // Not before: a first connection may have waited long for its permit, and nothing was wrong.
            self.outage_since = now;
        }
        self.forget_identifies(outcome, now);
        let wait = self.wait(reason, outcome, now, rng);
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

    fn wait(&mut self, reason: &DisconnectReason, outcome: Outcome, now: Instant, rng: &mut Rng) -> Duration {
        match reason {
            DisconnectReason::Requested => Duration::ZERO,
            DisconnectReason::InvalidSession { .. } => {
                self.invalid_sessions = self.invalid_sessions.saturating_add(1);
                let pause = Duration::from_secs_f64(between(AFTER_INVALID_SESSION, rng.f64()));
                match self.invalid_sessions {
                    0..=2 if !self.identifies_often(outcome) => pause,
                    _ => pause + self.back_off(outcome, now, rng),
                }
            }
            DisconnectReason::Closed(Closed::Frame { code, .. })
                if Reaction::for_close_code(*code) == Reaction::ResumeLater =>
            {
                AFTER_RATE_LIMIT + self.back_off(outcome, now, rng)
            }
            DisconnectReason::ConnectFailed(ConnectError::Refused(refused)) => {
                let asked = refused.retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
                asked.max(self.back_off(outcome, now, rng))
            }
            // The first redial after a session that was ready is immediate.
            _ if outcome.ready_since.is_some() && self.failures == 0 && !self.identifies_often(outcome) => {
                Duration::ZERO
            }
            _ => self.back_off(outcome, now, rng),
        }
    }

    /// A share of the outage so far. Before an Identify, where there were others of late, also "full jitter": uniform below a
    /// ceiling that doubles with each of them.
    fn back_off(&self, outcome: Outcome, now: Instant, rng: &mut Rng) -> Duration {
        let outage = now.saturating_duration_since(self.outage_since);
        let wait = share_of(outage, &self.config, [rng.f64(), self.draw_in_slice(rng), rng.f64()]);
        if outcome.will_identify && self.identifies > 0 {
            return wait.max(identify_ceiling(self.config.base, self.identifies).mul_f64(rng.f64()));
        }
        wait
    }

    /// A draw between 0 and 1, within this shard's slice of that range. So shards of a bot that lose their connections at once
    /// come back evenly spread, and not only in the mean.
    fn draw_in_slice(&self, rng: &mut Rng) -> f64 {
        (f64::from(self.shard.id()) + rng.f64()) / f64::from(self.shard.count())
    }
}

/// The wait after this much of an outage, for three draws between 0 and 1.
fn share_of(outage: Duration, config: &BackoffConfig, [share, least, longest]: [f64; 3]) -> Duration {
    let share = outage.mul_f64(between(SHARE, share));
    let least = config.minimum.mul_f64(between(LEAST, least));
    let longest = config.cap.mul_f64(between(LONGEST, longest));
    share.max(least).min(longest).max(config.minimum)
}

fn between((least, greatest): Range, draw: f64) -> f64 {
    least + (greatest - least) * draw
}

/// The mean number of Identifies in a day, if all of them fail.
pub(crate) fn identifies_in_a_day(config: &BackoffConfig) -> u32 {
    let mean = identify_ceiling(config.base, u32::MAX) / 2;
    let mean = mean.clamp(config.minimum.max(Duration::from_millis(1)), DAY);
    u32::try_from(DAY.as_millis() / mean.as_millis()).unwrap_or(u32::MAX)
}

fn identify_ceiling(base: Duration, identifies: u32) -> Duration {
    base.saturating_mul(1 << identifies.min(20)).min(IDENTIFY_CAP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disconnect::Refused;

    fn eof() -> DisconnectReason {
        DisconnectReason::Closed(Closed::Eof)
    }

    const NEVER_READY: Outcome = Outcome { ready_since: None, will_identify: false };

    fn retry(now: Instant) -> Retry {
        Retry::new(BackoffConfig::default(), ShardId::ONE, now)
    }

    /// A life of attempts that end for the same reason.
    struct Attempts<'a> {
        reason: &'a DisconnectReason,
        /// How long each takes.
        lasting: Duration,
        /// Whether each reaches READY, and loses it at once.
        ready: bool,
    }

    impl Attempts<'_> {
        /// How long the outage was when each attempt ended, the first of which began it, and the wait that followed.
        fn waits(&self, count: usize, seed: u64) -> Vec<(Duration, Duration)> {
            let start = Instant::now();
            let (mut retry, mut rng, mut now) = (retry(start), Rng::with_seed(seed), start);
            let start = start + self.lasting;
            let wait = |_| {
                now += self.lasting;
                let outcome = Outcome { ready_since: self.ready.then_some(now), will_identify: false };
                let (outage, wait) = (now - start, retry.after(self.reason, outcome, now, &mut rng));
                now += wait;
                (outage, wait)
            };
            (0..count).map(wait).collect()
        }
    }

    fn failing(lasting: Duration) -> Attempts<'static> {
        const EOF: &DisconnectReason = &DisconnectReason::Closed(Closed::Eof);
        Attempts { reason: EOF, lasting, ready: false }
    }

    fn waits(reason: &DisconnectReason, count: usize, seed: u64) -> Vec<Duration> {
        let attempts = Attempts { reason, lasting: Duration::ZERO, ready: false };
        attempts.waits(count, seed).into_iter().map(|(_, wait)| wait).collect()
    }

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_wait_is_a_share_of_the_outage() {
        for (seed, lasting) in (0..200).zip([0.0, 0.01, 0.3, 1.0, 10.0].into_iter().cycle()) {
            for (outage, wait) in failing(secs(lasting)).waits(40, seed) {
                let least = outage.mul_f64(0.4).max(secs(0.3)).min(secs(48.0));
                let most = outage.mul_f64(0.6).max(secs(0.7)).min(secs(60.0));
                assert!(least <= wait && wait <= most, "{wait:?} after {outage:?}");
            }
        }
    }

    #[test]
    fn every_part_of_a_wait_is_jittered() {
        let drawn = |outage: f64, draw: f64| share_of(secs(outage), &BackoffConfig::default(), [draw; 3]);
        for (outage, least, most) in [(0.0, 0.3, 0.7), (10.0, 4.0, 6.0), (3600.0, 48.0, 60.0)] {
            assert_eq!((drawn(outage, 0.0), drawn(outage, 1.0)), (secs(least), secs(most)));
            let waits = (0..200).map(|seed| {
                let (start, mut rng) = (Instant::now(), Rng::with_seed(seed));
                let mut retry = retry(start);
                retry.after(&eof(), NEVER_READY, start, &mut rng);
                retry.after(&eof(), NEVER_READY, start + secs(outage), &mut rng)
            });
            let waits: Vec<Duration> = waits.collect();
            let part = |part: f64| secs(least + (most - least) * part);
            assert!(waits.iter().any(|wait| *wait < part(0.1)), "after {outage} s");
            assert!(waits.iter().any(|wait| *wait > part(0.9)), "after {outage} s");
        }
    }

    /// Attempts within this time of the end of the last stable connection, each of which fails at once. The first is immediate.
    fn attempts_within(time: Duration, waits: impl Iterator<Item = Duration>) -> usize {
        let mut at = Duration::ZERO;
        1 + waits
            .take_while(|wait| {
                at += *wait;
                at <= time
            })
            .count()
    }

    const ALLOWED: [(f64, usize); 2] = [(30.0, 14), (600.0, 28)];

    #[test]
    fn with_the_shortest_waits_30_s_have_14_attempts_and_ten_minutes_28() {
        let mut outage = Duration::ZERO;
        let shortest: Vec<Duration> = std::iter::repeat_with(|| {
            let wait = share_of(outage, &BackoffConfig::default(), [0.0; 3]);
            outage += wait;
            wait
        })
        .take(50)
        .collect();
        for (time, allowed) in ALLOWED {
            assert_eq!(attempts_within(secs(time), shortest.iter().copied()), allowed);
        }
    }

    #[test]
    fn whether_ready_comes_or_not_30_s_have_14_attempts_and_ten_minutes_28() {
        for seed in 0..2000 {
            for ready in [false, true] {
                let life = Attempts { ready, ..failing(Duration::ZERO) };
                let mut waits: Vec<Duration> =
                    life.waits(60, seed).into_iter().map(|(_, wait)| wait).collect();
                // `attempts_within` counts the immediate attempt by itself.
                let immediate = waits.iter().filter(|wait| wait.is_zero()).count();
                assert_eq!(immediate, usize::from(ready), "the immediate redial is granted once");
                waits.retain(|wait| !wait.is_zero());
                for (time, allowed) in ALLOWED {
                    let attempts = attempts_within(secs(time), waits.iter().copied());
                    assert!(attempts <= allowed, "{attempts} attempts in {time} s with seed {seed}");
                    assert!(attempts > allowed / 2, "{attempts} attempts in {time} s with seed {seed}");
                }
            }
        }
    }

    /// A thousand shards lose stable connections at once, and their immediate attempts fail at once too.
    #[test]
    fn no_tenth_of_a_second_has_more_than_a_quarter_of_the_second_attempts() {
        const SHARDS: u32 = 1000;
        for seed in 0..20 {
            let start = Instant::now();
            let lost = start + secs(100.0);
            let second_attempt = |id: u32| {
                let shard = ShardId::new(id, SHARDS).unwrap();
                let mut retry = Retry::new(BackoffConfig::default(), shard, start);
                let mut rng = Rng::with_seed(seed * u64::from(SHARDS) + u64::from(id));
                let stable = Outcome { ready_since: Some(start), will_identify: false };
                assert_eq!(retry.after(&eof(), stable, lost, &mut rng), Duration::ZERO);
                retry.after(&eof(), NEVER_READY, lost, &mut rng)
            };
            let mut attempts: Vec<Duration> = (0..SHARDS).map(second_attempt).collect();
            attempts.sort();
            let within = |first: usize| {
                attempts[first..].partition_point(|at| *at < attempts[first] + Duration::from_millis(100))
            };
            let most = (0..attempts.len()).map(within).max().unwrap();
            // Where the window cuts a slice at both ends, it has one more.
            assert!(most <= 251, "{most} of {SHARDS}");
        }
    }

    #[test]
    fn only_the_first_redial_after_a_session_is_immediate() {
        let start = Instant::now();
        let mut retry = retry(start);
        let mut rng = Rng::with_seed(1);
        let outcome = Outcome { ready_since: Some(start), will_identify: false };
        assert_eq!(retry.after(&eof(), outcome, start, &mut rng), Duration::ZERO);
        assert!(retry.after(&eof(), outcome, start, &mut rng) > Duration::ZERO, "it did not hold");
        assert_eq!(retry.failures(), 2);
        let later = start + Duration::from_secs(60);
        assert_eq!(retry.after(&eof(), outcome, later, &mut rng), Duration::ZERO, "it held for a minute");
        assert_eq!(retry.failures(), 1);
    }

    /// A shard of many waits for its permit: that is no outage.
    #[test]
    fn an_outage_does_not_begin_before_the_first_connection_ends() {
        let start = Instant::now();
        for seed in 0..100 {
            let mut retry = Retry::new(BackoffConfig::default(), ShardId::ONE, start);
            let wait =
                retry.after(&eof(), NEVER_READY, start + Duration::from_secs(600), &mut Rng::with_seed(seed));
            assert!(wait <= Duration::from_millis(700), "{wait:?}");
        }
    }

    #[test]
    fn an_outage_begins_where_a_stable_connection_ends() {
        let start = Instant::now();
        let mut rng = Rng::with_seed(1);
        let mut wait_after = |up: f64| {
            let mut retry = retry(start);
            retry.after(&eof(), NEVER_READY, start, &mut rng);
            let lost = start + secs(1000.0);
            let outcome = Outcome { ready_since: Some(lost - secs(up)), will_identify: false };
            retry.after(&eof(), outcome, lost, &mut rng);
            retry.after(&eof(), NEVER_READY, lost, &mut rng)
        };
        assert!(wait_after(60.0) <= secs(0.7));
        assert!(wait_after(59.9) >= secs(48.0));
    }

    #[test]
    fn opcode_9_waits_1_to_5_seconds_and_then_more() {
        let reason = DisconnectReason::InvalidSession { resumable: true };
        let mut longest = Duration::ZERO;
        for seed in 0..100 {
            let waits = waits(&reason, 8, seed);
            for wait in &waits[..2] {
                assert!((1.0..=5.0).contains(&wait.as_secs_f64()), "{wait:?}");
            }
            assert!(waits.iter().all(|wait| wait.as_secs_f64() >= 1.0));
            longest = longest.max(waits[7]);
        }
        assert!(longest > Duration::from_secs(10), "{longest:?}");
    }

    #[test]
    fn the_waits_of_the_server_are_kept() {
        let refused = |retry_after| {
            DisconnectReason::ConnectFailed(ConnectError::Refused(Refused {
                status: 429,
                retry_after,
                ..Refused::default()
            }))
        };
        let minute = Duration::from_secs(60);
        assert_eq!(waits(&refused(Some(minute)), 1, 1)[0], minute);
        let year = Duration::from_secs(31_536_000);
        assert_eq!(waits(&refused(Some(year)), 1, 1)[0], LONGEST_RETRY_AFTER);
        assert!(waits(&refused(None), 1, 1)[0] <= secs(0.7));
        let rate_limited =
            DisconnectReason::Closed(Closed::Frame { code: Some(4008), reason: String::new() });
        let ready = Attempts { reason: &rate_limited, lasting: Duration::ZERO, ready: true };
        assert!(ready.waits(1, 1)[0].1 >= AFTER_RATE_LIMIT);
    }

    #[test]
    fn identifies_that_come_to_nothing_are_spread_over_the_day() {
        let mut total = Duration::ZERO;
        for seed in 0..20 {
            let now = Instant::now();
            let mut retry = retry(now);
            let mut rng = Rng::with_seed(seed);
            let outcome = Outcome { ready_since: None, will_identify: true };
            for _ in 0..100 {
                retry.identify_sent();
                total += retry.after(&eof(), outcome, now, &mut rng);
            }
        }
        assert!(total / (20 * 100) > Duration::from_secs(200), "the mean is {:?}", total / 2000);
    }

    /// A kind of connection that repeats through the day.
    struct Life {
        /// How long each stays up after READY. `None` if READY is never received.
        up: Option<Duration>,
        reason: DisconnectReason,
    }

    /// The Identifies of three days, each of which is lost again, in the worst of them.
    fn identifies_of_lives(config: &BackoffConfig, lives: &[Life], seed: u64) -> usize {
        let start = Instant::now();
        let mut retry = Retry::new(config.clone(), ShardId::ONE, start);
        let mut rng = Rng::with_seed(seed);
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

    /// For every way to lose each session, at any moment, a day costs a third of the 1000 starts.
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
