//! Dispatches: sequence numbers, READY, RESUMED, the replay.

use std::time::Instant;

use crate::connection::Stage;
use crate::dispatch_key::SessionKey;
use crate::member_requests::RateLimited;
use crate::session::{ResumeUrl, Session, SessionId, is_usable_session_id};
use crate::shard::State;
use crate::{CloseFrame, DisconnectReason, Dispatch, Event, GatewayUrl, Notice, Shard};

impl Shard {
    /// The sequence number counts on receipt, whether or not anybody understands the event: a poison event would
    /// otherwise be replayed for ever.
    pub(super) fn dispatch(&mut self, dispatch: Dispatch, now: Instant) {
        match self.stage() {
            // Nobody has acknowledged it yet: the session is the same.
            Some(Stage::Resuming { from, .. })
                if dispatch.name() == "READY"
                    && dispatch.sequence() > Some(*from)
                    && self.is_of_this_session(&dispatch) =>
            {
                self.replayed(dispatch, now);
            }
            // The server answers with a new session.
            Some(Stage::AwaitingReady { .. } | Stage::Resuming { .. } | Stage::Ready)
                if dispatch.name() == "READY" =>
            {
                self.begin_session(&dispatch);
                self.deliver(dispatch, now);
                self.now_ready(now);
                self.event(Event::Ready);
            }
            Some(Stage::Resuming { replayed, .. }) if dispatch.name() == "RESUMED" => {
                let replayed = *replayed;
                if !self.advance(dispatch.sequence(), now) {
                    return;
                }
                self.gaps.resumed(now);
                self.deliver(dispatch, now);
                self.now_ready(now);
                self.stats.resumed += 1;
                self.event(Event::Resumed { replayed });
            }
            Some(Stage::Resuming { .. }) => self.replayed(dispatch, now),
            Some(Stage::AwaitingReady { .. } | Stage::Ready) => {
                if self.advance(dispatch.sequence(), now) {
                    self.deliver(dispatch, now);
                }
            }
            // Before Identify or Resume, numbers belong to nothing. The event is delivered all the same.
            Some(Stage::AwaitingHello { .. } | Stage::AwaitingIdentify) | None => {
                self.deliver(dispatch, now);
            }
        }
    }

    /// "The server will replay missed events in order, finishing with a Resumed event" (Discord Docs, Gateway > Resuming).
    fn replayed(&mut self, dispatch: Dispatch, now: Instant) {
        let timeouts = &self.config.timeouts;
        let (soonest, longest) = (now + timeouts.resumed, now + timeouts.message);
        let Some(connection) = self.connection_mut() else { return };
        let Stage::Resuming { deadline, latest, from, delivered, replayed, reached } = &mut connection.stage
        else {
            return;
        };
        (*deadline, *latest) = (soonest, longest);
        let asked_for = dispatch.sequence() > Some(*from);
        if asked_for {
            *reached = dispatch.sequence().max(*reached);
        }
        let duplicate = dispatch.sequence().filter(|sequence| *sequence <= *delivered);
        *replayed += u64::from(duplicate.is_none());
        if asked_for {
            // Only what was asked for shows that the server holds the session.
            self.failed_resumes = None;
        }
        if let Some(sequence) = duplicate {
            self.stats.duplicates += 1;
            if !asked_for {
                self.event(Event::Notice(Notice::DuplicateDropped { sequence }));
            }
            return;
        }
        if self.advance(dispatch.sequence(), now) {
            dispatch.sequence().into_iter().for_each(|sequence| self.gaps.replayed(sequence));
            self.deliver(dispatch, now);
        }
    }

    fn deliver(&mut self, mut dispatch: Dispatch, now: Instant) {
        if let Some(name) = dispatch.unknown_name() {
            *name = self.event_name(name).into_owned();
        }
        let dispatch = dispatch.with_session(self.session_of_dispatches());
        self.stats.dispatches += 1;
        self.last_dispatch = Some(now);
        if dispatch.name() == "RATE_LIMITED"
            && let Some(limited) = RateLimited::of_member_request(&dispatch)
        {
            self.commands.rate_limited(limited.guild, limited.retry_after, now);
        }
        self.event(Event::Dispatch(dispatch));
    }

    /// The session that the numbers of dispatches belong to at this stage.
    fn session_of_dispatches(&self) -> Option<SessionKey> {
        match self.stage() {
            Some(Stage::AwaitingHello { .. } | Stage::AwaitingIdentify) | None => None,
            Some(_) => self.session.as_ref().map(|session| session.key),
        }
    }

    /// READY sets the sequence number; after it the newest counts. A dispatch without a number changes nothing. False: the
    /// dispatch is neither counted nor delivered, because a Resume is to bring those before it, and then this one again.
    fn advance(&mut self, sequence: Option<u64>, now: Instant) -> bool {
        let replaying = matches!(self.stage(), Some(Stage::Resuming { .. }));
        let (Some(session), Some(got)) = (&mut self.session, sequence) else { return true };
        let after = session.sequence;
        if got > after.saturating_add(1) {
            // 0 stands for no number at all: there is nothing to resume from.
            let resumes = after > 0 && self.gaps.resumes_for(after, got, replaying, now);
            if !resumes {
                session.sequence = got;
            }
            self.event(Event::Notice(Notice::SequenceGap { after, got }));
            if resumes {
                self.resume_for_gap(after, got, now);
            }
            return !resumes;
        }
        session.sequence = after.max(got);
        true
    }

    /// The replay brings what was skipped, in its place. Nothing that arrives before it may count.
    fn resume_for_gap(&mut self, after: u64, got: u64, now: Instant) {
        if let Some(Stage::Resuming { reached, .. }) =
            self.connection_mut().map(|connection| &mut connection.stage)
        {
            // What showed the gap has answered the Resume.
            reached.get_or_insert(after);
            self.failed_resumes = None;
        }
        let reason = DisconnectReason::SequenceGap { after, got };
        self.close(CloseFrame::resumable("sequence numbers skipped"), reason, false, now);
        if let State::Closing { ending, .. } = &mut self.state {
            ending.deliver = false;
        }
    }

    /// "you should store `session_id` and `resume_gateway_url`" (Discord Docs, Gateway > Ready Event).
    fn begin_session(&mut self, ready: &Dispatch) {
        self.forget_session();
        let id = ready.decode::<SessionId>().ok().map(|ready| ready.session_id);
        let Some(id) = id.filter(|id| is_usable_session_id(id)) else {
            return self.event(Event::Notice(Notice::SessionNotResumable));
        };
        let url = ready.decode::<ResumeUrl>().ok().map(|ready| ready.resume_gateway_url);
        let resume_url = url.as_deref().and_then(|url| self.usable_resume_url(url));
        if resume_url.is_none() {
            self.event(Event::Notice(Notice::ResumeUrlUnusable));
        }
        let sequence = ready.sequence().unwrap_or(0);
        let acknowledged = sequence.saturating_sub(1);
        let key = SessionKey::of(&id);
        let session = Session { id: id.into(), resume_url, sequence, acknowledged, key, unusable_url: None };
        self.session = Some(session.with_unusable_url(url.as_deref()));
    }

    /// Whether a READY belongs to the session that we have.
    fn is_of_this_session(&self, ready: &Dispatch) -> bool {
        match (&self.session, ready.decode::<SessionId>()) {
            (Some(session), Ok(ready)) => *session.id == *ready.session_id,
            _ => false,
        }
    }

    pub(crate) fn usable_resume_url(&self, url: &str) -> Option<GatewayUrl> {
        self.config.resume_url(&self.base_url, url)
    }

    fn now_ready(&mut self, now: Instant) {
        if let Some(connection) = self.connection_mut() {
            connection.stage = Stage::Ready;
            connection.ready_since.get_or_insert(now);
        }
        self.resume_url_failed = false;
        self.failed_resumes = None;
        // The replay is over, and all of it was read.
        self.undecodable_at = None;
    }
}
