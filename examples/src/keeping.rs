//! What the bots that bring their own socket keep for the next run: the session, and the session starts of a day.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gateway_driver::{Checkpointer, FileIdentifyStore, IdentifyStore, KeptIdentifies, SessionKeeper};
use gateway_proto::raw::Connection;
use gateway_proto::{
    Event, IdentifyQueue, IdentifyRefused, SessionSnapshot, SessionStartLimit, ShardId, Ticket,
};

use crate::{Options, Report};

/// Keeps a connection's session where `--session` says, while the bot goes on. Without that flag it does nothing.
pub struct Session {
    keeper: Option<(Arc<SessionKeeper>, Checkpointer)>,
    /// As it was when the bot had enough: what comes after is not shown, and is for the next run.
    last: Option<SessionSnapshot>,
}

impl Session {
    /// What the flags ask for.
    ///
    /// # Errors
    ///
    /// A sentence, where there is no thread to write the file.
    pub fn new(options: &Options) -> Result<Self, String> {
        let keeper = options.session_keeper().map_err(|error| error.to_string())?;
        let keeper = keeper.map(|keeper| (keeper.clone(), Checkpointer::new(keeper, Instant::now())));
        Ok(Self { keeper, last: None })
    }

    /// To be called when an event was shown and, with `--ack`, acknowledged.
    pub fn after(&mut self, event: &Event, connection: &Connection) {
        if let Some((_, checkpointer)) = &mut self.keeper
            && checkpointer.is_due_after(event)
            && self.last.is_none()
        {
            keep(checkpointer, connection);
        }
    }

    /// To be called before each wait.
    pub fn in_time(&mut self, connection: &Connection) {
        if let Some((_, checkpointer)) = &mut self.keeper
            && checkpointer.is_due_at(Instant::now())
            && self.last.is_none()
        {
            keep(checkpointer, connection);
        }
    }

    /// To be called when the bot has shown the last event that it wants to, and with `--ack` acknowledged it.
    pub fn enough(&mut self, connection: &Connection) {
        if self.last.is_none() {
            self.last = connection.session();
        }
    }

    /// Says what could not be written.
    pub fn complain<O: Write, E: Write>(&self, report: &mut Report<O, E>) {
        if let Some(error) = self.keeper.as_ref().and_then(|(keeper, _)| keeper.take_error()) {
            report.say(&format_args!("the session could not be kept: {error}"));
        }
    }

    /// Waits until everything is written. Gives the session that is left, for the report to write it.
    pub fn end<O: Write, E: Write>(
        self,
        connection: &Connection,
        report: &mut Report<O, E>,
    ) -> Option<SessionSnapshot> {
        self.complain(report);
        if let Some((keeper, _)) = &self.keeper
            && let Err(error) = keeper.flush()
        {
            report.say(&format_args!("the session could not be kept: {error}"));
        }
        // It may have ended since.
        connection.session().map(|session| self.last.unwrap_or(session))
    }
}

fn keep(checkpointer: &mut Checkpointer, connection: &Connection) {
    checkpointer.keep(connection.config().shard, connection.session(), Instant::now());
}

/// Says which shard may identify when, and keeps the session starts beside the file of `--session`.
///
/// They are written where they are granted, which holds up the loop for as long as a disk takes to sync. It happens only when
/// a session begins; a bot that minds writes on another thread, as `gateway_driver::LocalIdentifyGate` does.
pub struct Gate {
    queue: IdentifyQueue,
    store: Option<FileIdentifyStore>,
    complaint: Option<String>,
}

impl Gate {
    /// What the flags ask for, with the session starts of earlier runs.
    ///
    /// # Errors
    ///
    /// A sentence, where their file cannot be read, or too few are left.
    pub fn new(options: &Options) -> Result<Self, String> {
        let now = Instant::now();
        let (budget, limit) = (options.identify_budget(), SessionStartLimit::default());
        let mut queue = IdentifyQueue::with_budget(budget, &limit, now).map_err(|error| error.to_string())?;
        let store = options.identify_store();
        let kept = store.as_ref().map(IdentifyStore::load).transpose();
        let kept = kept.map_err(|error| format!("session starts cannot be kept: {error}"))?;
        if let Some(kept) = kept.flatten() {
            queue.restore(kept.starts(), kept.elapsed(wall_clock()), now);
            queue.check_start(now).map_err(|error| error.to_string())?;
        }
        Ok(Self { queue, store, complaint: None })
    }

    /// Asks for a permit.
    pub fn request(&mut self, shard: ShardId) -> Ticket {
        self.queue.request(shard)
    }

    /// Takes a request back.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.queue.cancel(ticket);
    }

    /// The shard's Identify goes out.
    pub fn used(&mut self, shard: ShardId) {
        self.queue.used(shard, Instant::now());
    }

    /// The next answer that is due, if any. What is granted is written down before.
    pub fn poll(&mut self, now: Instant) -> Option<(Ticket, Result<(), IdentifyRefused>)> {
        if let Some((ticket, refused)) = self.queue.poll_refused(now) {
            return Some((ticket, Err(refused)));
        }
        let granted = self.queue.poll(now)?;
        let Some(store) = &self.store else { return Some((granted, Ok(()))) };
        let kept = store.save(&KeptIdentifies::new(self.queue.snapshot(now), wall_clock()));
        Some((
            granted,
            kept.map_err(|error| {
                self.complaint = Some(format!("the session starts could not be kept: {error}"));
                self.queue.not_kept(now)
            }),
        ))
    }

    /// When to ask again.
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        self.queue.next_deadline(now)
    }

    /// Says what could not be written.
    pub fn complain<O: Write, E: Write>(&mut self, report: &mut Report<O, E>) {
        if let Some(complaint) = self.complaint.take() {
            report.say(&complaint);
        }
    }
}

fn wall_clock() -> Option<Duration> {
    SystemTime::now().duration_since(UNIX_EPOCH).ok()
}
