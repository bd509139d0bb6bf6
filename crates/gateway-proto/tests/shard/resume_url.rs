//! The resume URL: when it is used, and when the base URL is used instead.

use gateway_proto::Input;
use gateway_proto::health::Phase;

use crate::support::{BASE, RESUME, Scenario, Step, secs, server};

/// After one failed attempt at the resume URL the shard uses the base URL for the rest of the outage, still with Resume
/// (tatsuworks/gateway#87; twilight-rs/twilight#1942).
#[test]
fn one_failed_dial_of_the_resume_url_leads_to_the_base_url() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.eof();
    assert_eq!(scenario.log().last().unwrap(), RESUME);
    for _ in 0..3 {
        scenario.connect_failed();
        assert_eq!(scenario.next_connect(), BASE);
    }
    scenario.open_and_resume(1);
    // RESUMED ends the outage.
    scenario.server(&server::resumed(2));
    scenario.eof();
    assert_eq!(scenario.next_connect(), RESUME);
}

/// The same for a host that opens the connection and then sends nothing, or closes it before Hello.
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
        scenario.log();
        end(&mut scenario);
        assert_eq!(scenario.next_connect(), BASE, "{name}");
        scenario.open_and_resume(1);
    }
}

/// After opcode 7 before Hello the resume URL is kept: the server has answered.
#[test]
fn a_resume_url_whose_server_requests_a_reconnect_is_kept() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.eof();
    scenario.input(Input::Opened);
    scenario.server(&server::reconnect());
    scenario.eof();
    assert_eq!(scenario.next_connect(), RESUME);
}

/// Each parameter occurs once in the URL, for any URL of the server (twilight-rs/twilight#1894).
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
        assert_eq!(scenario.log().last().unwrap(), &format!("connect {dialled}"), "{url}");
    }
}
