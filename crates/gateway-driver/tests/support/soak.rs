//! A thousand reconnects over TLS leave nothing behind. Each adapter runs this in its own program, because file
//! descriptors, threads and the heap are counted for the whole process. The simulated gateway runs in it too.

use std::pin::pin;
use std::time::Duration;

use gateway_driver::proto::{Compression, Event, Intents, ShardConfig, Shutdown};
use gateway_driver::tls::{Roots, TlsSettings};
use gateway_driver::{DriverConfig, Runtime, Shard};
use gateway_sim::{Control, Server, ServerConfig, Tls};

/// The number of lost connections.
const ROUNDS: usize = 1000;
/// After this many rounds the caches of TLS sessions on both sides are full.
const SETTLED: usize = 500;
/// The number of samples, of which the minimum counts: in some rounds the last connection is still being cleaned up.
const LOOKS: usize = 50;
/// The factor of the simulator's clock, so that its own deadlines pass during the test.
const SPEED: u32 = 100;

/// Resources of a process.
#[derive(Debug, Clone, Copy)]
struct Held {
    descriptors: usize,
    threads: usize,
    heap: usize,
}

impl Held {
    /// More than this is a leak. For the heap it is 64 bytes per reconnect, since the table of a cache may grow once.
    const SLACK: Self = Self { descriptors: 4, threads: 4, heap: 32 << 10 };

    fn now(heap: fn() -> usize) -> Self {
        let entries = |folder| std::fs::read_dir(folder).expect("Linux tells").count();
        Self { descriptors: entries("/proc/self/fd"), threads: entries("/proc/self/task"), heap: heap() }
    }

    fn least(self, other: Self) -> Self {
        Self {
            descriptors: self.descriptors.min(other.descriptors),
            threads: self.threads.min(other.threads),
            heap: self.heap.min(other.heap),
        }
    }
}

fn start_gateway() -> Server {
    let mut config = ServerConfig::default();
    config.tls = Some(Tls::default());
    config.speed = SPEED;
    config.gateway.missed_heartbeats = None;
    // A ledger and a long replay would grow by themselves.
    config.gateway.ledger = false;
    config.gateway.replay_limit = Some(100);
    Server::start(config).unwrap()
}

fn shard<R: Runtime + Default>(server: &Server) -> Shard<R> {
    let mut config = ShardConfig::new("simulated-token", Intents::GUILDS | Intents::GUILD_MESSAGES);
    config.url = server.url();
    config.compression = Compression::ZstdStream;
    let millisecond = Duration::from_millis(1);
    (config.backoff.minimum, config.backoff.base, config.backoff.cap) =
        (millisecond, millisecond, millisecond);
    let mut tls = TlsSettings::default();
    tls.roots = Roots::ExtraOnly;
    tls.add_pem_roots(server.root_certificate().unwrap().as_bytes()).unwrap();
    let mut driver = DriverConfig::default();
    driver.tls = Some(tls.client_config().unwrap());
    Shard::with(R::default(), config, driver).unwrap()
}

/// Loses the connection by a reset, by an end of the stream and by op 7 in turn, with events to replay each time.
pub(crate) async fn a_thousand_reconnects_leave_nothing_behind<R: Runtime + Default>(heap: fn() -> usize) {
    let server = start_gateway();
    let mut shard = shard::<R>(&server);
    let runtime = R::default();
    let mut guard = pin!(runtime.sleep_until(runtime.now() + Duration::from_secs(170)));
    let (mut rounds, mut early, mut late) = (0, None::<Held>, None::<Held>);
    loop {
        let event = {
            let mut next = pin!(shard.next_event());
            std::future::poll_fn(|context| {
                assert!(guard.as_mut().poll(context).is_pending(), "the test hangs in round {rounds}");
                next.as_mut().poll(context)
            })
            .await
        };
        match event {
            Some(Event::Ready | Event::Resumed { .. }) => {
                rounds += 1;
                let look = |held: Option<Held>| {
                    let now = Held::now(heap);
                    Some(held.map_or(now, |held| held.least(now)))
                };
                if (SETTLED..SETTLED + LOOKS).contains(&rounds) {
                    early = look(early);
                } else if (ROUNDS - LOOKS..ROUNDS).contains(&rounds) {
                    late = look(late);
                } else if rounds > ROUNDS {
                    shard.shutdown(Shutdown::LogOff);
                    continue;
                }
                server.control(Control::Emit { count: 3, padding: 100 }).unwrap();
                let loss = [Control::Abort, Control::Drop, Control::Reconnect { then_emit: 2 }];
                server.control(loss[rounds % loss.len()].clone()).unwrap();
            }
            Some(_) => {}
            None => break,
        }
    }
    let stats = shard.stats();
    assert_eq!((stats.identifies, stats.resumed), (1, ROUNDS as u64));
    let (early, late) = (early.unwrap(), late.unwrap());
    let slack = Held::SLACK;
    let flat = late.descriptors <= early.descriptors + slack.descriptors
        && late.threads <= early.threads + slack.threads
        && late.heap <= early.heap + slack.heap;
    assert!(
        flat,
        "after {SETTLED} reconnects: {early:?}; after {ROUNDS}: {late:?}; at most more by {slack:?}"
    );
}
