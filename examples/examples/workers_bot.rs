//! A bot whose events are handled by a pool of workers, and which crashes now and then without losing one.
//!
//! Each lane reads the events of some guilds and hands them to its workers, which are done in any order. What was not done when the
//! process died is delivered again to the next, and the key of a dispatch tells what was handled already.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway_examples::options::is_answered;
use gateway_sim::{Config, Control, Server};
use gateway_tokio::proto::config::Delivery;
use gateway_tokio::proto::session::DispatchKey;
use gateway_tokio::{Cluster, ClusterItem, Intents, Lane, ShardConfig, ShardCount, ShardKey, Shutdown};
use tokio::sync::mpsc;

const HELP: &str = "\
A bot of 4 shards, 2 lanes and 6 workers against a simulated gateway. It crashes three times, and starts
again from the sessions that it has kept. Prints how many events were lost and how many came again.

  -h, --help     this text
  -V, --version  the version
";

const TOKEN: &str = "demo-token";
const LANES: usize = 2;
/// Workers of each lane.
const WORKERS: usize = 3;
/// Items that wait for the workers of a lane: more are left with the cluster, which stops reading.
const WAITING: usize = 32;
/// Events that are handled before each crash.
const BETWEEN_CRASHES: usize = 600;
const CRASHES: usize = 3;
const LONGEST: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    if is_answered(HELP) {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("the system gives a process what a runtime needs");
    let result = runtime.block_on(async {
        let late = |_| format!("not done after {} s", LONGEST.as_secs());
        tokio::time::timeout(LONGEST, run()).await.map_err(late)?
    });
    match result {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(sentence) => {
            eprintln!("workers: failed, {sentence}");
            ExitCode::FAILURE
        }
    }
}

/// What outlives a crash: the application's database. A real one makes the key of a dispatch unique.
#[derive(Default)]
struct Database {
    handled: HashSet<DispatchKey>,
    /// Session and sequence of everything that was handled.
    seen: Vec<(u64, u64)>,
    /// The number of each shard's session at the simulated gateway.
    sessions: BTreeMap<ShardKey, u64>,
    /// What was delivered again and not handled again.
    again: u64,
}

struct World {
    server: Server,
    database: Mutex<Database>,
    folder: PathBuf,
}

impl World {
    fn database(&self) -> MutexGuard<'_, Database> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Handles an event, unless it was handled before.
    fn handle(&self, item: &ClusterItem) {
        let (Some(key), Some(dispatch)) = (item.key(), item.dispatch()) else { return };
        let mut database = self.database();
        if dispatch.name() == "READY"
            && let Some(id) = dispatch.data().get("session_id").and_then(|id| id.decode::<String>().ok())
            && let Some(number) = self.server.with(|gateway| gateway.session_number(&id))
        {
            database.sessions.insert(key, number);
        }
        if dispatch.key().is_some_and(|key| !database.handled.insert(key)) {
            database.again += 1;
            return;
        }
        if let (Some(session), Some(sequence)) = (database.sessions.get(&key).copied(), dispatch.sequence()) {
            database.seen.push((session, sequence));
        }
    }

    fn lost(&self) -> u64 {
        let ledger = self.server.ledger();
        ledger.compare_events(self.database().seen.iter().copied()).lost
    }
}

async fn run() -> Result<String, String> {
    let mut config = Config::default();
    config.token = TOKEN.to_owned();
    config.guilds = 24;
    config.rate = 400.0;
    config.max_concurrency = 4;
    config.replay_limit = Some(100_000);
    let server = Server::start(config).map_err(|error| format!("no simulated gateway: {error}"))?;
    let folder = std::env::temp_dir().join(format!("gateway-workers-{}", std::process::id()));
    let world = Arc::new(World { server, database: Mutex::default(), folder });
    for crash in 1..=CRASHES {
        let bot = start(&world).await?;
        let lanes = work(bot.lanes(LANES), &world);
        until(&world, move |world| world.database().seen.len() >= crash * BETWEEN_CRASHES).await;
        // As in a crash: what lanes and workers hold is lost, and no shard sends a close frame.
        lanes.abort();
        println!("crash {crash}: {} events were handled", world.database().seen.len());
    }
    let bot = start(&world).await?;
    let handle = bot.handle();
    let mut lanes = work(bot.lanes(LANES), &world);
    handle.ready().await;
    world.server.control(Control::Rate(0.0)).map_err(|error| error.to_string())?;
    until(&world, |world| world.lost() == 0).await;
    handle.shutdown(Shutdown::LogOff);
    while lanes.tasks.join_next().await.is_some() {}
    judge(&world)
}

fn judge(world: &World) -> Result<String, String> {
    // A folder of the system's for files that may be lost.
    let _ = std::fs::remove_dir_all(&world.folder);
    let again = world.database().again;
    let compared = world.server.ledger().compare_events(world.database().seen.iter().copied());
    let identifies = world.server.with(|gateway| gateway.counters().identifies);
    let line = format!(
        "workers: events={} lost={} handled_twice={} delivered_again={again} crashes={CRASHES} identifies={identifies}",
        compared.events, compared.lost, compared.duplicated
    );
    let is_good = compared.lost == 0 && compared.duplicated == 0 && identifies == 4;
    if is_good { Ok(line) } else { Err(line) }
}

async fn start(world: &World) -> Result<Cluster, String> {
    let mut config = ShardConfig::new(TOKEN, Intents::UNPRIVILEGED);
    config.delivery = Delivery::Acknowledged;
    Cluster::builder(config)
        .shards(ShardCount::Exactly(4))
        .sessions_in(&world.folder)
        .api_url(world.server.http_url())
        .start()
        .await
        .map_err(|error| error.to_string())
}

/// The tasks of a bot.
struct Lanes {
    tasks: tokio::task::JoinSet<()>,
}

impl Lanes {
    fn abort(mut self) {
        self.tasks.abort_all();
    }
}

/// Starts the workers of each lane.
fn work(lanes: Vec<Lane>, world: &Arc<World>) -> Lanes {
    let mut tasks = tokio::task::JoinSet::new();
    for mut lane in lanes {
        let (sender, receiver) = mpsc::channel::<ClusterItem>(WAITING);
        let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
        for _ in 0..WORKERS {
            let (world, receiver) = (world.clone(), receiver.clone());
            tasks.spawn(async move {
                loop {
                    let Some(item) = receiver.lock().await.recv().await else { return };
                    world.handle(&item);
                    // Other workers overtake this one, so items are done in another order than they came.
                    tokio::task::yield_now().await;
                    item.done();
                }
            });
        }
        tasks.spawn(async move {
            while let Some(item) = lane.next_event().await {
                if sender.send(item).await.is_err() {
                    return;
                }
            }
        });
    }
    Lanes { tasks }
}

/// Waits for this to hold: the simulated gateway's counters are all there is to look at.
async fn until(world: &World, holds: impl Fn(&World) -> bool) {
    while !holds(world) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
