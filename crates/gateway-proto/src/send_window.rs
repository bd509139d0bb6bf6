//! How many messages may still be sent on a connection.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// "120 events per connection every 60 seconds" (Discord Docs, Gateway > Rate Limiting), and one second more: messages
/// may be bunched up on their way to the server, which counts them where they arrive.
const WINDOW: Duration = Duration::from_secs(61);

/// How long a request for a heartbeat waits at most. Within a window every slot is free once; the second window is for a caller that
/// comes late.
const PATIENCE: Duration = WINDOW.saturating_mul(2);

/// The times of the messages sent in the last 61 seconds. All of them count: heartbeats, Identify and Resume too.
///
/// Belongs to one connection: a new one begins with an empty window.
pub(crate) struct SendWindow {
    /// All messages except scheduled heartbeats, which have reserved slots.
    sent: Sends,
    scheduled: Sends,
    /// When the server requested heartbeats.
    requested: Sends,
    /// The unanswered requests, oldest first. Commands wait for them.
    unanswered: VecDeque<Instant>,
    /// The application wants a heartbeat, and none has gone out since.
    wanted: bool,
    limit: usize,
    /// Slots for scheduled heartbeats.
    reserved: usize,
}

impl SendWindow {
    pub(crate) fn new(limit: u16) -> Self {
        Self {
            sent: Sends::default(),
            scheduled: Sends::default(),
            requested: Sends::default(),
            unanswered: VecDeque::new(),
            wanted: false,
            limit: usize::from(limit),
            reserved: 0,
        }
    }

    /// Reserves slots for heartbeats: as many as are due in a window.
    pub(crate) fn reserve_for(&mut self, heartbeat_interval: Duration) {
        let due = WINDOW.as_millis().div_ceil(heartbeat_interval.as_millis().max(1));
        // Two slots are always left: one for a command, one for a heartbeat that the server requests.
        self.reserved = usize::try_from(due).unwrap_or(usize::MAX).min(self.limit - 2);
    }

    /// Notes that a message was sent that is not a scheduled heartbeat.
    pub(crate) fn record(&mut self, now: Instant) {
        self.sent.record(now);
    }

    /// Notes that a scheduled heartbeat was sent.
    pub(crate) fn record_scheduled(&mut self, now: Instant) {
        self.wanted = false;
        self.scheduled.record(now);
    }

    /// When a scheduled heartbeat may be sent: now, unless the server has shortened the interval in mid-connection, so that
    /// earlier messages have left too few slots.
    pub(crate) fn next_scheduled(&self, now: Instant) -> Instant {
        if self.sent.within(now) + self.scheduled.within(now) < self.limit {
            return now;
        }
        [&self.sent, &self.scheduled].into_iter().filter_map(|sends| sends.frees(now, 1)).min().unwrap_or(now)
    }

    /// Records a request of the server for a heartbeat. [`answer_request`](Self::answer_request) determines when it is sent.
    pub(crate) fn request_heartbeat(&mut self, now: Instant) {
        // A window has no slots for more answers than this.
        if self.unanswered.len() < self.limit {
            self.unanswered.push_back(now);
            self.requested.record(now);
        }
    }

    /// The application wants a heartbeat. The next one that goes out serves, also one that was scheduled or that the server asked
    /// for.
    pub(crate) fn want_heartbeat(&mut self) {
        self.wanted = true;
    }

    /// Whether a heartbeat that the server asked for, or that the application wants, goes out now; it counts as sent. `kept`: places
    /// that it must leave besides those of the scheduled heartbeats.
    ///
    /// A request that has waited for two windows is dropped: every slot was free by then, and other heartbeats have used it.
    pub(crate) fn answer_request(&mut self, kept: usize, now: Instant) -> bool {
        while self.unanswered.front().is_some_and(|asked| *asked + PATIENCE < now) {
            self.unanswered.pop_front();
        }
        if self.next_answer(kept, now).is_none_or(|at| at > now) {
            return false;
        }
        self.unanswered.pop_front();
        self.wanted = false;
        self.record(now);
        true
    }

    /// When the next request may be answered, or a wanted heartbeat may go out. None: none waits.
    pub(crate) fn next_answer(&self, kept: usize, now: Instant) -> Option<Instant> {
        match self.unanswered.is_empty() {
            false => Some(self.place_at(kept, now)),
            // The server may request one, which is sent regardless of requests of the application.
            true => self.wanted.then(|| self.place_at(kept + 1, now)),
        }
    }

    /// When a command may be sent: now, or later. Requested heartbeats precede it: those that wait, and as many as the server is
    /// expected to request.
    pub(crate) fn next_command(&self, now: Instant) -> Instant {
        // One heartbeat serves the server and the application.
        let waiting = self.unanswered.len().max(usize::from(self.wanted));
        self.place_at(waiting + self.expected_requests(now), now)
    }

    /// The slots that commands leave for future requests: as many as there were in the last window, but at most half of the slots
    /// that their answers leave, and at least one.
    fn expected_requests(&self, now: Instant) -> usize {
        let lately = self.requested.within(now);
        let left = self.limit.saturating_sub(self.places(now) + lately);
        lately.min(left / 2).max(1)
    }

    /// When there is a slot for one more message, with `kept` slots left besides those of the scheduled heartbeats.
    fn place_at(&self, kept: usize, now: Instant) -> Instant {
        let open = self.limit.saturating_sub(self.places(now) + kept);
        let within = self.sent.within(now);
        match within < open {
            true => now,
            // Once this many have left the window there is a slot again. If there are too few, heartbeats have used more
            // slots than were reserved for them, and one of those has to leave.
            false => self
                .sent
                .frees(now, within + 1 - open)
                .or(self.scheduled.frees(now, 1))
                .unwrap_or(now + WINDOW),
        }
    }

    /// The slots of scheduled heartbeats: those reserved for them, or the number sent if it is larger.
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

    /// The number of messages in the window.
    fn within(&self, now: Instant) -> usize {
        self.0.len() - self.expired(now)
    }

    /// When `count` of them have left the window. `None` if there are fewer.
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

    /// The usual interval, 41.25 s: two heartbeats in a window, and one that may be requested.
    fn window(start: Instant) -> SendWindow {
        let mut window = SendWindow::new(120);
        window.reserve_for(Duration::from_millis(41_250));
        assert_eq!(window.next_command(start), start);
        window
    }

    /// The server requests a heartbeat. Returns whether it is sent at once.
    fn asked(window: &mut SendWindow, now: Instant) -> bool {
        window.request_heartbeat(now);
        window.answer_request(0, now)
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
        assert!(asked(&mut window, start));
        assert!(!asked(&mut window, start), "the rest is for the scheduled ones");
        assert_eq!(window.next_command(start + WINDOW - Duration::from_nanos(1)), start + WINDOW);
        assert!(window.answer_request(0, start + WINDOW), "it goes before the commands");
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
        // A heartbeat was requested: one more message has to leave the window before a command may be sent.
        assert!(asked(&mut window, later));
        assert_eq!(window.next_command(later), start + Duration::from_millis(100) + WINDOW);
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
        assert_eq!(window.next_command(now), start + WINDOW);
        assert!(!asked(&mut window, now));
        assert_eq!(window.next_answer(0, now), Some(start + WINDOW));
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

    #[test]
    fn commands_leave_room_for_as_many_requests_as_came_lately() {
        let start = Instant::now();
        let mut window = window(start);
        for _ in 0..20 {
            assert!(asked(&mut window, start));
        }
        let mut commands = 0;
        while window.next_command(start) == start {
            window.record(start);
            commands += 1;
        }
        assert_eq!(commands, 118 - 20 - 20);
        for _ in 0..20 {
            assert!(asked(&mut window, start));
        }
        assert!(!asked(&mut window, start));
        // Expected requests never take all slots: half of those that the answers leave go to commands.
        let mut window = self::window(start);
        for _ in 0..60 {
            assert!(asked(&mut window, start));
        }
        let mut commands = 0;
        while window.next_command(start) == start {
            window.record(start);
            commands += 1;
        }
        assert_eq!(commands, 29);
    }

    #[test]
    fn a_wanted_heartbeat_goes_before_commands_and_leaves_the_places_of_others() {
        let start = Instant::now();
        let mut window = window(start);
        let wanted = |window: &mut SendWindow, now| {
            window.want_heartbeat();
            window.answer_request(0, now)
        };
        for _ in 0..117 {
            assert!(wanted(&mut window, start));
        }
        assert!(!wanted(&mut window, start));
        assert_eq!(window.next_answer(0, start), Some(start + WINDOW));
        assert_eq!(window.next_command(start), start + WINDOW);
        assert!(asked(&mut window, start), "a place was left for one that the server asks for");
        assert_eq!(window.next_answer(0, start), None, "which serves the application too");
        for _ in 0..2 {
            assert_eq!(window.next_scheduled(start), start);
            assert!(!wanted(&mut window, start));
            window.record_scheduled(start);
            assert_eq!(window.next_answer(0, start), None, "as does a scheduled one");
        }
        assert!(window.next_scheduled(start) > start, "120 are sent");
        window.want_heartbeat();
        window.want_heartbeat();
        assert!(window.answer_request(0, start + WINDOW));
        assert!(!window.answer_request(0, start + WINDOW), "one serves for both");
    }

    #[test]
    fn a_flood_of_requests_takes_bounded_memory_and_is_forgotten_after_two_windows() {
        let start = Instant::now();
        let mut window = window(start);
        let answered = (0..10_000).filter(|_| asked(&mut window, start)).count();
        assert_eq!((answered, window.unanswered.len()), (118, 120));
        assert_eq!(window.requested.within(start), 118 + 120);
        let later = start + WINDOW;
        assert_eq!(std::iter::from_fn(|| window.answer_request(0, later).then_some(())).count(), 118);
        let much_later = start + PATIENCE + Duration::from_nanos(1);
        assert!(!window.answer_request(0, much_later));
        assert_eq!(window.next_answer(0, much_later), None, "the last two have waited for too long");
        assert_eq!(window.next_command(much_later), much_later);
    }

    #[test]
    fn a_request_is_answered_before_commands_although_the_caller_comes_late() {
        let start = Instant::now();
        let mut window = window(start);
        for _ in 0..118 {
            window.record(start);
        }
        assert!(!asked(&mut window, start));
        // The slots were free a second ago.
        let late = start + WINDOW + Duration::from_secs(1);
        assert_eq!(window.next_answer(0, late), Some(late));
        assert!(window.answer_request(0, late));
    }
}
