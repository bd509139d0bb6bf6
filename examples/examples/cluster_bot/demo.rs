//! A bot of 16 shards that is resharded to 32, restarted shard by shard, ended and started again, and which loses no event.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use gateway_sim::{Config, Control, EventComparison, Server};
use gateway_tokio::proto::config::Delivery;
use gateway_tokio::{
    Cluster, ClusterEvent, ClusterItem, CutoverTally, Intents, ReshardEvent, ShardConfig, ShardCount,
    ShardKey, Shutdown,
};

const TOKEN: &str = "demo-token";
/// Events a second, over all guilds.
const RATE: f64 = 500.0;
/// How long the bot runs between two changes.
const BETWEEN: Duration = Duration::from_secs(2);
/// How long an ending bot may take for what it has received.
const PATIENCE: Duration = Duration::from_secs(10);
/// Deadline for the whole demo.
const LONGEST: Duration = Duration::from_secs(180);

/// Runs the demo, and returns its last line.
pub(crate) async fn run() -> Result<String, String> {
    let demo = Demo::new()?;
    tokio::time::timeout(LONGEST, demo.play())
        .await
        .map_err(|_| format!("not done after {} s", LONGEST.as_secs()))?
}

struct Demo {
    server: Server,
    folder: PathBuf,
    start: Instant,
    /// The number of each shard's session.
    sessions: BTreeMap<ShardKey, u64>,
    /// Session and sequence of each dispatch, in the order in which the application saw them.
    seen: Vec<(u64, u64)>,
    tally: CutoverTally,
    /// What is planned, and for when.
    change: Option<(Instant, Change)>,
    is_quiet: bool,
}

impl Demo {
    fn new() -> Result<Self, String> {
        let mut config = Config::default();
        config.token = TOKEN.to_owned();
        config.guilds = 96;
        config.max_concurrency = 16;
        config.recommended_shards = 16;
        config.replay_limit = Some(100_000);
        let server = Server::start(config).map_err(|error| format!("no simulated gateway: {error}"))?;
        let folder = std::env::temp_dir().join(format!("gateway-cluster-{}", std::process::id()));
        Ok(Self {
            server,
            folder,
            start: Instant::now(),
            sessions: BTreeMap::new(),
            seen: Vec::new(),
            tally: CutoverTally::default(),
            change: None,
            is_quiet: false,
        })
    }

    async fn play(mut self) -> Result<String, String> {
        let mut bot = self.start_bot().await?;
        while let Some(item) = self.next_event(&mut bot).await? {
            self.see(&item);
            match item.event() {
                ClusterEvent::AllReady => {
                    self.control(Control::Rate(RATE))?;
                    self.plan(Change::Reshard);
                }
                ClusterEvent::Reshard(ReshardEvent::Finished { tally }) => {
                    self.tally = *tally;
                    self.plan(Change::RollingRestart);
                }
                ClusterEvent::RollingRestartDone => self.plan(Change::Drain),
                ClusterEvent::ShardStopped(reason) => return Err(format!("a shard has stopped: {reason}")),
                _ => {}
            }
            item.done();
        }
        self.say("the bot has ended; it starts again, with the sessions that it has kept");
        drop(bot);

        let mut bot = self.start_bot().await?;
        while let Some(item) = self.next_event(&mut bot).await? {
            self.see(&item);
            if let ClusterEvent::AllReady = item.event() {
                self.plan(Change::Quiet);
            }
            item.done();
            if self.is_quiet && self.comparison().lost == 0 {
                bot.shutdown(Shutdown::LogOff);
            }
        }
        drop(bot);
        // A folder of the system's for files that may be lost.
        let _ = std::fs::remove_dir_all(&self.folder);
        self.judge()
    }

    fn plan(&mut self, change: Change) {
        self.change = Some((Instant::now() + BETWEEN, change));
    }

    /// The next event; on the way, the planned change once its time has come.
    async fn next_event(&mut self, bot: &mut Cluster) -> Result<Option<ClusterItem>, String> {
        loop {
            let Some((at, _)) = self.change else { return Ok(bot.next_event().await) };
            tokio::select! {
                item = bot.next_event() => return Ok(item),
                () = tokio::time::sleep_until(at.into()) => {}
            }
            match self.change.take() {
                Some((_, Change::Reshard)) => {
                    bot.reshard(ShardCount::Exactly(32)).await.map_err(|error| error.to_string())?;
                }
                Some((_, Change::RollingRestart)) => {
                    bot.rolling_restart().map_err(|error| error.to_string())?;
                }
                Some((_, Change::Drain)) => bot.drain(PATIENCE),
                Some((_, Change::Quiet)) => {
                    self.control(Control::Rate(0.0))?;
                    // One more event in each session for certain, so that there is something to wait for.
                    self.control(Control::Emit { count: 1, padding: 0 })?;
                    self.is_quiet = true;
                }
                None => {}
            }
        }
    }

    async fn start_bot(&self) -> Result<Cluster, String> {
        let mut config = ShardConfig::new(TOKEN, Intents::UNPRIVILEGED);
        config.delivery = Delivery::Acknowledged;
        let bot = Cluster::builder(config)
            .shards(ShardCount::Recommended)
            .sessions_in(&self.folder)
            .api_url(self.server.http_url())
            .start()
            .await
            .map_err(|error| error.to_string())?;
        self.say(&format!("{} shards start", bot.shards()));
        Ok(bot)
    }

    fn see(&mut self, item: &ClusterItem) {
        if !matches!(item.event(), ClusterEvent::Shard(_)) {
            self.say(&item.to_string());
        }
        let (Some(key), Some(dispatch)) = (item.key(), item.dispatch()) else { return };
        if dispatch.name() == "READY"
            && let Some(session) = dispatch.data().get("session_id").and_then(|id| id.decode::<String>().ok())
            && let Some(number) = self.server.with(|gateway| gateway.session_number(&session))
        {
            self.sessions.insert(key, number);
        }
        if let (Some(session), Some(sequence)) = (self.sessions.get(&key), dispatch.sequence()) {
            self.seen.push((*session, sequence));
        }
    }

    fn comparison(&self) -> EventComparison {
        self.server.ledger().compare_events(self.seen.iter().copied())
    }

    fn control(&self, control: Control) -> Result<(), String> {
        self.server.control(control).map(drop).map_err(|error| error.to_string())
    }

    #[expect(clippy::print_stdout, reason = "a program talks to its user")]
    fn say(&self, what: &str) {
        println!("{:>6.1} s  {what}", self.start.elapsed().as_secs_f64());
    }

    fn judge(&self) -> Result<String, String> {
        let EventComparison { events, lost, duplicated, disordered, .. } = self.comparison();
        let identifies = self.server.with(|gateway| gateway.counters().identifies);
        let line = format!(
            "cluster: shards=32 events={events} lost={lost} duplicated={duplicated} unmatched={} identifies={identifies}",
            self.tally.unmatched
        );
        let good =
            lost == 0 && disordered == 0 && identifies == 48 && (duplicated == 0 || self.tally.unmatched > 0);
        if good { Ok(line) } else { Err(format!("{line} disordered={disordered}")) }
    }
}

/// What becomes of the bot next.
enum Change {
    Reshard,
    RollingRestart,
    Drain,
    /// The guilds fall quiet.
    Quiet,
}
