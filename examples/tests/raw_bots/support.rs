//! Runs a bot in this process against a simulated gateway, and returns what it printed.

use std::io::Cursor;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use gateway_examples::options::Invocation;
use gateway_examples::{Options, Report, bot};
use gateway_sim::{Config, Server, ServerConfig, Tls};
use gateway_tokio::TokioRuntime;
use serde_json::Value;

use crate::{blocking_bot, poll_bot, threads_bot};

pub(crate) const TOKEN: &str = "bot-test-token";
/// Far longer than any step of a test takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// One way of running the small bot.
pub(crate) type Bot = fn(&mut Report<Vec<u8>, Vec<u8>>) -> u8;

pub(crate) const RAW_BOTS: &[(&str, Bot)] = &[
    ("blocking", |report| blocking_bot::run(report, &AtomicBool::new(false))),
    ("threads", |report| threads_bot::run(report, &AtomicBool::new(false), Cursor::new(Vec::new()))),
    ("poll", |report| poll_bot::run(report, &AtomicBool::new(false))),
];

pub(crate) fn tokio_bot(report: &mut Report<Vec<u8>, Vec<u8>>) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(bot::run(TokioRuntime, None, report))
}

pub(crate) fn server(tls: bool) -> Server {
    let mut gateway = Config::default();
    gateway.token = TOKEN.to_owned();
    // Several bots identify one after the other, and these tests do not look at the time between them.
    gateway.identify_interval = Duration::ZERO;
    let mut config = ServerConfig::from(gateway);
    config.tls = tls.then(Tls::default);
    Server::start(config).unwrap()
}

#[derive(Debug, PartialEq)]
pub(crate) struct Ended {
    pub(crate) status: u8,
    pub(crate) names: Vec<String>,
    pub(crate) summary: Value,
}

pub(crate) fn run(bot: Bot, server: &Server, flags: &[&str]) -> Ended {
    run_with_log(bot, server, flags).0
}

pub(crate) fn run_with_log(bot: Bot, server: &Server, flags: &[&str]) -> (Ended, String) {
    let (ended, _, log) = run_for_lines(bot, server, flags);
    (ended, log)
}

pub(crate) fn run_for_lines(bot: Bot, server: &Server, flags: &[&str]) -> (Ended, Vec<Value>, String) {
    let url = server.url();
    let mut arguments = vec!["--url", &url, "--token", TOKEN];
    let file = std::env::temp_dir().join(format!("gateway-root-{}.pem", server.address().port()));
    if let Some(root) = server.root_certificate() {
        std::fs::write(&file, root).unwrap();
        arguments.extend(["--ca", file.to_str().unwrap()]);
    }
    arguments.extend(flags);
    let Invocation::Run(options) = Options::parse(arguments, None).unwrap() else {
        panic!("not a run of the bot")
    };
    let mut report = Report::new(options, Vec::new(), Vec::new());
    let status = bot(&mut report);
    if server.root_certificate().is_some() {
        std::fs::remove_file(&file).unwrap();
    }
    let (output, log) = report.into_writers();
    let lines = output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut lines: Vec<Value> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
    let summary = lines.pop().unwrap()["summary"].take();
    let names = lines.iter().map(|line| format!("{} {}", line["s"], line["t"])).collect();
    (Ended { status, names, summary }, lines, String::from_utf8(log).unwrap())
}

pub(crate) fn all_bots() -> impl Iterator<Item = (&'static str, Bot)> {
    [("tokio", tokio_bot as Bot)].into_iter().chain(RAW_BOTS.iter().copied())
}

/// A temporary folder, removed when this is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gateway-raw-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
