//! State that the bots with their own sockets persist for the next run: the session, and the session starts of a day.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gateway_driver::store::{Checkpointer, FileIdentifyStore, IdentifyStore, SessionKeeper};
use gateway_proto::identify::{IdentifyOutput, IdentifyQueue, IdentifyRefused, SessionStartLimit, Ticket};
use gateway_proto::raw::Connection;
use gateway_proto::session::SessionSnapshot;
use gateway_proto::{Event, ShardId};

use crate::{Options, Report};

/// Persists a connection's session in the file of `--session`, on another thread. Without that flag it does nothing.
pub struct Session {
    keeper: Option<(Arc<SessionKeeper>, Checkpointer)>,
    /// The session after the last event that the bot shows. Later events are for the next run.
    last: Option<SessionSnapshot>,
}

impl Session {
    /// Opens the session file of the flags.
    ///
    /// # Errors
    ///
    /// A sentence, if the system cannot start a thread to write the file.
    pub fn new(options: &Options) -> Result<Self, String> {
        let keeper = options.session_keeper().map_err(|error| error.to_string())?;
        let keeper = keeper.map(|keeper| (keeper.clone(), Checkpointer::new(keeper, Instant::now())));
        Ok(Self { keeper, last: None })
    }

    /// Call it after an event was shown and, with `--ack`, acknowledged.
    pub fn after(&mut self, event: &Event, connection: &Connection) {
        if let Some((_, checkpointer)) = &mut self.keeper
            && checkpointer.is_due_after(event)
            && self.last.is_none()
        {
            keep(checkpointer, connection);
        }
    }

    /// Call it before each wait.
    pub fn in_time(&mut self, connection: &Connection) {
        if let Some((_, checkpointer)) = &mut self.keeper
            && checkpointer.is_due_at(Instant::now())
            && self.last.is_none()
        {
            keep(checkpointer, connection);
        }
    }

    /// Call it after the last event that the bot shows, once it is acknowledged with `--ack`.
    pub fn enough(&mut self, connection: &Connection) {
        if self.last.is_none() {
            self.last = connection.session();
        }
    }

    /// Reports the last error of the store.
    pub fn report_errors<O: Write, E: Write>(&self, report: &mut Report<O, E>) {
        if let Some(error) = self.keeper.as_ref().and_then(|(keeper, _)| keeper.take_error()) {
            report.log(&format_args!("the session could not be kept: {error}"));
        }
    }

    /// Blocks until everything is written. Returns the session that is left, for the report.
    pub fn end<O: Write, E: Write>(
        self,
        connection: &Connection,
        report: &mut Report<O, E>,
    ) -> Option<SessionSnapshot> {
        self.report_errors(report);
        if let Some((keeper, _)) = &self.keeper
            && let Err(error) = keeper.flush()
        {
            report.log(&format_args!("the session could not be kept: {error}"));
        }
        // The session may have ended since then.
        connection.session().map(|session| self.last.unwrap_or(session))
    }
}

fn keep(checkpointer: &mut Checkpointer, connection: &Connection) {
    checkpointer.keep(connection.config().shard, connection.session(), Instant::now());
}

/// Grants permits to identify, and persists the session starts beside the file of `--session`.
///
/// It writes on the thread of the caller, which blocks until the disk has synced: only when a session begins. A bot for which
/// that matters writes on another thread, as `gateway_driver::gate::LocalIdentifyGate` does.
pub struct Gate {
    queue: IdentifyQueue,
    store: Option<FileIdentifyStore>,
    error: Option<String>,
}

impl Gate {
    /// Builds the gate of the flags, with the session starts of earlier runs.
    ///
    /// # Errors
    ///
    /// A sentence, if their file cannot be read, or if too few are left.
    pub fn new(options: &Options) -> Result<Self, String> {
        let now = Instant::now();
        let (budget, limit) = (options.identify_budget(), SessionStartLimit::default());
        let mut queue = IdentifyQueue::with_budget(budget, &limit, now).map_err(|error| error.to_string())?;
        let store = options.identify_store();
        let Some(store) = store else { return Ok(Self { queue, store, error: None }) };
        let kept = store.load().map_err(|error| format!("session starts cannot be persisted: {error}"))?;
        if let Some(snapshot) = kept {
            queue.restore(&snapshot, snapshot.elapsed(wall_clock()), now);
            queue.check_start(now).map_err(|error| error.to_string())?;
        }
        Ok(Self { queue: queue.with_persistence(), store: Some(store), error: None })
    }

    /// Requests a permit.
    pub fn request(&mut self, shard: ShardId) -> Ticket {
        self.queue.request(shard)
    }

    /// Cancels a request.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.queue.cancel(ticket);
    }

    /// The shard's Identify is sent.
    pub fn used(&mut self, shard: ShardId) {
        self.queue.used(shard, Instant::now());
    }

    /// The next answer that is due, if any. Blocks while a snapshot is written.
    pub fn poll(&mut self, now: Instant) -> Option<(Ticket, Result<(), IdentifyRefused>)> {
        loop {
            match self.queue.poll_output(now)? {
                IdentifyOutput::Granted(ticket) => return Some((ticket, Ok(()))),
                IdentifyOutput::Refused(ticket, refused) => return Some((ticket, Err(refused))),
                IdentifyOutput::Persist { number, snapshot } => {
                    let snapshot = snapshot.with_wall_clock(wall_clock());
                    let saved = self.store.as_ref().map_or(Ok(()), |store| store.save(&snapshot));
                    self.queue.handle_persisted(number, saved.is_ok(), now);
                    self.error = saved.err().map(|error| error.to_string()).or(self.error.take());
                }
            }
        }
    }

    /// The time of the next poll.
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        self.queue.next_deadline(now)
    }

    /// Reports the last error of the store.
    pub fn report_errors<O: Write, E: Write>(&mut self, report: &mut Report<O, E>) {
        if let Some(error) = self.error.take() {
            report.log(&format_args!("the session starts could not be persisted: {error}"));
        }
    }
}

fn wall_clock() -> Option<Duration> {
    SystemTime::now().duration_since(UNIX_EPOCH).ok()
}
