//! The flags that all example bots share.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::LineWriter;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gateway_driver::gate::LocalIdentifyGate;
use gateway_driver::proto::config::{DEFAULT_URL, Delivery};
use gateway_driver::proto::identify::{IdentifyBudget, SessionStartLimit};
use gateway_driver::proto::session::SessionSnapshot;
use gateway_driver::proto::{Compression, Encoding, Intents, ShardConfig, ShardId};
use gateway_driver::rustls::ClientConfig;
use gateway_driver::store::{
    Checkpoints, FileIdentifyStore, FileSessionStore, SessionKeeper, SessionStore, create_private_file,
};
use gateway_driver::tls::TlsSettings;
use gateway_driver::{DriverConfig, Runtime};
use lexopt::{Arg, Parser, ValueExt};

use crate::report::REFUSED;

/// What `--help` prints.
pub const HELP: &str = "\
A small bot: prints one JSON line per event on standard output.

  --url URL          the gateway's base URL (default the real one)
  --token T          the bot's token (default: the environment's DISCORD_TOKEN)
  --intents N        the intents as an integer (default: all that need no permission)
  --encoding E       json or etf (default json)
  --compress C       none, payload, zlib-stream or zstd-stream (default the best that is compiled in)
  --shard I,N        shard I of N (default 0,1)
  --shards N         all N shards in one process (poll_bot only)
  --ca FILE          a PEM file of additional root certificates to trust
  --session FILE     read at the start to resume, written while the bot runs; FILE.identifies
                     beside it counts session starts, so that restarts spend no more than
                     900 of the 1000 of a day
  --transcript FILE  a transcript of the shard, without secrets, for a replay
  --ack              acknowledge an event once its line is written, so that a crash loses none
  --events N         end after N events
  --seconds N        end after N seconds
  --full             print each event's data too
  --connect-timeout N
                     the time limit for opening a connection, in seconds (default 10)
  -h, --help         this text
  -V, --version      the version

With --shards each line names its shard. http_proxy_bot and socks5_bot take the proxy's HOST:PORT from
the environment's GATEWAY_PROXY.
";

/// The flags of a bot.
#[derive(Debug)]
#[non_exhaustive]
pub struct Options {
    /// The configuration of the shard.
    pub config: ShardConfig,
    /// The number of shards to run. `None`: only that of [`Options::config`].
    pub shards: Option<u32>,
    /// A file with additional PEM roots to trust.
    pub ca: Option<PathBuf>,
    /// The file for the session.
    pub session_file: Option<PathBuf>,
    /// The file for the transcript.
    pub transcript: Option<PathBuf>,
    /// Stop after this many dispatches.
    pub events: Option<u64>,
    /// Stop after this time.
    pub duration: Option<Duration>,
    /// Print the data of each dispatch too.
    pub full: bool,
    /// Shared by the whole run, so that the file is locked from the first read to the last write.
    store: OnceLock<FileSessionStore>,
}

/// The request of the command line.
#[derive(Debug)]
pub enum Invocation {
    /// A bot with these options.
    Run(Box<Options>),
    /// The help text.
    Help,
    /// The version.
    Version,
}

/// Prints the help or the version if the command line of this process requests it. Returns whether it does.
#[expect(clippy::print_stdout, reason = "a program talks to its user")]
pub fn is_answered(help: &str) -> bool {
    for argument in std::env::args_os().skip(1) {
        match argument.to_str() {
            Some("-h" | "--help") => print!("{help}"),
            Some("-V" | "--version") => println!("{}", version()),
            _ => continue,
        }
        return true;
    }
    false
}

/// The name of this program and the version of the workspace.
fn version() -> String {
    let program = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let name = program.file_stem().unwrap_or_default();
    format!("{} {}", name.display(), env!("CARGO_PKG_VERSION"))
}

/// An invalid flag, in a sentence.
#[derive(Debug)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

impl From<lexopt::Error> for UsageError {
    fn from(error: lexopt::Error) -> Self {
        Self(error.to_string())
    }
}

impl Options {
    /// Parses the flags of this process. Prints an error, the help or the version.
    ///
    /// # Errors
    ///
    /// The exit status: success if only the help or the version was requested.
    #[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]
    pub fn from_command_line() -> Result<Box<Self>, ExitCode> {
        match Self::from_env() {
            Ok(Invocation::Run(options)) => Ok(options),
            Ok(Invocation::Help) => {
                print!("{HELP}");
                Err(ExitCode::SUCCESS)
            }
            Ok(Invocation::Version) => {
                println!("{}", version());
                Err(ExitCode::SUCCESS)
            }
            Err(error) => {
                eprintln!("{error}");
                Err(ExitCode::from(REFUSED))
            }
        }
    }

    /// Parses the flags of this process.
    ///
    /// # Errors
    ///
    /// If a flag is unknown or its value is invalid, if there is no token, or if the session file cannot be read.
    pub fn from_env() -> Result<Invocation, UsageError> {
        let token = std::env::var("DISCORD_TOKEN").ok();
        Self::parse(std::env::args_os().skip(1), token)
    }

    /// Parses flags. `token` is the default token.
    ///
    /// # Errors
    ///
    /// As [`Options::from_env`].
    pub fn parse(
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
        mut token: Option<String>,
    ) -> Result<Invocation, UsageError> {
        let mut options = Self {
            config: ShardConfig::new("", Intents::UNPRIVILEGED),
            shards: None,
            ca: None,
            session_file: None,
            transcript: None,
            events: None,
            duration: None,
            full: false,
            store: OnceLock::new(),
        };
        options.config.url = DEFAULT_URL.to_owned();
        let mut parser = Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            let flag = match argument {
                Arg::Long(flag) => flag.to_owned(),
                Arg::Short('h') => return Ok(Invocation::Help),
                Arg::Short('V') => return Ok(Invocation::Version),
                other => return Err(other.unexpected().into()),
            };
            match flag.as_str() {
                "url" => options.config.url = parser.value()?.string()?,
                "token" => token = Some(parser.value()?.string()?),
                "intents" => options.config.intents = Intents::from_bits(value(&mut parser, &flag)?),
                "encoding" => options.config.encoding = value::<Encoding>(&mut parser, &flag)?,
                "compress" => options.config.compression = value::<Compression>(&mut parser, &flag)?,
                "shard" => options.config.shard = value::<ShardId>(&mut parser, &flag)?,
                "shards" => options.shards = Some(value::<NonZeroU32>(&mut parser, &flag)?.get()),
                "ca" => options.ca = Some(parser.value()?.into()),
                "session" => options.session_file = Some(parser.value()?.into()),
                "transcript" => options.transcript = Some(parser.value()?.into()),
                "events" => options.events = Some(value(&mut parser, &flag)?),
                "seconds" => options.duration = Some(seconds(&mut parser, &flag)?),
                "connect-timeout" => options.config.timeouts.connect = seconds(&mut parser, &flag)?,
                "ack" => options.config.delivery = Delivery::Acknowledged,
                "full" => options.full = true,
                "help" => return Ok(Invocation::Help),
                "version" => return Ok(Invocation::Version),
                _ => return Err(Arg::Long(&flag).unexpected().into()),
            }
        }
        let token = token.ok_or_else(|| UsageError("give --token T or set DISCORD_TOKEN".to_owned()))?;
        options.config.token = token.into();
        options.config.session = options.read_session()?;
        Ok(Invocation::Run(Box::new(options)))
    }

    /// The shard, for bots that run one: rejects `--shards`.
    ///
    /// # Errors
    ///
    /// If the flags request more shards.
    pub fn only_shard(&self) -> Result<ShardId, UsageError> {
        match self.shards {
            None => Ok(self.config.shard),
            Some(_) => Err(bad("shards", &"this bot runs one shard; say which with --shard I,N")),
        }
    }

    /// The driver's configuration: TLS and the session keeper.
    ///
    /// # Errors
    ///
    /// As [`Options::tls`] and [`Options::session_keeper`].
    pub fn driver_config(&self) -> Result<DriverConfig, UsageError> {
        let mut driver = DriverConfig::default();
        driver.tls = self.tls()?;
        driver.session_keeper = self.session_keeper()?;
        Ok(driver)
    }

    /// The gate for permits to identify. `None`: a gate without a store suffices.
    ///
    /// # Errors
    ///
    /// If session starts cannot be stored, or none is left.
    pub fn identify_gate<R: Runtime>(
        &self,
        runtime: R,
    ) -> Result<Option<Arc<LocalIdentifyGate<R>>>, UsageError> {
        let Some(store) = self.identify_store() else { return Ok(None) };
        let limit = SessionStartLimit::default();
        let gate = LocalIdentifyGate::kept_in(store, runtime, self.identify_budget(), &limit);
        gate.map(|gate| Some(Arc::new(gate))).map_err(|error| UsageError(error.to_string()))
    }

    /// The TLS configuration with the additional roots of the flags. `None` without `--ca`.
    ///
    /// # Errors
    ///
    /// If the file of `--ca` cannot be read or contains no certificate.
    pub fn tls(&self) -> Result<Option<Arc<ClientConfig>>, UsageError> {
        let Some(path) = &self.ca else { return Ok(None) };
        let pem = std::fs::read(path).map_err(|error| bad("ca", &error))?;
        let mut settings = TlsSettings::default();
        settings.add_pem_roots(&pem).map_err(|error| bad("ca", &error))?;
        settings.client_config().map(Some).map_err(|error| bad("ca", &error))
    }

    /// Stores the session in the file of `--session`. `None` without that flag.
    ///
    /// # Errors
    ///
    /// If the system cannot start a thread to write it.
    pub fn session_keeper(&self) -> Result<Option<Arc<SessionKeeper>>, UsageError> {
        let Some(store) = self.session_store() else { return Ok(None) };
        let keeper = SessionKeeper::new(store, Checkpoints::default());
        keeper.map(|keeper| Some(Arc::new(keeper))).map_err(|error| bad("session", &error))
    }

    /// A file beside that of `--session`.
    pub fn identify_store(&self) -> Option<FileIdentifyStore> {
        let mut name = self.session_file.clone()?.into_os_string();
        name.push(".identifies");
        Some(FileIdentifyStore::in_file(name))
    }

    /// The budget. A bot with a session to resume can start although no session start is left.
    pub fn identify_budget(&self) -> IdentifyBudget {
        let mut budget = IdentifyBudget::default();
        budget.shards = self.shards.unwrap_or(1);
        budget.starting = self.config.session.as_ref().map(|_| 0);
        budget
    }

    /// Opens the file of `--transcript` for this shard. With `--shards` each shard has its own, `FILE.0` and so on.
    ///
    /// # Errors
    ///
    /// If it cannot be created.
    pub fn open_transcript(&self, shard: ShardId) -> Result<Option<LineWriter<File>>, UsageError> {
        let Some(path) = &self.transcript else { return Ok(None) };
        let mut path = path.clone().into_os_string();
        if shard != self.config.shard {
            path.push(format!(".{}", shard.id()));
        }
        // Written in whole lines, so that they remain after a crash.
        let file = create_private_file(path).map_err(|error| bad("transcript", &error))?;
        Ok(Some(LineWriter::new(file)))
    }

    fn read_session(&self) -> Result<Option<SessionSnapshot>, UsageError> {
        let Some(store) = self.session_store() else { return Ok(None) };
        store.load(self.config.shard).map_err(|error| bad("session", &error))
    }

    /// The store for the file of `--session`.
    pub fn session_store(&self) -> Option<FileSessionStore> {
        let file = self.session_file.as_ref()?;
        Some(self.store.get_or_init(|| FileSessionStore::in_file(file)).clone())
    }

    /// Stores the session for the next run; without one, removes the stored one.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn write_session(&self, session: Option<&SessionSnapshot>) -> std::io::Result<()> {
        match self.session_store() {
            Some(store) => store.save(self.config.shard, session),
            None => Ok(()),
        }
    }
}

/// The value of a flag.
fn value<T: FromStr<Err: fmt::Display>>(parser: &mut Parser, flag: &str) -> Result<T, UsageError> {
    parser.value()?.string()?.parse().map_err(|error: T::Err| bad(flag, &error))
}

fn seconds(parser: &mut Parser, flag: &str) -> Result<Duration, UsageError> {
    Duration::try_from_secs_f64(value(parser, flag)?).map_err(|error| bad(flag, &error))
}

fn bad(flag: &str, problem: &dyn fmt::Display) -> UsageError {
    UsageError(format!("--{flag} cannot be used: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Box<Options> {
        match Options::parse(arguments, Some("t".to_owned())).unwrap() {
            Invocation::Run(options) => options,
            other => panic!("{other:?} is not a run"),
        }
    }

    #[test]
    fn flags_are_read() {
        let line = "--url ws://h --intents 513 --encoding etf --compress zstd-stream --shard 1,2 --events 5 --seconds 1.5 --full";
        let options = run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(options.config.url, "ws://h");
        assert_eq!(options.config.intents, Intents::GUILDS | Intents::GUILD_MESSAGES);
        assert_eq!(options.config.encoding, Encoding::Etf);
        assert_eq!(options.config.compression, Compression::ZstdStream);
        assert_eq!(options.config.shard, ShardId::new(1, 2).unwrap());
        assert_eq!((options.events, options.duration), (Some(5), Some(Duration::from_millis(1500))));
        assert!(options.full);
        assert_eq!(run(&[]).config.url, DEFAULT_URL);
    }

    #[test]
    fn what_cannot_be_used_is_a_sentence_that_names_the_flag() {
        for (arguments, word) in [
            (&["--shard", "2,2"][..], "--shard"),
            (&["--shards", "0"], "--shards"),
            (&["--encoding", "xml"], "--encoding"),
            (&["--compress", "gzip"], "--compress"),
            (&["--intents", "-1"], "--intents"),
            (&["--seconds", "-1"], "--seconds"),
            (&["--connect-timeout", "x"], "--connect-timeout"),
            (&["-x"], "-x"),
            (&["--nonsense"], "nonsense"),
            (&["stray"], "stray"),
            (&["--events"], "events"),
        ] {
            let error = Options::parse(arguments, Some("t".to_owned())).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        assert!(Options::parse([""; 0], None).unwrap_err().to_string().contains("DISCORD_TOKEN"));
    }
}
