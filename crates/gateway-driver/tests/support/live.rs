//! Scenarios for every runtime, over real sockets: each adapter runs them with `live_tests!`.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::{Pin, pin};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use gateway_driver::proto::api::GatewayBotError;
use gateway_driver::proto::disconnect::DisconnectReason;
use gateway_driver::proto::{
    Closed, Command, Compression, ConnectError, Event, Intents, ShardConfig, Shutdown, Snowflake, StopReason,
    Token,
};
use gateway_driver::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use gateway_driver::rustls::{ClientConfig, ServerConfig, ServerConnection, StreamOwned, crypto::ring};
use gateway_driver::tls::{Roots, TlsSettings};
use gateway_driver::{DriverConfig, Runtime, Sender, Shard, Spawn, gateway_bot};
use gateway_sim::{Config, Control, ReservedPort, Server};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// A runtime, and a way to block on a future.
pub(crate) trait Live: Runtime + Default {
    fn block_on<T>(future: impl Future<Output = T>) -> T;
}

/// One test for each scenario.
macro_rules! live_tests {
    ($runtime:ty: $($scenario:ident),*) => {
        $(
            #[test]
            fn $scenario() {
                <$runtime as live::Live>::block_on(live::in_time::<$runtime, _>(live::$scenario::<$runtime>()));
            }
        )*
    };
    ($runtime:ty) => {
        live_tests!(
            $runtime: nothing_is_lost_in_any_compression,
            a_private_root_is_enough_for_tls,
            an_invalid_certificate_is_a_failure_of_tls,
            failures_to_connect_are_told_apart,
            a_refused_upgrade_is_reported_in_full,
            a_server_that_does_not_answer_times_out,
            commands_come_from_other_threads_while_the_shard_waits,
            the_background_continues_while_a_handler_blocks,
            a_dropped_shard_closes_its_socket,
            the_api_returns_the_number_of_shards,
            a_flood_leaves_the_thread_to_a_timer,
            a_flood_in_the_background_yields_to_a_timer
        );
    };
}

/// Fails a test that hangs.
pub(crate) async fn in_time<R: Live, T>(future: impl Future<Output = T>) -> T {
    let runtime = R::default();
    let mut guard = pin!(runtime.sleep_until(runtime.now() + Duration::from_secs(60)));
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        assert!(guard.as_mut().poll(context).is_pending(), "the test hangs");
        future.as_mut().poll(context)
    })
    .await
}

fn config(url: impl Into<String>) -> ShardConfig {
    let mut config = ShardConfig::new("simulated-token", Intents::GUILDS | Intents::GUILD_MESSAGES);
    config.url = url.into();
    (config.backoff.minimum, config.backoff.base) = (Duration::from_millis(1), Duration::from_millis(1));
    config
}

/// With each compression: opcode 7, a reset, an end without a close frame, a close; every event is received exactly once.
pub(crate) async fn nothing_is_lost_in_any_compression<R: Live>() {
    for compression in
        [Compression::None, Compression::Payload, Compression::ZlibStream, Compression::ZstdStream]
    {
        let server = Server::start(Config::default()).unwrap();
        let mut config = config(server.url());
        config.compression = compression;
        let mut shard = Shard::<R>::new(config).unwrap();
        let mut disruptions = vec![
            Control::Close { code: Some(4000) },
            Control::Drop,
            Control::Abort,
            Control::Reconnect { then_emit: 20 },
        ];
        let (mut seen, mut rounds) = (Vec::new(), 0);
        while let Some(event) = shard.next_event().await {
            match event {
                Event::Ready | Event::Resumed { .. } => {
                    rounds += 1;
                    server.control(Control::Emit { count: 10, padding: 100 }).unwrap();
                    if let Some(disruption) = disruptions.pop() {
                        server.control(disruption).unwrap();
                    }
                }
                Event::Dispatch(dispatch) => {
                    seen.push((dispatch.sequence().unwrap(), dispatch.name().to_owned()));
                    let newest = seen.last().map(|(sequence, _)| *sequence);
                    if rounds == 5 && newest == Some(server.ledger().newest(1)) {
                        shard.shutdown(Shutdown::LogOff);
                    }
                }
                _ => {}
            }
        }
        let comparison =
            server.ledger().compare(1, seen.iter().map(|(sequence, name)| (*sequence, name.as_str())));
        assert!(comparison.is_clean(), "{compression}: {comparison:?}");
        let stats = shard.stats();
        assert_eq!((stats.identifies, stats.resumed), (1, 4), "{compression}");
        assert_eq!(shard.stop_reason(), Some(&StopReason::Shutdown(Shutdown::LogOff)));
    }
}

/// Generates a certificate for this name.
fn certificate(name: &str) -> (Arc<ServerConfig>, String) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    (Arc::new(config), cert.pem())
}

/// Trusts only these certificates.
fn trusting(pem: &str) -> Arc<ClientConfig> {
    let mut settings = TlsSettings::default();
    settings.roots = Roots::ExtraOnly;
    settings.add_pem_roots(pem.as_bytes()).unwrap();
    settings.client_config().unwrap()
}

fn with_tls(tls: Arc<ClientConfig>) -> DriverConfig {
    let mut driver = DriverConfig::default();
    driver.tls = Some(tls);
    driver
}

/// Listens on a free port, and runs a script on a thread.
fn serve<T: Send + 'static>(
    script: impl FnOnce(TcpListener) -> T + Send + 'static,
) -> (u16, std::thread::JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, std::thread::spawn(move || script(listener)))
}

/// A client's WebSocket from the side of a scripted gateway.
struct Gateway<S: Read + Write>(WebSocket<S>);

impl<S: Read + Write> Gateway<S> {
    fn accept(stream: S) -> Self {
        Self(tungstenite::accept(stream).unwrap())
    }

    fn send(&mut self, payload: Value) {
        self.0.send(Message::text(payload.to_string())).unwrap();
    }

    fn expect(&mut self, op: u64) -> Value {
        let payload: Value = serde_json::from_str(self.0.read().unwrap().to_text().unwrap()).unwrap();
        assert_eq!(payload["op"], op, "{payload}");
        payload
    }

    fn welcome(&mut self, resume_url: &str) {
        self.send(json!({"op": 10, "d": {"heartbeat_interval": 600_000}, "s": null, "t": null}));
        self.expect(2);
        let ready = json!({"v": 10, "session_id": "id", "resume_gateway_url": resume_url, "guilds": []});
        self.send(json!({"op": 0, "s": 1, "t": "READY", "d": ready}));
    }
}

fn secure(stream: TcpStream, tls: &Arc<ServerConfig>) -> StreamOwned<ServerConnection, TcpStream> {
    StreamOwned::new(ServerConnection::new(tls.clone()).unwrap(), stream)
}

/// Connects and resumes over TLS, the second time after an end without close_notify.
pub(crate) async fn a_private_root_is_enough_for_tls<R: Live>() {
    let (tls, pem) = certificate("localhost");
    let (port, gateway) = serve(move |listener| {
        let url = format!("wss://localhost:{}", listener.local_addr().unwrap().port());
        let mut gateway = Gateway::accept(secure(listener.accept().unwrap().0, &tls));
        gateway.welcome(&url);
        gateway.send(json!({"op": 0, "s": 2, "t": "BIG", "d": "x".repeat(1 << 20)}));
        gateway.0.get_ref().sock.shutdown(std::net::Shutdown::Write).unwrap();

        let mut gateway = Gateway::accept(secure(listener.accept().unwrap().0, &tls));
        gateway.send(json!({"op": 10, "d": {"heartbeat_interval": 600_000}, "s": null, "t": null}));
        assert_eq!(gateway.expect(6)["d"]["seq"], 2);
        gateway.send(json!({"op": 0, "s": 3, "t": "RESUMED", "d": {}}));
        match gateway.0.read().unwrap() {
            Message::Close(Some(frame)) => u16::from(frame.code),
            other => panic!("{other}"),
        }
    });
    let driver = with_tls(trusting(&pem));
    let mut shard = Shard::with(R::default(), config(format!("wss://localhost:{port}")), driver).unwrap();
    let (mut sequences, mut ends) = (Vec::new(), Vec::new());
    while let Some(event) = shard.next_event().await {
        match event {
            Event::Dispatch(dispatch) => sequences.extend(dispatch.sequence()),
            Event::Resumed { .. } => shard.shutdown(Shutdown::Resumable),
            Event::Disconnected(end) => ends.push(end.reason),
            _ => {}
        }
    }
    assert_eq!(sequences, [1, 2, 3]);
    assert_eq!(ends[0], DisconnectReason::Closed(Closed::Eof));
    assert_eq!(gateway.join().unwrap(), 4000);
}

/// The reason why the first connection has failed.
async fn first_failure<R: Runtime>(mut shard: Shard<R>) -> ConnectError {
    loop {
        if let Some(Event::Disconnected(end)) = shard.next_event().await {
            match end.reason {
                DisconnectReason::ConnectFailed(error) => return error,
                other => panic!("{other}"),
            }
        }
    }
}

/// A wrong name, an unknown root, and a server that does not speak TLS.
pub(crate) async fn an_invalid_certificate_is_a_failure_of_tls<R: Live>() {
    let (wrong_name, wrong_name_pem) = certificate("other.example");
    let (unknown, _) = certificate("localhost");
    let (_, other_pem) = certificate("localhost");
    for (name, tls, pem) in [
        ("wrong name", Some(wrong_name), &wrong_name_pem),
        ("unknown root", Some(unknown), &other_pem),
        ("no TLS", None, &other_pem),
    ] {
        let (port, gateway) = serve(move |listener| {
            let (mut stream, _) = listener.accept().unwrap();
            match tls {
                Some(tls) => drop(secure(stream, &tls).read(&mut [0])),
                None => stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap(),
            }
        });
        let driver = with_tls(trusting(pem));
        let shard = Shard::with(R::default(), config(format!("wss://localhost:{port}")), driver).unwrap();
        let error = first_failure(shard).await;
        let ConnectError::Tls(text) = &error else { panic!("{name}: {error:?}") };
        assert!(!text.contains("localhost"), "{name}: the host is shown: {text}");
        gateway.join().unwrap();
    }
}

pub(crate) async fn failures_to_connect_are_told_apart<R: Live>() {
    let nowhere = Shard::<R>::new(config("ws://no-such-name.invalid")).unwrap();
    let error = first_failure(nowhere).await;
    let ConnectError::Dns(text) = &error else { panic!("{error:?}") };
    assert!(!text.contains("no-such-name"), "{text}");

    let closed = ReservedPort::new(([127, 0, 0, 1], 0).into()).unwrap();
    let refused = Shard::<R>::new(config(format!("ws://{}", closed.address()))).unwrap();
    let error = first_failure(refused).await;
    assert!(matches!(error, ConnectError::Tcp(_)), "{error:?}");
}

pub(crate) async fn a_refused_upgrade_is_reported_in_full<R: Live>() {
    for (status, header, retry_after) in
        [(403, "X-Nothing: 1", None), (429, "Retry-After: 60", Some(60)), (503, "Retry-After: 0.5", None)]
    {
        let (port, gateway) = serve(move |listener| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            let answer = format!("HTTP/1.1 {status} No\r\n{header}\r\nContent-Length: 4\r\n\r\nbody");
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let shard = Shard::<R>::new(config(format!("ws://127.0.0.1:{port}"))).unwrap();
        let error = first_failure(shard).await;
        let ConnectError::Refused(refused) = &error else { panic!("{error:?}") };
        assert_eq!((refused.status, &refused.body[..]), (status, &b"body"[..]));
        if let Some(seconds) = retry_after {
            assert_eq!(refused.retry_after, Some(Duration::from_secs(seconds)));
        }
        gateway.join().unwrap();
    }
}

/// A listener that accepts and sends nothing. The runtime's timer must fire.
pub(crate) async fn a_server_that_does_not_answer_times_out<R: Live>() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(format!("ws://{}", listener.local_addr().unwrap()));
    config.timeouts.connect = Duration::from_millis(100);
    let mut shard = Shard::<R>::new(config).unwrap();
    let end = loop {
        if let Some(Event::Disconnected(end)) = shard.next_event().await {
            break end;
        }
    };
    assert_eq!(end.reason, DisconnectReason::ConnectTimeout);
    let (mut given_up, _) = listener.accept().unwrap();
    assert!(given_up.read_to_end(&mut Vec::new()).is_ok(), "the socket was closed");
}

pub(crate) async fn commands_come_from_other_threads_while_the_shard_waits<R: Live>() {
    let (port, gateway) = serve(|listener| {
        let mut gateway = Gateway::accept(listener.accept().unwrap().0);
        gateway.welcome("ws://127.0.0.1");
        let command = gateway.expect(31);
        gateway.send(json!({"op": 0, "s": 2, "t": "SOUNDBOARD_SOUNDS", "d": command["d"]}));
        gateway.0.read().unwrap().is_close()
    });
    let mut shard = Shard::<R>::new(config(format!("ws://127.0.0.1:{port}"))).unwrap();
    let (ready, when_ready) = mpsc::channel::<()>();
    let sender = shard.sender();
    let other_thread = std::thread::spawn(move || {
        when_ready.recv().unwrap();
        sender.send(Command::RequestSoundboardSounds { guild_ids: vec![Snowflake(7)] }).unwrap();
        sender
    });
    let mut answer = None;
    while let Some(event) = shard.next_event().await {
        match event {
            Event::Ready => ready.send(()).unwrap(),
            Event::Dispatch(dispatch) if dispatch.name() == "SOUNDBOARD_SOUNDS" => {
                answer = dispatch.decode::<Value>().ok();
                shard.shutdown(Shutdown::LogOff);
            }
            _ => {}
        }
    }
    assert_eq!(answer, Some(json!({"guild_ids": ["7"]})));
    assert!(other_thread.join().unwrap().session().is_none());
    assert!(gateway.join().unwrap());
}

/// The handler blocks its thread until a heartbeat has arrived that only the task can have sent.
pub(crate) async fn the_background_continues_while_a_handler_blocks<R: Live>() {
    let mut sim = Config::default();
    sim.heartbeat_interval = Duration::from_secs(1);
    let server = Server::start(sim).unwrap();
    let shard = Shard::<R>::new(config(server.url())).unwrap();
    let (mut events, task) = shard.background(1);
    let running = std::thread::spawn(move || R::block_on(task));
    while let Some(event) = events.next_event().await {
        if matches!(event, Event::Ready) {
            let beaten = |gateway: &gateway_sim::Gateway| (gateway.counters().heartbeats > 0).then_some(());
            server.wait(Duration::from_secs(60), beaten).expect("a heartbeat comes");
            events.sender().shutdown(Shutdown::LogOff);
        }
    }
    assert_eq!(running.join().unwrap(), Some(StopReason::Shutdown(Shutdown::LogOff)));
}

/// The reader of the events waits on the test's own task, so only the spawned task can drive the shard: through the
/// adapter, and through a closure in its place.
#[allow(dead_code, reason = "gateway-smol spawns only with its feature `cluster`")]
pub(crate) async fn a_spawned_shard_runs_by_itself<R: Live + Spawn>() {
    let adapter: Arc<dyn Spawn> = Arc::new(R::default());
    let within = adapter.clone();
    let closure = move |task: Pin<Box<dyn Future<Output = ()> + Send>>| within.spawn(task);
    for spawner in [adapter, Arc::new(closure)] {
        let server = Server::start(Config::default()).unwrap();
        let (mut events, task) = Shard::<R>::new(config(server.url())).unwrap().background(10);
        spawner.spawn(Box::pin(async move {
            task.await;
        }));
        let mut ready = false;
        while let Some(event) = events.next_event().await {
            if matches!(event, Event::Ready) {
                ready = true;
                events.sender().shutdown(Shutdown::LogOff);
            }
        }
        assert!(ready);
    }
}

/// Over TCP and over TLS; with a wrong token, and with a port on which nothing listens.
pub(crate) async fn the_api_returns_the_number_of_shards<R: Live>() {
    let ask = async |driver: &DriverConfig, api: &str, token: &str| {
        gateway_bot(&R::default(), driver, api, &Token::new(token)).await
    };
    let stranger = with_tls(trusting(&certificate("localhost").1));
    for tls in [false, true] {
        let mut sim = gateway_sim::ServerConfig::default();
        (sim.gateway.recommended_shards, sim.gateway.max_concurrency) = (7, 16);
        sim.tls = tls.then(gateway_sim::Tls::default);
        let server = Server::start(sim).unwrap();
        let api = format!("{}/api/v10", server.http_url());
        let driver =
            server.root_certificate().map_or_else(DriverConfig::default, |pem| with_tls(trusting(pem)));
        let bot = ask(&driver, &api, "simulated-token").await.unwrap();
        assert_eq!((bot.url, bot.shards), (server.url(), 7));
        let limit = bot.session_start_limit;
        assert_eq!((limit.total, limit.remaining, limit.max_concurrency), (1000, 1000, 16));
        let refused = ask(&driver, &api, "another-token").await;
        assert_eq!(refused, Err(GatewayBotError::Unauthorized));
        if tls {
            let error = ask(&stranger, &api, "simulated-token").await.unwrap_err();
            assert!(matches!(error, GatewayBotError::Connect(ConnectError::Tls(_))), "{error}");
        }
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = ask(&stranger, &format!("http://{closed}"), "simulated-token").await.unwrap_err();
    assert!(matches!(error, GatewayBotError::Connect(ConnectError::Tcp(_))), "{error}");
}

pub(crate) async fn a_dropped_shard_closes_its_socket<R: Live>() {
    let (port, gateway) = serve(|listener| {
        let mut gateway = Gateway::accept(listener.accept().unwrap().0);
        gateway.welcome("ws://127.0.0.1");
        gateway.0.read().is_err()
    });
    let mut shard = Shard::<R>::new(config(format!("ws://127.0.0.1:{port}"))).unwrap();
    while !matches!(shard.next_event().await, Some(Event::Ready)) {}
    drop(shard);
    assert!(gateway.join().unwrap());
}

/// The number of events: several times the budget, and few enough for the buffers of a socket.
const FLOOD: u64 = 600;
/// Events between two polls of a task beside the shard.
const BUDGET: u64 = 128;

/// A gateway that writes many events at once, and reports when all are written.
fn flooding() -> (u16, mpsc::Receiver<()>, std::thread::JoinHandle<()>) {
    let (written, is_written) = mpsc::channel();
    let (port, gateway) = serve(move |listener| {
        let mut gateway = Gateway::accept(listener.accept().unwrap().0);
        gateway.welcome("ws://127.0.0.1");
        for sequence in 2..2 + FLOOD {
            gateway.send(json!({"op": 0, "s": sequence, "t": "TYPING_START", "d": null}));
        }
        written.send(()).unwrap();
        while gateway.0.read().is_ok() {}
    });
    (port, is_written, gateway)
}

/// Polls the shard's future and then a timer, in one task. Asserts the number of events between two polls of the timer,
/// not the time.
async fn beside_a_timer<R: Live>(events: &Cell<u64>, flooded: impl Future<Output = ()>) {
    let runtime = R::default();
    let tick = || Box::pin(runtime.sleep_until(runtime.now() + Duration::from_millis(1)));
    let (mut timer, mut flooded) = (tick(), pin!(flooded));
    let (mut polls, mut before) = (0, 0);
    std::future::poll_fn(|context| {
        let ended = flooded.as_mut().poll(context);
        let run = events.get() - std::mem::replace(&mut before, events.get());
        assert!(run <= BUDGET, "{run} events before the timer was polled");
        polls += 1;
        if timer.as_mut().poll(context).is_ready() {
            timer = tick();
            context.waker().wake_by_ref();
        }
        ended
    })
    .await;
    assert!(polls > FLOOD / BUDGET, "{polls} polls");
}

/// Counts events and shuts the shard down after the last.
fn count(event: &Event, events: &Cell<u64>, sender: &Sender) {
    if let Event::Dispatch(_) = event {
        events.set(events.get() + 1);
        // READY is one of them.
        if events.get() == FLOOD + 1 {
            sender.shutdown(Shutdown::LogOff);
        }
    }
}

pub(crate) async fn a_flood_leaves_the_thread_to_a_timer<R: Live>() {
    let (port, is_written, gateway) = flooding();
    let mut shard = Shard::<R>::new(config(format!("ws://127.0.0.1:{port}"))).unwrap();
    let sender = shard.sender();
    let events = Cell::new(0);
    beside_a_timer::<R>(&events, async {
        while let Some(event) = shard.next_event().await {
            count(&event, &events, &sender);
            if let Event::Ready = event {
                // From here on everything is ready to be read.
                is_written.recv().unwrap();
            }
        }
    })
    .await;
    assert_eq!(events.get(), FLOOD + 1);
    gateway.join().unwrap();
}

/// The task and the reader of its events are polled by the same task.
pub(crate) async fn a_flood_in_the_background_yields_to_a_timer<R: Live>() {
    let (port, is_written, gateway) = flooding();
    let shard = Shard::<R>::new(config(format!("ws://127.0.0.1:{port}"))).unwrap();
    let (mut reader, task) = shard.background(1_000_000);
    let sender = reader.sender();
    let events = Cell::new(0);
    beside_a_timer::<R>(&events, async {
        let mut task = pin!(task);
        let mut reading = pin!(async {
            while let Some(event) = reader.next_event().await {
                count(&event, &events, &sender);
                if let Event::Ready = event {
                    is_written.recv().unwrap();
                }
            }
        });
        std::future::poll_fn(|context| {
            let _ = task.as_mut().poll(context);
            reading.as_mut().poll(context)
        })
        .await;
    })
    .await;
    assert_eq!(events.get(), FLOOD + 1);
    gateway.join().unwrap();
}
