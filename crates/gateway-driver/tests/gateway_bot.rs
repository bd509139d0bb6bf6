//! `GET /gateway/bot` under a virtual clock, from a scripted server.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use gateway_driver::proto::api::GatewayBotError;
use gateway_driver::proto::identify::GatewayBot;
use gateway_driver::proto::{ConnectError, Token};
use gateway_driver::{DriverConfig, Runtime, gateway_bot};
use support::TOKEN;
use support::clock::{Dial, VirtualRuntime};
use support::pipe::{self, ClientEnd, ServerEnd};

const API: &str = "http://api-secret.example:81/v10";
const BODY: &str =
    r#"{"url": "wss://gateway.example", "shards": 3, "session_start_limit": {"max_concurrency": 0}}"#;
/// The time limit of the whole request.
const PATIENCE: Duration = Duration::from_secs(10);

type Answer = Result<GatewayBot, GatewayBotError>;

/// A running request. It is polled whenever something has changed, regardless of its waker.
struct Asking {
    runtime: VirtualRuntime,
    future: Pin<Box<dyn Future<Output = Answer> + Send>>,
}

impl Asking {
    fn new(runtime: VirtualRuntime, driver: DriverConfig) -> Self {
        let asked = runtime.clone();
        let future = async move { gateway_bot(&asked, &driver, API, &Token::new(TOKEN)).await };
        Self { runtime, future: Box::pin(future) }
    }

    /// Sends the request. Returns it, and the server's end of the connection.
    fn begin() -> (Self, ServerEnd, String) {
        let mut asking = Self::new(VirtualRuntime::default(), DriverConfig::default());
        assert!(asking.poll().is_none());
        let mut end = asking.runtime.accept().expect("the client connects");
        let request = received(&mut end);
        (asking, end, request)
    }

    fn poll(&mut self) -> Option<Answer> {
        match self.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    /// The answer after everything was sent.
    fn answer(&mut self) -> Answer {
        for _ in 0..10_000 {
            if let Some(answer) = self.poll() {
                return answer;
            }
        }
        panic!("there is no answer");
    }
}

/// A connector that returns this stream once.
fn connecting_to(client: ClientEnd) -> DriverConfig {
    let client = Mutex::new(Some(client));
    let mut driver = DriverConfig::default();
    driver.connector = Some(Arc::new(move |host: String, port| {
        assert_eq!((&*host, port), ("api-secret.example", 81));
        let client = client.lock().unwrap().take();
        async move { client.ok_or(ErrorKind::NotConnected.into()) }
    }));
    driver
}

fn received(end: &mut ServerEnd) -> String {
    let mut request = Vec::new();
    assert_eq!(end.read_to_end(&mut request).unwrap_err().kind(), ErrorKind::WouldBlock);
    String::from_utf8(request).unwrap()
}

#[test]
fn the_request_uses_the_streams_of_the_shards() {
    let (mut asking, mut end, request) = Asking::begin();
    assert_eq!(asking.runtime.connects(), [("api-secret.example".to_owned(), 81)]);
    assert!(
        request.starts_with("GET /v10/gateway/bot HTTP/1.1\r\nHost: api-secret.example:81\r\n"),
        "{request}"
    );
    assert!(request.contains(&format!("\r\nAuthorization: Bot {TOKEN}\r\n")), "{request}");
    assert!(request.contains("\r\nUser-Agent: DiscordBot (https://"), "{request}");
    end.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{BODY}", BODY.len()).as_bytes())
        .unwrap();
    let bot = asking.answer().unwrap();
    assert_eq!((&*bot.url, bot.shards), ("wss://gateway.example", 3));
    assert!(end.client_is_gone());
    let (asking, end, _) = Asking::begin();
    assert!(!end.client_is_gone());
    drop(asking);
    assert!(end.client_is_gone());
}

#[test]
fn a_connector_takes_the_place_of_the_runtime() {
    let (client, mut end) = pipe::new();
    let runtime = VirtualRuntime::default();
    let length = BODY.len();
    end.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{BODY}").as_bytes()).unwrap();
    assert_eq!(Asking::new(runtime.clone(), connecting_to(client)).answer().unwrap().shards, 3);
    assert!(runtime.connects().is_empty());
}

#[test]
fn an_answer_in_pieces_is_assembled() {
    for (head, framed) in [
        ("", BODY.to_owned()),
        ("Transfer-Encoding: chunked\r\n", format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len())),
    ] {
        let (mut asking, mut end, _) = Asking::begin();
        end.set_trickle(1);
        end.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n{framed}").as_bytes()).unwrap();
        if head.is_empty() {
            end.end();
        }
        assert_eq!(asking.answer().unwrap().shards, 3);
    }
}

#[test]
fn the_timeout_applies_to_the_whole_request() {
    // Nothing, and one byte per second of an endless answer.
    for piece in ["", " "] {
        let (mut asking, mut end, _) = Asking::begin();
        end.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let begun = asking.runtime.now();
        let error = loop {
            end.write_all(piece.as_bytes()).unwrap();
            if let Some(answer) = asking.poll() {
                break answer.unwrap_err();
            }
            asking.runtime.advance_to_next(asking.runtime.now() + Duration::from_secs(1));
        };
        assert_eq!(error, GatewayBotError::TimedOut);
        assert_eq!(asking.runtime.now(), begun + PATIENCE);
    }
    let runtime = VirtualRuntime::default();
    runtime.plan(Dial::Hang);
    let mut asking = Asking::new(runtime.clone(), DriverConfig::default());
    assert!(asking.poll().is_none());
    runtime.advance_to_next(runtime.now() + 2 * PATIENCE);
    assert_eq!(asking.poll(), Some(Err(GatewayBotError::TimedOut)));
}

/// A server that always has more to send of an endless body: the timeout still applies.
#[test]
fn a_flood_does_not_delay_the_timeout() {
    let (mut asking, mut end, _) = Asking::begin();
    end.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    end.set_slice(6);
    end.write_all("1\r\nx\r\n".repeat(1000).as_bytes()).unwrap();
    let left = end.unread_by_client();
    assert!(asking.poll().is_none());
    assert!(end.unread_by_client() > left / 2, "the flood is interrupted");
    asking.runtime.jump(PATIENCE);
    assert_eq!(asking.poll(), Some(Err(GatewayBotError::TimedOut)));
}

#[test]
fn a_server_that_reads_slowly_receives_the_whole_request() {
    let (_, _, whole) = Asking::begin();
    let (client, mut end) = pipe::new();
    end.set_trickle(7);
    let mut asking = Asking::new(VirtualRuntime::default(), connecting_to(client));
    for _ in 0..100 {
        assert!(asking.poll().is_none());
    }
    assert_eq!(received(&mut end), whole);
}

#[test]
fn failures_have_their_types_and_contain_no_secret() {
    let echo = format!("Bot {TOKEN} at api-secret.example");
    let refused = || std::io::Error::other(echo.clone());
    let mut errors = Vec::new();
    for (dial, is_dns) in
        [(Dial::Fail(gateway_driver::net::resolve_error(refused())), true), (Dial::Fail(refused()), false)]
    {
        let runtime = VirtualRuntime::default();
        runtime.plan(dial);
        let error = Asking::new(runtime, DriverConfig::default()).answer().unwrap_err();
        match &error {
            GatewayBotError::Connect(ConnectError::Dns(_)) => assert!(is_dns),
            GatewayBotError::Connect(ConnectError::Tcp(_)) => assert!(!is_dns),
            other => panic!("{other:?}"),
        }
        errors.push(error);
    }
    for (status, expected) in [
        ("401 No", GatewayBotError::Unauthorized),
        (
            "429 No\r\nRetry-After: 3",
            GatewayBotError::RateLimited { retry_after: Some(Duration::from_secs(3)) },
        ),
        (
            "302 Found\r\nLocation: http://other.example/",
            GatewayBotError::Status { status: 302, message: "Bot … at …".to_owned() },
        ),
    ] {
        let (mut asking, mut end, _) = Asking::begin();
        end.write_all(format!("HTTP/1.1 {status}\r\n\r\n{echo}").as_bytes()).unwrap();
        end.end();
        let error = asking.answer().unwrap_err();
        assert_eq!(error, expected);
        assert_eq!(asking.runtime.connects().len(), 1, "no redirect is followed");
        errors.push(error);
    }
    let (mut asking, end, _) = Asking::begin();
    end.reset();
    let error = asking.answer().unwrap_err();
    assert!(matches!(error, GatewayBotError::Io(_)), "{error:?}");
    errors.push(error);
    for error in errors {
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains(TOKEN) && !text.contains("api-secret"), "{text}");
        }
    }
}
