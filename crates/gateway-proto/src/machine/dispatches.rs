//! Dispatches: sequence numbers, READY, RESUMED, the replay.

use std::ops::ControlFlow::{Break, Continue};
use std::time::Instant;

use super::close::Close;
use super::context::Context;
use super::open::Flow;
use crate::connection::{OpenConnection, OpenStage};
use crate::disconnect::DisconnectReason;
use crate::dispatch_key::SessionKey;
use crate::live_session::{ResumeUrl, Session, SessionId, is_usable_session_id};
use crate::member_requests::RateLimited;
use crate::{Dispatch, Event, Notice};

impl OpenConnection {
    /// Counts the sequence number on receipt, whether or not the application understands the event. Otherwise an event that it
    /// cannot handle would be replayed for ever.
    pub(super) fn dispatch(&mut self, dispatch: Dispatch, cx: &mut Context, now: Instant) -> Flow {
        match &self.stage {
            // The Resume is not acknowledged yet, and the session is the same.
            OpenStage::Resuming { from, .. }
                if dispatch.name() == "READY"
                    && dispatch.sequence() > Some(*from)
                    && is_of_current_session(&dispatch, cx) =>
            {
                return self.replayed(dispatch, cx, now);
            }
            // The server answers with a new session.
            OpenStage::AwaitingReady { .. } | OpenStage::Resuming { .. } | OpenStage::Ready
                if dispatch.name() == "READY" =>
            {
                begin_session(&dispatch, cx);
                self.deliver(dispatch, cx, now);
                self.now_ready(cx, now);
                cx.event(Event::Ready);
            }
            OpenStage::Resuming { replayed, .. } if dispatch.name() == "RESUMED" => {
                let replayed = *replayed;
                self.advance(dispatch.sequence(), cx, now)?;
                cx.sessions.gaps.resumed(now);
                self.deliver(dispatch, cx, now);
                self.now_ready(cx, now);
                cx.stats.resumed += 1;
                cx.event(Event::Resumed { replayed });
            }
            OpenStage::Resuming { .. } => return self.replayed(dispatch, cx, now),
            OpenStage::AwaitingReady { .. } | OpenStage::Ready => {
                self.advance(dispatch.sequence(), cx, now)?;
                self.deliver(dispatch, cx, now);
            }
            // Before Identify or Resume, numbers belong to no session. The event is delivered.
            OpenStage::AwaitingHello { .. } | OpenStage::AwaitingIdentify => self.deliver(dispatch, cx, now),
        }
        Continue(())
    }

    /// "The server will replay missed events in order, finishing with a Resumed event" (Discord Docs, Gateway > Resuming).
    fn replayed(&mut self, dispatch: Dispatch, cx: &mut Context, now: Instant) -> Flow {
        let OpenStage::Resuming { deadline, latest, from, delivered, replayed, reached } = &mut self.stage
        else {
            debug_assert!(false, "only a connection that resumes gets a replay");
            return Continue(());
        };
        let timeouts = &cx.config.timeouts;
        (*deadline, *latest) = (now + timeouts.resumed, now + timeouts.message);
        let asked_for = dispatch.sequence() > Some(*from);
        let duplicate = dispatch.sequence().filter(|sequence| *sequence <= *delivered);
        *replayed += u64::from(duplicate.is_none());
        if asked_for {
            *reached = dispatch.sequence().max(*reached);
            // Only a requested dispatch shows that the server holds the session.
            cx.sessions.resume_answered();
        }
        if let Some(sequence) = duplicate {
            cx.stats.duplicates += 1;
            if !asked_for {
                cx.notice(Notice::DuplicateDropped { sequence });
            }
            return Continue(());
        }
        self.advance(dispatch.sequence(), cx, now)?;
        if let Some(sequence) = dispatch.sequence() {
            cx.sessions.gaps.replayed(sequence);
        }
        self.deliver(dispatch, cx, now);
        Continue(())
    }

    fn deliver(&self, mut dispatch: Dispatch, cx: &mut Context, now: Instant) {
        if let Some(name) = dispatch.unknown_name() {
            *name = cx.event_name(name).into_owned();
        }
        let dispatch = dispatch.with_session(self.session_of_dispatches(cx));
        cx.stats.dispatches += 1;
        cx.last_dispatch = Some(now);
        if dispatch.name() == "RATE_LIMITED"
            && let Some(limited) = RateLimited::of_member_request(&dispatch)
        {
            cx.commands.rate_limited(limited.guild, limited.retry_after, now);
        }
        cx.event(Event::Dispatch(dispatch));
    }

    /// The session that the numbers of dispatches belong to at this stage.
    fn session_of_dispatches(&self, cx: &Context) -> Option<SessionKey> {
        match self.stage {
            OpenStage::AwaitingHello { .. } | OpenStage::AwaitingIdentify => None,
            _ => cx.sessions.current.as_ref().map(|session| session.key),
        }
    }

    /// READY sets the sequence number; after it the newest counts. A dispatch without a number changes nothing. Where the
    /// connection is to be closed, the dispatch is neither counted nor delivered: a Resume brings those before it, and then this
    /// one again.
    fn advance(&mut self, sequence: Option<u64>, cx: &mut Context, now: Instant) -> Flow {
        let (Some(session), Some(got)) = (&mut cx.sessions.current, sequence) else { return Continue(()) };
        let after = session.sequence;
        if got <= after.saturating_add(1) {
            session.sequence = after.max(got);
            return Continue(());
        }
        let replaying = matches!(self.stage, OpenStage::Resuming { .. });
        // 0 stands for no number at all: there is nothing to resume from.
        let resumes = after > 0 && cx.sessions.gaps.resumes_for(after, got, replaying, now);
        if !resumes {
            session.sequence = got;
        }
        cx.notice(Notice::SequenceGap { after, got });
        match resumes {
            true => Break(self.resume_for_gap(after, got, cx)),
            false => Continue(()),
        }
    }

    /// Resumes for skipped numbers. The replay brings their dispatches in order, so none that arrives before it may count.
    fn resume_for_gap(&mut self, after: u64, got: u64, cx: &mut Context) -> Close {
        if let OpenStage::Resuming { reached, .. } = &mut self.stage {
            // The dispatch that showed the gap has answered the Resume.
            reached.get_or_insert(after);
            cx.sessions.resume_answered();
        }
        Close::resumable("sequence numbers skipped", DisconnectReason::SequenceGap { after, got })
    }

    fn now_ready(&mut self, cx: &mut Context, now: Instant) {
        self.stage = OpenStage::Ready;
        self.ready_since.get_or_insert(now);
        cx.sessions.ready();
    }
}

/// "you should store `session_id` and `resume_gateway_url`" (Discord Docs, Gateway > Ready Event).
fn begin_session(ready: &Dispatch, cx: &mut Context) {
    cx.sessions.end();
    let id = ready.decode::<SessionId>().ok().map(|ready| ready.session_id);
    let Some(id) = id.filter(|id| is_usable_session_id(id)) else {
        return cx.notice(Notice::SessionNotResumable);
    };
    let url = ready.decode::<ResumeUrl>().ok().map(|ready| ready.resume_gateway_url);
    let resume_url = url.as_deref().and_then(|url| cx.usable_resume_url(url));
    if resume_url.is_none() {
        cx.notice(Notice::ResumeUrlUnusable);
    }
    let sequence = ready.sequence().unwrap_or(0);
    let session = Session::new(id, resume_url, sequence, sequence.saturating_sub(1));
    cx.sessions.begin(session.with_unusable_url(url.as_deref()));
}

/// Whether a READY belongs to the current session.
fn is_of_current_session(ready: &Dispatch, cx: &Context) -> bool {
    match (cx.sessions.id(), ready.decode::<SessionId>()) {
        (Some(id), Ok(ready)) => *id == *ready.session_id,
        _ => false,
    }
}
