//! The session that survives connections, its failures, and the remains of earlier sessions.

use std::time::Instant;

use crate::GatewayUrl;
use crate::acknowledge::EarlierSessions;
use crate::config::{Delivery, ShardLimits};
use crate::gaps::Gaps;
use crate::live_session::Session;
use crate::session::{AckError, DispatchKey};

/// The sessions of a shard.
pub(crate) struct Sessions {
    delivery: Delivery,
    pub(super) current: Option<Session>,
    /// The session before it. A server may still mention it, so its texts stay secrets.
    former: Option<Session>,
    earlier: EarlierSessions,
    /// Sequence numbers that the server has skipped.
    pub(super) gaps: Gaps,
    /// Dialing the resume URL has failed in this outage.
    resume_url_failed: bool,
    /// The Resumes in a row that failed. `None` if the last one was answered, with RESUMED or a replay.
    failed_resumes: Option<FailedResumes>,
    /// The sequence number after which a message last could not be decoded, until a replay is whole.
    undecodable_at: Option<u64>,
}

/// Resumes in a row that failed: each connection ended before RESUMED, and before any event of the replay.
#[derive(Debug, Clone, Copy)]
struct FailedResumes {
    /// When the first of them had failed.
    first: Instant,
    count: u32,
}

impl Sessions {
    pub(super) fn new(delivery: Delivery) -> Self {
        Self {
            delivery,
            current: None,
            former: None,
            earlier: EarlierSessions::default(),
            gaps: Gaps::default(),
            resume_url_failed: false,
            failed_resumes: None,
            undecodable_at: None,
        }
    }

    /// The current session and the one before it, which a server may mention.
    pub(super) fn known(&self) -> impl Iterator<Item = &Session> {
        [&self.current, &self.former].into_iter().flatten()
    }

    pub(crate) fn current(&self) -> Option<&Session> {
        self.current.as_ref()
    }

    /// The id of the current session.
    pub(crate) fn id(&self) -> Option<&str> {
        self.current.as_ref().map(|session| &*session.id)
    }

    /// The newest sequence number received. Numbers begin at 1, so 0 stands for none and is never sent.
    pub(super) fn sequence(&self) -> Option<u64> {
        self.current.as_ref().map(|session| session.sequence).filter(|sequence| *sequence > 0)
    }

    /// Begins a session that the server has announced with READY.
    pub(super) fn begin(&mut self, session: Session) {
        self.current = Some(session);
    }

    /// The session has ended. Its URL and its failures are dropped with it. Its outstanding acknowledgements are kept, so that
    /// they are not taken for those of the next session.
    pub(super) fn end(&mut self) {
        self.gaps.session_ended();
        self.resume_url_failed = false;
        self.failed_resumes = None;
        self.undecodable_at = None;
        let Some(session) = self.current.take() else { return };
        if self.delivery == Delivery::Acknowledged {
            self.earlier.push(session.acknowledged, session.sequence);
        }
        self.former = Some(session);
    }

    // ---- Resuming ---------------------------------------------------------------------------------------------

    /// The URL to dial to resume. `None` for the base URL.
    pub(super) fn resume_url(&self) -> Option<&GatewayUrl> {
        self.current.as_ref().filter(|_| !self.resume_url_failed)?.resume_url.as_ref()
    }

    /// The resume URL could not be dialled, or its server sent no Hello. The base URL is used from now on.
    pub(super) fn resume_url_failed(&mut self) {
        self.resume_url_failed = true;
    }

    /// The sequence number to resume from.
    pub(super) fn resume_from(&self, session: &Session) -> u64 {
        session.resume_from(self.delivery)
    }

    /// The server has shown that it holds the session: it replays the requested dispatches, or skips them.
    pub(super) fn resume_answered(&mut self) {
        self.failed_resumes = None;
    }

    /// READY or RESUMED: the replay is over, and all of it was read.
    pub(super) fn ready(&mut self) {
        self.resume_url_failed = false;
        self.failed_resumes = None;
        self.undecodable_at = None;
    }

    /// A session can be "bricked": every Resume ends in an abrupt drop, or in opcode 9 with `true`. Most recover after a
    /// minute or two, so a new session is the way out only where that takes longer. Returns the number of attempts if the
    /// session is given up.
    pub(super) fn resume_failed(&mut self, limits: &ShardLimits, now: Instant) -> Option<u32> {
        let row = self.failed_resumes.get_or_insert(FailedResumes { first: now, count: 0 });
        row.count += 1;
        let (attempts, lasting) = (row.count, now.saturating_duration_since(row.first));
        if attempts < limits.resume_attempts || lasting < limits.resume_timeout {
            return None;
        }
        self.end();
        Some(attempts)
    }

    /// Records that the message after this sequence number could not be decoded. Returns whether this is the second time, so that
    /// another replay would not help.
    pub(super) fn undecodable_after(&mut self, sequence: u64) -> bool {
        self.undecodable_at.replace(sequence) == Some(sequence)
    }

    // ---- Acknowledgements -------------------------------------------------------------------------------------

    /// Whether the application may acknowledge this number.
    pub(crate) fn check_ack(&self, sequence: u64) -> Result<(), AckError> {
        match self.delivery {
            Delivery::Received => Err(AckError::NotAwaited),
            Delivery::Acknowledged if self.earlier.covers(sequence) => Ok(()),
            Delivery::Acknowledged => self.check_delivered(sequence),
        }
    }

    /// Whether the application may acknowledge this dispatch. False if its session has ended and cannot be resumed.
    pub(crate) fn check_ack_of(&self, key: DispatchKey) -> Result<bool, AckError> {
        match (self.delivery, &self.current) {
            (Delivery::Received, _) => Err(AckError::NotAwaited),
            (Delivery::Acknowledged, Some(session)) if session.key == key.session() => {
                self.check_delivered(key.sequence()).map(|()| true)
            }
            (Delivery::Acknowledged, _) => Ok(false),
        }
    }

    fn check_delivered(&self, sequence: u64) -> Result<(), AckError> {
        match &self.current {
            Some(session) if sequence > session.sequence => {
                Err(AckError::NotDelivered { sequence, delivered: session.sequence })
            }
            // Without a session there is nothing left to resume.
            Some(_) | None => Ok(()),
        }
    }

    /// Takes an acknowledgement that may belong to an earlier session.
    pub(super) fn acknowledge(&mut self, sequence: u64) {
        if !self.earlier.acknowledge(sequence) && self.current.is_some() {
            self.acknowledge_current(sequence);
            self.earlier.clear();
        }
    }

    /// Takes an acknowledgement of the current session.
    pub(super) fn acknowledge_current(&mut self, sequence: u64) {
        if let Some(session) = &mut self.current {
            session.acknowledged = session.acknowledged.max(sequence.min(session.sequence));
        }
    }
}
