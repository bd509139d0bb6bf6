//! Every contender receives the same events, with any runtime, mode and transport.

#![cfg(feature = "peers")]
#![allow(clippy::print_stdout, reason = "it says who is missing")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc;

use gateway_bench::client::{ClientOptions, Job, Who};
use gateway_bench::corpus::Traffic;
use gateway_bench::frames::Frames;
use gateway_bench::mode::Mode;
use gateway_bench::serve::{Extent, Sent, ServeOptions, Server};
use gateway_codec::Compression;
use serde_json::Value;

const GUILDS: usize = 4;
const EVENTS: usize = 2000;
/// A script whose package is not installed.
const SKIPPED: i32 = 77;

/// A server for every mode, and its reports of sent events.
struct Stand {
    server: Server,
    sent: mpsc::Receiver<Sent>,
    ca: Option<PathBuf>,
}

impl Stand {
    fn new(modes: &[Mode], options: ServeOptions) -> Self {
        let frames = |mode: &Mode| {
            let traffic = Traffic { seed: 7, events: EVENTS, guilds: GUILDS, ..Traffic::default() };
            (*mode, Frames::encode(traffic.payloads(), *mode))
        };
        let (sender, sent) = mpsc::channel();
        let server = Server::start(modes.iter().map(frames), options, sender).unwrap();
        let ca = server.root_pem().map(|pem| {
            let name = format!("gateway-bench-{}-{}.pem", std::process::id(), server.address().port());
            let path = std::env::temp_dir().join(name);
            std::fs::File::create(&path).unwrap().write_all(pem.as_bytes()).unwrap();
            path
        });
        Self { server, sent, ca }
    }

    fn options(&self, who: Who, job: Job, mode: Mode) -> ClientOptions {
        ClientOptions {
            who,
            job,
            url: self.server.url(),
            ca: self.ca.clone(),
            mode,
            guilds: GUILDS as u64,
            events: EVENTS as u64,
            shards: 1,
            seconds: 0,
            check: true,
        }
    }

    /// Runs a contender in its own process.
    fn run(&self, options: &ClientOptions) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_client"));
        command.args(["--who", &options.who.to_string()]);
        let output = self.output(&mut command, options);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {} {}: {error}", options.who, options.job, options.mode);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs a script of a contender in another language. `None` if its package is not installed.
    fn run_script(&self, command: &mut Command, script: &str, options: &ClientOptions) -> Option<Value> {
        let output = self.output(command, options);
        let error = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(SKIPPED) {
            println!("{script}: {error}");
            return None;
        }
        assert!(output.status.success(), "{script} {} {}: {error}", options.job, options.mode);
        Some(serde_json::from_slice(&output.stdout).unwrap())
    }

    fn output(&self, command: &mut Command, options: &ClientOptions) -> Output {
        for (flag, value) in [
            ("--job", options.job.to_string()),
            ("--mode", options.mode.to_string()),
            ("--url", options.url.clone()),
            ("--guilds", options.guilds.to_string()),
            ("--events", options.events.to_string()),
            ("--shards", options.shards.to_string()),
        ] {
            command.args([flag, &value]);
        }
        if options.check {
            command.arg("--check");
        }
        if let Some(ca) = &self.ca {
            command.arg("--ca").arg(ca).env("SSL_CERT_FILE", ca).env("NODE_EXTRA_CA_CERTS", ca);
        }
        command.output().unwrap()
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        if let Some(ca) = &self.ca {
            let _ = std::fs::remove_file(ca);
        }
    }
}

fn python() -> Command {
    Command::new(std::env::var_os("GATEWAY_BENCH_PYTHON").unwrap_or_else(|| "python3".into()))
}

fn node() -> Command {
    Command::new(std::env::var_os("GATEWAY_BENCH_NODE").unwrap_or_else(|| "node".into()))
}

fn path_of(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(script)
}

/// Runs a script in all modes, with and without TLS, and compares what it received with what our client received. Returns
/// the number of runs.
fn script_receives_the_same(script: &str, command: impl Fn() -> Command) -> usize {
    let (modes, mut runs) = (modes(false), 0);
    for tls in [false, true] {
        let stand = Stand::new(&modes, ServeOptions { tls, ..serve_options() });
        for mode in &modes {
            for job in [Job::Raw, Job::SmallBot] {
                let options = stand.options(Who::Tokio, job, *mode);
                let Some(theirs) = stand.run_script(&mut command(), script, &options) else { continue };
                let ours = stand.run(&options);
                for field in ["job", "mode", "tls", "events", "order", "names", "fields"] {
                    assert_eq!(theirs[field], ours[field], "{script} {job} {mode}: {field}");
                }
                runs += 1;
            }
        }
    }
    runs
}

/// Runs every contender that supports the job, and compares what they received. Returns their number.
fn all_see_the_same(stand: &Stand, modes: &[Mode], jobs: &[Job]) -> usize {
    let (mut runs, mut first) = (0, [None, None, None]);
    for &mode in modes {
        for &job in jobs {
            for who in Who::ALL {
                let options = stand.options(who, job, mode);
                if !options.supports() {
                    continue;
                }
                let report = stand.run(&options);
                let what = format!("{who} {job} {mode}");
                assert_eq!(report["events"], EVENTS, "{what}");
                for (sum, first) in ["order", "names", "fields"].into_iter().zip(&mut first) {
                    if let Some(sum) = report[sum].as_str() {
                        let first = first.get_or_insert_with(|| sum.to_owned());
                        assert_eq!(sum, first, "{what}");
                    }
                }
                let sent = stand.sent.recv().unwrap();
                assert_eq!((sent.mode, sent.connections, sent.events), (mode.to_string(), 1, EVENTS));
                assert!(report["cpu_seconds"].as_f64().unwrap() > 0.0, "{what}");
                runs += 1;
            }
        }
    }
    assert!(first.iter().all(Option::is_some));
    runs
}

fn modes(payload: bool) -> Vec<Mode> {
    Mode::ALL.into_iter().filter(|mode| (mode.compression == Compression::Payload) == payload).collect()
}

fn serve_options() -> ServeOptions {
    let mut options = ServeOptions::default();
    (options.guilds, options.events) = (GUILDS, EVENTS);
    options
}

const JOBS: [Job; 3] = [Job::Raw, Job::SmallBot, Job::Typed];

#[test]
fn all_contenders_see_the_same_events() {
    let modes = modes(false);
    let stand = Stand::new(&modes, serve_options());
    // Our clients support all six modes; twilight one of them, serenity one without raw.
    assert_eq!(all_see_the_same(&stand, &modes, &JOBS), 4 * 6 * 3 + 3 + 2);
}

#[test]
fn all_contenders_see_the_same_events_with_payload_compression() {
    let modes = modes(true);
    let stand = Stand::new(&modes, ServeOptions { payload: true, ..serve_options() });
    assert_eq!(all_see_the_same(&stand, &modes, &JOBS), 4 * 3 + 2);
}

#[test]
fn all_contenders_see_the_same_events_over_tls() {
    let modes = modes(false);
    let stand = Stand::new(&modes, ServeOptions { tls: true, ..serve_options() });
    assert_eq!(all_see_the_same(&stand, &modes, &[Job::SmallBot]), 4 * 6 + 1);
}

/// Runs those whose packages are installed: `GATEWAY_BENCH_PYTHON` names a Python that has them.
#[test]
fn python_contenders_see_the_same_events() {
    for (script, package) in [("discord_gateway_client.py", "discord_gateway"), ("discord_py.py", "discord")]
    {
        let output = python().args(["-c", &format!("import {package}")]).output();
        if !output.is_ok_and(|output| output.status.success()) {
            println!("{script}: the package {package} is not installed");
            continue;
        }
        script_receives_the_same(script, || {
            let mut command = python();
            command.arg(path_of(script));
            command
        });
    }
}

/// Runs if it is installed: `GATEWAY_BENCH_NODE_PACKAGES` names the folder whose `node_modules` contains it,
/// `GATEWAY_BENCH_NODE` a Node that is not in the path.
#[test]
fn the_contender_on_node_sees_the_same_events() {
    let (script, package) = ("discordjs_ws.mjs", "@discordjs/ws");
    let packages = std::env::var_os("GATEWAY_BENCH_NODE_PACKAGES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench/node"), PathBuf::from);
    if !node().arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!("{script}: there is no Node");
        return;
    }
    if !packages.join("node_modules").join(package).exists() {
        println!("{script}: the package {package} is not installed");
        return;
    }
    let runs = script_receives_the_same(script, || {
        let mut command = node();
        command.arg(path_of(script)).arg("--packages").arg(&packages);
        command
    });
    // Two jobs, with and without TLS, plain and zlib; some versions support zstd too.
    assert!(runs >= 2 * 2 * 2, "{runs}");
}

/// The lower bound reads as many messages as the clients, without their content.
#[test]
fn the_bound_takes_all_events() {
    let modes = modes(false);
    let stand = Stand::new(&modes, serve_options());
    let mut runs = 0;
    for mode in modes {
        let options = ClientOptions { check: false, ..stand.options(Who::Bound, Job::Raw, mode) };
        if options.supports() {
            assert_eq!(stand.run(&options)["events"], EVENTS, "{mode}");
            assert_eq!(stand.sent.recv().unwrap().events, EVENTS, "{mode}");
            runs += 1;
        }
    }
    assert_eq!(runs, 3);
}

/// Each of several shards receives its share from the beginning.
#[test]
fn many_shards_share_the_events() {
    let modes = modes(false);
    let shards = 10;
    let stand = Stand::new(&modes, ServeOptions { shards, burst: 7, ..serve_options() });
    for mode in modes {
        let mut first = None;
        for who in Who::ALL {
            let mut options = stand.options(who, Job::Growth, mode);
            options.shards = shards as u32;
            if !options.supports() || matches!(who, Who::Blocking) {
                continue;
            }
            let report = stand.run(&options);
            let order = report["order"].as_str().unwrap().to_owned();
            assert_eq!(first.get_or_insert_with(|| order.clone()), &order, "{who} {mode}");
            let sent = stand.sent.recv().unwrap();
            assert_eq!((sent.connections, sent.events), (shards, EVENTS));
        }
    }
}

/// Idle shards receive READY and the guilds and nothing more.
#[test]
fn idle_shards_are_measured() {
    let modes = modes(false);
    let stand = Stand::new(&modes, ServeOptions { extent: Extent::Guilds, ..serve_options() });
    for mode in modes {
        for who in Who::ALL {
            let mut options = stand.options(who, Job::Idle, mode);
            options.events = 0;
            if !options.supports() {
                continue;
            }
            let report = stand.run(&options);
            assert_eq!((report["shards"].as_u64(), report["events"].as_u64()), (Some(1), Some(0)), "{who}");
            let bytes = |name: &str| report[name].as_u64().unwrap();
            assert!(bytes("before_bytes") > 0 && bytes("peak_bytes") >= bytes("after_bytes"), "{who}");
        }
    }
}

/// More shards than a small bot may start in a day.
#[test]
fn a_thousand_shards_are_idle_in_one_process() {
    let shards = 1000;
    gateway_bench::limits::allow_connections(shards as usize).unwrap();
    let mode = modes(false)[0];
    let stand = Stand::new(&[mode], ServeOptions { extent: Extent::Ready, ..serve_options() });
    let ours = [Who::Tokio, Who::Smol, Who::AsyncStd];
    for who in ours.into_iter().chain([Who::Twilight]) {
        let mut options = stand.options(who, Job::Idle, mode);
        (options.guilds, options.events, options.shards) = (0, 0, shards);
        if options.supports() {
            let report = stand.run(&options);
            assert!(report["bytes_per_shard"].as_f64().unwrap() > 0.0, "{who}");
        }
    }
}
