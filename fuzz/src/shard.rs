//! A shard in any life: typed inputs in any order, the application's wishes, and any time in between.

use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use gateway_proto::{
    Closed, Command, Compression, ConnectError, Encoding, Event, Input, Intents, Message, Output, Phase,
    Presence, Reconnect, Refused, Shard, ShardConfig, Shutdown,
};

/// What happens to a shard.
#[derive(Debug, Arbitrary)]
pub struct Life {
    seed: u64,
    etf: bool,
    compression: u8,
    moments: Vec<(Pause, Moment)>,
}

/// How long nothing happens before something does.
#[derive(Debug, Arbitrary)]
enum Pause {
    None,
    Milliseconds(u16),
    Seconds(u16),
    /// Until the deadline that was given out, as a good driver waits.
    UntilDeadline,
    /// Much later than that, as after a suspend.
    LongAfterDeadline(u16),
}

#[derive(Debug, Arbitrary)]
enum Moment {
    Opened,
    ConnectFailed(u8),
    Text(String),
    Binary(Vec<u8>),
    Hello(u32),
    Ready { sequence: u64, resume_url: bool },
    Resumed(u64),
    Dispatch { sequence: Option<u64>, name: u8 },
    Beat,
    Acknowledged,
    ReconnectRequested,
    Invalid(bool),
    Closed(Option<u16>),
    Eof,
    TooLarge,
    Granted,
    Progress(bool),
    Paused,
    Resumption,
    WallClock(u32),
    Timeout,
    Send(u8),
    Reconnect(bool),
    Shutdown(bool),
}

/// Never panics, never spins, has a deadline, ends every connection once, sends nothing outside an open one and no more
/// than 120 messages in 60 s.
pub fn shard(life: Life) {
    let mut config = ShardConfig::new("token", Intents::UNPRIVILEGED);
    config.seed = Some(life.seed);
    config.url = "ws://gateway.test".to_owned();
    config.encoding = if life.etf { Encoding::Etf } else { Encoding::Json };
    config.compression = match life.compression % 3 {
        0 => Compression::None,
        1 => Compression::ZlibStream,
        _ => Compression::ZstdStream,
    };
    let now = Instant::now();
    let shard = Shard::new(config, now).expect("the configuration can be used");
    let mut driver =
        Driver { shard, now, deadline: now, open: false, dialing: false, announced: false, sent: Vec::new() };
    driver.drain();
    for (pause, moment) in life.moments {
        driver.wait(&pause);
        driver.live(moment);
        driver.drain();
    }
}

struct Driver {
    shard: Shard,
    now: Instant,
    deadline: Instant,
    open: bool,
    dialing: bool,
    announced: bool,
    /// When messages went out on this connection.
    sent: Vec<Instant>,
}

impl Driver {
    fn wait(&mut self, pause: &Pause) {
        let until_deadline = self.deadline.saturating_duration_since(self.now);
        self.now += match pause {
            Pause::None => Duration::ZERO,
            Pause::Milliseconds(milliseconds) => Duration::from_millis((*milliseconds).into()),
            Pause::Seconds(seconds) => Duration::from_secs((*seconds).into()),
            Pause::UntilDeadline => until_deadline,
            Pause::LongAfterDeadline(seconds) => until_deadline + Duration::from_secs((*seconds).into()),
        };
    }

    fn live(&mut self, moment: Moment) {
        let text = |text: String| Input::Message(Message::Text(text.into()));
        let input = match moment {
            Moment::Opened => {
                self.open |= std::mem::take(&mut self.dialing);
                Input::Opened
            }
            Moment::ConnectFailed(how) => {
                self.dialing = false;
                Input::ConnectFailed(failure(how))
            }
            Moment::Text(any) => text(any),
            Moment::Binary(any) => Input::Message(Message::Binary(any.into())),
            Moment::Hello(interval) => {
                text(format!(r#"{{"op":10,"d":{{"heartbeat_interval":{interval}}}}}"#))
            }
            Moment::Ready { sequence, resume_url } => {
                let url = if resume_url { "ws://resume.test" } else { "" };
                text(format!(
                    r#"{{"op":0,"t":"READY","s":{sequence},"d":{{"session_id":"s","resume_gateway_url":"{url}"}}}}"#
                ))
            }
            Moment::Resumed(sequence) => text(format!(r#"{{"op":0,"t":"RESUMED","s":{sequence},"d":null}}"#)),
            Moment::Dispatch { sequence: Some(sequence), name } => {
                text(format!(r#"{{"op":0,"t":"E{name}","s":{sequence},"d":{{}}}}"#))
            }
            Moment::Dispatch { sequence: None, name } => text(format!(r#"{{"op":0,"t":"E{name}","d":1}}"#)),
            Moment::Beat => text(r#"{"op":1,"d":null}"#.to_owned()),
            Moment::Acknowledged => text(r#"{"op":11}"#.to_owned()),
            Moment::ReconnectRequested => text(r#"{"op":7,"d":null}"#.to_owned()),
            Moment::Invalid(resumable) => text(format!(r#"{{"op":9,"d":{resumable}}}"#)),
            Moment::Closed(code) => self.closed(Closed::Frame { code, reason: String::new() }),
            Moment::Eof => self.closed(Closed::Eof),
            Moment::TooLarge => self.closed(Closed::MessageTooLarge),
            Moment::Granted => Input::IdentifyGranted,
            Moment::Progress(message) => Input::Progress { message },
            Moment::Paused => Input::ReadingPaused,
            Moment::Resumption => Input::ReadingResumed,
            Moment::WallClock(seconds) => Input::WallClock(Duration::from_secs(seconds.into())),
            Moment::Timeout => Input::Timeout,
            Moment::Send(times) => {
                for _ in 0..times {
                    // Refused once the shard is ending, or too many wait: that changes nothing.
                    let _ = self.shard.send(Command::UpdatePresence(Presence::default()));
                }
                Input::Timeout
            }
            Moment::Reconnect(fresh) => {
                self.shard.reconnect(if fresh { Reconnect::Fresh } else { Reconnect::Resume });
                Input::Timeout
            }
            Moment::Shutdown(log_off) => {
                self.shard.shutdown(if log_off { Shutdown::LogOff } else { Shutdown::Resumable });
                Input::Timeout
            }
        };
        self.shard.handle_input(input, self.now);
    }

    fn closed(&mut self, closed: Closed) -> Input {
        self.open = false;
        Input::Closed(closed)
    }

    fn drain(&mut self) {
        for _ in 0..5000 {
            match self.shard.poll_output() {
                Output::Timeout(at) => {
                    let longest = Duration::from_secs(3600);
                    assert!(at <= self.now + longest, "nothing is to happen for more than an hour");
                    self.deadline = at;
                    return;
                }
                Output::Stopped(_) => {
                    assert_eq!(self.shard.phase(), Phase::Stopped);
                    assert!(!self.announced, "the end of a connection was not told");
                    self.deadline = self.now;
                    return;
                }
                Output::Connect(_) => {
                    assert!(!self.open && !self.dialing, "a second connection");
                    self.dialing = true;
                    self.sent.clear();
                }
                Output::Send(_) => self.send(),
                Output::Close(_) => {
                    assert!(std::mem::take(&mut self.open), "a close frame outside an open connection");
                }
                Output::Disconnect => (self.open, self.dialing) = (false, false),
                Output::Event(Event::Connecting { .. }) => {
                    assert!(!std::mem::replace(&mut self.announced, true), "a connection within another");
                }
                Output::Event(Event::Disconnected(_)) => {
                    assert!(std::mem::replace(&mut self.announced, false), "an end was told twice");
                }
                Output::Event(_) | Output::AcquireIdentify | Output::CancelIdentify => {}
            }
        }
        panic!("outputs without end");
    }

    fn send(&mut self) {
        assert!(self.open, "a message was sent outside an open connection");
        let now = self.now;
        self.sent.retain(|at| now.saturating_duration_since(*at) < Duration::from_secs(60));
        self.sent.push(now);
        assert!(self.sent.len() <= 120, "{} messages within 60 s", self.sent.len());
    }
}

fn failure(how: u8) -> ConnectError {
    match how % 5 {
        0 => ConnectError::Dns(String::new()),
        1 => ConnectError::Tcp(String::new()),
        2 => ConnectError::Tls(String::new()),
        3 => ConnectError::Handshake(String::new()),
        _ => ConnectError::Refused(Refused {
            status: 400 + u16::from(how),
            retry_after: Some(Duration::from_secs(u64::from(how) * 100)),
            ..Refused::default()
        }),
    }
}
