//! What the two sessions of a guild have received since they can be compared.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::cutover::digest::Digest;
use crate::cutover::held::{Held, OVERHEAD};

/// How many digests are remembered of a guild that the new session has sent nothing of.
const MOST_EARLY: usize = 4096;

/// One part of the bot, while the old generation is in charge of it and the new one is connected.
///
/// What the old session receives is delivered and its digest remembered; what the new session receives is held. Both receive
/// the same events, each in the server's order, so where the newest delivered event is found among those held, all before it were
/// delivered too: a cut.
#[derive(Debug)]
pub(crate) struct Window {
    /// Both sessions stood at the same event when the window was opened.
    pub(crate) aligned: bool,
    /// When the new session has sent the first event of it. None: nothing yet.
    pub(crate) announced_at: Option<Instant>,
    /// When either session has received the newest event.
    pub(crate) newest_at: Instant,
    /// The old session has received all that was sent before `announced_at`, so that what it receives now can be compared.
    pub(crate) comparable: bool,
    /// When what was held and remembered was dropped for lack of memory. The new session has to receive all that was sent before,
    /// so that none of its events is taken for a newer one. None: nothing was dropped, or it has.
    pub(crate) restarted_at: Option<Instant>,
    /// Something was dropped for lack of memory since the sessions last met. Only the old session has it.
    pub(crate) lacks: bool,
    /// The old session was lost since the sessions last met: what its successor receives is the end of what the new one does.
    old_was_lost: bool,
    held: VecDeque<Held>,
    counts: BTreeMap<Digest, Counts>,
    /// How many digests one session has received more often than the other.
    unbalanced: usize,
    /// The newest event that the old session has received since the window is comparable.
    newest_old: Option<Digest>,
    bytes: usize,
}

/// How often an event was received.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    /// By the old session before the window was comparable. Some of these may be older than the new session.
    early: u32,
    /// By the old session since.
    old: u32,
    /// By the new session.
    new: u32,
}

/// Where the two sessions meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// How many of the held events lie before the cut.
    held: usize,
}

/// What becomes of a held event.
#[derive(Debug)]
pub(crate) enum Fate {
    /// The old session has delivered it.
    Drop(Held),
    /// The application has not had it.
    Deliver(Held),
}

impl Window {
    /// A window for a part that the new session has not sent anything of.
    pub(crate) fn unannounced(now: Instant) -> Self {
        Self {
            aligned: false,
            announced_at: None,
            newest_at: now,
            comparable: false,
            restarted_at: None,
            lacks: false,
            old_was_lost: false,
            held: VecDeque::new(),
            counts: BTreeMap::new(),
            unbalanced: 0,
            newest_old: None,
            bytes: 0,
        }
    }

    /// A window in place of one that held too much.
    pub(crate) fn restarted(now: Instant) -> Self {
        Self { restarted_at: Some(now), lacks: true, ..Self::unannounced(now) }
    }

    /// A window that begins where both sessions stood at the same event.
    pub(crate) fn aligned(now: Instant) -> Self {
        Self { aligned: true, announced_at: Some(now), comparable: true, ..Self::unannounced(now) }
    }

    /// How many bytes it holds, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The old session has received an event, which is delivered.
    pub(crate) fn delivered(&mut self, digest: Digest, now: Instant) {
        if self.comparable {
            self.count(digest, |counts| counts.old += 1);
            self.newest_old = Some(digest);
        } else {
            self.count(digest, |counts| counts.early += 1);
        }
        self.newest_at = now;
    }

    fn count(&mut self, digest: Digest, add: impl FnOnce(&mut Counts)) {
        let counts = self.counts.entry(digest).or_insert_with(|| {
            self.bytes += OVERHEAD;
            Counts::default()
        });
        let was_balanced = counts.old == counts.new;
        add(counts);
        match (was_balanced, counts.old == counts.new) {
            (true, false) => self.unbalanced += 1,
            (false, true) => self.unbalanced -= 1,
            _ => {}
        }
    }

    /// The new session has received an event, which is held.
    pub(crate) fn hold(&mut self, held: Held, now: Instant) {
        self.announced_at.get_or_insert(now);
        self.newest_at = now;
        self.bytes += held.bytes();
        if !held.is_snapshot {
            self.count(held.digest, |counts| counts.new += 1);
        }
        self.held.push_back(held);
    }

    /// Whether the new session's GUILD_CREATE is the guild as it found it, and not an event that the old session receives too.
    pub(crate) fn awaits_snapshot(&self) -> bool {
        !self.aligned && !self.has_snapshot()
    }

    /// Where the sessions meet, if they do.
    ///
    /// The newest event that was delivered is found once in both windows; or both windows, which began at the same event, hold
    /// the same events.
    pub(crate) fn cut(&self) -> Option<Cut> {
        if self.announced_at.is_none() || self.restarted_at.is_some() {
            return None;
        }
        if let Some(newest) = self.newest_old
            && let Some(Counts { early: 0, old: 1, new: 1 }) = self.counts.get(&newest)
        {
            let at = self.held.iter().position(|held| held.digest == newest && !held.is_snapshot)?;
            return Some(Cut { held: at + 1 });
        }
        (self.aligned && self.unbalanced == 0).then_some(Cut { held: self.held.len() })
    }

    /// The cut of a guild in which both sessions have received all there is.
    pub(crate) fn cut_at_end(&self) -> Cut {
        Cut { held: self.held.len() }
    }

    /// Cuts: hands out what lies before the cut, oldest first. What was held and not delivered, because the sessions had another
    /// order, is to be delivered. The window goes on behind the cut.
    pub(crate) fn apply(&mut self, cut: Cut, now: Instant) -> Vec<Fate> {
        let before: Vec<Held> = self.held.drain(..cut.held.min(self.held.len())).collect();
        let mut counts = std::mem::take(&mut self.counts);
        // Where the old session has received less, it is the end of these: of equal events the newest were delivered.
        let fates = before.into_iter().rev().map(|held| {
            let is_delivered = held.is_snapshot || take_delivered(&mut counts, held.digest);
            if is_delivered { Fate::Drop(held) } else { Fate::Deliver(held) }
        });
        let mut fates: Vec<Fate> = fates.collect();
        fates.reverse();
        let rest = std::mem::take(&mut self.held);
        let newest_at = self.newest_at;
        *self = Self { newest_at, ..Self::aligned(now) };
        for held in rest {
            self.hold(held, newest_at);
        }
        fates
    }

    /// Whether something is held that can be compared.
    pub(crate) fn holds(&self) -> bool {
        self.restarted_at.is_none() && !self.held.is_empty()
    }

    /// The old session is lost. Hands out what is held, oldest first: what the old session has not delivered it never will. What the new
    /// one has not sent yet of what was delivered is remembered.
    pub(crate) fn lose_old(&mut self) -> Vec<Fate> {
        let held = std::mem::take(&mut self.held);
        let counts = &mut self.counts;
        let fates = held.into_iter().map(|held| {
            let is_delivered = held.is_snapshot || take_delivered(counts, held.digest);
            if is_delivered { Fate::Drop(held) } else { Fate::Deliver(held) }
        });
        let fates = fates.collect();
        self.counts.retain(|_, counts| {
            *counts = Counts { early: 0, old: counts.old + counts.early, new: 0 };
            counts.old > 0
        });
        self.bytes = self.counts.len() * OVERHEAD;
        self.unbalanced = self.counts.len();
        self.newest_old = self.newest_old.filter(|newest| self.counts.contains_key(newest));
        (self.aligned, self.comparable, self.lacks, self.old_was_lost) = (true, true, false, true);
        fates
    }

    /// Whether more is remembered than the new session can be behind.
    pub(crate) fn is_full(&self) -> bool {
        self.announced_at.is_none() && self.counts.len() > MOST_EARLY
    }

    /// Whether nothing is held or remembered.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.counts.is_empty()
    }

    /// Ends the window without a cut. Behind a common beginning, what was delivered is known exactly; without one, everything that
    /// is held is to be delivered, GUILD_CREATE first.
    pub(crate) fn give_up(mut self) -> Vec<Fate> {
        let (aligned, newest_first) = (self.aligned, self.old_was_lost);
        let mut held: Vec<Held> = self.held.into();
        if newest_first {
            held.reverse();
        }
        let fates = held.into_iter().map(|held| {
            let is_delivered = aligned && take_delivered(&mut self.counts, held.digest);
            if is_delivered { Fate::Drop(held) } else { Fate::Deliver(held) }
        });
        let mut fates: Vec<Fate> = fates.collect();
        if newest_first {
            fates.reverse();
        }
        fates
    }

    /// Whether the old session has delivered events that the new one may still send.
    pub(crate) fn is_behind(&self) -> bool {
        self.counts.values().any(|counts| counts.old > counts.new)
    }

    /// Ends the window: the old session stays in charge.
    pub(crate) fn into_held(self) -> impl Iterator<Item = Held> {
        self.held.into_iter()
    }

    /// Whether GUILD_CREATE is held.
    pub(crate) fn has_snapshot(&self) -> bool {
        self.held.iter().any(|held| held.is_snapshot)
    }
}

/// Takes one of the deliveries of an event, if there is one.
fn take_delivered(counts: &mut BTreeMap<Digest, Counts>, digest: Digest) -> bool {
    let Some(counts) = counts.get_mut(&digest) else { return false };
    let deliveries = if counts.old > 0 { &mut counts.old } else { &mut counts.early };
    let is_some = *deliveries > 0;
    *deliveries = deliveries.saturating_sub(1);
    is_some
}

#[cfg(test)]
mod tests {
    use gateway_proto::{Dispatch, Encoding, ShardId};

    use super::*;
    use crate::{Generation, ShardKey};

    fn held(sequence: u64, data: &str) -> Held {
        let payload = format!(r#"{{"t":"TYPING_START","s":{sequence},"op":0,"d":{data}}}"#);
        let dispatch = Dispatch::from_payload(payload, Encoding::Json).unwrap();
        let digest = Digest::of(&dispatch, 0);
        let from = ShardKey { generation: Generation(2), shard: ShardId::ONE };
        Held::new(from, dispatch, digest, false)
    }

    /// The old session was lost, and its successor has received only what came last.
    #[test]
    fn of_equal_events_before_a_cut_the_newest_were_delivered() {
        let now = Instant::now();
        let mut window = Window::unannounced(now);
        for (sequence, data) in [(1, r#"{"a":1}"#), (2, r#"{"a":1}"#), (3, r#"{"b":1}"#)] {
            window.hold(held(sequence, data), now);
        }
        window.comparable = true;
        window.delivered(held(2, r#"{"a":1}"#).digest, now);
        window.delivered(held(3, r#"{"b":1}"#).digest, now);
        let fates = window.apply(window.cut().unwrap(), now);
        assert_eq!(delivered(fates), [Some(1)]);
    }

    /// The sequence numbers of what is delivered.
    fn delivered(fates: Vec<Fate>) -> Vec<Option<u64>> {
        let delivered = fates.into_iter().filter_map(|fate| match fate {
            Fate::Deliver(held) => Some(held.into_dispatch().unwrap().sequence()),
            Fate::Drop(_) => None,
        });
        delivered.collect()
    }

    #[test]
    fn without_a_cut_the_oldest_of_equal_events_were_delivered_unless_the_old_session_was_lost() {
        for (is_lost, expected) in [(false, Some(2)), (true, Some(1))] {
            let now = Instant::now();
            let mut window = Window::aligned(now);
            if is_lost {
                assert!(window.lose_old().is_empty());
            }
            for sequence in [1, 2] {
                window.hold(held(sequence, r#"{"a":1}"#), now);
            }
            window.delivered(held(2, r#"{"a":1}"#).digest, now);
            assert_eq!(delivered(window.give_up()), [expected]);
        }
    }
}
