//! Which of two generations is in charge of each guild, and what of the other is dropped.
//!
//! While a bot is resharded, its old and its new sessions receive the same events. Nothing that Discord sends names an event across
//! sessions, so each guild is compared by itself (`window.rs`) until both sessions stand at the same event. From such a point on the
//! new generation can take over without an event lost or delivered twice.
//!
//! "All before this event was received" is never concluded from the time that has passed. A heartbeat that was sent after a moment
//! and is acknowledged proves it, since a session's messages keep their order.

mod digest;
mod held;
mod progress;
mod subject;
mod tally;
#[cfg(test)]
mod tests;
mod voice;
mod window;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use gateway_proto::codec::RawRef;
use gateway_proto::session::DispatchKey;
use gateway_proto::{Dispatch, ShardId, Snowflake};

#[cfg(feature = "driver")]
pub(crate) use subject::guild_of;
pub use tally::{CutoverTally, Switch};

use crate::time::later;
use crate::{ClusterConfig, Generation, ShardKey};
use digest::Digest;
use held::Held;
use progress::Progress;
use subject::{Part, Subject};
use voice::Voice;
use window::{Cut, Fate, Window};

/// How often windows are looked at.
const TICK: Duration = Duration::from_secs(1);

/// After this time an old session is no longer waited for that has lost contact during a cutover, where the new one has everything: "a few minutes" is how long a
/// session can be resumed (Discord Docs, Gateway > Preparing to Resume).
const PATIENCE: Duration = Duration::from_secs(300);

/// What the cutover asks for.
#[derive(Debug)]
pub(crate) enum CutoverOutput {
    /// Deliver this dispatch, which this shard has received.
    Deliver(ShardKey, Dispatch),
    /// This dispatch is not delivered: the other generation's equal is.
    Discard(ShardKey, Option<DispatchKey>),
    /// Send a heartbeat.
    Heartbeat(ShardKey),
    /// The new generation is in charge of a guild (None: of what has no guild) from the next delivery on.
    Switched {
        guild: Option<Snowflake>,
        how: Switch,
        /// The bot is in one of its voice channels.
        voice: bool,
    },
}

#[derive(Debug)]
enum State {
    /// The old generation is in charge, and the two sessions have received the same.
    Level(Switch),
    /// The old generation is in charge, and the two sessions are being compared.
    Compared(Box<Window>),
    /// The new generation is in charge.
    Switched,
}

/// Moves the guilds of a bot from one generation to the next.
#[derive(Debug)]
pub(crate) struct Cutover {
    config: ClusterConfig,
    old: (Generation, u32),
    new: (Generation, u32),
    shards: BTreeMap<ShardKey, Progress>,
    parts: BTreeMap<Part, State>,
    /// Parts of which the new generation has delivered something although the old one was in charge.
    differing: BTreeSet<Part>,
    voice: Voice,
    /// When the cutover was ordered, and until when sessions may take to meet.
    ordered_at: Option<Instant>,
    due_at: Option<Instant>,
    /// An earlier process has begun it: what it delivered is not known.
    resumed: bool,
    /// When only guilds with a voice connection were left.
    voice_turn_at: Option<Instant>,
    finished: bool,
    bytes: usize,
    tally: CutoverTally,
    next_tick: Instant,
    out: VecDeque<CutoverOutput>,
}

impl Cutover {
    /// The old generation is in charge of everything.
    pub(crate) fn new(
        config: ClusterConfig,
        old: (Generation, u32),
        new: (Generation, u32),
        now: Instant,
    ) -> Self {
        let all = |(generation, count): (Generation, u32)| {
            let shards = (0..count).filter_map(move |id| ShardId::new(id, count).ok());
            shards.map(move |shard| (ShardKey { generation, shard }, Progress::default()))
        };
        Self {
            config,
            old,
            new,
            shards: all(old).chain(all(new)).collect(),
            parts: BTreeMap::new(),
            differing: BTreeSet::new(),
            voice: Voice::default(),
            ordered_at: None,
            due_at: None,
            resumed: false,
            voice_turn_at: None,
            finished: false,
            bytes: 0,
            tally: CutoverTally::default(),
            next_tick: now + TICK,
            out: VecDeque::new(),
        }
    }

    /// A cutover that an earlier process has begun.
    pub(crate) fn resumed(
        config: ClusterConfig,
        old: (Generation, u32),
        new: (Generation, u32),
        now: Instant,
    ) -> Self {
        let mut this = Self { resumed: true, ..Self::new(config, old, new, now) };
        for progress in this.shards.values_mut() {
            progress.began = true;
        }
        this
    }

    /// A shard has resumed its session.
    pub(crate) fn handle_resumed(&mut self, from: ShardKey) {
        let progress = self.shards.entry(from).or_default();
        progress.ready |= self.resumed;
    }

    /// A shard is about to send Identify.
    pub(crate) fn handle_began(&mut self, from: ShardKey, now: Instant) {
        let progress = self.shards.entry(from).or_default();
        progress.began = true;
        progress.gone_at = None;
        progress.ready = false;
        progress.awaited.clear();
        if from.generation == self.old.0 {
            // The server has nothing more of the session before.
            progress.proven = Some(now);
            return self.old_session_is_lost(from);
        }
        // A new session of the new generation: what was held of the one before can no longer be compared.
        let stale: Vec<Part> = self
            .parts
            .iter()
            .filter(|(part, state)| !matches!(state, State::Switched) && self.home(**part, self.new) == from)
            .map(|(part, _)| *part)
            .collect();
        for part in stale {
            self.forget(part);
        }
    }

    /// An old session is lost, and so is what it has not received: that comes from the new ones that have it, now, so that it comes
    /// before what the next old session receives.
    fn old_session_is_lost(&mut self, from: ShardKey) {
        let is_concerned = |(part, state): &(&Part, &State)| {
            matches!(state, State::Compared(window) if window.holds()) && self.home(**part, self.old) == from
        };
        let parts: Vec<Part> = self.parts.iter().filter(is_concerned).map(|(part, _)| *part).collect();
        for part in parts {
            let Some(State::Compared(window)) = self.parts.get_mut(&part) else { continue };
            let before = window.bytes();
            let fates = window.lose_old();
            let is_level = window.is_empty();
            self.bytes = self.bytes + window.bytes() - before;
            self.carry_out_before(part, fates);
            if is_level {
                let how = self.told_as(part, Switch::Matched);
                match self.has_turn(part) {
                    true => self.switch(part, how),
                    false => _ = self.parts.insert(part, State::Level(how)),
                }
            }
        }
    }

    /// READY of a shard.
    pub(crate) fn handle_ready(&mut self, from: ShardKey, ready: &Dispatch, now: Instant) {
        self.voice.handle_ready(ready);
        if from.generation != self.new.0 {
            return;
        }
        let guilds = ready.data().get("guilds");
        let guilds = guilds.into_iter().flat_map(RawRef::elements).filter_map(Result::ok);
        let guilds = guilds.filter_map(|guild| guild.get("id")?.as_id()).map(Snowflake);
        let progress = self.shards.entry(from).or_default();
        (progress.began, progress.ready) = (true, true);
        progress.awaited = guilds.collect();
        if from.shard.id() == 0 {
            // What has no guild has no GUILD_CREATE either: it begins with the session.
            let state = self.parts.entry(Part::NoGuild);
            let state = state.or_insert_with(|| State::Compared(Box::new(Window::unannounced(now))));
            if let State::Compared(window) = state {
                window.announced_at.get_or_insert(now);
            }
        }
    }

    /// A heartbeat that this shard sent at this moment was acknowledged.
    pub(crate) fn handle_acknowledged(&mut self, from: ShardKey, sent_at: Instant) {
        let progress = self.shards.entry(from).or_default();
        progress.proven = progress.proven.max(Some(sent_at));
    }

    /// A shard has stopped for good.
    pub(crate) fn handle_gone(&mut self, from: ShardKey, now: Instant) {
        self.shards.entry(from).or_default().gone_at = Some(now);
    }

    /// A shard has received a dispatch.
    pub(crate) fn handle_dispatch(&mut self, from: ShardKey, dispatch: Dispatch, now: Instant) {
        self.voice.handle_dispatch(&dispatch);
        let Subject::Part(part) = Subject::of(&dispatch, from.shard) else {
            self.out.push_back(CutoverOutput::Deliver(from, dispatch));
            return;
        };
        let generation = if from.generation == self.old.0 { self.old } else { self.new };
        let is_home = self.home(part, generation) == from;
        match self.parts.get(&part) {
            Some(State::Switched) => self.pass(from, self.new.0, dispatch),
            // Without a guild and not of shard 0: there is nothing to compare it with.
            _ if !is_home => self.pass(from, self.old.0, dispatch),
            _ if from.generation == self.old.0 => self.old_dispatch(part, from, dispatch, now),
            _ => self.new_dispatch(part, from, dispatch, now),
        }
    }

    /// Delivers what the generation in charge has received.
    fn pass(&mut self, from: ShardKey, in_charge: Generation, dispatch: Dispatch) {
        self.out.push_back(match from.generation == in_charge {
            true => CutoverOutput::Deliver(from, dispatch),
            false => CutoverOutput::Discard(from, dispatch.key()),
        });
    }

    fn old_dispatch(&mut self, part: Part, from: ShardKey, dispatch: Dispatch, now: Instant) {
        let has_rival = self.shards.get(&self.home(part, self.new)).is_some_and(|progress| progress.began);
        if has_rival {
            let digest = Digest::of(&dispatch, self.config.seed);
            self.change(part, now, |window| window.delivered(digest, now));
        }
        self.out.push_back(CutoverOutput::Deliver(from, dispatch));
        self.cut_where_they_meet(part, now);
    }

    fn new_dispatch(&mut self, part: Part, from: ShardKey, dispatch: Dispatch, now: Instant) {
        let is_create = dispatch.name() == "GUILD_CREATE";
        if let (true, Part::Guild(guild)) = (is_create, part) {
            self.shards.entry(from).or_default().awaited.remove(&guild);
        }
        if let Some(State::Compared(window)) = self.parts.get(&part)
            && let Some(restarted_at) = window.restarted_at
            && window.announced_at.is_none()
        {
            if !self.received(from, restarted_at) {
                self.out.push_back(CutoverOutput::Discard(from, dispatch.key()));
                return;
            }
            self.change(part, now, |window| window.restarted_at = None);
        }
        let digest = Digest::of(&dispatch, self.config.seed);
        self.change(part, now, |window| {
            let is_snapshot = is_create && window.awaits_snapshot();
            window.hold(Held::new(from, dispatch, digest, is_snapshot), now);
        });
        self.cut_where_they_meet(part, now);
    }

    /// Changes the window of a part, which it is given if it has none.
    fn change(&mut self, part: Part, now: Instant, change: impl FnOnce(&mut Window)) {
        let state =
            self.parts.entry(part).or_insert_with(|| State::Compared(Box::new(Window::unannounced(now))));
        if let State::Level(_) = state {
            *state = State::Compared(Box::new(Window::aligned(now)));
        }
        if let State::Compared(window) = state {
            let before = window.bytes();
            change(window);
            self.bytes = self.bytes + window.bytes() - before;
            if self.bytes > self.config.held_bytes || window.is_full() {
                // The old generation is in charge, so nothing is lost.
                self.forget(part);
                self.parts.insert(part, State::Compared(Box::new(Window::restarted(now))));
            }
        }
    }

    /// Drops what is held of a part.
    fn forget(&mut self, part: Part) {
        if let Some(State::Compared(window)) = self.parts.remove(&part) {
            self.bytes -= window.bytes();
            let discarded = window.into_held().map(|held| CutoverOutput::Discard(held.from, held.key));
            self.out.extend(discarded);
        }
    }

    fn cut_where_they_meet(&mut self, part: Part, now: Instant) {
        if let Some(State::Compared(window)) = self.parts.get(&part)
            && let Some(cut) = window.cut()
        {
            self.settle(part, cut, Switch::Matched, now);
        }
    }

    /// The sessions stand at the same event here. Where it is its turn, the new generation takes over.
    fn settle(&mut self, part: Part, cut: Cut, how: Switch, now: Instant) {
        let switches = self.has_turn(part);
        let Some(State::Compared(window)) = self.parts.get_mut(&part) else { return };
        let before = window.bytes();
        let fates = window.apply(cut, now);
        let is_level = window.is_empty();
        self.bytes = self.bytes + window.bytes() - before;
        self.carry_out_before(part, fates);
        let how = self.told_as(part, how);
        if switches {
            self.switch(part, how);
        } else if is_level {
            self.parts.insert(part, State::Level(how));
        }
    }

    /// Carries out what becomes of held events while the old generation is in charge.
    fn carry_out_before(&mut self, part: Part, fates: Vec<Fate>) {
        // What had to be delivered from both may be the same event in two forms.
        if fates.iter().any(|fate| matches!(fate, Fate::Deliver(_))) {
            self.differing.insert(part);
        }
        self.carry_out(fates);
    }

    /// How a switch is told: exact only where nothing may have come twice.
    fn told_as(&self, part: Part, how: Switch) -> Switch {
        match self.resumed || self.differing.contains(&part) {
            true => Switch::Unmatched { snapshot: false },
            false => how,
        }
    }

    fn carry_out(&mut self, fates: Vec<Fate>) {
        for fate in fates {
            match fate {
                Fate::Drop(held) => self.out.push_back(CutoverOutput::Discard(held.from, held.key)),
                Fate::Deliver(held) => {
                    let from = held.from;
                    self.out.extend(held.into_dispatch().map(|held| CutoverOutput::Deliver(from, held)));
                }
            }
        }
    }

    /// Whether the new generation may take over this part now.
    fn has_turn(&self, part: Part) -> bool {
        self.ordered_at.is_some() && (self.voice_turn_at.is_some() || !self.is_voice(part))
    }

    fn is_voice(&self, part: Part) -> bool {
        matches!(part, Part::Guild(guild) if self.voice.is_in(guild))
    }

    /// The new generation takes over: what is held is delivered, and what the old one receives is not.
    fn switch(&mut self, part: Part, how: Switch) {
        let guild = match part {
            Part::Guild(guild) => Some(guild),
            Part::NoGuild => None,
        };
        self.tally.count(how);
        self.out.push_back(CutoverOutput::Switched { guild, how, voice: self.is_voice(part) });
        if let Some(State::Compared(window)) = self.parts.insert(part, State::Switched) {
            self.bytes -= window.bytes();
            self.carry_out(window.give_up());
        }
    }

    /// Orders the cutover: from now on each guild is switched as soon as its sessions meet, and those that have not met then are
    /// switched at `due_at`.
    pub(crate) fn order(&mut self, due_at: Instant, now: Instant) {
        (self.ordered_at, self.due_at) = (Some(now), Some(due_at));
        self.switch_level();
        self.tick(now);
    }

    fn switch_level(&mut self) {
        let level = self.parts.iter().filter_map(|(part, state)| match state {
            State::Level(how) if self.has_turn(*part) => Some((*part, *how)),
            _ => None,
        });
        for (part, how) in level.collect::<Vec<_>>() {
            self.switch(part, how);
        }
    }

    /// Whether the cutover would switch every guild at once.
    pub(crate) fn is_settled(&self) -> bool {
        let is_level = |(part, state): (&Part, &State)| match state {
            State::Level(_) | State::Switched => true,
            State::Compared(window) => window.aligned || self.is_orphaned(*part),
        };
        !self.awaits_guilds() && self.parts.iter().all(is_level)
    }

    /// Whether the new generation will still send guilds.
    fn awaits_guilds(&self) -> bool {
        let awaits = |progress: &Progress| {
            !(progress.gone_at.is_some() || progress.ready && progress.awaited.is_empty())
        };
        self.shards.iter().any(|(key, progress)| key.generation == self.new.0 && awaits(progress))
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if now >= self.next_tick && !self.finished {
            self.tick(now);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        (!self.finished).then_some(self.next_tick)
    }

    pub(crate) fn poll_output(&mut self) -> Option<CutoverOutput> {
        self.out.pop_front()
    }

    /// The generation that is in charge of a guild; None: of what has no guild.
    pub(crate) fn in_charge(&self, guild: Option<Snowflake>) -> Generation {
        let part = guild.map_or(Part::NoGuild, Part::Guild);
        match self.finished || matches!(self.parts.get(&part), Some(State::Switched)) {
            true => self.new.0,
            false => self.old.0,
        }
    }

    /// Whether the new generation is in charge of everything.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    pub(crate) fn tally(&self) -> CutoverTally {
        self.tally
    }

    /// How many bytes are held, roughly.
    pub(crate) fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// Gives up: the old generation stays in charge of what was not switched, and what is held is dropped.
    pub(crate) fn abandon(&mut self) {
        for part in self.parts.keys().copied().collect::<Vec<_>>() {
            self.forget(part);
        }
        self.finished = true;
    }

    fn tick(&mut self, now: Instant) {
        self.next_tick = now + TICK;
        let compared = self.parts.iter().filter(|(_, state)| matches!(state, State::Compared(_)));
        for part in compared.map(|(part, _)| *part).collect::<Vec<_>>() {
            self.advance(part, now);
        }
        self.advance_voice(now);
        self.finish(now);
    }

    /// What time does to a window.
    fn advance(&mut self, part: Part, now: Instant) {
        let (old, new) = (self.home(part, self.old), self.home(part, self.new));
        let is_gone = self.shards.get(&old).is_some_and(|progress| progress.gone_at.is_some());
        if is_gone && !self.is_orphaned(part) {
            self.ask(new, now);
        }
        let Some(State::Compared(window)) = self.parts.get(&part) else { return };
        let Some(announced_at) = window.announced_at else {
            // Nothing is held: there is nothing to compare.
            if let Some(restarted_at) = window.restarted_at
                && !self.received(new, restarted_at)
            {
                self.ask(new, now);
            }
            if self.is_due(part, now) {
                self.change(part, now, |window| window.announced_at = Some(now));
            }
            return;
        };
        let newest_at = window.newest_at;
        if !window.comparable {
            match self.received(old, announced_at) {
                true => self.change(part, now, |window| window.comparable = true),
                false => self.ask(old, now),
            }
        }
        if now >= later(newest_at, self.config.silence) {
            let lacking: Vec<ShardKey> =
                [old, new].into_iter().filter(|key| !self.received(*key, newest_at)).collect();
            if lacking.is_empty() {
                let Some(State::Compared(window)) = self.parts.get(&part) else { return };
                let how = if window.aligned { Switch::Matched } else { Switch::Silent };
                return self.settle(part, window.cut_at_end(), how, now);
            }
            lacking.into_iter().for_each(|key| self.ask(key, now));
        }
        if self.is_due(part, now) {
            self.give_up(part, now);
        }
    }

    /// Whether the old session of a part has stopped for good, and the new one has received all that was sent before: the two cannot
    /// meet any more.
    fn is_orphaned(&self, part: Part) -> bool {
        let gone_at = self.shards.get(&self.home(part, self.old)).and_then(|progress| progress.gone_at);
        gone_at.is_some_and(|gone_at| self.received(self.home(part, self.new), gone_at))
    }

    fn received(&self, key: ShardKey, moment: Instant) -> bool {
        self.shards.get(&key).is_some_and(|progress| progress.has_received_all_before(moment))
    }

    /// Whether a part has had its time, or more of it would change nothing.
    fn is_due(&self, part: Part, now: Instant) -> bool {
        let is_over = |due_at| now >= due_at;
        self.has_turn(part) && (self.is_orphaned(part) || self.due_at(part).is_some_and(is_over))
    }

    fn due_at(&self, part: Part) -> Option<Instant> {
        let voice_due_at =
            self.voice_turn_at.filter(|_| self.is_voice(part)).map(|at| later(at, self.config.overlap));
        self.due_at.max(voice_due_at)
    }

    /// Switches a part whose sessions do not meet, once the old one has received what the new one was not sent.
    fn give_up(&mut self, part: Part, now: Instant) {
        let old = self.home(part, self.old);
        let Some(State::Compared(window)) = self.parts.get(&part) else { return };
        let since = window.announced_at.unwrap_or(now);
        let is_safe = window.aligned || self.received(old, since);
        let how = match () {
            () if window.aligned
                && !window.is_behind()
                && !self.resumed
                && !self.differing.contains(&part) =>
            {
                Switch::Matched
            }
            () if window.has_snapshot() => Switch::Unmatched { snapshot: true },
            () => Switch::Unmatched { snapshot: false },
        };
        let patience_is_over = self.due_at(part).is_some_and(|due_at| now >= due_at + PATIENCE);
        if is_safe || patience_is_over && !window.lacks {
            self.switch(part, how);
        } else {
            self.ask(old, now);
        }
    }

    /// Guilds with a voice connection have their turn after all others.
    fn advance_voice(&mut self, now: Instant) {
        if self.ordered_at.is_none() || self.voice_turn_at.is_some() {
            return;
        }
        let is_open =
            |(part, state): (&Part, &State)| !matches!(state, State::Switched) && !self.is_voice(*part);
        let is_over = self.due_at.is_some_and(|due_at| now >= due_at);
        if (is_over || !self.awaits_guilds()) && !self.parts.iter().any(is_open) {
            self.voice_turn_at = Some(now);
            self.switch_level();
        }
    }

    /// Ends the cutover: what neither session has ever sent anything of is switched too.
    fn finish(&mut self, now: Instant) {
        let Some((ordered_at, due_at)) = self.ordered_at.zip(self.due_at) else { return };
        if self.voice_turn_at.is_none() || self.finished {
            return;
        }
        if !self.parts.values().all(|state| matches!(state, State::Switched)) {
            return;
        }
        if self.awaits_guilds() && now < due_at {
            return;
        }
        let old: Vec<ShardKey> =
            self.shards.keys().copied().filter(|key| key.generation == self.old.0).collect();
        let lacking: Vec<ShardKey> = old.into_iter().filter(|key| !self.received(*key, ordered_at)).collect();
        if lacking.is_empty() || now >= due_at + PATIENCE {
            self.finished = true;
        } else {
            lacking.into_iter().for_each(|key| self.ask(key, now));
        }
    }

    /// Asks a shard for a heartbeat, at most once in the time that a guild must be silent.
    fn ask(&mut self, key: ShardKey, now: Instant) {
        let progress = self.shards.entry(key).or_default();
        if progress.asked_at.is_none_or(|asked| now >= later(asked, self.config.silence)) {
            progress.asked_at = Some(now);
            self.out.push_back(CutoverOutput::Heartbeat(key));
        }
    }

    /// The shard of a generation that receives a part.
    fn home(&self, part: Part, (generation, count): (Generation, u32)) -> ShardKey {
        let guild = match part {
            Part::Guild(guild) => guild,
            // Shard 0 of any count.
            Part::NoGuild => Snowflake(0),
        };
        ShardKey { generation, shard: ShardId::of_guild(guild, count) }
    }
}
