//! How events come to the application.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_cluster::{ClusterItem, ClusterLimits, Lane, ShardCount};
use gateway_driver::proto::Dispatch;
use gateway_sim::Control;

use super::{LOAD, check, scenarios, shard};
use crate::cluster::ClusterScenario;
use crate::cluster::stage::{Stage, lock};
use crate::cluster::stores::Stores;

const HEARTBEATS: &str = "Discord Docs, Gateway > Sending Heartbeats: they are due whatever the application does (discord.js#9688)";
const BOUNDED: &str = "twilight#153: a merged stream that is bounded";
const FUNNEL: &str = "serenity#3506: one task that takes every event is the funnel of a bot";
const AGAIN: &str =
    "Discord Docs, Gateway > Resuming: the events after the sequence of the Resume are sent again";

pub(super) fn table() -> Vec<ClusterScenario> {
    scenarios![
        "an-application-that-stops-taking-loses-nothing", BOUNDED, stops_taking,
        |config| config.heartbeat_interval = Duration::from_secs(4);
        "an-application-that-never-acknowledges-is-read-no-further", BOUNDED, never_acknowledges,
        |config| config.heartbeat_interval = Duration::from_secs(4);
        "heartbeats-go-on-while-the-application-takes-nothing", HEARTBEATS, heartbeats,
        |config| config.heartbeat_interval = Duration::from_secs(4);
        "a-slow-lane-holds-back-its-own-shards-only", FUNNEL, slow_lane;
        "lanes-keep-the-order-within-a-guild", FUNNEL, lanes_keep_order;
        "lanes-take-over-what-waits-already", FUNNEL, late_lanes;
        "what-workers-have-not-acknowledged-comes-again", AGAIN, workers;
        "an-item-that-is-dropped-comes-again-after-a-crash", AGAIN, dropped_item;
    ]
}

fn limits() -> ClusterLimits {
    let mut limits = ClusterLimits::default();
    (limits.events, limits.unacknowledged) = (8, 8);
    limits
}

/// Waits until every connection has sent so many heartbeats more.
async fn beats(stage: &Stage, more: u64) -> Result<(), String> {
    let count = |stage: &Stage| {
        let mut beats: BTreeMap<Option<u64>, u64> = BTreeMap::new();
        stage.said(1).into_iter().for_each(|(session, _)| *beats.entry(session).or_default() += 1);
        beats
    };
    let before = count(stage);
    let sessions: Vec<Option<u64>> = (1..=stage.sessions() as u64).map(Some).collect();
    let of = |beats: &BTreeMap<Option<u64>, u64>, session| beats.get(session).copied().unwrap_or(0);
    let all = stage.until("heartbeats of every shard", |_| {
        let now = count(stage);
        let have = sessions.iter().all(|session| of(&now, session) >= of(&before, session) + more);
        have.then_some(())
    });
    all.await
}

async fn stops_taking(stage: Stage) -> Result<(), String> {
    let builder = stage.builder(ShardCount::Exactly(2), &Stores::default())?.limits(limits());
    let mut bot = stage.start(builder).await?;
    bot.all_ready().await?;
    // The application takes nothing.
    for _ in 0..20 {
        stage.message_in(0..16)?;
    }
    beats(&stage, 3).await?;
    for shard in bot.cluster.health().shards {
        check!(shard.items <= 8, "shard {}: {} items wait, where 8 are allowed", shard.key, shard.items);
    }
    bot.caught_up().await?;
    check!(stage.starts() == (2, 0), "Identifies and Resumes: {:?}, not 2 and 0", stage.starts());
    stage.verdict().check_once()
}

async fn never_acknowledges(stage: Stage) -> Result<(), String> {
    let builder = stage.builder(ShardCount::Exactly(1), &Stores::default())?.limits(limits());
    let mut bot = stage.start(builder).await?;
    bot.all_ready().await?;
    bot.caught_up().await?;
    stage.message_in((0..16).chain(0..16))?;
    beats(&stage, 3).await?;
    // Eight are taken and dropped, and no more is read until a later process asks for them again.
    for _ in 0..8 {
        drop(message(&mut bot).await?);
    }
    beats(&stage, 3).await?;
    let health = bot.cluster.health();
    let one = health.shards.first().ok_or("there is no shard")?;
    check!((one.items, one.unacknowledged) == (0, 8), "{health}");
    check!(stage.verdict().0.lost == 24, "{}", stage.verdict());
    Ok(())
}

async fn heartbeats(stage: Stage) -> Result<(), String> {
    let builder = stage.builder(ShardCount::Exactly(4), &Stores::default())?.limits(limits());
    let bot = stage.start(builder).await?;
    // Not even what comes at the start is taken.
    stage.until("a session of each shard", |gateway| (gateway.counters().readies == 4).then_some(())).await?;
    beats(&stage, 5).await?;
    check!(stage.connects() == 4, "{} connections were opened, not 4", stage.connects());
    drop(bot);
    Ok(())
}

/// Takes and acknowledges what a lane has, until it ends.
async fn work(stage: Stage, mut lane: Lane, mut see: impl FnMut(&ClusterItem)) {
    while let Some(item) = lane.next_event().await {
        see(&item);
        stage.see(&item);
        item.done();
    }
}

async fn slow_lane(stage: Stage) -> Result<(), String> {
    let builder = stage.builder(ShardCount::Exactly(4), &Stores::default())?.limits(limits());
    let mut bot = stage.start(builder).await?;
    bot.all_ready().await?;
    bot.caught_up().await?;
    let mut lanes = bot.cluster.lanes(2).into_iter();
    let (Some(slow), Some(fast)) = (lanes.next(), lanes.next()) else {
        return Err("there are not two lanes".to_owned());
    };
    stage.spawn(work(stage.clone(), fast, |_| ()));
    for _ in 0..20 {
        stage.message_in(0..16)?;
    }
    // Shards 1 and 3 are the fast lane's, and half of the guilds.
    stage.until_seen("all events of the fast lane", |stage| stage.verdict().0.lost <= 160).await?;
    check!(stage.verdict().0.lost == 160, "{}, where the slow lane has 160", stage.verdict());
    stage.spawn(work(stage.clone(), slow, |_| ()));
    stage.until_seen("all events of the slow lane", |stage| stage.verdict().0.lost == 0).await?;
    stage.verdict().check_once()
}

fn guild_of(dispatch: &Dispatch) -> Option<u64> {
    dispatch.data().get("guild_id")?.as_id()
}

async fn lanes_keep_order(stage: Stage) -> Result<(), String> {
    let bot = stage.start_ready(4, &Stores::default()).await?;
    // Three lanes of four shards: they are split by guild.
    let found: Arc<Mutex<BTreeMap<u64, usize>>> = Arc::default();
    let mixed: Arc<Mutex<Option<u64>>> = Arc::default();
    for (index, lane) in bot.cluster.lanes(3).into_iter().enumerate() {
        let (found, mixed) = (found.clone(), mixed.clone());
        stage.spawn(work(stage.clone(), lane, move |item| {
            let guild =
                item.dispatch().filter(|dispatch| dispatch.name() == "MESSAGE_CREATE").and_then(guild_of);
            let Some(guild) = guild else { return };
            if *lock(&found).entry(guild).or_insert(index) != index {
                *lock(&mixed) = Some(guild);
            }
        }));
    }
    stage.control(Control::Rate(LOAD))?;
    for _ in 0..10 {
        stage.message_in(0..16)?;
    }
    stage.control(Control::Rate(0.0))?;
    stage.until_seen("all events", |stage| stage.verdict().0.lost == 0).await?;
    let mixed = *lock(&mixed);
    check!(mixed.is_none(), "guild {mixed:?} is in two lanes");
    let used = crate::cluster::stage::set(lock(&found).values().copied());
    check!(used.len() == 3, "only the lanes {used:?} are used");
    stage.verdict().check_once()
}

async fn late_lanes(stage: Stage) -> Result<(), String> {
    let mut bot = stage.start_ready(2, &Stores::default()).await?;
    bot.caught_up().await?;
    stage.message_in(0..16)?;
    // One is taken, so the others are there or on their way.
    message(&mut bot).await?.done();
    for lane in bot.cluster.lanes(2) {
        stage.spawn(work(stage.clone(), lane, |_| ()));
    }
    stage.message_in(0..16)?;
    stage.until_seen("all events", |stage| stage.verdict().0.lost == 0).await?;
    stage.verdict().check_once()
}

/// Takes items until one is a message.
async fn message(bot: &mut crate::cluster::bot::Bot) -> Result<ClusterItem, String> {
    loop {
        let item = bot.take().await?.ok_or("the cluster ends")?;
        if item.dispatch().is_some_and(|dispatch| dispatch.name() == "MESSAGE_CREATE") {
            return Ok(item);
        }
        item.done();
    }
}

fn sequence(item: &ClusterItem) -> u64 {
    item.dispatch().and_then(Dispatch::sequence).unwrap_or(0)
}

/// A bot of one shard that has taken ten messages, and their numbers.
async fn ten_messages(
    stage: &Stage,
    stores: &Stores,
) -> Result<(crate::cluster::bot::Bot, Vec<ClusterItem>), String> {
    let mut bot = stage.start_ready(1, stores).await?;
    bot.caught_up().await?;
    stage.message_in(0..10)?;
    let mut items = Vec::new();
    for _ in 0..10 {
        items.push(message(&mut bot).await?);
    }
    Ok((bot, items))
}

/// Starts the bot again after a crash, and returns the numbers of the messages that come again.
async fn again(stage: &Stage, stores: &Stores) -> Result<Vec<u64>, String> {
    let mut bot = stage.start(stage.builder(ShardCount::Exactly(1), stores)?).await?;
    let mut found = Vec::new();
    loop {
        let item = bot.take().await?.ok_or("the cluster ends")?;
        match item.dispatch() {
            Some(dispatch) if dispatch.name() == "MESSAGE_CREATE" => found.push(sequence(&item)),
            Some(dispatch) if dispatch.name() == "RESUMED" => return Ok(found),
            _ => {}
        }
        item.done();
    }
}

async fn workers(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let (bot, items) = ten_messages(&stage, &stores).await?;
    let numbers: Vec<u64> = items.iter().map(sequence).collect();
    // Workers are done in any order; the jobs 2 to 4 are not when the process crashes.
    let mut items: Vec<Option<ClusterItem>> = items.into_iter().map(Some).collect();
    for index in [9, 1, 7, 5, 0, 8, 6] {
        if let Some(item) = items[index].take() {
            item.done();
        }
    }
    let kept = |it: &Stores| it.session(shard(0, 1)).is_some_and(|session| session.sequence() == numbers[1]);
    stage.within("the watermark in the store", stores.until(kept)).await?;
    let stores = stores.after_a_crash();
    drop((bot, items));
    stage.disconnected().await?;
    let found = again(&stage, &stores).await?;
    check!(found == numbers[2..], "{found:?} come again, not {:?}", &numbers[2..]);
    stage.verdict().check_order()
}

async fn dropped_item(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let (bot, items) = ten_messages(&stage, &stores).await?;
    let numbers: Vec<u64> = items.iter().map(sequence).collect();
    for (index, item) in items.into_iter().enumerate() {
        match index {
            4 => drop(item),
            _ => item.done(),
        }
    }
    let kept = |it: &Stores| it.session(shard(0, 1)).is_some_and(|session| session.sequence() == numbers[3]);
    stage.within("the watermark in the store", stores.until(kept)).await?;
    let stores = stores.after_a_crash();
    drop(bot);
    stage.disconnected().await?;
    let found = again(&stage, &stores).await?;
    check!(found == numbers[4..], "{found:?} come again, not {:?}", &numbers[4..]);
    Ok(())
}
