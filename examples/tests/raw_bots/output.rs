//! The output of the bots, and the flags for several shards.

use std::io::Cursor;
use std::sync::atomic::AtomicBool;

use gateway_examples::options::Invocation;
use gateway_examples::{Options, Report};
use gateway_sim::Control;
use serde_json::Value;

use crate::support::{Bot, LIMIT, RAW_BOTS, TOKEN, all_bots, run, run_for_lines, server, tokio_bot};
use crate::threads_bot;

/// The common part of two runs: the session id and other ids differ.
fn names_and_keys(line: &Value) -> (String, Vec<String>) {
    let mut keys: Vec<String> = line["d"].as_object().unwrap().keys().cloned().collect();
    keys.sort();
    (line["t"].as_str().unwrap().to_owned(), keys)
}

#[test]
fn the_data_is_printed_on_request() {
    let server = server(false);
    let flags = ["--full", "--events", "3", "--encoding", "etf", "--compress", "zstd-stream"];
    let shown = |bot| run_for_lines(bot, &server, &flags).1.iter().map(names_and_keys).collect::<Vec<_>>();
    let expected = shown(tokio_bot);
    assert!(expected.iter().all(|(_, keys)| !keys.is_empty()) && expected.len() == 3);
    for (name, bot) in RAW_BOTS {
        assert_eq!(shown(*bot), expected, "{name}");
    }
    let short = run_for_lines(RAW_BOTS[0].1, &server, &["--events", "1"]).1;
    assert_eq!(short[0].get("d"), None);
}

#[test]
fn all_shards_run_on_one_thread() {
    let server = server(true);
    // READY for each shard, and each of the two guilds on one of them.
    let ended = run(RAW_BOTS[2].1, &server, &["--shards", "2", "--events", "4"]);
    assert_eq!(ended.status, 0);
    assert_eq!(ended.summary["identifies"], 2);
    let readies = ended.names.iter().filter(|name| name.contains("READY"));
    assert_eq!(readies.count(), 2);
}

#[test]
fn a_bot_can_run_one_shard_of_many() {
    let server = server(false);
    for (name, bot) in all_bots() {
        let (_, lines, log) = run_for_lines(bot, &server, &["--shard", "1,2", "--events", "2", "--full"]);
        assert_eq!(lines[0]["d"]["shard"], serde_json::json!([1, 2]), "{name}: {log}");
        assert_eq!(lines[1]["t"], "GUILD_CREATE", "{name}: {log}");
    }
}

#[test]
fn many_shards_are_refused_by_the_bots_that_run_one() {
    for (name, bot) in all_bots().filter(|(name, _)| *name != "poll") {
        let Invocation::Run(options) =
            Options::parse(["--token", TOKEN, "--url", "ws://127.0.0.1:1", "--shards", "2"], None).unwrap()
        else {
            panic!("not a run of the bot")
        };
        let mut report = Report::new(options, Vec::new(), Vec::new());
        assert_eq!(bot(&mut report), 2, "{name}");
        let log = String::from_utf8(report.into_writers().1).unwrap();
        assert!(log.contains("--shards cannot be used: this bot runs one shard"), "{name}: {log}");
    }
}

#[test]
fn lines_become_the_status() {
    let server = server(false);
    let bot: Bot = |report| threads_bot::run(report, &AtomicBool::new(false), Cursor::new("one\ntwo\n"));
    std::thread::scope(|scope| {
        let bot = scope.spawn(|| run(bot, &server, &["--events", "4", "--seconds", "30"]));
        // Only the newest of several waiting statuses is sent, so there may be one or two.
        let sent = server.wait(LIMIT, |gateway| (gateway.counters().commands >= 1).then_some(()));
        server.control(Control::Emit { count: 5, padding: 0 }).unwrap();
        assert_eq!((sent, bot.join().unwrap().status), (Some(()), 0));
    });
}

#[test]
fn each_line_names_its_shard_if_there_are_many() {
    let server = server(false);
    let (ended, lines, log) = run_for_lines(RAW_BOTS[2].1, &server, &["--shards", "2", "--events", "4"]);
    assert_eq!(ended.status, 0, "{log}");
    let named = |line: &Value| line["shard"][1] == 2;
    assert!(lines.iter().all(named) && lines.iter().any(|line| line["shard"][0] == 1), "{lines:?}");
    assert!(
        log.lines().all(|line| line.starts_with("shard 0,2: ") || line.starts_with("shard 1,2: ")),
        "{log}"
    );
    let (_, lines, log) = run_for_lines(RAW_BOTS[2].1, &server, &["--events", "2"]);
    assert!(
        lines.iter().all(|line| line.get("shard").is_none())
            && !log.lines().any(|line| line.starts_with("shard ")),
        "{log}"
    );
}
