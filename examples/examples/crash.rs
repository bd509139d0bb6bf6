//! Kills the example `tokio_bot`, which runs with `--ack` and `--session`, at random moments. The next one resumes its
//! session, and no event is lost. `cargo xtask crash`

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gateway_examples::options::is_answered;
use gateway_sim::{Config, Control, Server};
use lexopt::{Arg, Parser, ValueExt};

const HELP: &str = "\
Kills the example tokio_bot, which is built beside this program, and counts the events that no bot has handled.

  --kills N      how often, 100 if left out
  --seed N       of the random moments, 1 if left out
  -h, --help     this text
  -V, --version  the version
";

const TOKEN: &str = "crash-token";
/// A bot without progress for this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    if is_answered(HELP) {
        return ExitCode::SUCCESS;
    }
    match run(Parser::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("crash: failed, {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Parser) -> Result<(), String> {
    let (mut kills, mut seed) = (100, 1);
    while let Some(argument) = arguments.next().map_err(sentence)? {
        let value = match &argument {
            Arg::Long("kills") => &mut kills,
            Arg::Long("seed") => &mut seed,
            _ => return Err(argument.unexpected().to_string()),
        };
        *value = arguments.value().and_then(|text| text.parse()).map_err(sentence)?;
    }
    let folder = Folder::new().map_err(sentence)?;
    let crash = Crash {
        server: start_gateway().map_err(sentence)?,
        program: bot().map_err(sentence)?,
        session_file: folder.0.join("session.json"),
        seen: Arc::default(),
        random: fastrand::Rng::with_seed(seed),
    };
    println!("crash: a bot is killed {kills} times at random moments, seed {seed}");
    crash.run(kills)
}

/// The bot is built beside this program.
fn bot() -> std::io::Result<PathBuf> {
    let here = std::env::current_exe()?;
    Ok(here.with_file_name(format!("tokio_bot{}", std::env::consts::EXE_SUFFIX)))
}

/// Starts a gateway with busy guilds, and with a replay long enough for a bot that starts slowly.
fn start_gateway() -> std::io::Result<Server> {
    let mut config = Config::default();
    config.token = TOKEN.to_owned();
    config.guilds = 20;
    config.rate = 400.0;
    config.replay_limit = Some(100_000);
    Server::start(config)
}

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("gateway-crash-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Crash {
    server: Server,
    program: PathBuf,
    session_file: PathBuf,
    seen: Arc<Mutex<Seen>>,
    random: fastrand::Rng,
}

/// The number and name of each dispatch whose line the bots have written completely.
#[derive(Default)]
struct Seen {
    lines: Vec<(u64, String)>,
    newest: u64,
}

impl Crash {
    fn run(mut self, kills: u64) -> Result<(), String> {
        for kill in 0..kills {
            let bot = self.start_bot()?;
            if kill == 0 {
                // Before the first session is on the disk, there is nothing to resume.
                self.wait("the session is kept", |crash| crash.session_file.exists())?;
            }
            // Between the start of the process and its normal operation.
            std::thread::sleep(Duration::from_millis(self.random.u64(0..800)));
            bot.kill()?;
            if (kill + 1).is_multiple_of(10) {
                println!("crash: {} kills, {} events handled", kill + 1, lock(&self.seen).lines.len());
            }
        }
        self.server.control(Control::Rate(0.0)).map_err(sentence)?;
        let bot = self.start_bot()?;
        self.wait("the last bot has caught up", |crash| {
            lock(&crash.seen).newest >= crash.server.ledger().newest(1)
        })?;
        bot.kill()?;
        self.judge(kills)
    }

    fn start_bot(&self) -> Result<Bot, String> {
        let url = self.server.url();
        let mut child = Command::new(&self.program)
            .args(["--url", &url, "--token", TOKEN, "--ack", "--compress", "zstd-stream", "--session"])
            .arg(&self.session_file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(sentence)?;
        let output = child.stdout.take().ok_or("the bot has no output")?;
        let seen = self.seen.clone();
        let reader = std::thread::spawn(move || read_lines(output, &seen));
        Ok(Bot { child, reader })
    }

    fn wait(&self, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), String> {
        let start = Instant::now();
        while !done(self) {
            if start.elapsed() > PATIENCE {
                return Err(format!("waited in vain until {what}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Compares what the server dispatched with what the bots handled. Duplicates are allowed, losses are not.
    fn judge(&self, kills: u64) -> Result<(), String> {
        let seen = lock(&self.seen);
        let ledger = self.server.ledger();
        let lines = seen.lines.iter().map(|(sequence, name)| (*sequence, name.as_str()));
        let comparison = ledger.compare(1, lines);
        let identifies = self.server.with(|gateway| gateway.counters().identifies);
        let dispatched = comparison.seen + comparison.lost;
        let (handled, lost) = (comparison.seen, comparison.lost);
        println!("crash: {} events were handled more than once", comparison.duplicated);
        let figures = format!(
            "crash: kills={kills} dispatched={dispatched} handled={handled} lost={lost} identifies={identifies}"
        );
        if lost == 0 && identifies == 1 && comparison.unexpected == 0 && ledger.sessions() == 1 {
            println!("{figures}");
            Ok(())
        } else {
            Err(figures)
        }
    }
}

struct Bot {
    child: Child,
    reader: JoinHandle<()>,
}

impl Bot {
    /// Kills the bot with SIGKILL, where it exists. Reads the rest of its output.
    fn kill(mut self) -> Result<(), String> {
        if let Some(status) = self.child.try_wait().map_err(sentence)? {
            return Err(format!("the bot has ended by itself: {status}"));
        }
        self.child.kill().map_err(sentence)?;
        self.child.wait().map_err(sentence)?;
        self.reader.join().map_err(|_| "the bot's output could not be read".to_owned())
    }
}

/// A truncated line does not count.
fn read_lines(output: ChildStdout, seen: &Mutex<Seen>) {
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let Some((sequence, name)) = dispatch(&line) else { continue };
        let mut seen = lock(seen);
        seen.newest = seen.newest.max(sequence);
        seen.lines.push((sequence, name));
    }
}

/// The number and name of a line such as `{"t":"READY","s":1}`.
fn dispatch(line: &[u8]) -> Option<(u64, String)> {
    let line = std::str::from_utf8(line).ok()?.strip_prefix("{\"t\":\"")?.strip_suffix('}')?;
    let (name, sequence) = line.split_once("\",\"s\":")?;
    Some((sequence.parse().ok()?, name.to_owned()))
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn sentence(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_count() {
        let whole = br#"{"t":"READY","s":12}"#;
        assert_eq!(dispatch(whole), Some((12, "READY".to_owned())));
        assert!((0..whole.len()).all(|end| dispatch(&whole[..end]).is_none()));
        assert_eq!(dispatch(br#"{"summary":{"events":3}}"#), None);
    }
}
