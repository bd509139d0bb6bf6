//! The state of one connection, which is dropped with it.

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
    /// The time of the last received bytes.
    pub(crate) last_received: Instant,
    /// Whether the beginning of a message was received, and its end was not.
    pub(crate) message_under_way: bool,
    /// Since when READY or RESUMED.
    pub(crate) ready_since: Option<Instant>,
    /// Whether it was opened at the resume URL.
    pub(crate) at_resume_url: bool,
    /// Whether the shard was called late, and nothing was received since. A second late call ends the connection.
    pub(crate) called_late: bool,
}

/// The stage of the connection.
pub(crate) enum OpenStage {
    AwaitingHello {
        deadline: Instant,
    },
    AwaitingIdentify,
    AwaitingReady {
        deadline: Instant,
        /// The last moment for READY, also if the server acknowledges heartbeats.
        latest: Instant,
    },
    Resuming {
        deadline: Instant,
        /// The last moment for the next message of the replay, also while its bytes arrive.
        latest: Instant,
        /// The sequence number in Resume: the server does not replay dispatches up to it.
        from: u64,
        /// The newest sequence number when Resume was sent: dispatches up to it were delivered before.
        delivered: u64,
        replayed: u64,
        /// The newest sequence number of the replay so far. `None` before it has begun.
        reached: Option<u64>,
    },
    Ready,
}

impl OpenConnection {
    /// A new connection, without any state of an earlier one.
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

    /// The next deadline. `command` is the time of the next command by its own limits, before this connection's send window.
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
        // Before Hello the deadline is the stage's, after it the heartbeat's.
        stage.into_iter().chain(heartbeat).chain(answer).min().unwrap_or(now)
    }

    /// The slots of the send window that a requested heartbeat must leave free for Identify or Resume.
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

    /// Records bytes that complete no message.
    pub(crate) fn progress(&mut self, message: bool, now: Instant) {
        self.last_received = now;
        self.message_under_way |= message;
    }

    /// Restarts all waits, since the silence so far is not the server's fault.
    pub(crate) fn restart_waits(&mut self, timeouts: &Timeouts, now: Instant) {
        self.extend_deadline(timeouts, now);
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.reset_missed();
        }
    }

    /// Restarts the wait of the stage.
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

    /// The reason why the wait of the stage is over. `None` if it is not. The wait is extended while the expected payload may be
    /// in the message that is arriving, except for Hello, which is too small for that.
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
