//! `Display` of the types that an application prints: one line, without secrets, with text of the server escaped and bounded.
//!
//! Errors, [`Closed`](crate::Closed) and [`StopReason`](crate::StopReason) have theirs beside their definition.

use std::fmt;
use std::time::Duration;

use gateway_codec::text::escape;

use crate::config::Delivery;
use crate::disconnect::{DisconnectKind, DisconnectReason, Disconnected, Refused};
use crate::health::{Ages, Condition, Health, Phase, Stats};
use crate::identify::{RefusalCause, WhenSpent};
use crate::{CloseFrame, Dispatch, Event, Input, Notice, Reconnect, Shutdown, UnknownMessage};

/// A duration as people read it: milliseconds below a second, seconds above.
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            short if short < Duration::from_secs(1) => write!(f, "{:.1} ms", short.as_secs_f64() * 1e3),
            long => write!(f, "{:.1} s", long.as_secs_f64()),
        }
    }
}

/// One line for a log.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting { resuming: true, attempt } => {
                write!(f, "connecting to resume (attempt {attempt})")
            }
            Self::Connecting { resuming: false, attempt } => write!(f, "connecting (attempt {attempt})"),
            Self::Connected => f.write_str("connected"),
            Self::Hello { heartbeat_interval } => {
                write!(f, "hello: a heartbeat every {} ms", heartbeat_interval.as_millis())
            }
            Self::Identifying => f.write_str("identifying"),
            Self::Resuming { sequence } => write!(f, "resuming after event {sequence}"),
            Self::Dispatch(dispatch) => dispatch.fmt(f),
            Self::Ready => f.write_str("ready"),
            Self::Resumed { replayed } => write!(f, "resumed: {replayed} events replayed"),
            Self::HeartbeatAcknowledged { latency, .. } => {
                write!(f, "latency {:.1} ms", latency.as_secs_f64() * 1e3)
            }
            Self::Disconnected(disconnected) => disconnected.fmt(f),
            Self::Unknown(unknown) => unknown.fmt(f),
            Self::Notice(notice) => notice.fmt(f),
        }
    }
}

/// Name, sequence number and size. No data: it contains messages of users, or a session id.
impl fmt::Display for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "" => f.write_str("an event without a name")?,
            name => write!(f, "{}", escape(name))?,
        }
        if let Some(sequence) = self.sequence() {
            write!(f, ", sequence {sequence}")?;
        }
        write!(f, ", {} bytes", self.data().as_bytes().len())
    }
}

/// Kinds and sizes. No texts: the server's texts may contain secrets, which the shard has not removed yet.
impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Opened => "Opened",
            Self::ConnectFailed(error) => {
                return write!(f, "ConnectFailed({})", DisconnectReason::ConnectFailed(error.clone()).kind());
            }
            Self::Message(message) => return f.debug_tuple("Message").field(message).finish(),
            Self::Progress { message } => {
                return f.debug_struct("Progress").field("message", message).finish();
            }
            Self::Closed(closed) => {
                return write!(f, "Closed({})", DisconnectReason::Closed(closed.clone()).kind());
            }
            Self::IdentifyGranted => "IdentifyGranted",
            Self::IdentifyRefused(refused) => {
                return f.debug_tuple("IdentifyRefused").field(refused).finish();
            }
            Self::ReadingPaused => "ReadingPaused",
            Self::ReadingResumed => "ReadingResumed",
            Self::WallClock(since_1970) => return f.debug_tuple("WallClock").field(since_1970).finish(),
            Self::Timeout => "Timeout",
        };
        f.write_str(name)
    }
}

/// The opcode and the size. No data: its content is unknown.
impl fmt::Display for UnknownMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message with the unknown opcode {}, {} bytes", self.op, self.data.as_bytes().len())
    }
}

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "disconnected: {}", self.reason)?;
        match self.retry_in {
            Some(wait) if self.resumable => write!(f, "; resuming in {:.1} s", wait.as_secs_f64()),
            Some(wait) => write!(f, "; a new session in {:.1} s", wait.as_secs_f64()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeartbeatIntervalClamped { asked_ms: Some(asked), used } => {
                write!(f, "the heartbeat interval of {asked} ms is absurd; {} ms are used", used.as_millis())
            }
            Self::HeartbeatIntervalClamped { asked_ms: None, used } => {
                write!(f, "Hello names no heartbeat interval; {} ms are used", used.as_millis())
            }
            Self::SessionNotResumable => f.write_str("READY names no session, so this one cannot be resumed"),
            Self::ResumeUrlUnusable => {
                f.write_str("the resume URL cannot be used; the session is resumed at the base URL")
            }
            Self::SequenceGap { after, got } => {
                write!(f, "the server skipped sequence numbers: {got} follows {after}")
            }
            Self::DuplicateDropped { sequence } => {
                write!(f, "event {sequence} was replayed although it had arrived; it is dropped")
            }
            Self::UnexpectedFormat => {
                f.write_str("a message came in another format than was asked for; it was read all the same")
            }
            Self::TrailingBytes { count } => write!(f, "{count} bytes after a payload were ignored"),
            Self::ResumeGivenUp { attempts } => {
                write!(f, "the session was given up after {attempts} Resumes without an answer")
            }
            Self::ReplayGivenUp { after } => write!(
                f,
                "the session was given up: a Resume would bring again what follows event {after}, which cannot be read"
            ),
            Self::RefusedRepeatedly { status, times } => write!(
                f,
                "the upgrade was refused with HTTP status {status} {times} times in a row; waiting may not help"
            ),
            Self::NotDriven { late } => {
                write!(f, "the shard was driven {} late; silence in that time does not count", Time(*late))
            }
            Self::TranscriptEnded { kind } => write!(f, "the transcript ends here: {kind}"),
            Self::SavedSessionForOtherShard => {
                f.write_str("the saved session was not used: it belongs to another shard id or shard count")
            }
        }
    }
}

/// The condition, the latency and the number of waiting commands.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.condition, self.phase)?;
        if let Some(latency) = self.latency {
            write!(f, ", latency {:.1} ms", latency.as_secs_f64() * 1e3)?;
        }
        write!(f, ", {} commands waiting", self.queued_commands)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("starting"),
            Self::Healthy => f.write_str("healthy"),
            Self::Degraded { missed_heartbeats } => {
                write!(f, "degraded: {missed_heartbeats} heartbeats unanswered")
            }
            Self::Reconnecting { attempt, reason, .. } => {
                write!(f, "reconnecting (attempt {attempt}): {reason}")
            }
            Self::Stopped(reason) => write!(f, "stopped: {reason}"),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BackingOff => "waiting to connect",
            Self::Connecting => "connecting",
            Self::AwaitingHello => "waiting for Hello",
            Self::AwaitingIdentify => "waiting for a permit to identify",
            Self::AwaitingReady => "waiting for READY",
            Self::Resuming => "resuming",
            Self::Ready => "ready",
            Self::Closing => "closing",
            Self::Stopped => "stopped",
        })
    }
}

impl fmt::Display for Ages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ages =
            [("received", self.received), ("acknowledged", self.acknowledged), ("dispatch", self.dispatch)];
        for (index, (what, age)) in ages.into_iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match age {
                Some(age) => write!(f, "{comma}{what} {} ago", Time(age))?,
                None => write!(f, "{comma}{what} never")?,
            }
        }
        Ok(())
    }
}

/// The most important counters.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} connection attempts opened, {} ended; {} Identifies, {} of {} Resumes answered; {} dispatches in {} \
             payloads of {} bytes; {} of {} heartbeats acknowledged; {} commands sent",
            self.connects,
            self.connect_attempts,
            self.disconnects,
            self.identifies,
            self.resumed,
            self.resumes,
            self.dispatches,
            self.payloads,
            self.payload_bytes,
            self.acknowledgements,
            self.heartbeats,
            self.commands,
        )
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Received => "received",
            Self::Acknowledged => "acknowledged",
        })
    }
}

impl fmt::Display for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resumable => "resumable",
            Self::LogOff => "log-off",
        })
    }
}

impl fmt::Display for Reconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resume => "resume",
            Self::Fresh => "fresh",
        })
    }
}

impl fmt::Display for WhenSpent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refuse => "refuse",
            Self::Hold => "hold",
        })
    }
}

impl fmt::Display for RefusalCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spent => "no session start is left that may be given out",
            Self::NotPersisted => "the session start could not be persisted",
            Self::Unreachable => "the identify gate could not be reached",
        })
    }
}

/// The label of a counter.
impl fmt::Display for DisconnectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Refused => "refused",
            Self::Handshake => "handshake",
            Self::ConnectTimeout => "connect-timeout",
            Self::HelloTimeout => "hello-timeout",
            Self::ReadyTimeout => "ready-timeout",
            Self::ResumedTimeout => "resumed-timeout",
            Self::Suspended => "suspended",
            Self::Zombie => "zombie",
            Self::ReconnectRequested => "reconnect-requested",
            Self::InvalidSession => "invalid-session",
            Self::CloseFrame(Some(code)) => return write!(f, "close-{code}"),
            Self::CloseFrame(None) => "close",
            Self::Eof => "eof",
            Self::Failed => "failed",
            Self::Protocol => "protocol",
            Self::Undecodable => "undecodable",
            Self::MessageTooLarge => "message-too-large",
            Self::IdentifyRefused => "identify-refused",
            Self::Requested => "requested",
            Self::SequenceGap => "sequence-gap",
            Self::Shutdown => "shutdown",
        })
    }
}

impl fmt::Display for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code {}: {}", self.code, escape(&self.reason))
    }
}

/// The status and `Retry-After`. No headers and no body: their content is unknown.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP status {}", self.status)?;
        match self.retry_after {
            Some(wait) => write!(f, ", retry after {} s", wait.as_secs_f64()),
            None => Ok(()),
        }
    }
}
