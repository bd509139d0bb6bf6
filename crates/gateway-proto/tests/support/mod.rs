//! A shard, a scripted server and a virtual clock. `watch.rs` checks every scenario; `played.rs` replays its transcript.

pub(crate) mod output_text;
pub(crate) mod played;
pub(crate) mod server;
mod watch;

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use gateway_proto::health::Phase;
use gateway_proto::session::SessionSnapshot;
use gateway_proto::{
    Closed, Command, Compression, Encoding, Input, Intents, Message, Output, Raw, Shard, ShardConfig, ShardId,
};

use played::Pages;
use watch::Watch;

pub(crate) const TOKEN: &str = "t0ken-s3cret";
pub(crate) const SESSION: &str = "s3ssion-s3cret";
pub(crate) const RESUME_URL: &str = "wss://resume-s3cret.gateway.example";
/// The heartbeat interval of the scripted server.
pub(crate) const INTERVAL: Duration = Duration::from_secs(40);

pub(crate) const BASE: &str = "connect wss://gateway.example/?v=10&encoding=json";
pub(crate) const RESUME: &str = "connect wss://resume-s3cret.gateway.example/?v=10&encoding=json";
pub(crate) const HEARTBEAT_NULL: &str = r#"send {"op":1,"d":null}"#;

/// A step of a scenario.
pub(crate) type Step = fn(&mut Scenario);

/// Every phase that a shard can be brought to.
pub(crate) const PHASES: [Phase; 9] = [
    Phase::BackingOff,
    Phase::Connecting,
    Phase::AwaitingHello,
    Phase::AwaitingIdentify,
    Phase::AwaitingReady,
    Phase::Resuming,
    Phase::Ready,
    Phase::Closing,
    Phase::Stopped,
];

/// The phases with an open connection.
pub(crate) const OPEN: [Phase; 5] =
    [Phase::AwaitingHello, Phase::AwaitingIdentify, Phase::AwaitingReady, Phase::Resuming, Phase::Ready];

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A configuration that does not depend on the machine.
pub(crate) fn config() -> ShardConfig {
    let mut config = ShardConfig::new(TOKEN, Intents::GUILDS | Intents::GUILD_MESSAGES);
    config.compression = Compression::None;
    config.url = "wss://gateway.example".to_owned();
    config.properties.os = "linux".to_owned();
    config.seed = Some(7);
    config
}

/// A session of an earlier process, at sequence number 5.
pub(crate) fn saved_session() -> SessionSnapshot {
    SessionSnapshot::new(SESSION.to_owned(), Some(RESUME_URL.to_owned()), 5, ShardId::ONE)
}

/// A Resume from this sequence number, as [`Scenario::log`] shows it.
pub(crate) fn resume_message(sequence: u64) -> String {
    format!(r#"send {{"op":6,"d":{{"token":"{TOKEN}","session_id":"{SESSION}","seq":{sequence}}}}}"#)
}

/// The outputs after [`Scenario::replay`], as [`Scenario::log`] shows them.
pub(crate) fn replayed(sequences: RangeInclusive<u64>) -> Vec<String> {
    let (resumed, count) = (sequences.end() + 1, sequences.clone().count());
    let messages = sequences.map(|sequence| format!("dispatch MESSAGE_CREATE {sequence}"));
    messages.chain([format!("dispatch RESUMED {resumed}"), format!("resumed, {count} replayed")]).collect()
}

/// A shard with a virtual clock and a scripted server.
pub(crate) struct Scenario {
    pub(crate) shard: Shard,
    start: Instant,
    now: Instant,
    /// The deadline that was polled last. `None` once the shard has stopped.
    deadline: Option<Instant>,
    log: Vec<(Duration, Output)>,
    watch: Watch,
    pages: Pages,
}

impl Scenario {
    pub(crate) fn new(config: ShardConfig) -> Self {
        // The only use of a real clock: a start for the virtual one.
        #[allow(clippy::disallowed_methods, reason = "a virtual clock has to begin somewhere")]
        let start = Instant::now();
        let limit = config.limits.sends_per_minute;
        let pages = Pages::default();
        let shard = Shard::with_transcript(config, start, pages.clone()).expect("a usable configuration");
        let watch = Watch::new(limit);
        let mut this = Self { shard, start, now: start, deadline: None, log: Vec::new(), watch, pages };
        this.drain();
        this
    }

    /// A shard in the given phase, with an empty log.
    pub(crate) fn at(phase: Phase) -> Self {
        Self::with(phase, |_| {})
    }

    /// As [`Scenario::at`], with another configuration.
    pub(crate) fn with(phase: Phase, change: impl FnOnce(&mut ShardConfig)) -> Self {
        let mut config = config();
        change(&mut config);
        let mut this = Self::new(config);
        this.drive_to(phase);
        assert_eq!(this.shard.phase(), phase);
        this.log.clear();
        this
    }

    fn drive_to(&mut self, phase: Phase) {
        match phase {
            Phase::Connecting => {}
            Phase::BackingOff => self.connect_failed(),
            Phase::AwaitingHello => self.input(Input::Opened),
            Phase::AwaitingIdentify => {
                self.drive_to(Phase::AwaitingHello);
                self.server(&server::hello());
            }
            Phase::AwaitingReady => {
                self.drive_to(Phase::AwaitingIdentify);
                self.input(Input::IdentifyGranted);
            }
            Phase::Ready => {
                self.drive_to(Phase::AwaitingReady);
                self.server(&server::ready());
            }
            Phase::Resuming => {
                self.drive_to(Phase::Ready);
                self.eof();
                self.open();
            }
            Phase::Closing => {
                self.drive_to(Phase::Ready);
                self.server(&server::reconnect());
            }
            Phase::Stopped => {
                self.drive_to(Phase::Ready);
                self.closed(4004);
            }
            other => panic!("no way to {other:?} is known"),
        }
    }

    // ---- Inputs ----

    pub(crate) fn input(&mut self, input: Input) {
        self.watch.input(&input);
        self.shard.handle_input(input, self.now);
        self.drain();
    }

    /// A text message from the server.
    pub(crate) fn server(&mut self, text: &str) {
        self.input(Input::Message(Message::Text(text.as_bytes().to_vec().into())));
    }

    /// A binary message from the server.
    pub(crate) fn server_binary(&mut self, bytes: impl Into<Vec<u8>>) {
        self.input(Input::Message(Message::Binary(bytes.into().into())));
    }

    /// The dialled connection opens and the server sends Hello.
    pub(crate) fn open(&mut self) {
        self.input(Input::Opened);
        self.server(&server::hello());
    }

    /// The dialled connection opens, and the shard resumes from this sequence number.
    #[track_caller]
    pub(crate) fn open_and_resume(&mut self, sequence: u64) {
        self.open();
        assert_eq!(self.log().last(), Some(&resume_message(sequence)));
    }

    /// The server replays messages with these sequence numbers; RESUMED has the next one.
    pub(crate) fn replay(&mut self, sequences: RangeInclusive<u64>) {
        let resumed = sequences.end() + 1;
        sequences.for_each(|sequence| self.server(&server::message(sequence)));
        self.server(&server::resumed(resumed));
    }

    /// The server sends a close frame.
    pub(crate) fn closed(&mut self, code: u16) {
        self.input(Input::Closed(Closed::Frame { code: Some(code), reason: String::new() }));
    }

    pub(crate) fn eof(&mut self) {
        self.input(Input::Closed(Closed::Eof));
    }

    pub(crate) fn connect_failed(&mut self) {
        self.input(Input::ConnectFailed(gateway_proto::ConnectError::Tcp("refused".to_owned())));
    }

    // ---- Time ----

    /// Lets time pass. Every deadline is met exactly when it is due.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.drain();
        let target = self.now + by;
        let mut at_this_instant = 0;
        while let Some(deadline) = self.deadline.filter(|deadline| *deadline <= target) {
            at_this_instant = if deadline > self.now { 0 } else { at_this_instant + 1 };
            assert!(at_this_instant < 5, "the run loop spins in {:?}", self.shard.phase());
            self.now = self.now.max(deadline);
            self.input(Input::Timeout);
        }
        self.now = target;
    }

    /// As [`Scenario::advance`], with a server that acknowledges every heartbeat at once.
    pub(crate) fn live(&mut self, by: Duration) {
        self.drain();
        let end = self.elapsed() + by;
        while self.elapsed() < end {
            let beats = self.shard.stats().heartbeats;
            self.advance(self.time_left().min(end - self.elapsed()));
            if self.shard.stats().heartbeats > beats {
                self.server(&server::acknowledgement());
            }
        }
    }

    /// Lets requests since the last input take effect.
    pub(crate) fn settle(&mut self) {
        self.advance(Duration::ZERO);
    }

    /// Lets time pass in which the shard is not driven.
    pub(crate) fn lag(&mut self, by: Duration) {
        self.now += by;
    }

    /// Advances to the next deadline and meets it.
    pub(crate) fn next_deadline(&mut self) -> Duration {
        self.drain();
        let deadline = self.deadline.expect("a stopped shard has no deadline");
        self.advance(deadline.saturating_duration_since(self.now));
        self.elapsed()
    }

    /// Advances from deadline to deadline until a line of the log begins like this. Returns its time.
    pub(crate) fn advance_until(&mut self, beginning: &str) -> Duration {
        for _ in 0..10_000 {
            if let Some(at) = self.find(beginning) {
                return at;
            }
            self.next_deadline();
        }
        panic!("not in the log: {beginning}");
    }

    /// Advances to the next connection. Returns the line of the log with its URL.
    pub(crate) fn next_connect(&mut self) -> String {
        for _ in 0..1_000 {
            let url = self.log().into_iter().rfind(|line| line.starts_with("connect w"));
            match url {
                Some(url) if self.shard.phase() == Phase::Connecting => return url,
                _ => self.next_deadline(),
            };
        }
        panic!("no connection is made");
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// The time left until the deadline that was polled last.
    pub(crate) fn time_left(&self) -> Duration {
        self.deadline.expect("a stopped shard has no deadline").saturating_duration_since(self.now)
    }

    /// As [`Scenario::time_left`]. `None` if the shard has stopped.
    pub(crate) fn time_left_if_any(&mut self) -> Option<Duration> {
        self.drain();
        self.deadline.map(|deadline| deadline.saturating_duration_since(self.now))
    }

    // ---- Outputs ----

    /// The outputs since the last call as text: see `output_text.rs`.
    pub(crate) fn log(&mut self) -> Vec<String> {
        self.log_at().into_iter().map(|(_, line)| line).collect()
    }

    /// As [`Scenario::log`], with times since the start.
    pub(crate) fn log_at(&mut self) -> Vec<(Duration, String)> {
        self.outputs().into_iter().map(|(at, output)| (at, output_text::output(&output))).collect()
    }

    /// As [`Scenario::log_at`], not as text.
    pub(crate) fn outputs(&mut self) -> Vec<(Duration, Output)> {
        self.drain();
        std::mem::take(&mut self.log)
    }

    /// The time of the first output whose text begins like this. Removes the outputs up to it.
    fn find(&mut self, beginning: &str) -> Option<Duration> {
        let at =
            self.log.iter().position(|(_, output)| output_text::output(output).starts_with(beginning))?;
        self.log.drain(..=at).next_back().map(|(at, _)| at)
    }

    /// The one disconnection since the last call.
    pub(crate) fn disconnected(&mut self) -> gateway_proto::disconnect::Disconnected {
        let mut ends = self.outputs().into_iter().filter_map(|(_, output)| match output {
            Output::Event(gateway_proto::Event::Disconnected(end)) => Some(end),
            _ => None,
        });
        let end = ends.next().expect("a disconnection");
        assert!(ends.next().is_none(), "one disconnection");
        end
    }

    fn drain(&mut self) {
        loop {
            let output = self.shard.poll_output();
            match output {
                Output::Timeout(deadline) => {
                    self.deadline = Some(deadline);
                    return self.watch.settled(&self.shard);
                }
                Output::Stopped(_) if self.watch.is_stopped() => return self.watch.settled(&self.shard),
                output => {
                    self.watch.output(&output, &self.shard, self.now);
                    if let Output::Stopped(_) = output {
                        self.deadline = None;
                    }
                    self.log.push((self.now - self.start, output));
                }
            }
        }
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.pages.check(self.start, &["s3cret"]);
        }
    }
}

/// A command of any opcode, with this JSON as its data.
pub(crate) fn raw_command(op: u64, json: &str) -> Command {
    Command::Raw { op, data: Raw::new(json.as_bytes().to_vec(), Encoding::Json) }
}
