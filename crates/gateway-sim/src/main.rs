//! `gateway-sim`: a simulated Discord gateway on a port.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gateway_sim::{ScriptStep, Server, ServerConfig};
use lexopt::prelude::*;

const HELP: &str = "\
A simulated Discord gateway, to test any bot in any language without a token.

Usage: gateway-sim [FLAGS]

  --listen ADDRESS     where to listen; port 0 for any free one (127.0.0.1:0)
  --token TOKEN        the token that is accepted (simulated-token)
  --guilds N           guilds that the bot is in (2)
  --members N          members of each guild (10)
  --rate N             background events a second, over all guilds (1)
  --heartbeat MS       heartbeat interval (41250)
  --seed N             seed of ids and events (0)
  --shards N           what GET /gateway/bot recommends (1)
  --max-concurrency N  identify buckets (1)
  --url URL            what READY and GET /gateway say, if not ws://ADDRESS
  --resume-port        a second port, which READY names for Resume
  --tls                wss://, with a certificate made at start
  --ca FILE            where the root of that certificate is written (gateway-sim-root.pem)
  --trace FILE         one JSON line for each thing seen or sent on the wire
  --script FILE        what is to happen when: one JSON object on each line
  --no-control         do not answer GET /_ctl/COMMAND
  -h, --help           this text
  -V, --version        the version

The first line of output is `listening ws://HOST:PORT`.
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            // An error of stderr cannot be reported.
            let _ = writeln!(io::stderr(), "gateway-sim: {sentence}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let Some(Settings { server: config, root }) = arguments(lexopt::Parser::from_env())? else {
        return Ok(());
    };
    let listen = config.listen;
    let server = Server::start(config).map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    write_root(&server, &root)?;
    print(&format!("listening {}\n", server.url()))?;
    server.run_forever();
    Ok(())
}

#[cfg(feature = "tls")]
fn write_root(server: &Server, path: &str) -> Result<(), String> {
    match server.root_certificate() {
        Some(root) => std::fs::write(path, root).map_err(|error| format!("cannot write {path}: {error}")),
        None => Ok(()),
    }
}

#[cfg(not(feature = "tls"))]
fn write_root(_: &Server, _: &str) -> Result<(), String> {
    Ok(())
}

struct Settings {
    server: ServerConfig,
    /// The file for the root certificate.
    root: String,
}

/// Parses the arguments. `None` if there is nothing to run.
fn arguments(mut parser: lexopt::Parser) -> Result<Option<Settings>, String> {
    let mut root = "gateway-sim-root.pem".to_owned();
    let mut config = ServerConfig::default();
    config.gateway.rate = 1.0;
    config.gateway.ledger = false;
    config.gateway.unix_time_ms = unix_time_ms();
    let sentence = |error: lexopt::Error| format!("{error}; --help lists the flags");
    while let Some(argument) = parser.next().map_err(sentence)? {
        let gateway = &mut config.gateway;
        match argument {
            Long("listen") => config.listen = value(&mut parser, "listen")?,
            Long("token") => gateway.token = value(&mut parser, "token")?,
            Long("guilds") => gateway.guilds = value(&mut parser, "guilds")?,
            Long("members") => gateway.members = value(&mut parser, "members")?,
            Long("rate") => {
                gateway.rate = value(&mut parser, "rate")?;
                if !gateway.rate.is_finite() || gateway.rate < 0.0 {
                    return Err("--rate must be a number, 0 or above".to_owned());
                }
            }
            Long("heartbeat") => {
                gateway.heartbeat_interval = Duration::from_millis(value(&mut parser, "heartbeat")?);
                if gateway.heartbeat_interval.is_zero() {
                    return Err("--heartbeat must be above 0".to_owned());
                }
            }
            Long("seed") => gateway.seed = value(&mut parser, "seed")?,
            Long("shards") => gateway.recommended_shards = value(&mut parser, "shards")?,
            Long("max-concurrency") => gateway.max_concurrency = value(&mut parser, "max-concurrency")?,
            Long("trace") => {
                let path: String = value(&mut parser, "trace")?;
                let file = File::create(&path).map_err(|error| format!("cannot write {path}: {error}"))?;
                config.trace = Some(Box::new(BufWriter::new(file)));
            }
            Long("url") => config.url = Some(value(&mut parser, "url")?),
            Long("resume-port") => config.resume_port = true,
            #[cfg(feature = "tls")]
            Long("tls") => config.tls = Some(gateway_sim::Tls::default()),
            Long("ca") => root = value(&mut parser, "ca")?,
            Long("script") => {
                let path: String = value(&mut parser, "script")?;
                let text =
                    std::fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
                gateway.script = ScriptStep::parse(&text).map_err(|error| format!("{path}: {error}"))?;
            }
            Long("no-control") => config.control = false,
            Long("help") | Short('h') => return print(HELP).map(|()| None),
            Long("version") | Short('V') => {
                return print(concat!("gateway-sim ", env!("CARGO_PKG_VERSION"), "\n")).map(|()| None);
            }
            other => return Err(sentence(other.unexpected())),
        }
    }
    Ok(Some(Settings { server: config, root }))
}

#[expect(clippy::disallowed_methods, reason = "a program may look at the clock")]
fn unix_time_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

fn value<T: std::str::FromStr>(parser: &mut lexopt::Parser, flag: &str) -> Result<T, String> {
    let text = parser
        .value()
        .map_err(|error| error.to_string())?
        .into_string()
        .map_err(|_| format!("the value of --{flag} is not text"))?;
    text.parse().map_err(|_| format!("--{flag} cannot be {text:?}"))
}

fn print(text: &str) -> Result<(), String> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| format!("cannot write to stdout: {error}"))
}
