//! What an operator does with a running cluster.

use std::sync::Arc;
use std::time::Duration;

use gateway_cluster::{
    ClusterError, ClusterEvent, Handover, MembersError, RequestError, ReshardCause, ShardCount,
};
use gateway_driver::gate::LocalIdentifyGate;
use gateway_driver::proto::command::{MemberSelection, Presence, RequestGuildMembers, SendError, Status};
use gateway_driver::proto::disconnect::Rejection;
use gateway_driver::proto::identify::GatewayBot;
use gateway_driver::proto::{Command, Event, Shutdown, Snowflake, StopReason};
use gateway_sim::{Control, Target};

use super::{LOAD, check, reshard, scenarios, shard};
use crate::cluster::ClusterScenario;
use crate::cluster::bot::Bot;
use crate::cluster::gate::BarredGate;
use crate::cluster::stage::{Stage, set};
use crate::cluster::stores::Stores;

const RESTART: &str =
    "twilight#1374: restart one shard; Discord Docs, Gateway > Resuming: without a session start";
const ROLLING: &str =
    "Discord Docs, Gateway > Max Concurrency: one rate limit bucket after the other, each by Resume";
const DRAIN: &str = "discord.py#2283: a deploy without lost events; Discord Docs, Gateway > Resuming: the events after seq are sent again";
const MOVE: &str =
    "twilight#1376: move shards one by one; Discord Docs, Gateway > Resuming: from any process";
const SENDERS: &str =
    "Discord Docs, Gateway > Sharding: a guild's commands go to the shard (guild_id >> 22) % num_shards";
const ADVICE: &str = "Discord Docs, Gateway Close Event Codes: 4011, you are required to shard your connection; GET /gateway/bot";

pub(super) fn table() -> Vec<ClusterScenario> {
    scenarios![
        "a-restart-of-one-shard-costs-no-identify", RESTART, restart;
        "a-rolling-restart-goes-bucket-by-bucket", ROLLING, rolling,
        |config| config.max_concurrency = 2;
        "a-drain-under-load-loses-nothing", DRAIN, drain;
        "a-drain-ends-at-its-deadline", DRAIN, drain_deadline;
        "a-shard-moves-to-another-cluster", MOVE, moved;
        "a-shard-without-a-session-moves-to-another-cluster", MOVE, moved_without_session;
        "a-release-is-answered-again", MOVE, released_again;
        "a-handover-of-another-count-is-refused", MOVE, foreign_handover;
        "senders-lead-to-the-shard-in-charge", SENDERS, senders;
        "a-cluster-that-has-ended-answers-every-request", SENDERS, ended;
        "a-changed-recommendation-is-offered-and-taken", ADVICE, advice;
        "a-shard-closed-with-4011-offers-a-reshard", ADVICE, sharding_required;
        "a-bot-whose-every-shard-is-closed-with-4011-can-be-resharded", ADVICE, all_sharding_required,
        |config| config.guilds_per_shard = 6;
    ]
}

async fn restart(stage: Stage) -> Result<(), String> {
    let mut bot = stage.start_ready(4, &Stores::default()).await?;
    bot.cluster.restart(shard(1, 4)).map_err(|error| error.to_string())?;
    stage.message_in(0..16)?;
    bot.until("the shard resumes", |key, event| {
        let is_it = key.is_some_and(|key| key.shard == shard(1, 4));
        (is_it && matches!(event, ClusterEvent::Shard(Event::Resumed { .. }))).then_some(())
    })
    .await?;
    bot.caught_up().await?;
    check!(stage.starts() == (4, 1), "Identifies and Resumes: {:?}, not 4 and 1", stage.starts());
    stage.verdict().check_once()
}

async fn rolling(stage: Stage) -> Result<(), String> {
    let mut bot = stage.start_ready(4, &Stores::default()).await?;
    stage.control(Control::Rate(LOAD))?;
    bot.cluster.rolling_restart().map_err(|error| error.to_string())?;
    let again = bot.cluster.rolling_restart();
    check!(again == Err(RequestError::Cluster(ClusterError::Rolling)), "a second one: {again:?}");
    let mut order = Vec::new();
    bot.until("the end of the rolling restart", |key, event| {
        if let (Some(key), ClusterEvent::Shard(Event::Resumed { .. })) = (key, event) {
            order.push(key.shard.id());
        }
        matches!(event, ClusterEvent::RollingRestartDone).then_some(())
    })
    .await?;
    stage.control(Control::Rate(0.0))?;
    check!(order.len() == 4, "{order:?} resume");
    let buckets = [set(order[..2].iter().copied()), set(order[2..].iter().copied())];
    check!(buckets == [set([0, 1]), set([2, 3])], "{order:?} is not in the order of the buckets");
    bot.caught_up().await?;
    check!(stage.starts() == (4, 4), "Identifies and Resumes: {:?}, not 4 and 4", stage.starts());
    stage.verdict().check_once()
}

async fn drain(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let mut bot = stage.start_ready(4, &stores).await?;
    stage.control(Control::Rate(LOAD))?;
    stage.message_in(0..16)?;
    bot.until("an event", |_, event| matches!(event, ClusterEvent::Shard(Event::Dispatch(_))).then_some(()))
        .await?;
    bot.cluster.drain(Duration::from_secs(600));
    bot.ended().await?;
    drop(bot);
    stage.disconnected().await?;
    let mut bot = stage.start_ready(4, &stores).await?;
    stage.control(Control::Rate(0.0))?;
    stage.message_in(0..16)?;
    bot.caught_up().await?;
    check!(stage.starts() == (4, 4), "Identifies and Resumes: {:?}, not 4 and 4", stage.starts());
    stage.verdict().check_once()
}

async fn drain_deadline(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let mut bot = stage.start_ready(2, &stores).await?;
    bot.caught_up().await?;
    stage.message_in(0..16)?;
    // A job that is never done.
    let held = loop {
        let item = bot.take().await?.ok_or("the cluster ends")?;
        if item.dispatch().is_some_and(|dispatch| dispatch.name() == "MESSAGE_CREATE") {
            break item;
        }
        item.done();
    };
    bot.cluster.drain(Duration::from_secs(5));
    bot.ended().await?;
    check!(stage.sessions() == 2, "{} sessions can be resumed, not 2", stage.sessions());
    drop((bot, held));
    let mut bot = stage.start_ready(2, &stores).await?;
    bot.caught_up().await?;
    let twice = stage.verdict().0.duplicated;
    check!(twice > 0, "the event that was not acknowledged does not come again");
    check!(stage.starts() == (2, 2), "Identifies and Resumes: {:?}, not 2 and 2", stage.starts());
    stage.verdict().check_order()
}

/// Two clusters with two of four shards each, all ready.
async fn halves(stage: &Stage) -> Result<[Bot; 2], String> {
    let gate = Arc::new(LocalIdentifyGate::new(stage.runtime(), 16));
    let half = |shards| ShardCount::Range { shards, total: 4 };
    let mut one = stage.start(stage.builder(half(0..2), &Stores::default())?.gate(gate.clone())).await?;
    let mut other = stage.start(stage.builder(half(2..4), &Stores::default())?.gate(gate)).await?;
    one.all_ready().await?;
    other.all_ready().await?;
    Ok([one, other])
}

async fn moved(stage: Stage) -> Result<(), String> {
    let [mut one, mut other] = halves(&stage).await?;
    let handle = one.cluster.handle();
    let released = one.meanwhile("the release", handle.release(shard(1, 4))).await?;
    let handover = released.map_err(|error| error.to_string())?;
    // What happens on the way is replayed to the other process, which gets it as text.
    stage.message_in(0..16)?;
    let text = serde_json::to_string(&handover).map_err(|error| error.to_string())?;
    let handover: Handover = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    other.cluster.adopt(handover.clone()).map_err(|error| error.to_string())?;
    let twice = other.cluster.adopt(handover);
    let expected = Err(RequestError::Cluster(ClusterError::AlreadyHere(shard(1, 4))));
    check!(twice == expected, "adopted twice: {twice:?}");
    one.meanwhile("all events of both clusters", other.caught_up()).await??;
    check!(stage.starts() == (4, 1), "Identifies and Resumes: {:?}, not 4 and 1", stage.starts());
    let gone = one.cluster.restart(shard(1, 4));
    let expected = Err(RequestError::Cluster(ClusterError::NoSuchShard(shard(1, 4))));
    check!(gone == expected, "it is still in the first: {gone:?}");
    stage.message_in(0..16)?;
    one.meanwhile("all events of both clusters", other.caught_up()).await??;
    stage.verdict().check_once()
}

async fn moved_without_session(stage: Stage) -> Result<(), String> {
    let gate = BarredGate::new(stage.runtime(), 16, [shard(1, 4)]);
    let half = |shards| ShardCount::Range { shards, total: 4 };
    let builder = stage.builder(half(0..2), &Stores::default())?;
    let mut one = stage.start(builder.gate(Arc::new(gate.clone()))).await?;
    one.until("the other shard is ready", |_, event| {
        matches!(event, ClusterEvent::Shard(Event::Ready)).then_some(())
    })
    .await?;
    let handle = one.cluster.handle();
    let released = one.meanwhile("the release", handle.release(shard(1, 4))).await?;
    let handover = released.map_err(|error| error.to_string())?;
    check!(handover.session.is_none(), "it had no session");
    gate.open();
    let mut other = stage.start(stage.builder(half(2..4), &Stores::default())?.gate(Arc::new(gate))).await?;
    other.all_ready().await?;
    other.cluster.adopt(handover).map_err(|error| error.to_string())?;
    other
        .until("the shard is ready", |key, event| {
            let is_it = key.is_some_and(|key| key.shard == shard(1, 4));
            (is_it && matches!(event, ClusterEvent::Shard(Event::Ready))).then_some(())
        })
        .await?;
    stage.message_in(0..16)?;
    one.meanwhile("all events of both clusters", other.caught_up()).await??;
    check!(stage.starts() == (4, 0), "Identifies and Resumes: {:?}, not 4 and 0", stage.starts());
    stage.verdict().check_once()
}

async fn released_again(stage: Stage) -> Result<(), String> {
    let [mut one, _other] = halves(&stage).await?;
    let handle = one.cluster.handle();
    // The caller goes away before there is an answer.
    let gone = {
        let mut release = std::pin::pin!(handle.release(shard(1, 4)));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        release.as_mut().poll(&mut context).is_pending()
    };
    check!(gone, "a shard is released before its connection is closed");
    let released = one.meanwhile("the release", handle.release(shard(1, 4))).await?;
    let handover = released.map_err(|error| error.to_string())?;
    check!(handover.shard == shard(1, 4) && handover.session.is_some(), "{handover:?}");
    let again = one.meanwhile("the answer to release", handle.release(shard(1, 4))).await?;
    let expected = Err(RequestError::Cluster(ClusterError::NoSuchShard(shard(1, 4))));
    check!(again == expected, "released twice: {again:?}");
    // What it was is taken back.
    one.cluster.adopt(handover).map_err(|error| error.to_string())?;
    one.until("the shard resumes", |_, event| {
        matches!(event, ClusterEvent::Shard(Event::Resumed { .. })).then_some(())
    })
    .await
}

async fn ended(stage: Stage) -> Result<(), String> {
    let mut bot = stage.start_ready(2, &Stores::default()).await?;
    let handle = bot.cluster.handle();
    let sender = handle.sender(0);
    handle.shutdown(Shutdown::Resumable);
    bot.ended().await?;
    drop(bot);
    let ending = Err(RequestError::Cluster(ClusterError::Ending));
    stage.within("the end", handle.ended()).await?;
    check!(handle.restart(shard(0, 2)) == ending, "restart");
    check!(handle.rolling_restart() == ending, "rolling_restart");
    let asked = stage.within("the answer to a reshard", handle.reshard(ShardCount::Exactly(4))).await?;
    check!(asked == ending, "reshard: {asked:?}");
    let released = stage.within("the answer to release", handle.release(shard(0, 2))).await?;
    check!(released.as_ref().err() == ending.as_ref().err(), "release: {released:?}");
    let sent = sender.send(Command::UpdatePresence(Presence::new(Status::Idle, [])));
    check!(matches!(sent, Err(SendError::Stopped)), "a command: {sent:?}");
    let request = RequestGuildMembers::new(Snowflake(gateway_sim::guild_id(0)), MemberSelection::Everyone);
    let members = stage.within("the answer to members", handle.members(request)).await?;
    check!(matches!(members, Err(MembersError::Ended)), "members: {members:?}");
    Ok(())
}

async fn foreign_handover(stage: Stage) -> Result<(), String> {
    let [mut one, _other] = halves(&stage).await?;
    let mut bot = stage.start_ready(2, &Stores::default()).await?;
    let handle = one.cluster.handle();
    let released = one.meanwhile("the release", handle.release(shard(1, 4))).await?;
    let handover = released.map_err(|error| error.to_string())?;
    let adopted = bot.cluster.adopt(handover);
    let expected = Err(RequestError::Cluster(ClusterError::OtherGeneration(shard(1, 4))));
    check!(adopted == expected, "{adopted:?}");
    check!(stage.starts() == (6, 0), "Identifies and Resumes: {:?}, not 6 and 0", stage.starts());
    stage.message_in(0..16)?;
    bot.caught_up().await
}

async fn senders(stage: Stage) -> Result<(), String> {
    let mut bot = stage.start_ready(4, &Stores::default()).await?;
    let guild = Snowflake(gateway_sim::guild_id(3));
    let sender = bot.cluster.sender_for(guild);
    for turn in 0..3 {
        match turn {
            0 => {}
            1 => {
                let key = sender.shard().ok_or("no shard is in charge")?;
                bot.cluster.restart(key.shard).map_err(|error| error.to_string())?;
                bot.until("the shard resumes", |_, event| {
                    matches!(event, ClusterEvent::Shard(Event::Resumed { .. })).then_some(())
                })
                .await?;
            }
            _ => {
                reshard(&mut bot, ShardCount::Exactly(8)).await?.map_err(|error| error.to_string())?;
                bot.resharded().await?;
            }
        }
        let key = sender.shard().ok_or("no shard is in charge")?;
        let expected = bot.cluster.shard_of(guild);
        check!(
            key == expected && bot.cluster.sender(key.shard.id()).shard() == Some(key),
            "{key}, not {expected}"
        );
        let presence = Command::UpdatePresence(Presence::new(Status::Idle, []));
        sender.send(presence).map_err(|error| error.to_string())?;
        let heard = stage.until("the command", |_| {
            let said = stage.said(3);
            (said.len() == turn + 1).then(|| said.last().and_then(|(session, _)| *session))
        });
        let on = bot.meanwhile("the command at the gateway", heard).await??;
        let session = stage.audit().session(key);
        check!(on == session, "turn {turn}: it is sent on session {on:?}, not {session:?} of shard {key}");
    }
    Ok(())
}

async fn advice(stage: Stage) -> Result<(), String> {
    let asked = std::sync::atomic::AtomicU32::new(0);
    let url = stage.server().url();
    let builder = stage.builder(ShardCount::Recommended, &Stores::default())?.ask_with(move || {
        let mut bot = GatewayBot::default();
        bot.url.clone_from(&url);
        // It changes after the start.
        bot.shards = if asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 { 4 } else { 6 };
        bot.session_start_limit.max_concurrency = 16;
        async { Ok(bot) }
    });
    let mut bot = stage.start(builder.ask_every(Some(Duration::from_secs(10)))).await?;
    let advised = bot.until("the advice", |_, event| match event {
        ClusterEvent::ReshardAdvised { shards, cause } => Some((*shards, *cause)),
        _ => None,
    });
    let advised = advised.await?;
    check!(advised == (Some(6), ReshardCause::Recommendation), "{advised:?}");
    check!(bot.cluster.shards() == 4, "there are {} shards, not 4", bot.cluster.shards());
    let handle = bot.cluster.handle();
    bot.meanwhile("all shards ready", handle.ready()).await?;
    reshard(&mut bot, ShardCount::Recommended).await?.map_err(|error| error.to_string())?;
    bot.resharded().await?;
    check!(bot.cluster.shards() == 6, "there are {} shards, not 6", bot.cluster.shards());
    bot.caught_up().await?;
    stage.verdict().check_once()
}

async fn sharding_required(stage: Stage) -> Result<(), String> {
    let mut bot = stage.start_ready(2, &Stores::default()).await?;
    bot.caught_up().await?;
    let own = bot.cluster.shard_of(Snowflake(gateway_sim::guild_id(1)));
    let session = stage.audit().session(own).ok_or("the shard has no session")?;
    stage.control_on(Target::Session(session), Control::Close { code: Some(4011) })?;
    let mut stopped = None;
    let advised = bot.until("the advice", |key, event| match event {
        ClusterEvent::ShardStopped(reason) => {
            stopped = Some((key, reason.clone()));
            None
        }
        ClusterEvent::ReshardAdvised { shards, cause } => Some((*shards, *cause)),
        _ => None,
    });
    let advised = advised.await?;
    check!(advised == (None, ReshardCause::ShardingRequired), "{advised:?}");
    let expected = Some((Some(own), StopReason::Rejected(Rejection::ShardingRequired)));
    check!(stopped == expected, "stopped: {stopped:?}");
    reshard(&mut bot, ShardCount::Recommended).await?.map_err(|error| error.to_string())?;
    bot.resharded().await?;
    check!(bot.cluster.shards() == 4, "there are {} shards, not 4", bot.cluster.shards());
    stage.message_in(0..16)?;
    bot.caught_up().await?;
    stage.verdict().check_order()
}

async fn all_sharding_required(stage: Stage) -> Result<(), String> {
    let mut bot = stage.start(stage.builder(ShardCount::Exactly(2), &Stores::default())?).await?;
    let mut advised = 0;
    bot.until("both shards are closed", |_, event| {
        advised += u32::from(matches!(event, ClusterEvent::ReshardAdvised { .. }));
        (advised == 2).then_some(())
    })
    .await?;
    reshard(&mut bot, ShardCount::Recommended).await?.map_err(|error| error.to_string())?;
    bot.resharded().await?;
    check!(bot.cluster.shards() == 4, "there are {} shards, not 4", bot.cluster.shards());
    stage.message_in(0..16)?;
    bot.caught_up().await?;
    stage.verdict().check_once()
}
