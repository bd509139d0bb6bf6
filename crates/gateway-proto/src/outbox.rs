//! Commands that wait to be sent, and the limits of single kinds of them.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway_codec::Encoding;

use crate::command::{MemberSelection, SendError};
use crate::commands::RawMembersRequest;
use crate::outgoing::{Payload, opcode};
use crate::presence::LatestPresence;
use crate::{Command, Snowflake};

/// "5 presence updates per 20 seconds" (Discord Docs, Gateway Events > Update Presence), and a margin: they are counted
/// where they arrive.
const PRESENCES: usize = 5;
const PRESENCE_WINDOW: Duration = Duration::from_millis(20_500);
/// "limited to 1 request per guild per bot every 30 seconds" where all members are asked for (Discord Docs, Gateway
/// Events > Request Guild Members), and a margin.
const MEMBERS_EVERY: Duration = Duration::from_millis(30_500);
/// The longest `retry_after` that is followed: a longer one is taken for a mistake.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);

/// The application's queued commands. It survives connections, as these limits do.
///
/// The order is kept, but a command whose own limit holds it back lets others pass.
#[derive(Default)]
pub(crate) struct Outbox {
    queue: VecDeque<WaitingCommand>,
    /// Commands held back by a limit of their kind, by the time to check again and the order in which they came.
    held: BTreeMap<(Instant, u64), WaitingCommand>,
    numbered: u64,
    /// When the newest presence updates were sent.
    presences: VecDeque<Instant>,
    /// When all members of a guild may be asked for again.
    members: BTreeMap<Snowflake, Instant>,
}

/// A command of the application that has passed all checks except that of the queue's length.
pub(crate) struct AcceptedCommand {
    pub(crate) op: u64,
    pub(crate) kind: CommandKind,
    payload: Bytes,
    /// What it changes of the presence to identify with.
    pub(crate) presence: Option<LatestPresence>,
}

impl AcceptedCommand {
    /// Checks and encodes a command. `limit` is the number of bytes that the gateway accepts.
    pub(crate) fn new(command: Command, encoding: Encoding, limit: usize) -> Result<Self, SendError> {
        let payload = command.encode(encoding, limit)?.into();
        let (op, kind) = (command.op(), CommandKind::of(&command));
        let presence = match command {
            Command::UpdatePresence(presence) => Some(LatestPresence::Typed(presence)),
            Command::Raw { op: opcode::PRESENCE_UPDATE, data } => LatestPresence::of_raw(&data),
            _ => None,
        };
        Ok(Self { op, kind, payload, presence })
    }

    /// A command of a transcript, which does not hold its data.
    pub(crate) fn without_data(op: u64, kind: CommandKind, encoding: Encoding) -> Self {
        let payload = Payload { op, d: &() }.encode(encoding);
        let payload = payload.expect("a number and null can be written in any encoding").into();
        Self { op, kind, payload, presence: None }
    }
}

struct WaitingCommand {
    payload: Bytes,
    kind: CommandKind,
    number: u64,
}

/// The limit of a command besides the send window.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandKind {
    Other,
    Presence,
    AllMembers(Snowflake),
}

impl CommandKind {
    pub(crate) fn of(command: &Command) -> Self {
        match command {
            Command::UpdatePresence(_) => Self::Presence,
            Command::RequestGuildMembers(request) if request.members == MemberSelection::Everyone => {
                Self::AllMembers(request.guild_id)
            }
            Command::Raw { op: opcode::PRESENCE_UPDATE, .. } => Self::Presence,
            Command::Raw { op: opcode::REQUEST_GUILD_MEMBERS, data } => {
                RawMembersRequest::everyone_of(data).map_or(Self::Other, Self::AllMembers)
            }
            _ => Self::Other,
        }
    }
}

impl Outbox {
    pub(crate) fn len(&self) -> usize {
        self.queue.len() + self.held.len()
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.held.clear();
    }

    /// Whether the queue, of at most `limit` commands, has room for a command of this kind.
    pub(crate) fn check_room(&self, kind: CommandKind, limit: usize) -> Result<(), SendError> {
        match self.len() {
            waiting if waiting >= limit && !self.replaces(kind) => Err(SendError::QueueFull { waiting }),
            _ => Ok(()),
        }
    }

    /// Whether this command replaces one that waits already. Of presences only the newest counts: the others would be visible
    /// for a moment, and use up the limit.
    fn replaces(&self, kind: CommandKind) -> bool {
        kind == CommandKind::Presence && self.waiting().any(|waiting| waiting.kind == CommandKind::Presence)
    }

    pub(crate) fn push(&mut self, command: AcceptedCommand) {
        let AcceptedCommand { kind, payload, .. } = command;
        let mut all = self.held.values_mut().chain(&mut self.queue);
        if kind == CommandKind::Presence
            && let Some(waiting) = all.find(|waiting| waiting.kind == CommandKind::Presence)
        {
            waiting.payload = payload;
            return;
        }
        self.numbered += 1;
        self.queue.push_back(WaitingCommand { payload, kind, number: self.numbered });
    }

    /// Takes the next command that no limit of its kind holds back, and counts it as sent.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Bytes> {
        while let Some(waiting) = self.next_due(now) {
            match self.allowed_at(waiting.kind).filter(|allowed_at| *allowed_at > now) {
                Some(allowed_at) => drop(self.held.insert((allowed_at, waiting.number), waiting)),
                None => {
                    self.sent(waiting.kind, now);
                    return Some(waiting.payload);
                }
            }
        }
        None
    }

    /// When [`pop`](Self::pop) may return a command, if none is pushed before. `None` if none waits.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        match self.queue.is_empty() {
            true => self.held.keys().next().map(|(at, _)| *at),
            false => Some(now),
        }
    }

    /// The gateway has answered a request for the members of a guild with RATE_LIMITED. Ignored if there was no such request.
    pub(crate) fn rate_limited(&mut self, guild: Snowflake, retry_after: Duration, now: Instant) {
        if let Some(allowed_at) = self.members.get_mut(&guild) {
            *allowed_at = now + retry_after.min(LONGEST_RETRY_AFTER);
        }
    }

    fn waiting(&self) -> impl Iterator<Item = &WaitingCommand> {
        self.held.values().chain(&self.queue)
    }

    /// Takes the next command that is due. Commands that were held back come first, since they have waited longer.
    fn next_due(&mut self, now: Instant) -> Option<WaitingCommand> {
        match self.held.first_entry() {
            Some(held) if held.key().0 <= now => Some(held.remove()),
            _ => self.queue.pop_front(),
        }
    }

    fn allowed_at(&self, kind: CommandKind) -> Option<Instant> {
        match kind {
            CommandKind::Other => None,
            CommandKind::Presence if self.presences.len() < PRESENCES => None,
            CommandKind::Presence => self.presences.front().map(|oldest| *oldest + PRESENCE_WINDOW),
            CommandKind::AllMembers(guild) => self.members.get(&guild).copied(),
        }
    }

    fn sent(&mut self, kind: CommandKind, now: Instant) {
        match kind {
            CommandKind::Other => {}
            CommandKind::Presence => {
                self.presences.push_back(now);
                if self.presences.len() > PRESENCES {
                    self.presences.pop_front();
                }
            }
            CommandKind::AllMembers(guild) => {
                self.members.retain(|_, allowed_at| *allowed_at > now);
                self.members.insert(guild, now + MEMBERS_EVERY);
            }
        }
    }
}
