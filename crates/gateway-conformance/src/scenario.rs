//! A scenario: its actions and expected observations.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gateway_driver::proto::command::SendError;
use gateway_driver::proto::config::{BackoffConfig, Timeouts};
use gateway_driver::proto::{Command, Compression, Encoding, Reconnect, ShardConfig, Shutdown};
use gateway_sim::{Config, Control};

use crate::observation::{ClientAct, Seen};
use crate::probe::Probe;

/// One scenario of the table: data that a runner performs with a server, a network and an application.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Scenario {
    /// Its name: words joined by hyphens.
    pub name: &'static str,
    /// The rule or the reported fault behind it, in a few words.
    pub rule: &'static str,
    /// The encodings and compressions in which it is run, one after the other.
    pub variants: &'static [Variant],
    /// The configuration of shard and server.
    pub setup: Setup,
    /// The actions and expected observations, in order.
    pub steps: Vec<Step>,
}

/// One encoding with one compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// The encoding of messages.
    pub encoding: Encoding,
    /// The compression of the server's messages.
    pub compression: Compression,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {}", self.encoding, self.compression)
    }
}

/// The configuration of both sides, besides the variant.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Setup {
    /// Changes to the shard's configuration. Of the URL only the part after the address may be set.
    pub shard: fn(&mut ShardConfig),
    /// Changes to the server's.
    pub gateway: fn(&mut Config),
    /// The capacity for events if the shard runs in the background. `None` if it does not.
    pub background: Option<usize>,
    /// Whether live runs go over TLS.
    pub tls: bool,
    /// Whether there is a wall clock. With one, an idle shard reads it every ten seconds.
    pub wall_clock: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { shard: |_| {}, gateway: |_| {}, background: None, tls: true, wall_clock: true }
    }
}

/// One action or expected observation.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Step {
    /// The next observation of the server. Heartbeats, pongs and echoes may precede it.
    Wire(Expectation<ClientAct>),
    /// The next observation of the application. Events of opening connections, and acknowledgements, may precede it.
    App(Expectation<Seen>),
    /// An action of the server.
    Gateway(Control),
    /// An action of the application.
    Client(ClientAction),
    /// An action of the network.
    Network(Network),
    /// This much time passes. The steps after it take the observations of that time.
    Elapse(Duration),
    /// A condition that must hold, or become true without a further action.
    Holds(Expectation<Probe>),
    /// Several steps, one after the other.
    Group(Vec<Step>),
}

/// An expected observation, and its time.
pub struct Expectation<T: ?Sized> {
    /// Its text in the table.
    pub text: String,
    /// The earliest and the latest time after the step before, checked if times are exact.
    pub within: Option<(Duration, Duration)>,
    /// Whether an observation meets it.
    pub test: Test<T>,
}

/// A predicate of observations.
pub type Test<T> = Arc<dyn Fn(&T) -> bool + Send + Sync>;

/// An action of the application.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ClientAction {
    /// Sends a command, which must be accepted.
    Send(Command),
    /// Sends a command, which must be refused with this error.
    SendRefused(Command, Expectation<SendError>),
    /// Sends this many of a command, all of which must be accepted.
    SendMany(Command, usize),
    /// Ends the shard.
    Shutdown(Shutdown),
    /// Requests another connection.
    Reconnect(Reconnect),
    /// Takes no more events: its handler blocks.
    StopTaking,
    /// Takes events again.
    TakeAgain,
    /// The process is suspended: time passes, and the shard is not driven.
    Suspend,
    /// The process continues.
    WakeUp,
    /// Acknowledges all events up to this sequence number.
    Acknowledge(u64),
    /// Sets the wall clock this many seconds ahead or behind: the machine was suspended, or its clock was set.
    SetWallClock(i64),
    /// Starts another shard with the stored session of the last one, and these changes.
    Restart(fn(&mut ShardConfig)),
}

/// An action of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Network {
    /// This many of the next connections fail with this fault.
    Dials(DialFault, u32),
    /// The current connection accepts no more bytes from the client, but still delivers bytes to it.
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

    /// The shard runs in the background, with this capacity for events.
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

    /// There is no wall clock, so that an idle shard has no deadline before the next heartbeat.
    #[must_use]
    pub fn without_wall_clock(mut self) -> Self {
        self.setup.wall_clock = false;
        self
    }

    /// The actions and expected observations.
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
        // Only the part after the address, which is not known yet.
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

/// The bot's token in every scenario. It must appear in Identify and Resume only.
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
    /// An expected observation.
    pub fn new(text: impl Into<String>, test: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        Self { text: text.into(), within: None, test: Arc::new(test) }
    }

    /// Whether this observation meets it.
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
    /// If times are exact, it comes exactly this long after the step before.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        self.between(time, time)
    }

    /// If times are exact, it comes between these times after the step before.
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
