//! What belongs to one connection and dies with it.

use std::time::Instant;

use crate::heartbeat::Heartbeat;
use crate::receiver::Receiver;
use crate::send_window::SendWindow;
use crate::{ShardConfig, Timeouts};

/// An open connection.
pub(crate) struct Connection {
    pub(crate) stage: Stage,
    pub(crate) receiver: Receiver,
    pub(crate) window: SendWindow,
    /// From Hello on.
    pub(crate) heartbeat: Option<Heartbeat>,
    /// When anything was last received.
    pub(crate) last_received: Instant,
    /// Since when READY or RESUMED.
    pub(crate) ready_since: Option<Instant>,
    /// Dialled at the session's own URL.
    pub(crate) at_resume_url: bool,
    /// The shard was called late, and nothing has been received since. It is not forgiven twice.
    pub(crate) forgiven: bool,
}

/// How far the connection has come.
pub(crate) enum Stage {
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
        /// The sequence number given in Resume: the server has no reason to replay what comes up to it.
        from: u64,
        /// The newest sequence number when Resume was sent: what comes up to it was delivered before.
        delivered: u64,
        replayed: u64,
    },
    Ready,
}

impl Connection {
    /// Everything fresh: contexts, window, heartbeat.
    pub(crate) fn new(config: &ShardConfig, at_resume_url: bool, now: Instant) -> Self {
        Self {
            stage: Stage::AwaitingHello { deadline: now + config.timeouts.hello },
            receiver: Receiver::new(config.encoding, config.compression, &config.limits),
            window: SendWindow::new(config.limits.sends_per_minute),
            heartbeat: None,
            last_received: now,
            ready_since: None,
            at_resume_url,
            forgiven: false,
        }
    }

    /// `command`: when a command waits to be sent, whatever this connection's window says.
    pub(crate) fn next_deadline(&self, now: Instant, command: Option<Instant>) -> Instant {
        let stage = match self.stage {
            Stage::AwaitingHello { deadline }
            | Stage::AwaitingReady { deadline, .. }
            | Stage::Resuming { deadline, .. } => Some(deadline),
            Stage::Ready => command.map(|at| at.max(self.window.next_command(now))),
            Stage::AwaitingIdentify => None,
        };
        let heartbeat = self.heartbeat.as_ref().map(Heartbeat::deadline);
        // Before Hello there is the stage's deadline, after it the heartbeat's.
        stage.into_iter().chain(heartbeat).min().unwrap_or(now)
    }

    /// The silence so far was our own doing: what is waited for is waited for anew.
    pub(crate) fn forgive(&mut self, timeouts: &Timeouts, now: Instant) {
        self.wait_anew(timeouts, now);
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.forgive();
        }
    }

    /// The wait of the stage begins anew.
    pub(crate) fn wait_anew(&mut self, timeouts: &Timeouts, now: Instant) {
        let (deadline, timeout) = match &mut self.stage {
            Stage::AwaitingHello { deadline } => (deadline, timeouts.hello),
            Stage::AwaitingReady { deadline, .. } => (deadline, timeouts.ready),
            Stage::Resuming { deadline, .. } => (deadline, timeouts.resumed),
            Stage::AwaitingIdentify | Stage::Ready => return,
        };
        *deadline = (*deadline).max(now + timeout);
    }
}
