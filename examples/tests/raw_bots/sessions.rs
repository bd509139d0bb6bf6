//! Sessions and session starts that are stored between runs.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gateway_driver::store::{FileIdentifyStore, FileSessionStore, IdentifyStore, SessionStore};
use gateway_examples::options::Invocation;
use gateway_examples::{Options, Report};
use gateway_proto::ShardId;
use gateway_proto::identify::IdentifyQueue;
use gateway_sim::Control;
use serde_json::Value;

use crate::support::{Folder, LIMIT, RAW_BOTS, TOKEN, all_bots, run, run_with_log, server, tokio_bot};

#[test]
fn a_session_file_continues_after_the_last_run() {
    let folder = Folder::new("session");
    for (name, bot) in all_bots() {
        let server = server(false);
        let file = folder.file(name);
        let mut seen = Vec::new();
        for round in 0..3 {
            let (ended, log) = std::thread::scope(|scope| {
                let bot = scope.spawn(|| run_with_log(bot, &server, &["--session", &file, "--events", "10"]));
                let begun =
                    move |counters: &gateway_sim::Counters| counters.readies + counters.resumed > round;
                server.wait(LIMIT, |gateway| begun(gateway.counters()).then_some(())).unwrap();
                server.control(Control::Emit { count: 12, padding: 0 }).unwrap();
                bot.join().unwrap()
            });
            assert_eq!(ended.summary["stop"], "resumable", "{name}: {log}");
            assert_eq!(ended.summary["identifies"], u64::from(round == 0), "{name}: {log}");
            seen.extend(ended.names.iter().map(|name| name.split(' ').next().unwrap().to_owned()));
        }
        let expected: Vec<String> = (1..=30).map(|sequence| sequence.to_string()).collect();
        assert_eq!(seen, expected, "{name}: in order, once each, with no gap between the runs");
    }
}

/// A killed bot leaves the session file as last written. With `--ack` the next run shows all later events.
#[test]
fn a_bot_that_is_killed_loses_nothing() {
    let folder = Folder::new("killed");
    for (name, bot) in all_bots() {
        let server = server(false);
        let (file, copy) = (folder.file(name), folder.file(&format!("{name}-copy")));
        let emit = |count| server.control(Control::Emit { count, padding: 0 }).unwrap();
        let sequence = std::thread::scope(|scope| {
            let first = scope.spawn(|| run(bot, &server, &["--session", &file, "--ack", "--events", "200"]));
            server.wait(LIMIT, |gateway| (gateway.ledger().newest(1) >= 3).then_some(())).unwrap();
            emit(147);
            let store = FileSessionStore::in_file(&file);
            let begin = Instant::now();
            let sequence = loop {
                let kept = store.load(ShardId::ONE).unwrap().map_or(0, |session| session.sequence());
                if kept >= 100 {
                    break kept;
                }
                assert!(begin.elapsed() < LIMIT, "{name}: {kept} is what was kept");
                std::thread::yield_now();
            };
            // The bot is still running: this is the file that it would leave behind.
            std::fs::copy(&file, &copy).unwrap();
            std::fs::copy(format!("{file}.identifies"), format!("{copy}.identifies")).unwrap();
            assert!(!first.is_finished(), "{name}");
            emit(50);
            let first = first.join().unwrap();
            assert_eq!(first.names.len(), 200, "{name}");
            sequence
        });
        let kept = FileSessionStore::in_file(&copy).load(ShardId::ONE).unwrap().unwrap().sequence();
        assert!(kept >= sequence);
        let again = (200 - kept).to_string();
        let (ended, log) = run_with_log(bot, &server, &["--session", &copy, "--ack", "--events", &again]);
        let expected: Vec<String> = (kept + 1..=200).map(|sequence| sequence.to_string()).collect();
        let shown: Vec<&str> = ended.names.iter().map(|name| name.split(' ').next().unwrap()).collect();
        assert_eq!(shown, expected, "{name}: {log}");
        assert_eq!(
            (&ended.summary["identifies"], &ended.summary["resumes"]),
            (&0.into(), &1.into()),
            "{name}"
        );
    }
}

/// Writes 900 recent session starts to the file beside this session file.
fn spend_the_budget(file: &str) {
    let mut queue = IdentifyQueue::new(u32::MAX);
    let now = Instant::now();
    for shard in 0..900 {
        queue.request(ShardId::new(shard, 900).unwrap());
        queue.poll_output(now).unwrap();
    }
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    let store = FileIdentifyStore::in_file(format!("{file}.identifies"));
    store.save(&queue.snapshot(now).with_wall_clock(clock)).unwrap();
}

#[test]
fn a_spent_budget_stops_the_bots_before_they_start() {
    let folder = Folder::new("spent");
    let server = server(false);
    for (name, bot) in all_bots() {
        let file = folder.file(name);
        spend_the_budget(&file);
        let url = server.url();
        let flags = ["--url", &url, "--token", TOKEN, "--session", &file];
        let Invocation::Run(options) = Options::parse(flags, None).unwrap() else {
            panic!("not a run of the bot")
        };
        let mut report = Report::new(options, Vec::new(), Vec::new());
        assert_eq!(bot(&mut report), 2, "{name}");
        let log = String::from_utf8(report.into_writers().1).unwrap();
        assert!(log.contains("1 sessions cannot be started: 100 starts are left"), "{name}: {log}");
    }
    assert_eq!(server.wait(LIMIT, |gateway| Some(gateway.counters().connects)), Some(0));
}

/// The bots may still resume. Once the session has ended, they log why they stop.
#[test]
fn a_budget_that_is_spent_later_stops_the_bots() {
    let folder = Folder::new("resumes");
    let run = |name, bot| {
        let server = server(false);
        let file = folder.file(name);
        let flags = ["--session", &file, "--events", "3"];
        assert_eq!(run(bot, &server, &flags).summary["identifies"], 1);
        spend_the_budget(&file);
        std::thread::scope(|scope| {
            let bot = scope.spawn(|| run_with_log(bot, &server, &["--session", &file]));
            server.wait(LIMIT, |gateway| (gateway.counters().resumed >= 1).then_some(())).unwrap();
            server.control(Control::Invalid { resumable: false }).unwrap();
            bot.join().unwrap()
        })
    };
    let (expected, _) = run("tokio", tokio_bot);
    assert_eq!((expected.status, &expected.summary["stop"]), (2, &Value::from("identify-refused")));
    assert_eq!((&expected.summary["identifies"], &expected.summary["resumes"]), (&0.into(), &1.into()));
    for (name, bot) in RAW_BOTS {
        let (ended, log) = run(name, *bot);
        assert_eq!(ended, expected, "{name}: {log}");
        assert!(log.contains("no session may be started: 100 starts are left"), "{name}: {log}");
    }
}

/// Each start is persisted in the file before the gateway receives the Identify.
#[test]
fn session_starts_are_counted_from_run_to_run() {
    let folder = Folder::new("counted");
    let server = server(false);
    for (name, bot) in all_bots() {
        let file = folder.file(name);
        run(bot, &server, &["--session", &file, "--events", "1"]);
        let kept = FileIdentifyStore::in_file(format!("{file}.identifies")).load().unwrap().unwrap();
        let mut queue = IdentifyQueue::new(1);
        queue.restore(&kept, Duration::ZERO, Instant::now());
        assert_eq!(queue.remaining(Instant::now()), 999, "{name}");
    }
}
