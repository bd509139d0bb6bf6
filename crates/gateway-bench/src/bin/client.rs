//! Runs one contender in this process until it has received the requested events, and prints a line of JSON.

use std::path::PathBuf;
use std::process::ExitCode;

use gateway_bench::client::{self, ClientOptions};
use gateway_bench::program;
use lexopt::{Arg, Parser, ValueExt};

const HELP: &str = "\
client --who WHO --job JOB --mode MODE --url URL [OPTIONS]

  WHO: tokio smol async-std blocking twilight serenity bound
  JOB: raw small-bot typed idle growth

  --ca FILE      the server's root certificate; twilight takes it from SSL_CERT_FILE
  --guilds G     how many GUILD_CREATEs come before the small events (default 0)
  --events N     how many small events to see, over all shards
  --shards N     how many shards (default 1)
  --seconds S    how long to stay idle (default 0)
  --check        read all that can be compared with other contenders; costs time
";

fn main() -> ExitCode {
    if program::is_answered("client", HELP) {
        return ExitCode::SUCCESS;
    }
    let report = options(Parser::from_env()).and_then(|options| client::run(&options));
    program::end(report.and_then(|report| serde_json::to_string(&report).map_err(|error| error.to_string())))
}

fn options(mut arguments: Parser) -> Result<ClientOptions, String> {
    let (mut who, mut job, mut mode, mut url, mut ca) = (None, None, None, None, None);
    let (mut guilds, mut events, mut shards, mut seconds, mut check) = (0, 0, 1, 0, false);
    let text = |error: lexopt::Error| error.to_string();
    while let Some(argument) = arguments.next().map_err(text)? {
        let name = match argument {
            Arg::Long(name) => name.to_owned(),
            other => return Err(other.unexpected().to_string()),
        };
        let mut value = || arguments.value().map_err(text);
        match name.as_str() {
            "check" => check = true,
            "who" => who = Some(value()?.parse().map_err(text)?),
            "job" => job = Some(value()?.parse().map_err(text)?),
            "mode" => mode = Some(value()?.parse().map_err(text)?),
            "url" => url = Some(value()?.string().map_err(text)?),
            "ca" => ca = Some(PathBuf::from(value()?)),
            "guilds" => guilds = value()?.parse().map_err(text)?,
            "events" => events = value()?.parse().map_err(text)?,
            "shards" => shards = value()?.parse().map_err(text)?,
            "seconds" => seconds = value()?.parse().map_err(text)?,
            _ => return Err(format!("there is no option --{name}")),
        }
    }
    let (Some(who), Some(job), Some(mode), Some(url)) = (who, job, mode, url) else {
        return Err(HELP.to_owned());
    };
    Ok(ClientOptions { who, job, url, ca, mode, guilds, events, shards, seconds, check })
}
