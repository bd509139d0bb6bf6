//! The `rest` example against the simulator.

use gateway_sim::{Config, Server};

#[allow(dead_code, reason = "the program's main is not called here")]
#[path = "../examples/rest.rs"]
mod rest;

#[test]
fn the_answer_is_decoded_with_the_codec_alone() {
    let mut config = Config::default();
    config.recommended_shards = 3;
    config.max_concurrency = 2;
    let token = config.token.clone();
    let server = Server::start(config).unwrap();
    let answer = rest::gateway_bot(&format!("{}/api/v10", server.http_url()), &token).unwrap();
    assert_eq!((answer.shards, answer.session_start_limit.max_concurrency), (3, 2));
    assert_eq!(answer.url, server.url());
}

#[test]
fn a_wrong_token_is_an_error() {
    let server = Server::start(Config::default()).unwrap();
    let error = rest::gateway_bot(&format!("{}/api/v10", server.http_url()), "wrong").unwrap_err();
    assert!(error.to_string().contains("401"), "{error}");
}
