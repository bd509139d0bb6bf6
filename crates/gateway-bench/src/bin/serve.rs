//! Serves files of frames to one client process after another, until it is killed or its input ends.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use gateway_bench::frames::Frames;
use gateway_bench::limits;
use gateway_bench::mode::Mode;
use gateway_bench::program;
use gateway_bench::serve::{Extent, ServeOptions, Server};
use lexopt::{Arg, Parser, ValueExt};

const HELP: &str = "\
serve --frames MODE=FILE [--frames MODE=FILE]... [OPTIONS]

Prints `listening PORT`, and a JSON line for what was sent each time. Ends when its input does.

  --guilds G       how many GUILD_CREATEs the frames begin with (default 0)
  --events N       how many small events to send, over all connections (default 0)
  --ready-only     READY, and nothing more
  --guilds-only    READY and the guilds, and nothing more
  --shards N       wait until N connections have their READY, then send in turns (default 1)
  --burst B        events for a connection in one turn (default all)
  --heartbeat MS   what Hello says; heartbeats are acknowledged (json-plain alone)
  --payload        payload compression for who asks for none
  --tls FILE       speak TLS, and write the root certificate to this file
";

fn main() -> ExitCode {
    if program::is_answered("serve", HELP) {
        return ExitCode::SUCCESS;
    }
    match run(Parser::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Parser) -> Result<(), String> {
    let (mut options, mut files, mut root) = (ServeOptions::default(), Vec::new(), None);
    let text = |error: lexopt::Error| error.to_string();
    while let Some(argument) = arguments.next().map_err(text)? {
        let name = match argument {
            Arg::Long(name) => name.to_owned(),
            other => return Err(other.unexpected().to_string()),
        };
        let mut value = || arguments.value().map_err(text);
        match name.as_str() {
            "ready-only" => options.extent = Extent::Ready,
            "guilds-only" => options.extent = Extent::Guilds,
            "payload" => options.payload = true,
            "guilds" => options.guilds = value()?.parse().map_err(text)?,
            "events" => options.events = value()?.parse().map_err(text)?,
            "shards" => options.shards = value()?.parse().map_err(text)?,
            "burst" => options.burst = value()?.parse().map_err(text)?,
            "heartbeat" => options.heartbeat_ms = Some(value()?.parse().map_err(text)?),
            "frames" => files.push(value()?.string().map_err(text)?),
            "tls" => {
                options.tls = true;
                root = Some(PathBuf::from(value()?));
            }
            _ => return Err(format!("there is no option --{name}")),
        }
    }
    serve(&files, options, root).map_err(|error| error.to_string())
}

fn serve(files: &[String], options: ServeOptions, root: Option<PathBuf>) -> io::Result<()> {
    limits::allow_connections(options.shards)?;
    let frames = files.iter().map(|file| read(file)).collect::<io::Result<Vec<_>>>()?;
    if frames.is_empty() {
        return Err(io::Error::other(HELP));
    }
    let (sender, sent) = mpsc::channel();
    let server = Server::start(frames, options, sender)?;
    if let (Some(file), Some(pem)) = (root, server.root_pem()) {
        std::fs::write(file, pem)?;
    }
    let mut out = io::stdout();
    writeln!(out, "listening {}", server.address().port())?;
    out.flush()?;
    thread::spawn(move || {
        for sent in sent {
            let line = serde_json::to_string(&sent).unwrap_or_default();
            // Fails if no client reads it.
            let _ = writeln!(io::stdout(), "{line}");
        }
    });
    io::stdin().read_to_end(&mut Vec::new()).map(|_| ())
}

fn read(file: &str) -> io::Result<(Mode, Frames)> {
    let (mode, path) = file.split_once('=').ok_or_else(|| io::Error::other("--frames MODE=FILE"))?;
    let frames = Frames::read(path.as_ref())
        .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
    Ok((mode.parse().map_err(io::Error::other)?, frames))
}
