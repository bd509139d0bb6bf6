//! What belongs to one connection and dies with it.

use std::time::Instant;

use crate::ShardConfig;
use crate::config::Timeouts;
use crate::disconnect::DisconnectReason;
use crate::heartbeat::Heartbeat;
use crate::send_window::SendWindow;

/// A connection from its opening to its end.
pub(crate) struct OpenConnection {
    pub(crate) stage: OpenStage,
    pub(crate) window: SendWindow,
    /// From Hello on.
    pub(crate) heartbeat: Option<Heartbeat>,
    /// When anything was last received.
    pub(crate) last_received: Instant,
    /// The beginning of a payload has come, its end has not.
    pub(crate) message_under_way: bool,
    /// Since when READY or RESUMED.
    pub(crate) ready_since: Option<Instant>,
    /// Dialled at the session's own URL.
    pub(crate) at_resume_url: bool,
    /// The shard was called late, and nothing has been received since. A second time is not excused.
    pub(crate) called_late: bool,
}

/// How far the connection has come.
pub(crate) enum OpenStage {
    AwaitingHello {
        deadline: Instant,
    },
    AwaitingIdentify,
    AwaitingReady {
        deadline: Instant,
        /// However alive the server is.
        latest: Instant,
    },
    Resuming {
        deadline: Instant,
        /// However long the next message of the replay keeps coming.
        latest: Instant,
        /// The sequence number given in Resume: the server has no reason to replay what comes up to it.
        from: u64,
        /// The newest sequence number when Resume was sent: what comes up to it was delivered before.
        delivered: u64,
        replayed: u64,
        /// The newest sequence number of the replay so far. None: it has not begun.
        reached: Option<u64>,
    },
    Ready,
}

impl OpenConnection {
    /// Nothing of an earlier connection is in it.
    pub(crate) fn new(config: &ShardConfig, at_resume_url: bool, now: Instant) -> Self {
        Self {
            stage: OpenStage::AwaitingHello { deadline: now + config.timeouts.hello },
            window: SendWindow::new(config.limits.sends_per_minute),
            heartbeat: None,
            last_received: now,
            message_under_way: false,
            ready_since: None,
            at_resume_url,
            called_late: false,
        }
    }

    /// `command`: when a command waits to be sent, whatever this connection's window says.
    pub(crate) fn next_deadline(&self, now: Instant, command: Option<Instant>) -> Instant {
        let stage = match self.stage {
            OpenStage::AwaitingHello { deadline }
            | OpenStage::AwaitingReady { deadline, .. }
            | OpenStage::Resuming { deadline, .. } => Some(deadline),
            OpenStage::Ready => command.map(|at| at.max(self.window.next_command(now))),
            OpenStage::AwaitingIdentify => None,
        };
        let heartbeat = self.heartbeat.as_ref().map(Heartbeat::deadline);
        let answer = self.window.next_answer(self.kept_places(), now);
        // Before Hello there is the stage's deadline, after it the heartbeat's.
        stage.into_iter().chain(heartbeat).chain(answer).min().unwrap_or(now)
    }

    /// A heartbeat that the server asks for leaves a place for what begins the session.
    fn kept_places(&self) -> usize {
        usize::from(matches!(self.stage, OpenStage::AwaitingHello { .. } | OpenStage::AwaitingIdentify))
    }

    /// Whether a heartbeat that the server or the application asked for goes out now. It counts as sent.
    pub(crate) fn answer_heartbeat_request(&mut self, now: Instant) -> bool {
        if !self.window.answer_request(self.kept_places(), now) {
            return false;
        }
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.sent_on_request(now);
        }
        true
    }

    /// Bytes have come that make no message yet.
    pub(crate) fn progress(&mut self, message: bool, now: Instant) {
        self.last_received = now;
        self.message_under_way |= message;
    }

    /// The silence so far says nothing of the server: all waits begin anew.
    pub(crate) fn restart_waits(&mut self, timeouts: &Timeouts, now: Instant) {
        self.extend_deadline(timeouts, now);
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.reset_missed();
        }
    }

    /// The wait of the stage begins anew.
    pub(crate) fn extend_deadline(&mut self, timeouts: &Timeouts, now: Instant) {
        let (deadline, timeout) = match &mut self.stage {
            OpenStage::AwaitingHello { deadline } => (deadline, timeouts.hello),
            OpenStage::AwaitingReady { deadline, .. } => (deadline, timeouts.ready),
            OpenStage::Resuming { deadline, latest, .. } => {
                *latest = (*latest).max(now + timeouts.message);
                (deadline, timeouts.resumed)
            }
            OpenStage::AwaitingIdentify | OpenStage::Ready => return,
        };
        *deadline = (*deadline).max(now + timeout);
    }

    /// Why the wait of the stage is over. None: it is not, and goes on as long as what is waited for may be in the message
    /// whose bytes still come. Hello is too small for that.
    pub(crate) fn overdue(&mut self, timeouts: &Timeouts, now: Instant) -> Option<DisconnectReason> {
        let (deadline, latest, timeout, reason) = match &mut self.stage {
            OpenStage::AwaitingHello { deadline } => {
                return (*deadline <= now).then_some(DisconnectReason::HelloTimeout);
            }
            OpenStage::AwaitingReady { deadline, latest } => {
                (deadline, *latest, timeouts.ready, DisconnectReason::ReadyTimeout)
            }
            OpenStage::Resuming { deadline, latest, .. } => {
                (deadline, *latest, timeouts.resumed, DisconnectReason::ResumedTimeout)
            }
            OpenStage::AwaitingIdentify | OpenStage::Ready => return None,
        };
        if *deadline <= now && self.message_under_way {
            *deadline = (*deadline).max((self.last_received + timeout).min(latest));
        }
        (*deadline <= now).then_some(reason)
    }
}
