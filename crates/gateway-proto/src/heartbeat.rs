//! When to send heartbeats, and when missing acknowledgements mean that a connection is dead.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The shortest interval that is accepted.
pub(crate) const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// The longest interval that is accepted.
pub(crate) const LONGEST_INTERVAL: Duration = Duration::from_secs(600);

/// The most heartbeats whose times are remembered until they are acknowledged: more than a window has room for.
const REMEMBERED: usize = 120;

/// The heartbeat of one connection, from Hello on.
pub(crate) struct Heartbeat {
    interval: Duration,
    /// The share of an interval that this connection waits before its first heartbeat. Drawn once.
    jitter: f64,
    next: Instant,
    /// When the newest scheduled heartbeat went out.
    last_scheduled: Option<Instant>,
    unacknowledged: Option<Unacknowledged>,
    /// When the heartbeats that are not acknowledged went out, oldest first.
    sent: VecDeque<Instant>,
    last_acknowledged: Option<Instant>,
    latency: Option<Duration>,
}

/// Heartbeats sent since the newest acknowledgement.
struct Unacknowledged {
    /// How many of them were scheduled ones, not asked for by the server.
    scheduled: u32,
    /// When the first of the scheduled ones went out.
    first_scheduled: Instant,
    /// When the newest of the scheduled ones went out.
    newest_scheduled: Instant,
    /// When the acknowledgement counts as late. `None` once that was noted.
    late_at: Option<Instant>,
}

impl Heartbeat {
    /// "Upon receiving the Hello event, your app should wait `heartbeat_interval * jitter` where jitter is any random
    /// value between 0 and 1, then send its first Heartbeat" (Discord Docs, Gateway > Sending Heartbeats).
    pub(crate) fn new(interval: Duration, jitter: f64, now: Instant) -> Self {
        let jitter = jitter.clamp(0.0, 1.0);
        Self {
            interval,
            jitter,
            next: now + interval.mul_f64(jitter),
            last_scheduled: None,
            unacknowledged: None,
            sent: VecDeque::new(),
            last_acknowledged: None,
            latency: None,
        }
    }

    /// When the next scheduled heartbeat is due.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// From sending the newest acknowledged heartbeat to its acknowledgement. None until there was one.
    pub(crate) fn latency(&self) -> Option<Duration> {
        self.latency
    }

    pub(crate) fn last_acknowledged(&self) -> Option<Instant> {
        self.last_acknowledged
    }

    /// How many scheduled heartbeats are unanswered for longer than half an interval.
    pub(crate) fn missed(&self) -> u32 {
        match &self.unacknowledged {
            Some(Unacknowledged { late_at: None, scheduled, .. }) => *scheduled,
            _ => 0,
        }
    }

    /// The next deadline.
    pub(crate) fn deadline(&self) -> Instant {
        let late_at = self.unacknowledged.as_ref().and_then(|unacknowledged| unacknowledged.late_at);
        late_at.map_or(self.next, |late_at| late_at.min(self.next))
    }

    /// Notes that an acknowledgement is late, for the health of the shard.
    pub(crate) fn note_lateness(&mut self, now: Instant) {
        if let Some(unacknowledged) = &mut self.unacknowledged {
            unacknowledged.late_at = unacknowledged.late_at.filter(|late_at| *late_at > now);
        }
    }

    /// Whether, at a scheduled heartbeat, the connection is dead.
    ///
    /// "If a client does not receive a heartbeat ACK between its attempts at sending heartbeats, this may be due to a
    /// failed or \"zombied\" connection. The client should immediately terminate the connection […], then reconnect and
    /// attempt to Resume" (Discord Docs, Gateway > Sending Heartbeats).
    ///
    /// Refined: acknowledgements queue behind megabytes of guilds at start-up, so anything received since the heartbeat
    /// proves life, but not for longer than two intervals: a server that sends events and never acknowledges is broken.
    /// One message alone may take longer than that, and no acknowledgement can overtake it.
    ///
    /// `patience` is how long a heartbeat may go unacknowledged while the bytes of a message arrive; zero if none does.
    pub(crate) fn is_zombie(&self, last_received: Instant, patience: Duration, now: Instant) -> bool {
        let Some(unacknowledged) = &self.unacknowledged else { return false };
        match unacknowledged.scheduled {
            0 => false,
            _ if last_received <= unacknowledged.newest_scheduled => true,
            1 => false,
            _ => unacknowledged.first_scheduled + patience <= now,
        }
    }

    /// A scheduled heartbeat was sent. The next one is due an interval after this one was due, or, if that has passed already
    /// (a suspended process), an interval from now: missed heartbeats are not made up for.
    pub(crate) fn sent_scheduled(&mut self, now: Instant) {
        self.sent_on_request(now);
        self.last_scheduled = Some(now);
        if let Some(unacknowledged) = &mut self.unacknowledged {
            if unacknowledged.scheduled == 0 {
                unacknowledged.first_scheduled = now;
                unacknowledged.late_at = Some(now + self.interval / 2);
            }
            unacknowledged.newest_scheduled = now;
            unacknowledged.scheduled += 1;
        }
        self.next += self.interval;
        if self.next <= now {
            self.next = now + self.interval;
        }
    }

    /// A heartbeat goes out that the server asked for, or the application. The schedule is unchanged.
    pub(crate) fn sent_on_request(&mut self, now: Instant) {
        self.unacknowledged.get_or_insert(Unacknowledged {
            scheduled: 0,
            first_scheduled: now,
            newest_scheduled: now,
            late_at: None,
        });
        // Of a server that acknowledges too few the oldest are remembered, so that no acknowledgement counts for a later one.
        if self.sent.len() < REMEMBERED {
            self.sent.push_back(now);
        }
    }

    /// The send window has no slot for the scheduled heartbeat before this time.
    pub(crate) fn postpone(&mut self, until: Instant) {
        self.next = until;
    }

    /// An acknowledgement arrived. Gives when its heartbeat was sent, and the latency; None if no heartbeat was waiting for one.
    ///
    /// Acknowledgements do not say which heartbeat they are for. They come in the order of the heartbeats, so this one is for the
    /// oldest, or, where the server has left some out, for a later one.
    pub(crate) fn acknowledged(&mut self, now: Instant) -> Option<(Instant, Duration)> {
        let sent = self.sent.pop_front()?;
        self.unacknowledged = None;
        self.last_acknowledged = Some(now);
        let latency = now.saturating_duration_since(sent);
        self.latency = Some(latency);
        Some((sent, latency))
    }

    /// The silence so far is not the server's fault: heartbeats without an answer do not count as missed.
    pub(crate) fn reset_missed(&mut self) {
        if let Some(unacknowledged) = &mut self.unacknowledged {
            unacknowledged.scheduled = 0;
            unacknowledged.late_at = None;
        }
    }

    /// Another Hello on the same connection. Its interval holds for the heartbeats after the next one, and brings the next
    /// one forward if it is shorter. No deadline moves later: a server that repeats Hello cannot postpone the next heartbeat,
    /// nor the end of a connection on which it acknowledges none.
    ///
    /// The connection keeps its jitter. Of several draws the smallest would win, and heartbeats would follow each other closely.
    pub(crate) fn change_interval(&mut self, interval: Duration, now: Instant) {
        let jittered = now + interval.mul_f64(self.jitter);
        let regular = self.last_scheduled.map_or(jittered, |last| last + interval);
        self.next = self.next.min(regular.max(jittered));
        self.interval = interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(40);
    const NONE: Duration = Duration::ZERO;

    #[test]
    fn the_first_beat_is_jittered_and_the_rest_keep_the_pace() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(INTERVAL, 0.25, start);
        assert_eq!(heartbeat.next(), start + INTERVAL / 4);
        // A little late: the pace is kept.
        heartbeat.sent_scheduled(start + INTERVAL / 4 + Duration::from_millis(30));
        assert_eq!(heartbeat.next(), start + INTERVAL / 4 + INTERVAL);
        // Hours late: one beat, then the interval from there.
        let late = start + Duration::from_secs(7200);
        heartbeat.sent_scheduled(late);
        assert_eq!(heartbeat.next(), late + INTERVAL);
    }

    #[test]
    fn silence_after_one_beat_is_death_and_noise_buys_one_interval() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(INTERVAL, 0.0, start);
        assert!(!heartbeat.is_zombie(start, NONE, start));
        heartbeat.sent_scheduled(start);
        assert!(heartbeat.is_zombie(start, NONE, start));
        assert!(!heartbeat.is_zombie(start + Duration::from_secs(1), NONE, start));
        assert_eq!((heartbeat.missed(), heartbeat.deadline()), (0, start + INTERVAL / 2));
        heartbeat.note_lateness(start + INTERVAL / 2);
        assert_eq!((heartbeat.missed(), heartbeat.deadline()), (1, start + INTERVAL));
        heartbeat.sent_scheduled(start + INTERVAL);
        assert_eq!(heartbeat.missed(), 2);
        let (end, part) = (start + INTERVAL * 2, start + INTERVAL + Duration::from_secs(1));
        assert!(heartbeat.is_zombie(part, NONE, end), "two intervals without an acknowledgement");
        let long = INTERVAL * 2 + Duration::from_secs(1);
        assert!(!heartbeat.is_zombie(part, long, end), "unless a message is still coming");
        assert!(heartbeat.is_zombie(start + INTERVAL, long, end), "but not since the newest heartbeat");
        assert!(heartbeat.is_zombie(end, long, start + long), "nor for ever");
    }

    #[test]
    fn latency_is_paired_and_never_made_up() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(INTERVAL, 0.0, start);
        assert_eq!(heartbeat.acknowledged(start), None, "nothing was sent");
        heartbeat.sent_scheduled(start);
        let rtt = Duration::from_millis(80);
        assert_eq!(heartbeat.acknowledged(start + rtt), Some((start, rtt)));
        assert_eq!(heartbeat.acknowledged(start + rtt * 2), None, "one acknowledgement was owed");
        assert_eq!(heartbeat.latency(), Some(rtt));
    }

    #[test]
    fn an_acknowledgement_counts_for_the_oldest_beat() {
        let start = Instant::now();
        let second = |count| start + Duration::from_secs(count);
        let mut heartbeat = Heartbeat::new(INTERVAL, 0.0, start);
        heartbeat.sent_scheduled(start);
        heartbeat.sent_on_request(second(1));
        assert_eq!(heartbeat.acknowledged(second(2)), Some((start, Duration::from_secs(2))));
        heartbeat.sent_on_request(second(3));
        assert_eq!(heartbeat.acknowledged(second(4)), Some((second(1), Duration::from_secs(3))));
        assert_eq!(heartbeat.acknowledged(second(5)), Some((second(3), Duration::from_secs(2))));
        assert_eq!(heartbeat.acknowledged(second(6)), None);
        // A server that acknowledges nothing takes bounded memory, and gets no later one acknowledged.
        for count in 0..10_000 {
            heartbeat.sent_on_request(second(count));
        }
        let acknowledged: Vec<_> = std::iter::from_fn(|| heartbeat.acknowledged(second(10_000))).collect();
        assert_eq!((acknowledged.len(), acknowledged[119].0), (REMEMBERED, second(119)));
    }

    #[test]
    fn a_requested_beat_changes_neither_schedule_nor_judgement() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(INTERVAL, 0.5, start);
        let next = heartbeat.next();
        heartbeat.sent_on_request(start + Duration::from_secs(19));
        assert_eq!(heartbeat.next(), next);
        assert!(
            !heartbeat.is_zombie(start, NONE, start),
            "sent a second before a scheduled one, it proves nothing"
        );
    }

    #[test]
    fn bytes_before_the_scheduled_beat_prove_nothing_after_it() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(INTERVAL, 0.5, start);
        heartbeat.sent_on_request(start);
        let received = start + INTERVAL / 4;
        heartbeat.sent_scheduled(start + INTERVAL / 2);
        assert!(heartbeat.is_zombie(received, NONE, start), "nothing has come since the scheduled beat");
        assert!(!heartbeat.is_zombie(start + INTERVAL, NONE, start), "something has");
    }

    #[test]
    fn resetting_the_missed_beats_restarts_the_count() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(INTERVAL, 0.0, start);
        heartbeat.sent_scheduled(start);
        heartbeat.reset_missed();
        assert!(!heartbeat.is_zombie(start, NONE, start));
        heartbeat.sent_scheduled(start + INTERVAL);
        assert!(heartbeat.is_zombie(start, NONE, start), "silence after that counts again");
    }

    #[test]
    fn another_interval_moves_no_deadline_later() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(INTERVAL, 0.5, start);
        heartbeat.change_interval(INTERVAL * 10, start + INTERVAL / 4);
        assert_eq!(
            heartbeat.next(),
            start + INTERVAL / 2,
            "a longer interval begins after the next heartbeat"
        );
        let first = start + INTERVAL / 2;
        heartbeat.sent_scheduled(first);
        assert_eq!(heartbeat.next(), first + INTERVAL * 10);
        heartbeat.change_interval(INTERVAL, first + INTERVAL / 4);
        assert_eq!(heartbeat.next(), first + INTERVAL, "counted from the last heartbeat");
        heartbeat.change_interval(INTERVAL / 10, first + INTERVAL / 4);
        assert_eq!(heartbeat.next(), first + INTERVAL / 4 + INTERVAL / 20, "jittered, as that has passed");
        heartbeat.change_interval(INTERVAL / 10, first + INTERVAL / 4 + INTERVAL / 40);
        assert_eq!(heartbeat.next(), first + INTERVAL / 4 + INTERVAL / 20, "Hello again changes nothing");
        assert!(heartbeat.is_zombie(first, NONE, first + INTERVAL), "the heartbeat is still unacknowledged");
    }
}
