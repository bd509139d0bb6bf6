//! The flags of the bot.

use std::path::PathBuf;

use gateway_examples::options::is_answered;
use gateway_tokio::ShardCount;
use gateway_tokio::proto::api::DEFAULT_API_URL;
use lexopt::{Arg, Parser, ValueExt};

const HELP: &str = "\
A bot of many shards: prints what happens to them, and answers to lines on standard input.

  --demo         plays with a simulated gateway instead: 16 shards, a reshard to 32 under 500 events a
                 second, a rolling restart, an end, and a start from the sessions that were kept
  --token T      the bot's token (default: the environment's DISCORD_TOKEN)
  --shards N     the number of shards (default: what Discord recommends, or what was kept)
  --sessions DIR where sessions are kept from one run to the next (default state)
  --api-url URL  the base URL of the HTTP API, for a simulator
  -h, --help     this text
  -V, --version  the version

Lines on standard input: status, reshard N, reshard, rolling, restart ID, drain. Ctrl-C drains too: the bot
reads nothing more, finishes what it has, and keeps all sessions for the next run.
";

/// What the command line asks for.
pub(crate) enum Asked {
    Bot(Options),
    Demo,
}

pub(crate) struct Options {
    pub(crate) token: String,
    pub(crate) shards: ShardCount,
    pub(crate) sessions: PathBuf,
    pub(crate) api_url: String,
}

impl Asked {
    /// Reads the flags of this process. `None`: the help or the version was asked for.
    pub(crate) fn from_command_line() -> Result<Option<Self>, String> {
        if is_answered(HELP) {
            return Ok(None);
        }
        Self::parse().map(Some).map_err(|error| error.to_string())
    }

    fn parse() -> Result<Self, lexopt::Error> {
        let mut token = std::env::var("DISCORD_TOKEN").ok();
        let mut shards = ShardCount::Recommended;
        let mut sessions = PathBuf::from("state");
        let mut api_url = DEFAULT_API_URL.to_owned();
        let mut parser = Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("demo") => return Ok(Self::Demo),
                Arg::Long("token") => token = Some(parser.value()?.string()?),
                Arg::Long("shards") => shards = ShardCount::Exactly(parser.value()?.parse()?),
                Arg::Long("sessions") => sessions = parser.value()?.into(),
                Arg::Long("api-url") => api_url = parser.value()?.string()?,
                other => return Err(other.unexpected()),
            }
        }
        let token = token.ok_or("give --token T, set DISCORD_TOKEN, or see it play with --demo")?;
        Ok(Self::Bot(Options { token, shards, sessions, api_url }))
    }
}
