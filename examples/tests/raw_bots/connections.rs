//! Connections and their ends: every mode, faults, refused upgrades, close codes and certificates.

use std::time::{Duration, Instant};

use gateway_examples::options::Invocation;
use gateway_examples::{Options, Report};
use gateway_sim::{Action, Config, Control, Point, Response, Rule, Server, ServerConfig, Tls};

use crate::formats::FORMATS;
use crate::memory;
use crate::support::{Bot, Ended, LIMIT, RAW_BOTS, TOKEN, run, run_with_log, server, tokio_bot};

#[test]
fn every_encoding_and_compression_plain_and_over_tls() {
    for tls in [false, true] {
        let server = server(tls);
        for (encoding, compression) in FORMATS {
            let flags = ["--encoding", encoding, "--compress", compression, "--events", "3"];
            let expected = run(tokio_bot, &server, &flags);
            assert_eq!((expected.status, expected.names.len()), (0, 3));
            for (name, bot) in RAW_BOTS {
                let (ended, log) = run_with_log(*bot, &server, &flags);
                assert_eq!(ended, expected, "{name}, {encoding}, {compression}, tls: {tls}: {log}");
            }
        }
    }
}

/// Each fault follows READY and the guilds. More events follow the fault and end the bot.
#[test]
fn faults_have_the_same_effect_as_for_the_tokio_bot() {
    let faults: &[(&str, &[Control])] = &[
        ("opcode 7", &[Control::Reconnect { then_emit: 1 }]),
        ("end of stream", &[Control::Drop]),
        ("reset", &[Control::Abort]),
        ("half a message", &[Control::Cut]),
        ("close code", &[Control::Close { code: Some(4000) }]),
        ("opcode 9, false", &[Control::Invalid { resumable: false }]),
        ("opcode 9, true", &[Control::Invalid { resumable: true }]),
    ];
    for tls in [false, true] {
        for (fault, controls) in faults {
            std::thread::scope(|scope| {
                let expected = scope.spawn(move || run_through(tokio_bot, tls, controls));
                let run = |(name, bot): &'static (&str, Bot)| {
                    (name, scope.spawn(move || run_through(*bot, tls, controls)))
                };
                let bots: Vec<_> = RAW_BOTS.iter().map(run).collect();
                let (expected, _) = expected.join().unwrap();
                for (name, bot) in bots {
                    let (ended, log) = bot.join().unwrap();
                    assert_eq!(ended, expected, "{name}, {fault}, tls: {tls}: {log}");
                    assert_eq!(ended.status, 0);
                }
            });
        }
    }
}

fn run_through(bot: Bot, tls: bool, controls: &[Control]) -> (Ended, String) {
    let server = server(tls);
    std::thread::scope(|scope| {
        let bot = scope.spawn(|| run_with_log(bot, &server, &["--events", "6"]));
        server.wait(LIMIT, |gateway| (gateway.ledger().newest(1) >= 3).then_some(())).unwrap();
        for control in controls {
            server.control(control.clone()).unwrap();
        }
        let again = |counters: &gateway_sim::Counters| counters.resumed + counters.readies >= 2;
        server.wait(LIMIT, |gateway| again(gateway.counters()).then_some(())).unwrap();
        server.control(Control::Emit { count: 3, padding: 0 }).unwrap();
        bot.join().unwrap()
    })
}

#[test]
fn refused_upgrades_cause_the_same_waits_as_for_the_tokio_bot() {
    let refused = |bot: Bot, tls| {
        let server = server(tls);
        let mut busy = Response::empty(503).header("Retry-After", "0.1");
        busy.body = "maintenance".to_owned();
        server.control(Control::Rule(Rule::once(Point::Upgrade, Action::Http(busy)))).unwrap();
        run_with_log(bot, &server, &["--events", "3"])
    };
    for tls in [false, true] {
        let (expected, _) = refused(tokio_bot, tls);
        assert_eq!((expected.status, expected.names.len()), (0, 3));
        for (name, bot) in RAW_BOTS {
            let (ended, log) = refused(*bot, tls);
            assert_eq!(ended, expected, "{name}, tls: {tls}: {log}");
            assert!(log.contains("refused with HTTP status 503, retry after 0.1 s"), "{name}: {log}");
        }
    }
}

#[test]
fn every_final_close_code_ends_the_bots() {
    let closed = |bot: Bot, code| {
        let server = server(false);
        std::thread::scope(|scope| {
            let bot = scope.spawn(|| run_with_log(bot, &server, &["--events", "100"]));
            server.wait(LIMIT, |gateway| (gateway.ledger().newest(1) >= 3).then_some(())).unwrap();
            server.control(Control::Close { code: Some(code) }).unwrap();
            bot.join().unwrap()
        })
    };
    for code in [4004, 4010, 4011, 4012, 4013, 4014] {
        let (expected, _) = closed(tokio_bot, code);
        assert_eq!((expected.status, expected.names.len()), (2, 3), "{code}");
        assert_eq!(expected.summary["stop"], format!("rejected-{code}"));
        for (name, bot) in RAW_BOTS {
            let (ended, log) = closed(*bot, code);
            assert_eq!(ended, expected, "{name}, {code}: {log}");
            assert!(log.contains("the gateway refused the bot"), "{name}: {log}");
        }
    }
}

#[test]
fn a_wrong_token_ends_the_bots() {
    let server = server(false);
    for (name, bot) in RAW_BOTS {
        let (ended, log) = run_with_log(*bot, &server, &["--token", "another"]);
        assert_eq!(ended.status, 2, "{name}: {log}");
        assert_eq!(ended, run(tokio_bot, &server, &["--token", "another"]), "{name}: {log}");
    }
}

/// Without the root certificate no bot opens a WebSocket.
#[test]
fn a_certificate_without_a_trusted_root_is_refused() {
    let mut gateway = Config::default();
    gateway.token = TOKEN.to_owned();
    let mut config = ServerConfig::from(gateway);
    config.tls = Some(Tls::default());
    let server = Server::start(config).unwrap();
    for (name, bot) in RAW_BOTS {
        let url = server.url();
        let Invocation::Run(options) =
            Options::parse(["--url", &url, "--token", TOKEN, "--seconds", "0.3"], None).unwrap()
        else {
            panic!("not a run of the bot")
        };
        let mut report = Report::new(options, Vec::new(), Vec::new());
        assert_eq!(bot(&mut report), 0);
        let log = String::from_utf8(report.into_writers().1).unwrap();
        assert!(log.contains("the TLS handshake failed"), "{name}: {log}");
    }
    let connects = server.wait(LIMIT, |gateway| Some(gateway.counters().connects));
    assert_eq!(connects, Some(0));
}

#[test]
fn an_hour_in_memory_loses_nothing() {
    let begin = Instant::now();
    let mut world = memory::World::new(begin);
    world.run_until(begin + Duration::from_secs(1800));
    world.control(Control::Abort);
    world.run_until(begin + Duration::from_secs(3600));
    let dispatches = world.connection.stats().dispatches;
    assert_eq!(dispatches, world.gateway.ledger().newest(1));
    assert!(dispatches > 5_000, "{dispatches}");
    assert_eq!(world.connection.stats().resumed, 1);
}
