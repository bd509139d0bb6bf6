//! The resume URL: when it is dialled, and when the base URL is dialled instead.

use gateway_proto::Input;
use gateway_proto::health::Phase;

use crate::support::{BASE, RESUME, Scenario, Step, resume_message, secs, server};

/// One failed dial of the resume URL: the base URL for the rest of the outage, still with Resume (tatsuworks/gateway#87; twilight-rs/twilight#1942).
#[test]
fn one_failed_dial_of_the_resume_url_leads_to_the_base_url() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.eof();
    assert_eq!(scenario.said().last().unwrap(), RESUME);
    for _ in 0..3 {
        scenario.connect_failed();
        assert_eq!(scenario.next_connect(), BASE);
    }
    scenario.open();
    assert!(scenario.said().contains(&resume_message(1)));
    // The outage is over with RESUMED.
    scenario.server(&server::resumed(2));
    scenario.eof();
    assert_eq!(scenario.next_connect(), RESUME);
}

/// So does a host that opens the connection and then sends nothing, or closes it before Hello.
#[test]
fn a_resume_url_without_hello_leads_to_the_base_url() {
    let ends: [(&str, Step); 4] = [
        ("silence", |scenario| scenario.advance(secs(25))),
        ("end of stream", Scenario::eof),
        ("close frame", |scenario| scenario.closed(1011)),
        ("garbage", |scenario| {
            scenario.server("<html>");
            scenario.eof();
        }),
    ];
    for (name, end) in ends {
        let mut scenario = Scenario::at(Phase::Ready);
        scenario.eof();
        scenario.input(Input::Opened);
        scenario.said();
        end(&mut scenario);
        assert_eq!(scenario.next_connect(), BASE, "{name}");
        scenario.open();
        assert!(scenario.said().contains(&resume_message(1)), "{name}: the session is kept");
    }
}

/// After opcode 7 before Hello the URL stays: the server has answered.
#[test]
fn a_resume_url_that_asks_for_a_reconnect_is_kept() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.eof();
    scenario.input(Input::Opened);
    scenario.server(&server::reconnect());
    scenario.eof();
    assert_eq!(scenario.next_connect(), RESUME);
}

/// Each parameter of the URL is there once, for any URL of the server (twilight-rs/twilight#1894).
#[test]
fn the_resume_url_gets_its_parameters_once() {
    for (url, dialled) in [
        ("wss://r.gateway.example", "wss://r.gateway.example/?v=10&encoding=json"),
        ("wss://r.gateway.example/", "wss://r.gateway.example/?v=10&encoding=json"),
        ("wss://r.gateway.example:8443/path", "wss://r.gateway.example:8443/path?v=10&encoding=json"),
        (
            "wss://r.gateway.example/?v=9&encoding=etf&compress=x",
            "wss://r.gateway.example/?v=10&encoding=json",
        ),
        ("wss://r.gateway.example?a=b", "wss://r.gateway.example/?v=10&encoding=json&a=b"),
    ] {
        let mut scenario = Scenario::at(Phase::AwaitingReady);
        scenario.server(&server::ready_with(&format!(r#""session_id":"x","resume_gateway_url":"{url}""#)));
        scenario.eof();
        assert_eq!(scenario.said().last().unwrap(), &format!("connect {dialled}"), "{url}");
    }
}
