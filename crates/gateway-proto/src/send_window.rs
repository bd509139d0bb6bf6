//! How many messages may still be sent on a connection.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// "120 events per connection every 60 seconds" (Discord Docs, Gateway > Rate Limiting), and one second more: messages
/// may be bunched up on their way to the server, which counts them where they arrive.
const WINDOW: Duration = Duration::from_secs(61);

/// The times of the messages sent in the last 61 seconds. All of them count: heartbeats, Identify and Resume too.
///
/// Belongs to one connection: a new one begins with an empty window.
pub(crate) struct SendWindow {
    /// All but the scheduled heartbeats, which have places of their own.
    sent: Sends,
    scheduled: Sends,
    limit: usize,
    /// Places for scheduled heartbeats.
    reserved: usize,
}

impl SendWindow {
    pub(crate) fn new(limit: u16) -> Self {
        Self { sent: Sends::default(), scheduled: Sends::default(), limit: usize::from(limit), reserved: 0 }
    }

    /// Keeps places for heartbeats: as many as are due in a window.
    pub(crate) fn reserve_for(&mut self, heartbeat_interval: Duration) {
        let due = WINDOW.as_millis().div_ceil(heartbeat_interval.as_millis().max(1));
        // Two places are always left: one for a command, one for a heartbeat that the server asks for.
        self.reserved = usize::try_from(due).unwrap_or(usize::MAX).min(self.limit - 2);
    }

    /// Notes that a message was sent that is not a scheduled heartbeat.
    pub(crate) fn record(&mut self, now: Instant) {
        self.sent.record(now);
    }

    /// Notes that a scheduled heartbeat was sent.
    pub(crate) fn record_scheduled(&mut self, now: Instant) {
        self.scheduled.record(now);
    }

    /// When a scheduled heartbeat may be sent: now, unless the server has shortened the interval in mid-connection, so
    /// that what was sent before left too little room.
    pub(crate) fn next_scheduled(&self, now: Instant) -> Instant {
        if self.sent.within(now) + self.scheduled.within(now) < self.limit {
            return now;
        }
        [&self.sent, &self.scheduled].into_iter().filter_map(|sends| sends.frees(now, 1)).min().unwrap_or(now)
    }

    /// Whether a heartbeat that the server asked for may be sent without taking the place of a scheduled one, nor one of
    /// the `kept` places besides.
    pub(crate) fn has_room_for_requested_heartbeat(&self, kept: usize, now: Instant) -> bool {
        self.sent.within(now) < self.limit.saturating_sub(self.places(now) + kept)
    }

    /// When a command may be sent: now, or later. One place more is kept, for a heartbeat that the server asks for.
    pub(crate) fn next_command(&self, now: Instant) -> Instant {
        let open = self.limit.saturating_sub(self.places(now) + 1);
        let within = self.sent.within(now);
        match within < open {
            true => now,
            // Once so many have left the window there is a place again. If there are none that could leave, heartbeats
            // have taken more places than were kept for them, and one of those has to.
            false => self.sent.frees(now, within + 1 - open).or(self.scheduled.frees(now, 1)).unwrap_or(now),
        }
    }

    /// Places that are not for others: those kept for scheduled heartbeats, or more if there were more of them.
    fn places(&self, now: Instant) -> usize {
        self.reserved.max(self.scheduled.within(now))
    }
}

/// When messages were sent, in order.
#[derive(Default)]
struct Sends(VecDeque<Instant>);

impl Sends {
    fn record(&mut self, now: Instant) {
        let expired = self.expired(now);
        self.0.drain(..expired);
        self.0.push_back(now);
    }

    /// How many are in the window.
    fn within(&self, now: Instant) -> usize {
        self.0.len() - self.expired(now)
    }

    /// When so many of them have left the window. None if there are fewer.
    fn frees(&self, now: Instant, count: usize) -> Option<Instant> {
        self.0.get(self.expired(now) + count - 1).map(|sent| *sent + WINDOW)
    }

    fn expired(&self, now: Instant) -> usize {
        self.0.partition_point(|sent| now >= *sent + WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The usual interval, 41.25 s: two heartbeats in a window, and one that may be asked for.
    fn window(start: Instant) -> SendWindow {
        let mut window = SendWindow::new(120);
        window.reserve_for(Duration::from_millis(41_250));
        assert_eq!(window.next_command(start), start);
        window
    }

    #[test]
    fn commands_leave_room_for_heartbeats() {
        let start = Instant::now();
        let mut window = window(start);
        for sent in 0..117 {
            assert_eq!(window.next_command(start), start, "after {sent}");
            window.record(start);
        }
        assert_eq!(window.next_command(start), start + WINDOW);
        assert!(window.has_room_for_requested_heartbeat(0, start));
        window.record(start);
        assert!(!window.has_room_for_requested_heartbeat(0, start), "the rest is for the scheduled ones");
        assert_eq!(window.next_command(start + WINDOW), start + WINDOW);
    }

    #[test]
    fn the_window_slides() {
        let start = Instant::now();
        let mut window = window(start);
        for n in 0..117 {
            window.record(start + Duration::from_millis(100 * n));
        }
        let later = start + Duration::from_secs(20);
        assert_eq!(window.next_command(later), start + WINDOW);
        // Two heartbeats were asked for: two more have to leave before a command may go.
        window.record(later);
        window.record(later);
        assert_eq!(window.next_command(later), start + Duration::from_millis(200) + WINDOW);
        let free = start + Duration::from_secs(62);
        assert_eq!(window.next_command(free), free);
    }

    #[test]
    fn a_short_interval_still_lets_commands_through() {
        let start = Instant::now();
        let mut window = SendWindow::new(120);
        window.reserve_for(Duration::from_secs(1));
        for _ in 0..58 {
            assert_eq!(window.next_command(start), start);
            window.record(start);
        }
        assert_eq!(
            window.next_command(start),
            start + WINDOW,
            "61 heartbeats, one asked for, 58 commands: 120"
        );
        window.reserve_for(Duration::ZERO);
        assert_eq!(window.reserved, 118);
    }

    #[test]
    fn an_interval_shortened_in_mid_connection_does_not_break_the_limit() {
        let start = Instant::now();
        let mut window = window(start);
        while window.next_command(start) == start {
            window.record(start);
        }
        window.reserve_for(Duration::from_secs(1));
        let mut sent = window.sent.within(start);
        let mut now = start;
        while window.next_scheduled(now) == now {
            window.record_scheduled(now);
            sent += 1;
            now += Duration::from_millis(1);
        }
        assert_eq!(sent, 120);
        assert_eq!(window.next_scheduled(now), start + WINDOW);
        assert!(!window.has_room_for_requested_heartbeat(0, now));
        assert_eq!(window.next_command(now), start + WINDOW);
    }

    #[test]
    fn heartbeats_beyond_their_places_hold_commands_back() {
        let start = Instant::now();
        let mut window = window(start);
        for _ in 0..120 {
            window.record_scheduled(start);
        }
        assert_eq!(window.next_command(start), start + WINDOW);
        assert_eq!(window.next_command(start + WINDOW), start + WINDOW);
    }
}
