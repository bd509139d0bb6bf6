//! How the shards of a cluster are started, and what keeps one from it.

use std::sync::Arc;
use std::time::Duration;

use gateway_cluster::{ClusterEvent, ShardCount, StartError};
use gateway_driver::gate::LocalIdentifyGate;
use gateway_driver::proto::command::{Presence, SendError, Status};
use gateway_driver::proto::disconnect::Rejection;
use gateway_driver::proto::identify::GatewayBot;
use gateway_driver::proto::{Command, Event, Shutdown, StopReason};
use gateway_sim::{Action, Control, Point, Rule};

use super::{check, scenarios, shard};
use crate::cluster::ClusterScenario;
use crate::cluster::folder::Folder;
use crate::cluster::gate::BarredGate;
use crate::cluster::stage::{Stage, set};
use crate::cluster::stores::Stores;
use crate::scenario::TOKEN;

const BUCKETS: &str =
    "Discord Docs, Gateway > Max Concurrency: shards must be started by rate limit bucket in order";
const RECOMMENDED: &str =
    "Discord Docs, Gateway > Get Gateway Bot: the recommended number of shards to use when connecting";
const RESUMING: &str =
    "Discord Docs, Gateway > Resuming: a Resume is not limited, and an Identify is counted";
const MANY_PROCESSES: &str = "Discord Docs, Gateway > Sharding: the load can be split over processes, whose Identifies are limited together";
const REFUSED: &str = "Discord Docs, Opcodes and Status Codes > Gateway Close Event Codes; discord.js#4927: a dead shard is not started again";
const PRESENCE: &str =
    "Discord Docs, Gateway Events > Identify Structure: presence is a field of each Identify";
const ENDING: &str = "Discord Docs, Gateway > Initiating a Disconnect: 1000 and 1001 end the session, other codes leave it resumable";

/// Discord asks for 5 s, and the gate keeps 5.25 s. Less at the gateway, since a busy machine delays one Identify and not the next.
const SPACING: Duration = Duration::from_secs(1);

pub(super) fn table() -> Vec<ClusterScenario> {
    scenarios![
        "shards-start-in-the-order-of-their-buckets", BUCKETS, in_bucket_order,
        |config| {
            config.max_concurrency = 2;
            config.identify_interval = SPACING;
        };
        "the-recommended-number-of-shards-is-started", RECOMMENDED, recommended;
        "kept-sessions-are-resumed-without-an-identify", RESUMING, kept_sessions;
        "kept-sessions-are-resumed-before-a-permit-is-there", RESUMING, resumed_without_permit;
        "files-in-a-folder-outlive-the-process", RESUMING, folder;
        "two-clusters-share-a-gate", MANY_PROCESSES, shared_gate, |config| {
            config.max_concurrency = 1;
            config.identify_interval = SPACING;
        };
        "each-shard-has-its-own-presence", PRESENCE, presences;
        "a-refused-shard-leaves-the-others-alone", REFUSED, refused_shard;
        "a-wrong-token-stops-all-shards-at-the-first-identify", REFUSED, wrong_token,
        |config| config.max_concurrency = 1;
        "a-cluster-that-logs-off-leaves-no-session", ENDING, log_off;
        "a-dropped-cluster-closes-its-sockets", ENDING, dropped;
    ]
}

async fn in_bucket_order(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let mut bot = stage.start_ready(6, &stores).await?;
    let identifies: Vec<(u64, u64)> = stage.identifies().iter().map(|identify| identify.shard).collect();
    check!(identifies.len() == 6, "a session start is refused by the gateway: {identifies:?}");
    for (bucket, of_bucket) in (0..).zip(identifies.chunks(2)) {
        let expected = set([(2 * bucket, 6), (2 * bucket + 1, 6)]);
        check!(
            set(of_bucket.iter().copied()) == expected,
            "not in the order of their buckets: {identifies:?}"
        );
    }
    bot.caught_up().await?;
    let kept = set((0..6).map(|id| shard(id, 6)));
    stage.within("a kept session of each shard", stores.until(|it| set(it.sessions()) == kept)).await
}

async fn recommended(stage: Stage) -> Result<(), String> {
    let mut bot = stage.start(stage.builder(ShardCount::Recommended, &Stores::default())?).await?;
    bot.all_ready().await?;
    check!(bot.cluster.shards() == 4, "there are {} shards, not 4", bot.cluster.shards());
    let identified = set(stage.identifies().iter().map(|identify| identify.shard));
    check!(identified == set((0..4).map(|id| (id, 4))), "{identified:?} identify");
    let health = bot.cluster.health();
    check!(health.healthy() == 4, "{health}");
    check!(health.to_string().lines().count() == 4, "a line for each shard is missing: {health}");
    let left = bot.cluster.budget();
    check!(left == Some(996), "{left:?} session starts are left, not 996");
    stage.message_in(0..16)?;
    bot.caught_up().await?;
    stage.verdict().check_once()
}

async fn kept_sessions(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let mut bot = stage.start_ready(4, &stores).await?;
    bot.cluster.shutdown(Shutdown::Resumable);
    bot.ended().await?;
    drop(bot);
    stage.disconnected().await?;
    // What happens meanwhile is replayed.
    stage.message_in(0..16)?;
    let mut bot = stage.start_ready(4, &stores).await?;
    bot.caught_up().await?;
    check!(stage.starts() == (4, 4), "Identifies and Resumes: {:?}, not 4 and 4", stage.starts());
    stage.verdict().check_once()
}

async fn folder(stage: Stage) -> Result<(), String> {
    let folder = Folder::new();
    for turn in 0..2 {
        let builder = stage.builder_without_stores(stage.config(), ShardCount::Recommended)?;
        let mut bot = stage.start(builder.sessions_in(folder.path())).await?;
        bot.all_ready().await?;
        bot.caught_up().await?;
        check!(bot.cluster.budget() == Some(996), "{:?} starts are left, not 996", bot.cluster.budget());
        bot.cluster.drain(Duration::from_secs(600));
        bot.ended().await?;
        drop(bot);
        stage.disconnected().await?;
        check!(stage.starts() == (4, 4 * turn), "Identifies and Resumes: {:?}", stage.starts());
        stage.message_in(0..16)?;
    }
    // Another bot must not touch them.
    let mut config = stage.config();
    config.token = format!("not-{TOKEN}").into();
    let builder = stage.builder_without_stores(config, ShardCount::Exactly(4))?;
    let builder = builder.sessions_in(folder.path()).ask_with(|| async { Ok(GatewayBot::default()) });
    let error = stage.start_in_vain(builder).await?;
    check!(matches!(error, StartError::OtherBot { .. }), "{error:?}");
    Ok(())
}

async fn resumed_without_permit(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let mut bot = stage.start_ready(4, &stores).await?;
    bot.cluster.shutdown(Shutdown::Resumable);
    bot.ended().await?;
    drop(bot);
    stores.forget(shard(0, 4));
    let gate = BarredGate::new(stage.runtime(), 16, [shard(0, 4)]);
    let builder = stage.builder(ShardCount::Exactly(4), &stores)?.gate(Arc::new(gate.clone()));
    let mut bot = stage.start(builder).await?;
    let mut resumed = set([]);
    bot.until("three shards resume", |key, event| {
        let resumes = matches!(event, ClusterEvent::Shard(Event::Resumed { .. }));
        resumed.extend(key.filter(|_| resumes).map(|key| key.shard));
        (resumed.len() == 3).then_some(())
    })
    .await?;
    check!(stage.starts() == (4, 3), "Identifies and Resumes: {:?}, not 4 and 3", stage.starts());
    gate.open();
    bot.all_ready().await?;
    check!(stage.starts() == (5, 3), "Identifies and Resumes: {:?}, not 5 and 3", stage.starts());
    Ok(())
}

async fn shared_gate(stage: Stage) -> Result<(), String> {
    let gate = Arc::new(LocalIdentifyGate::new(stage.runtime(), 1));
    let mut bots = Vec::new();
    for shards in [0..2, 2..4] {
        let range = ShardCount::Range { shards, total: 4 };
        bots.push(stage.start(stage.builder(range, &Stores::default())?.gate(gate.clone())).await?);
    }
    for bot in &mut bots {
        bot.all_ready().await?;
    }
    let identified: Vec<_> = stage.identifies().iter().map(|identify| identify.shard).collect();
    check!(identified.len() == 4, "a session start is refused by the gateway: {identified:?}");
    check!(set(identified.iter().copied()) == set((0..4).map(|id| (id, 4))), "{identified:?} identify");
    stage.message_in(0..16)?;
    let [one, other] = &mut bots[..] else { return Err("there are two clusters".to_owned()) };
    one.meanwhile("all events of both clusters", other.caught_up()).await??;
    stage.verdict().check_once()
}

async fn presences(stage: Stage) -> Result<(), String> {
    let builder = stage.builder(ShardCount::Exactly(2), &Stores::default())?.configure(|shard, config| {
        let status = if shard.id() == 0 { Status::Idle } else { Status::Dnd };
        config.presence = Some(Presence::new(status, []));
    });
    let mut bot = stage.start(builder).await?;
    bot.all_ready().await?;
    for identify in stage.identifies() {
        let status = identify.data["presence"]["status"].as_str().unwrap_or_default().to_owned();
        let expected = if identify.shard.0 == 0 { "idle" } else { "dnd" };
        check!(status == expected, "shard {} is {status}, not {expected}", identify.shard.0);
    }
    Ok(())
}

async fn refused_shard(stage: Stage) -> Result<(), String> {
    let mut rule = Rule::once(Point::Identify, Action::Close(Some(4014)));
    rule.shard = Some(2);
    stage.control(Control::Rule(rule))?;
    let gate = BarredGate::new(stage.runtime(), 16, [shard(2, 4)]);
    let builder = stage.builder(ShardCount::Exactly(4), &Stores::default())?;
    let mut bot = stage.start(builder.gate(Arc::new(gate.clone()))).await?;
    let mut live = 0;
    bot.until("three shards are ready", |_, event| {
        live += u32::from(matches!(event, ClusterEvent::Shard(Event::Ready)));
        (live == 3).then_some(())
    })
    .await?;
    gate.open();
    let reason = StopReason::Rejected(Rejection::DisallowedIntents);
    let mut stopped = None;
    bot.until("all shards are ready, or have stopped", |key, event| {
        if let ClusterEvent::ShardStopped(reason) = event {
            stopped = Some((key.map(|key| key.shard), reason.clone()));
        }
        matches!(event, ClusterEvent::AllReady).then_some(())
    })
    .await?;
    check!(stopped == Some((Some(shard(2, 4)), reason)), "stopped: {stopped:?}");
    let presence = Command::UpdatePresence(Presence::new(Status::Idle, []));
    let sent = bot.cluster.sender(2).send(presence);
    check!(matches!(sent, Err(SendError::Stopped)), "a command to the refused shard: {sent:?}");
    stage.message_in(0..16)?;
    bot.caught_up().await?;
    // The operator has mended it.
    bot.cluster.restart(shard(2, 4)).map_err(|error| error.to_string())?;
    bot.until("the refused shard is ready", |key, event| {
        let is_it = key.is_some_and(|key| key.shard == shard(2, 4));
        (is_it && matches!(event, ClusterEvent::Shard(Event::Ready))).then_some(())
    })
    .await?;
    stage.message_in(0..16)?;
    bot.caught_up().await?;
    check!(stage.starts() == (5, 0), "Identifies and Resumes: {:?}, not 5 and 0", stage.starts());
    stage.verdict().check_once()
}

async fn wrong_token(stage: Stage) -> Result<(), String> {
    let mut config = stage.config();
    config.token = format!("not-{TOKEN}").into();
    let url = stage.server().url();
    let builder = stage.builder_with(config, ShardCount::Exactly(40), &Stores::default())?;
    let builder = builder.ask_with(move || {
        let mut bot = GatewayBot::default();
        bot.url.clone_from(&url);
        async { Ok(bot) }
    });
    let mut bot = stage.start(builder).await?;
    let reason = StopReason::Rejected(Rejection::AuthenticationFailed);
    let mut stopped = set([]);
    while let Some(item) = bot.take().await? {
        if let ClusterEvent::ShardStopped(found) = item.event() {
            check!(*found == reason, "{item}");
            stopped.extend(item.shard());
        }
    }
    check!(stopped.len() == 40, "{} of 40 shards have stopped", stopped.len());
    check!(stage.starts() == (1, 0), "{} session starts are spent on it, not 1", stage.starts().0);
    Ok(())
}

async fn log_off(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let mut bot = stage.start_ready(4, &stores).await?;
    bot.cluster.shutdown(Shutdown::LogOff);
    bot.ended().await?;
    stage.disconnected().await?;
    let sessions = stage.sessions();
    check!(sessions == 0, "{sessions} sessions are left at the gateway");
    check!(stores.sessions().is_empty(), "{:?} are kept", stores.sessions());
    Ok(())
}

async fn dropped(stage: Stage) -> Result<(), String> {
    let bot = stage.start_ready(4, &Stores::default()).await?;
    let handle = bot.cluster.handle();
    drop(bot);
    stage.disconnected().await?;
    check!(stage.sessions() == 4, "{} sessions can be resumed, not 4", stage.sessions());
    // What waits for it is not left waiting.
    stage.within("the end of the cluster", handle.ended()).await
}
