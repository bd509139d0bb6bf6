//! A shard with any messages of the server in any order, any requests of the application, and any time in between.

use std::time::{Duration, Instant};

use gateway_codec::{Deflater, etf};
use gateway_proto::command::{
    ChannelInfoField, MemberRequests, MemberSelection, Presence, RequestGuildMembers, VoiceStateUpdate,
};
use gateway_proto::config::Delivery;
use gateway_proto::disconnect::Refused;
use gateway_proto::health::Phase;
use gateway_proto::identify::IdentifyRefused;
use gateway_proto::session::{AckError, SessionSnapshot};
use gateway_proto::{
    Closed, Command, Compression, ConnectError, Dispatch, Encoding, Event, Input, Intents, Message, Output,
    Raw, Reconnect, Shard, ShardConfig, ShardId, Shutdown, Snowflake,
};

/// Never panics, never spins, has a deadline, ends every connection once, sends messages only on an open one and at most
/// 120 in 60 s; accepts acknowledgements of delivered dispatches only; answers every request for members once.
///
/// The data can be written by hand: a letter for the configuration, and steps. A step is a pause, a letter for its kind,
/// and its arguments. Other letters are skipped, so blanks may separate steps.
pub fn shard(data: &[u8]) {
    let Some((format, mut rest)) = data.split_first() else { return };
    let mut driver = Driver::new(*format);
    driver.drain();
    while !rest.is_empty() {
        let pause = take_byte(&mut rest);
        if pause.is_ascii_whitespace() {
            continue;
        }
        driver.wait(pause);
        driver.live(&mut rest);
        driver.drain();
    }
}

struct Driver {
    config: ShardConfig,
    shard: Shard,
    requests: MemberRequests,
    /// Requests without an answer.
    unanswered: usize,
    /// The nonce of the last of them.
    nonce: Option<String>,
    now: Instant,
    deadline: Instant,
    open: bool,
    dialing: bool,
    announced: bool,
    compressor: Option<Deflater>,
    /// The times of the messages on this connection.
    sent: Vec<Instant>,
}

/// The timeout of a driver for requests for members.
const MEMBERS_TIMEOUT: Duration = Duration::from_secs(60);

impl Driver {
    fn new(format: u8) -> Self {
        let mut config = ShardConfig::new("token", Intents::UNPRIVILEGED);
        config.seed = Some(format.into());
        config.url = "ws://gateway.test".to_owned();
        config.encoding = if format & 1 == 0 { Encoding::Json } else { Encoding::Etf };
        config.compression = match format & 6 {
            2 => Compression::ZlibStream,
            4 => Compression::ZstdStream,
            _ => Compression::None,
        };
        config.delivery = if format & 8 == 0 { Delivery::Received } else { Delivery::Acknowledged };
        if format & 16 != 0 {
            let url = Some("ws://resume.gateway.test".to_owned());
            config.session = Some(SessionSnapshot::new("saved".to_owned(), url, 5, ShardId::ONE));
        }
        let now = Instant::now();
        let shard = Shard::new(config.clone(), now).expect("the configuration can be used");
        Self {
            config,
            shard,
            requests: MemberRequests::new(MEMBERS_TIMEOUT, format.into()),
            unanswered: 0,
            nonce: None,
            now,
            deadline: now,
            open: false,
            dialing: false,
            announced: false,
            compressor: None,
            sent: Vec::new(),
        }
    }

    fn wait(&mut self, pause: u8) {
        let until_deadline = self.deadline.saturating_duration_since(self.now);
        self.now += match pause {
            b'.' => Duration::ZERO,
            // As a driver that is on time.
            b'-' => until_deadline,
            // As after a suspended machine.
            b'=' => until_deadline + Duration::from_secs(7),
            b'#' => until_deadline + Duration::from_secs(50_000),
            b'0'..=b'9' => Duration::from_millis(10).mul_f64(2_f64.powi(i32::from(pause - b'0') * 2)),
            other => Duration::from_secs(other.into()),
        };
    }

    fn live(&mut self, rest: &mut &[u8]) {
        let input = match take_byte(rest) {
            b'O' => {
                if std::mem::take(&mut self.dialing) {
                    self.open = true;
                    self.compressor = Deflater::new(self.config.compression);
                }
                Input::Opened
            }
            b'C' => {
                self.dialing = false;
                Input::ConnectFailed(failure(take_byte(rest)))
            }
            b'T' => Input::Message(Message::Text(take(rest).to_vec().into())),
            b'B' => Input::Message(Message::Binary(take(rest).to_vec().into())),
            b'P' => {
                let payload = String::from_utf8_lossy(take(rest)).into_owned();
                self.message(&payload)
            }
            b'H' => {
                let interval = u64::from(take_byte(rest)) * 1000;
                self.message(&format!(r#"{{"op":10,"d":{{"heartbeat_interval":{interval}}}}}"#))
            }
            b'R' => {
                let (sequence, odd) = (take_byte(rest), take_byte(rest));
                let url = if odd % 2 == 0 { "ws://resume.gateway.test" } else { "" };
                self.dispatch(
                    "READY",
                    Some(sequence),
                    &format!(r#"{{"session_id":"s{odd}","resume_gateway_url":"{url}"}}"#),
                )
            }
            b'U' => {
                let sequence = take_byte(rest);
                self.dispatch("RESUMED", Some(sequence), "null")
            }
            b'D' => {
                let sequence = take_byte(rest);
                self.dispatch("MESSAGE_CREATE", Some(sequence), r#"{"id":"81384788765712384"}"#)
            }
            b'N' => self.dispatch("E", None, "1"),
            b'M' => {
                let (sequence, place) = (take_byte(rest), take_byte(rest));
                let (index, count) = (place & 15, place >> 4);
                let nonce = self.nonce.as_deref().unwrap_or_default();
                let data = format!(
                    r#"{{"guild_id":"7","members":[],"chunk_index":{index},"chunk_count":{count},"nonce":"{nonce}"}}"#
                );
                self.dispatch("GUILD_MEMBERS_CHUNK", Some(sequence), &data)
            }
            b'L' => {
                let (sequence, seconds) = (take_byte(rest), take_byte(rest));
                let nonce = self.nonce.as_deref().unwrap_or_default();
                let data = format!(
                    r#"{{"opcode":8,"retry_after":{seconds}.5,"meta":{{"guild_id":"7","nonce":"{nonce}"}}}}"#
                );
                self.dispatch("RATE_LIMITED", Some(sequence), &data)
            }
            b'h' => self.message(r#"{"op":1,"d":null}"#),
            b'a' => self.message(r#"{"op":11}"#),
            b'r' => self.message(r#"{"op":7,"d":null}"#),
            b'i' => {
                let resumable = take_byte(rest) % 2 == 1;
                self.message(&format!(r#"{{"op":9,"d":{resumable}}}"#))
            }
            b'c' => {
                let code = match take_byte(rest) {
                    b'-' => None,
                    b'1' => Some(1000),
                    other => Some(4000 + u16::from(other)),
                };
                self.closed(Closed::Frame { code, reason: String::new() })
            }
            b'e' => self.closed(Closed::Eof),
            b'l' => self.closed(Closed::MessageTooLarge),
            b'g' => Input::IdentifyGranted,
            b'f' => Input::IdentifyRefused(IdentifyRefused::new(3, 5, Duration::from_secs(3600))),
            b'p' => Input::ReadingPaused,
            b'q' => Input::ReadingResumed,
            b'o' => Input::Progress { message: take_byte(rest) % 2 == 0 },
            b'w' => Input::WallClock(Duration::from_secs(u64::from(take_byte(rest)) * 10)),
            b't' => Input::Timeout,
            other => {
                self.wish(other, rest);
                Input::Timeout
            }
        };
        self.shard.handle_input(input, self.now);
    }

    /// A request of the application. A refused one must change nothing.
    fn wish(&mut self, letter: u8, rest: &mut &[u8]) {
        match letter {
            b's' => {
                for _ in 0..take_byte(rest) {
                    self.send(Command::UpdatePresence(Presence::default()));
                }
            }
            b'v' => {
                let mut update = VoiceStateUpdate::new(Snowflake(7), None);
                update.self_mute = true;
                self.send(Command::UpdateVoiceState(update));
            }
            b'n' => {
                let guild_ids = vec![Snowflake(7); take_byte(rest).into()];
                self.send(Command::RequestSoundboardSounds { guild_ids });
                let fields = vec![ChannelInfoField::Status];
                self.send(Command::RequestChannelInfo { guild_id: Snowflake(7), fields });
            }
            b'm' => self.ask_for_members(take_byte(rest)),
            b'x' => {
                let (op, encoding) = (take_byte(rest), take_byte(rest));
                let encoding = if encoding % 2 == 0 { Encoding::Json } else { Encoding::Etf };
                self.send(Command::Raw { op: op.into(), data: Raw::new(take(rest).to_vec(), encoding) });
            }
            b'k' => self.acknowledge(take_byte(rest).into()),
            b'j' => {
                let fresh = take_byte(rest) % 2 == 1;
                self.shard.reconnect(if fresh { Reconnect::Fresh } else { Reconnect::Resume });
            }
            b'z' => {
                let log_off = take_byte(rest) % 2 == 1;
                self.shard.shutdown(if log_off { Shutdown::LogOff } else { Shutdown::Resumable });
            }
            b'y' => self.restart(),
            _ => {}
        }
    }

    fn send(&mut self, command: Command) {
        let before = self.shard.phase();
        if self.shard.send(command).is_err() {
            assert_eq!(self.shard.phase(), before, "what is refused changes nothing");
        }
    }

    fn ask_for_members(&mut self, choice: u8) {
        let members = match choice % 3 {
            0 => MemberSelection::Everyone,
            1 => MemberSelection::Prefix { query: "a".to_owned(), limit: choice.into() },
            _ => MemberSelection::Users(vec![Snowflake(8); usize::from(choice)]),
        };
        let request = RequestGuildMembers::new(Snowflake(7), members);
        let (id, command) = self.requests.request(request, self.now);
        let Command::RequestGuildMembers(request) = &command else { panic!("a request for members") };
        self.nonce.clone_from(&request.nonce);
        match self.shard.send(command) {
            Ok(()) => self.unanswered += 1,
            Err(_) => self.requests.cancel(id),
        }
    }

    fn acknowledge(&mut self, sequence: u64) {
        let before = self.shard.session().map(|session| session.sequence());
        match self.shard.ack(sequence) {
            Ok(()) => assert_eq!(self.config.delivery, Delivery::Acknowledged),
            Err(error) => {
                match error {
                    AckError::NotAwaited => assert_eq!(self.config.delivery, Delivery::Received),
                    AckError::NotDelivered { sequence, delivered } => assert!(sequence > delivered),
                    _ => {}
                }
                let after = self.shard.session().map(|session| session.sequence());
                assert_eq!(after, before, "what is refused changes nothing");
            }
        }
    }

    /// The process dies, and the next one continues with the saved session.
    fn restart(&mut self) {
        let session = self.shard.session().map(|session| {
            let saved = serde_json::to_vec(&session).expect("a session can be saved");
            let read = serde_json::from_slice(&saved).expect("what was saved can be read");
            assert_eq!(session, read);
            read
        });
        self.config.session = session;
        self.shard = Shard::new(self.config.clone(), self.now).expect("the configuration can be used");
        (self.open, self.dialing, self.announced, self.compressor) = (false, false, false, None);
        self.sent.clear();
        self.drain();
    }

    fn dispatch(&mut self, name: &str, sequence: Option<u8>, data: &str) -> Input {
        let sequence = sequence.map_or("null".to_owned(), |sequence| sequence.to_string());
        self.message(&format!(r#"{{"t":"{name}","s":{sequence},"op":0,"d":{data}}}"#))
    }

    /// A payload as the server sends it on this connection.
    fn message(&mut self, payload: &str) -> Input {
        let mut bytes = payload.as_bytes().to_vec();
        if self.config.encoding == Encoding::Etf
            && let Ok(value) = serde_json::from_str::<serde_json::Value>(payload)
        {
            bytes = etf::to_vec_with(&value, etf::Style::Server).expect("any value has a term");
        }
        Input::Message(match &mut self.compressor {
            Some(compressor) => Message::Binary(compressor.push(&bytes).into()),
            None if bytes.first() == Some(&131) => Message::Binary(bytes.into()),
            None => Message::Text(bytes.into()),
        })
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
                    return self.answers();
                }
                Output::Stopped(_) => {
                    assert_eq!(self.shard.phase(), Phase::Stopped);
                    assert!(!self.announced, "the end of a connection was not told");
                    self.deadline = self.now;
                    return self.answers();
                }
                Output::Connect(_) => {
                    assert!(!self.open && !self.dialing, "a second connection");
                    self.dialing = true;
                    self.sent.clear();
                }
                Output::Send(_) => self.goes_out(),
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
                Output::Event(Event::Dispatch(dispatch)) => self.delivered(&dispatch),
                Output::Event(_) | Output::AcquireIdentify | Output::CancelIdentify => {}
            }
        }
        panic!("outputs without end");
    }

    fn delivered(&mut self, dispatch: &Dispatch) {
        self.requests.handle_dispatch(dispatch, self.now);
        // Dispatches before the Resume belong to no session.
        if let Phase::Resuming | Phase::Ready = self.shard.phase()
            && let Some(session) = self.shard.session()
            && self.config.delivery == Delivery::Received
            && let Some(sequence) = dispatch.sequence()
        {
            assert!(session.sequence() >= sequence, "what was delivered would be replayed");
        }
    }

    /// Every request is answered once.
    fn answers(&mut self) {
        while self.requests.poll(self.now).is_some() {
            self.unanswered = self.unanswered.checked_sub(1).expect("an answer to a request");
        }
        match self.requests.next_deadline() {
            Some(deadline) => {
                assert!(self.unanswered > 0);
                assert!(deadline > self.now, "an answer is overdue");
            }
            None => assert_eq!(self.unanswered, 0, "a request was forgotten"),
        }
    }

    fn goes_out(&mut self) {
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
        _ => {
            let mut refused = Refused::new(400 + u16::from(how));
            refused.retry_after = Some(Duration::from_secs(u64::from(how) * 100));
            ConnectError::Refused(refused)
        }
    }
}

fn take_byte(rest: &mut &[u8]) -> u8 {
    take_count(rest, 1).first().copied().unwrap_or_default()
}

/// As many bytes as the next one says, counted from the blank so that it can be typed.
fn take<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let count = take_byte(rest).wrapping_sub(b' ');
    take_count(rest, usize::from(count))
}

fn take_count<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, after) = rest.split_at(count.min(rest.len()));
    *rest = after;
    taken
}
