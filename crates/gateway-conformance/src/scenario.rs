//! A scenario: what happens, and what must be seen.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gateway_driver::proto::command::SendError;
use gateway_driver::proto::config::{BackoffConfig, Timeouts};
use gateway_driver::proto::{Command, Compression, Encoding, Reconnect, ShardConfig, Shutdown};
use gateway_sim::{Config, Control};

use crate::observation::{ClientAct, Seen};
use crate::probe::Probe;

/// One scenario of the table: data, told by a runner to a server, a network and an application.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Scenario {
    /// Its name: words joined by hyphens.
    pub name: &'static str,
    /// The rule or the reported fault that it comes from, in a few words.
    pub rule: &'static str,
    /// The encodings and compressions in which it is run, one after the other.
    pub variants: &'static [Variant],
    /// How the shard and the server are set up.
    pub setup: Setup,
    /// What happens and what must be seen, in this order.
    pub steps: Vec<Step>,
}

/// One encoding with one compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// How messages are written.
    pub encoding: Encoding,
    /// How the server compresses them.
    pub compression: Compression,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {}", self.encoding, self.compression)
    }
}

/// How the two sides are set up, besides the variant.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Setup {
    /// Changes to the shard's configuration. Of the URL only what comes after the address may be set.
    pub shard: fn(&mut ShardConfig),
    /// Changes to the server's.
    pub gateway: fn(&mut Config),
    /// How many events may wait for the application if the shard runs in the background; None if it does not.
    pub background: Option<usize>,
    /// Whether live runs go over TLS.
    pub tls: bool,
    /// Whether there is a wall clock. With one, a shard that has nothing to do looks at it every ten seconds.
    pub wall_clock: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { shard: |_| {}, gateway: |_| {}, background: None, tls: true, wall_clock: true }
    }
}

/// One thing that happens, or must be seen.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Step {
    /// The server must see this of the client next. Heartbeats, pongs and echoes may come before it.
    Wire(Expectation<ClientAct>),
    /// The application must see this next. What tells of the making of connections, and acknowledgements, may come before.
    App(Expectation<Seen>),
    /// The server does this.
    Gateway(Control),
    /// The application does this.
    Client(Deed),
    /// The network does this.
    Network(Network),
    /// So much time passes. What happens meanwhile is for the steps that follow.
    Elapse(Duration),
    /// This must hold, or come to hold without anything more happening.
    Holds(Expectation<Probe>),
    /// Several steps, one after the other.
    Group(Vec<Step>),
}

/// What must be seen, and when.
pub struct Expectation<T: ?Sized> {
    /// How it is written in the table.
    pub text: String,
    /// How long after the step before, where times are exact: not before the first, not after the second.
    pub within: Option<(Duration, Duration)>,
    /// Whether something is it.
    pub test: Test<T>,
}

/// A question about something seen.
pub type Test<T> = Arc<dyn Fn(&T) -> bool + Send + Sync>;

/// What an application does.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Deed {
    /// Sends a command, which must be accepted.
    Send(Command),
    /// Sends a command, which must be refused like this.
    SendInVain(Command, Expectation<SendError>),
    /// Sends this many of a command, all of which must be accepted.
    SendMany(Command, usize),
    /// Ends the shard.
    Shutdown(Shutdown),
    /// Asks for another connection.
    Reconnect(Reconnect),
    /// Takes no more events: its handler blocks.
    StopTaking,
    /// Takes events again.
    TakeAgain,
    /// The process is suspended: time passes, and the shard is not driven.
    Suspend,
    /// The process continues.
    WakeUp,
    /// Says that it has dealt with all events up to this sequence number.
    Acknowledge(u64),
    /// The wall clock is so many seconds ahead of where it should be, or behind: the machine has slept, or was set.
    SetWallClock(i64),
    /// Starts another shard from the session of the last one, which went through a file, and with these changes.
    Restart(fn(&mut ShardConfig)),
}

/// What a network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Network {
    /// The next so many connections fail like this.
    Dials(DialFault, u32),
    /// The present connection takes no more bytes from the client, though it gives some.
    StopWrites,
}

/// Why a connection cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialFault {
    /// The name cannot be looked up.
    UnknownName,
    /// The connection is refused: no socket listens at the port.
    Refused,
    /// The TCP connection never opens.
    Unreachable,
    /// The server sends nothing, so the TLS handshake never ends.
    SilentTls,
    /// The connection is reset during the TLS handshake.
    ResetInTls,
    /// The server does not speak TLS.
    GarbageForTls,
    /// The certificate is for another name.
    WrongName,
    /// The certificate has expired.
    Expired,
    /// The certificate is not signed by a trusted root.
    UnknownRoot,
}

impl Scenario {
    /// A scenario in both encodings, without compression.
    pub fn new(name: &'static str, rule: &'static str) -> Self {
        Self { name, rule, variants: BOTH, setup: Setup::default(), steps: Vec::new() }
    }

    /// Other encodings and compressions.
    #[must_use]
    pub fn variants(mut self, variants: &'static [Variant]) -> Self {
        self.variants = variants;
        self
    }

    /// Changes to the shard's configuration.
    #[must_use]
    pub fn shard(mut self, change: fn(&mut ShardConfig)) -> Self {
        self.setup.shard = change;
        self
    }

    /// Changes to the server's configuration.
    #[must_use]
    pub fn gateway(mut self, change: fn(&mut Config)) -> Self {
        self.setup.gateway = change;
        self
    }

    /// The shard runs in the background, and so many events may wait.
    #[must_use]
    pub fn background(mut self, capacity: usize) -> Self {
        self.setup.background = Some(capacity);
        self
    }

    /// Live runs go over plain TCP.
    #[must_use]
    pub fn without_tls(mut self) -> Self {
        self.setup.tls = false;
        self
    }

    /// There is no wall clock, so that an idle shard has nothing to wake up for before the next heartbeat.
    #[must_use]
    pub fn without_wall_clock(mut self) -> Self {
        self.setup.wall_clock = false;
        self
    }

    /// What happens and what must be seen.
    #[must_use]
    pub fn steps(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.steps.extend(steps);
        self
    }

    /// The configurations of a run, before the address is known.
    pub(crate) fn configs(&self, variant: Variant, timeouts: Timeouts) -> (ShardConfig, Config) {
        let mut shard = ShardConfig::new(TOKEN, gateway_driver::proto::Intents::GUILD_MESSAGES);
        shard.encoding = variant.encoding;
        shard.compression = variant.compression;
        shard.seed = Some(SEED);
        // Only what comes after the address, which is not known yet.
        shard.url = String::new();
        shard.timeouts = timeouts;
        shard.backoff = BackoffConfig::default();
        (self.setup.shard)(&mut shard);
        let mut gateway = Config::default();
        gateway.token = TOKEN.to_owned();
        gateway.guilds = 1;
        gateway.members = 2;
        gateway.trace = true;
        gateway.payloads = true;
        (self.setup.gateway)(&mut gateway);
        (shard, gateway)
    }
}

/// The bot's token in every scenario. It must not show anywhere but in Identify and Resume.
pub(crate) const TOKEN: &str = "token-of-the-conformance-suite";
const SEED: u64 = 7;

const fn variant(encoding: Encoding, compression: Compression) -> Variant {
    Variant { encoding, compression }
}

/// JSON alone, without compression.
pub const JSON: &[Variant] = &[variant(Encoding::Json, Compression::None)];
/// ETF alone, without compression.
pub const ETF: &[Variant] = &[variant(Encoding::Etf, Compression::None)];
/// JSON and ETF, without compression.
pub const BOTH: &[Variant] =
    &[variant(Encoding::Json, Compression::None), variant(Encoding::Etf, Compression::None)];
/// JSON and ETF, with zlib-stream.
pub const ZLIB: &[Variant] =
    &[variant(Encoding::Json, Compression::ZlibStream), variant(Encoding::Etf, Compression::ZlibStream)];
/// JSON and ETF, with zstd-stream.
pub const ZSTD: &[Variant] =
    &[variant(Encoding::Json, Compression::ZstdStream), variant(Encoding::Etf, Compression::ZstdStream)];
/// JSON with payload compression.
pub const PAYLOAD: &[Variant] = &[variant(Encoding::Json, Compression::Payload)];
/// JSON and ETF, with each of the two stream compressions.
pub const STREAMS: &[Variant] = &[
    variant(Encoding::Json, Compression::ZlibStream),
    variant(Encoding::Json, Compression::ZstdStream),
    variant(Encoding::Etf, Compression::ZlibStream),
    variant(Encoding::Etf, Compression::ZstdStream),
];
/// Every encoding with every compression that goes with it.
pub const ALL: &[Variant] = &[
    variant(Encoding::Json, Compression::None),
    variant(Encoding::Json, Compression::Payload),
    variant(Encoding::Json, Compression::ZlibStream),
    variant(Encoding::Json, Compression::ZstdStream),
    variant(Encoding::Etf, Compression::None),
    variant(Encoding::Etf, Compression::ZlibStream),
    variant(Encoding::Etf, Compression::ZstdStream),
];

impl<T: ?Sized> Expectation<T> {
    /// Something that must be seen.
    pub fn new(text: impl Into<String>, test: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        Self { text: text.into(), within: None, test: Arc::new(test) }
    }

    /// Whether this is it.
    pub fn is_met_by(&self, seen: &T) -> bool {
        (self.test)(seen)
    }
}

impl<T: ?Sized> Clone for Expectation<T> {
    fn clone(&self) -> Self {
        Self { text: self.text.clone(), within: self.within, test: self.test.clone() }
    }
}

impl<T: ?Sized> fmt::Debug for Expectation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Step {
    /// Where times are exact: seen exactly so long after the step before.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        self.between(time, time)
    }

    /// Where times are exact: seen so long after the step before, at the earliest and at the latest.
    #[must_use]
    pub fn between(mut self, earliest: Duration, latest: Duration) -> Self {
        let within = Some((earliest, latest));
        match &mut self {
            Self::Wire(expectation) => expectation.within = within,
            Self::App(expectation) => expectation.within = within,
            Self::Group(steps) => {
                if let Some(first) = steps.first_mut() {
                    *first = std::mem::replace(first, Self::Group(Vec::new())).between(earliest, latest);
                }
            }
            Self::Gateway(_) | Self::Client(_) | Self::Network(_) | Self::Elapse(_) | Self::Holds(_) => {}
        }
        self
    }
}
