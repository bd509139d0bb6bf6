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
  --ca FILE          a PEM file of root certificates to trust as well
  --session FILE     read at the start to resume, written as the bot goes on; FILE.identifies
                     beside it counts session starts, so that no number of restarts spends
                     more than 900 of the 1000 of a day
  --transcript FILE  what happens to the shard is written there, without secrets, to be played again
  --ack              a crash loses no event: one counts as done once its line is written
  --events N         end after N events
  --seconds N        end after N seconds
  --full             print each event's data too
  --connect-timeout N
                     give up a connection that is not open after N seconds (default 10)
  -h, --help         this text
  -V, --version      the version

With --shards each line names its shard. http_proxy_bot and socks5_bot take the proxy's HOST:PORT from
the environment's GATEWAY_PROXY.
";

/// The flags of a bot.
#[derive(Debug)]
#[non_exhaustive]
pub struct Options {
    /// How the shard is set up.
    pub config: ShardConfig,
    /// Run all shards, so many. None: only that of [`Options::config`].
    pub shards: Option<u32>,
    /// PEM roots to trust as well.
    pub ca: Option<PathBuf>,
    /// Where the session is kept between two runs.
    pub session_file: Option<PathBuf>,
    /// Where the transcript goes.
    pub transcript: Option<PathBuf>,
    /// End after this many dispatches.
    pub events: Option<u64>,
    /// End after this time.
    pub duration: Option<Duration>,
    /// Print the data of each dispatch too.
    pub full: bool,
    /// One for the whole run, so that the file is locked from when it is read to when it was last written.
    store: OnceLock<FileSessionStore>,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// A bot with these options.
    Run(Box<Options>),
    /// The help text.
    Help,
    /// The version.
    Version,
}

/// Prints the help or the version if the command line of this process asks for it. True: it does, and nothing else is to be
/// done.
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

/// A flag that cannot be used, in a sentence.
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
    /// Reads the flags of this process, or says why not and with which status to end.
    ///
    /// # Errors
    ///
    /// The status: success where only the help was asked for.
    #[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]
    pub fn from_command_line() -> Result<Box<Self>, ExitCode> {
        match Self::from_env() {
            Ok(Asked::Run(options)) => Ok(options),
            Ok(Asked::Help) => {
                print!("{HELP}");
                Err(ExitCode::SUCCESS)
            }
            Ok(Asked::Version) => {
                println!("{}", version());
                Err(ExitCode::SUCCESS)
            }
            Err(error) => {
                eprintln!("{error}");
                Err(ExitCode::from(REFUSED))
            }
        }
    }

    /// Reads the flags of this process.
    ///
    /// # Errors
    ///
    /// Where a flag is unknown or its value cannot be used, where there is no token, or where the session file cannot be
    /// read.
    pub fn from_env() -> Result<Asked, UsageError> {
        let token = std::env::var("DISCORD_TOKEN").ok();
        Self::parse(std::env::args_os().skip(1), token)
    }

    /// Reads flags. `token` is used where they name none.
    ///
    /// # Errors
    ///
    /// As [`Options::from_env`].
    pub fn parse(
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
        mut token: Option<String>,
    ) -> Result<Asked, UsageError> {
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
                Arg::Short('h') => return Ok(Asked::Help),
                Arg::Short('V') => return Ok(Asked::Version),
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
                "help" => return Ok(Asked::Help),
                "version" => return Ok(Asked::Version),
                _ => return Err(Arg::Long(&flag).unexpected().into()),
            }
        }
        let token = token.ok_or_else(|| UsageError("give --token T or set DISCORD_TOKEN".to_owned()))?;
        options.config.token = token.into();
        options.config.session = options.read_session()?;
        Ok(Asked::Run(Box::new(options)))
    }

    /// For bots that run one shard: refuses `--shards`.
    ///
    /// # Errors
    ///
    /// Where the flags ask for many.
    pub fn only_shard(&self) -> Result<ShardId, UsageError> {
        match self.shards {
            None => Ok(self.config.shard),
            Some(_) => Err(bad("shards", &"this bot runs one shard; say which with --shard I,N")),
        }
    }

    /// How a shard is driven: TLS, and what keeps the session.
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

    /// Who says when a shard may identify. None: a gate that keeps nothing will do.
    ///
    /// # Errors
    ///
    /// Where session starts cannot be kept, or none is left.
    pub fn identify_gate<R: Runtime>(
        &self,
        runtime: R,
    ) -> Result<Option<Arc<LocalIdentifyGate<R>>>, UsageError> {
        let Some(store) = self.identify_store() else { return Ok(None) };
        let limit = SessionStartLimit::default();
        let gate = LocalIdentifyGate::kept_in(store, runtime, self.identify_budget(), &limit);
        gate.map(|gate| Some(Arc::new(gate))).map_err(|error| UsageError(error.to_string()))
    }

    /// The TLS configuration with the roots that the flags ask for. None: they ask for none.
    ///
    /// # Errors
    ///
    /// Where the file of `--ca` cannot be read or holds no certificate.
    pub fn tls(&self) -> Result<Option<Arc<ClientConfig>>, UsageError> {
        let Some(path) = &self.ca else { return Ok(None) };
        let pem = std::fs::read(path).map_err(|error| bad("ca", &error))?;
        let mut settings = TlsSettings::default();
        settings.add_pem_roots(&pem).map_err(|error| bad("ca", &error))?;
        settings.client_config().map(Some).map_err(|error| bad("ca", &error))
    }

    /// What keeps the session where `--session` says.
    ///
    /// # Errors
    ///
    /// Where there is no thread to write it.
    pub fn session_keeper(&self) -> Result<Option<Arc<SessionKeeper>>, UsageError> {
        let Some(store) = self.session_store() else { return Ok(None) };
        let keeper = SessionKeeper::new(store, Checkpoints::default());
        keeper.map(|keeper| Some(Arc::new(keeper))).map_err(|error| bad("session", &error))
    }

    /// Beside the file of `--session`.
    pub fn identify_store(&self) -> Option<FileIdentifyStore> {
        let mut name = self.session_file.clone()?.into_os_string();
        name.push(".identifies");
        Some(FileIdentifyStore::in_file(name))
    }

    /// A bot with a session to resume can begin although no session start is left.
    pub fn identify_budget(&self) -> IdentifyBudget {
        let mut budget = IdentifyBudget::default();
        budget.shards = self.shards.unwrap_or(1);
        budget.starting = self.config.session.as_ref().map(|_| 0);
        budget
    }

    /// Opens the file of `--transcript` for this shard. With `--shards` each has one of its own, `FILE.0` and so on.
    ///
    /// # Errors
    ///
    /// Where it cannot be made.
    pub fn open_transcript(&self, shard: ShardId) -> Result<Option<LineWriter<File>>, UsageError> {
        let Some(path) = &self.transcript else { return Ok(None) };
        let mut path = path.clone().into_os_string();
        if shard != self.config.shard {
            path.push(format!(".{}", shard.id()));
        }
        // Whole lines, so that a crash leaves something to look at.
        let file = create_private_file(path).map_err(|error| bad("transcript", &error))?;
        Ok(Some(LineWriter::new(file)))
    }

    fn read_session(&self) -> Result<Option<SessionSnapshot>, UsageError> {
        let Some(store) = self.session_store() else { return Ok(None) };
        store.load(self.config.shard).map_err(|error| bad("session", &error))
    }

    /// Where `--session` says.
    pub fn session_store(&self) -> Option<FileSessionStore> {
        let file = self.session_file.as_ref()?;
        Some(self.store.get_or_init(|| FileSessionStore::in_file(file)).clone())
    }

    /// Keeps the session for the next run; without one, removes what was kept.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
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
            Asked::Run(options) => options,
            other => panic!("{other:?} was not asked for"),
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
