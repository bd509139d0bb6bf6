//! Sequence numbers that the server skips: when to resume for them, and when to accept the gap.
//!
//! "`s` […] Sequence number of event used for resuming sessions and heartbeating" (Discord Docs, Gateway Events > Payload
//! Structure). A skipped number may be a lost event, for instance one that followed another in the same message; the replay
//! after a Resume brings it. But the documentation does not say that the server never skips a number without an event. So the
//! shard resumes once for a gap, from the last number before it; after a Resume that brought nothing, it resumes for another
//! gap only after a wait.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// How long gaps are accepted after a Resume that did not bring the skipped numbers.
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// The longest of these waits. Each doubles the one before.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// The state of the gaps in a shard's sequence numbers.
#[derive(Default)]
pub(crate) struct Gaps {
    /// The numbers that the newest Resume for a gap requested.
    asked: Option<RangeInclusive<u64>>,
    /// Whether none of them was received so far.
    unfilled: bool,
    /// Gaps are accepted until then.
    quiet_until: Option<Instant>,
    /// The wait after the next Resume that brings nothing. `None`: the first wait.
    wait: Option<Duration>,
    /// The number of Resumes of this session without an answer. Each may have used a number for a RESUMED that was lost.
    unanswered: u64,
}

impl Gaps {
    /// Whether to resume for the numbers between `after`, the newest, and `got`, the one received. If not, the gap is accepted.
    /// `replaying` is true between Resume and RESUMED.
    pub(crate) fn resumes_for(&mut self, after: u64, got: u64, replaying: bool, now: Instant) -> bool {
        // RESUMED has a number and is not replayed, so a RESUMED that was lost with its connection leaves a gap.
        let skipped = got - after - 1;
        if replaying && skipped < self.unanswered {
            self.unanswered -= skipped;
            return false;
        }
        // A Resume requested the next number, and the server does not have it. It may skip more than at first, since it need
        // not keep the dispatch that showed the gap.
        if self.asked.as_ref().is_some_and(|asked| asked.contains(&(after + 1))) {
            self.brought_nothing(now);
            return false;
        }
        if self.quiet_until.is_some_and(|until| now < until) {
            return false;
        }
        self.asked = Some(after + 1..=got - 1);
        self.unfilled = true;
        true
    }

    /// A Resume was sent.
    pub(crate) fn resume_sent(&mut self) {
        self.unanswered += 1;
    }

    /// A dispatch of a replay was received in order.
    pub(crate) fn replayed(&mut self, sequence: u64) {
        if self.asked.as_ref().is_some_and(|asked| asked.contains(&sequence)) {
            self.unfilled = false;
            self.wait = None;
        }
    }

    /// RESUMED was received: the replay is over.
    pub(crate) fn resumed(&mut self, now: Instant) {
        self.unanswered = 0;
        if self.asked.is_some() {
            self.brought_nothing(now);
        }
    }

    /// The session has ended, and with it its numbers. The waits stay, since they depend on how the server counts.
    pub(crate) fn session_ended(&mut self) {
        self.asked = None;
        self.unfilled = false;
        self.unanswered = 0;
    }

    /// Begins the wait, once for each Resume that brought nothing.
    fn brought_nothing(&mut self, now: Instant) {
        if std::mem::take(&mut self.unfilled) {
            let wait = self.wait.unwrap_or(FIRST_WAIT);
            self.quiet_until = Some(now + wait);
            self.wait = Some((wait * 2).min(LONGEST_WAIT));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_asked_about_once() {
        let (mut gaps, now) = (Gaps::default(), Instant::now());
        assert!(gaps.resumes_for(4, 6, false, now));
        assert!(!gaps.resumes_for(4, 6, false, now), "the same again");
        assert!(!gaps.resumes_for(4, 9, false, now), "and more than that");
    }

    #[test]
    fn a_server_that_always_skips_is_asked_ever_more_rarely() {
        let (mut gaps, mut now) = (Gaps::default(), Instant::now());
        let start = now;
        let mut asked = Vec::new();
        for number in 1..100_000 {
            let after = number * 2;
            if gaps.resumes_for(after, after + 2, false, now) {
                asked.push(now - start);
                // The replay skips it too.
                assert!(!gaps.resumes_for(after, after + 2, false, now));
            }
            now += Duration::from_secs(1);
        }
        let waits: Vec<u64> = asked.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
        assert_eq!(waits[..7], [60, 120, 240, 480, 960, 1920, 3600]);
        assert!(waits[7..].iter().all(|wait| *wait == 3600), "{waits:?}");
    }

    #[test]
    fn while_the_replay_brings_what_is_missing_it_is_asked_for_each_time() {
        let (mut gaps, now) = (Gaps::default(), Instant::now());
        for number in 1..100 {
            let after = number * 2;
            assert!(gaps.resumes_for(after, after + 2, false, now));
            gaps.replayed(after + 1);
            gaps.replayed(after + 2);
            gaps.resumed(now);
        }
    }

    #[test]
    fn a_gap_within_the_replay_that_was_asked_for_is_taken_as_it_is() {
        let (mut gaps, now) = (Gaps::default(), Instant::now());
        assert!(gaps.resumes_for(1, 5, false, now));
        gaps.replayed(2);
        assert!(!gaps.resumes_for(2, 4, false, now), "3 was asked for");
        gaps.replayed(4);
        assert!(gaps.resumes_for(5, 7, false, now), "6 was not, and the last Resume has brought something");
    }

    #[test]
    fn a_replay_of_nothing_begins_the_wait() {
        let (mut gaps, now) = (Gaps::default(), Instant::now());
        assert!(gaps.resumes_for(1, 3, false, now));
        gaps.resumed(now);
        assert!(!gaps.resumes_for(7, 9, false, now));
        gaps.resumed(now + FIRST_WAIT / 2);
        assert!(gaps.resumes_for(7, 9, false, now + FIRST_WAIT), "it began once");
    }

    #[test]
    fn another_session_has_other_numbers() {
        let (mut gaps, now) = (Gaps::default(), Instant::now());
        assert!(gaps.resumes_for(1, 3, false, now));
        gaps.session_ended();
        gaps.resumed(now);
        assert!(gaps.resumes_for(1, 3, false, now));
        assert!(!gaps.resumes_for(1, 3, false, now));
        gaps.session_ended();
        assert!(!gaps.resumes_for(1, 3, false, now), "but the server may skip in this one too");
    }

    #[test]
    fn the_largest_numbers_are_numbers() {
        let (mut gaps, now) = (Gaps::default(), Instant::now());
        assert!(gaps.resumes_for(1, u64::MAX, false, now));
        assert!(!gaps.resumes_for(u64::MAX - 2, u64::MAX, false, now));
    }

    #[test]
    fn a_resumed_that_was_lost_explains_its_number() {
        let (mut gaps, now) = (Gaps::default(), Instant::now());
        gaps.resume_sent();
        assert!(gaps.resumes_for(1, 3, true, now), "the first Resume from here: no RESUMED was lost");
        let mut gaps = Gaps::default();
        (0..3).for_each(|_| gaps.resume_sent());
        assert!(!gaps.resumes_for(1, 3, true, now), "one of two");
        assert!(!gaps.resumes_for(4, 6, true, now), "the other");
        assert!(gaps.resumes_for(7, 9, true, now));
        let mut gaps = Gaps::default();
        (0..3).for_each(|_| gaps.resume_sent());
        assert!(gaps.resumes_for(1, 5, true, now), "three numbers, and two Resumes before this one");
        let mut gaps = Gaps::default();
        (0..3).for_each(|_| gaps.resume_sent());
        gaps.resumed(now);
        gaps.resume_sent();
        assert!(gaps.resumes_for(1, 3, true, now), "RESUMED has come since");
    }
}
