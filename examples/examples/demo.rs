//! A shard whose connection is lost in three ways, without the loss of an event. `cargo xtask demo`

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use gateway_examples::options::is_answered;
use gateway_sim::{Config, Control, Server};
use gateway_tokio::Shard;
use gateway_tokio::proto::disconnect::DisconnectReason;
use gateway_tokio::proto::{Compression, Event, Intents, ShardConfig, Shutdown};

const HELP: &str = "\
A shard against a simulated gateway that cuts it off three times. Prints what happens, and how many events were lost.

  -h, --help     this text
  -V, --version  the version
";

const TOKEN: &str = "demo-token";
/// Events between two losses.
const BETWEEN: usize = 150;
/// Deadline for the whole demo.
const PATIENCE: Duration = Duration::from_secs(60);

/// The losses in this order.
const CUTS: [Cut; 3] = [
    Cut { what: "the socket is dropped", control: Control::Abort },
    Cut { what: "the server asks for a reconnect (op 7)", control: Control::Reconnect { then_emit: 5 } },
    Cut { what: "the server falls silent (a zombie)", control: Control::Silence },
];

struct Cut {
    what: &'static str,
    control: Control,
}

fn main() -> ExitCode {
    if is_answered(HELP) {
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("demo: failed, {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let server = start_gateway().map_err(|error| format!("no simulated gateway: {error}"))?;
    let mut config = ShardConfig::new(TOKEN, Intents::UNPRIVILEGED);
    config.url = server.url();
    config.compression = Compression::ZstdStream;
    let shard = Shard::new(config).map_err(sentence)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    println!("a simulated gateway listens on {}; a shard connects with zstd-stream", server.url());
    let demo = Demo { server, shard, start: Instant::now(), seen: Vec::new(), cuts: CUTS.into_iter() };
    runtime
        .block_on(async { tokio::time::timeout(PATIENCE, demo.watch()).await })
        .map_err(|_| format!("not done after {} s", PATIENCE.as_secs()))?
}

/// Starts a gateway with busy guilds, and with a heartbeat interval so short that silence is detected soon.
fn start_gateway() -> std::io::Result<Server> {
    let mut config = Config::default();
    config.token = TOKEN.to_owned();
    config.guilds = 20;
    config.rate = 200.0;
    config.heartbeat_interval = Duration::from_millis(1500);
    config.replay_limit = Some(5000);
    Server::start(config)
}

struct Demo {
    server: Server,
    shard: Shard,
    start: Instant,
    /// The number and name of each dispatch, in the order of delivery.
    seen: Vec<(u64, String)>,
    cuts: std::array::IntoIter<Cut, 3>,
}

impl Demo {
    async fn watch(mut self) -> Result<(), String> {
        let mut next_cut = BETWEEN;
        let mut caught_up = false;
        while let Some(event) = self.shard.next_event().await {
            match &event {
                Event::Dispatch(dispatch) => {
                    self.seen.push((dispatch.sequence().unwrap_or(0), dispatch.name().to_owned()));
                    if self.seen.len().is_multiple_of(100) {
                        self.print(&format!("{} events so far", self.seen.len()));
                    }
                }
                Event::Ready => self.print("READY: a session has begun"),
                Event::Resumed { replayed } => {
                    self.print(&format!("RESUMED: {replayed} missed events were replayed"));
                    next_cut = self.seen.len() + BETWEEN;
                }
                Event::HeartbeatAcknowledged { latency, .. } => {
                    self.print(&format!("heartbeat answered in {:.2} ms", latency.as_secs_f64() * 1e3));
                }
                Event::Disconnected(end) => self.disconnected(&end.reason, end.retry_in),
                Event::Connecting { resuming: true, .. } => self.print("connecting to resume"),
                Event::Connecting { resuming: false, .. } => self.print("connecting"),
                _ => {}
            }
            if self.seen.len() >= next_cut {
                next_cut = usize::MAX;
                caught_up = !self.cut()?;
            }
            if caught_up && self.seen_all() {
                self.shard.shutdown(Shutdown::LogOff);
                caught_up = false;
            }
        }
        self.judge()
    }

    /// Causes the next loss. When there is none left, stops the guilds and returns false.
    fn cut(&mut self) -> Result<bool, String> {
        let next = self.cuts.next();
        let control = match &next {
            Some(cut) => {
                self.print(&format!("--- {}", cut.what));
                cut.control.clone()
            }
            None => Control::Rate(0.0),
        };
        self.server.control(control).map_err(sentence)?;
        if next.is_none() {
            // One more event, so that there is something to wait for.
            let last = Control::Emit { count: 1, padding: 0 };
            self.server.control(last).map_err(sentence)?;
        }
        Ok(next.is_some())
    }

    fn seen_all(&self) -> bool {
        self.seen.last().is_some_and(|(sequence, _)| *sequence >= self.server.ledger().newest(1))
    }

    fn disconnected(&self, reason: &DisconnectReason, retry_in: Option<Duration>) {
        match retry_in {
            Some(wait) => {
                self.print(&format!("disconnected: {reason}; next attempt in {:.1} s", wait.as_secs_f64()));
            }
            None => self.print(&format!("disconnected: {reason}")),
        }
    }

    /// Compares the dispatches of the server with those of the application.
    fn judge(&self) -> Result<(), String> {
        let stats = self.shard.stats();
        let seen = self.seen.iter().map(|(sequence, name)| (*sequence, name.as_str()));
        let comparison = self.server.ledger().compare(1, seen);
        let ordered = self.seen.is_sorted_by(|a, b| a.0 < b.0);
        let figures = format!(
            "events={} connects={} identifies={} resumes={} lost={} duplicated={}",
            self.seen.len(),
            stats.connects,
            stats.identifies,
            stats.resumed,
            comparison.lost,
            comparison.duplicated,
        );
        let as_told = (stats.identifies, stats.resumed) == (1, CUTS.len() as u64);
        if comparison.is_clean() && ordered && as_told {
            println!("demo: ok {figures}");
            Ok(())
        } else {
            Err(format!("{figures} unexpected={} ordered={ordered}", comparison.unexpected))
        }
    }

    fn print(&self, what: &str) {
        println!("{:7.3} s  {what}", self.start.elapsed().as_secs_f64());
    }
}

fn sentence(error: impl std::fmt::Display) -> String {
    error.to_string()
}
