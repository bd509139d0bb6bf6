//! From one number of shards to another.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_cluster::{
    AbortReason, ClusterConfig, ClusterEvent, ClusterLimits, ReshardEvent, ShardCount, Switch,
};
use gateway_driver::proto::disconnect::Rejection;
use gateway_driver::proto::{Event, Snowflake, StopReason};
use gateway_sim::{Action, Control, Point, Rule, Target, guild_id};
use serde_json::json;

use super::{LOAD, aborted, check, reshard, scenarios, shard};
use crate::cluster::ClusterScenario;
use crate::cluster::bot::Bot;
use crate::cluster::gate::BarredGate;
use crate::cluster::stage::{Stage, lock, set};
use crate::cluster::stores::Stores;
use crate::scenario::STREAMS;

const OVERLAP: &str =
    "Discord Docs, Gateway > Sharding: sessions with another num_shards may be connected at the same time";
const ONCE: &str = "discord-cross-hosting#5: the old set is not stopped, and the bot answers twice";
const BACK: &str = "Discord Docs, Gateway > Sharding: until the new set serves the guilds, the old one does";
const VOICE: &str = "Discord Docs, Gateway Events > Update Voice State: a voice connection belongs to the session that asked for it";
const OUTAGE: &str = "Discord Docs, Gateway Events > Guild Delete: unavailable is set when a guild is unavailable due to an outage";
const CUT_OFF: &str =
    "Discord Docs, Gateway > Resuming: a connection may end at any time, and its session goes on";

const NO_GUILD: &str =
    "Discord Docs, Gateway > Sharding: DMs and other events without a guild are only sent to shard 0";

pub(super) fn table() -> Vec<ClusterScenario> {
    let mut table = scenarios![
        "a-reshard-up-under-load-delivers-everything-once", OVERLAP, up;
        "a-reshard-down-under-load-delivers-everything-once", OVERLAP, down;
        "a-reshard-of-silent-guilds-delivers-nothing-twice", OVERLAP, silent;
        "a-bot-is-resharded-there-and-back", OVERLAP, there_and_back;
        "a-reshard-waits-for-an-application-with-little-room", OVERLAP, little_room;
        "a-reshard-holds-back-no-more-than-allowed", OVERLAP, bounded;
        "lanes-keep-the-order-over-a-reshard", OVERLAP, lanes;
        "the-old-sessions-end-with-the-reshard", ONCE, old_sessions_end;
        "a-reshard-can-be-aborted-before-the-cutover", BACK, abort;
        "a-refused-shard-of-the-new-generation-aborts", BACK, refused;
        "a-plan-that-cannot-be-kept-aborts", BACK, plan_not_kept;
        "a-cutover-waits-until-its-plan-is-kept", BACK, cutover_not_kept;
        "a-guild-with-a-voice-connection-is-named", VOICE, voice;
        "a-guild-that-is-unavailable-during-a-reshard-is-not-lost", OUTAGE, outage;
        "an-old-shard-that-is-cut-off-during-a-reshard-loses-nothing", CUT_OFF, old_cut_off;
        "a-new-shard-that-is-cut-off-during-a-reshard-loses-nothing", CUT_OFF, new_cut_off;
        "a-shard-that-falls-silent-during-a-reshard-loses-nothing", CUT_OFF, falls_silent,
        |config| config.heartbeat_interval = Duration::from_secs(10);
        "a-new-session-during-a-reshard-loses-nothing", CUT_OFF, new_session;
        "a-restart-during-a-reshard-loses-nothing", CUT_OFF, restarted;
        "an-old-shard-that-is-refused-during-a-reshard-is-taken-over", CUT_OFF, old_refused;
        "what-has-no-guild-is-cut-over-with-shard-0", NO_GUILD, no_guild;
        "a-drain-before-the-cutover-aborts-the-reshard", BACK, drained;
        "an-end-that-is-not-kept-is-tried-again", BACK, end_not_kept;
    ];
    // Payloads of both generations are compared in any encoding.
    let variants = STREAMS.iter().rev();
    let over_tls = scenarios!["a-reshard-over-tls-in-etf-and-zstd", OVERLAP, up;];
    table.extend(
        over_tls.into_iter().zip(variants).map(|(scenario, variant)| scenario.variant(*variant).tls()),
    );
    table
}

/// Takes events until the reshard is in this phase.
async fn phase(bot: &mut Bot, phase: ReshardEvent) -> Result<(), String> {
    let what = phase.to_string();
    bot.until(&what, |_, event| match event {
        ClusterEvent::Reshard(found) if *found == phase => Some(Ok(())),
        ClusterEvent::Reshard(ReshardEvent::Aborted(reason)) => Some(Err(format!("it is aborted: {reason}"))),
        _ => None,
    })
    .await?
}

/// Begins a reshard that is not refused.
async fn begin(bot: &mut Bot, shards: u32) -> Result<(), String> {
    reshard(bot, ShardCount::Exactly(shards)).await?.map_err(|error| error.to_string())
}

/// Reshards under load, and sees everything once.
async fn under_load(stage: &Stage, bot: &mut Bot, shards: u32) -> Result<(), String> {
    stage.control(Control::Rate(LOAD))?;
    begin(bot, shards).await?;
    let tally = bot.resharded().await?;
    stage.control(Control::Rate(0.0))?;
    stage.message_in(0..16)?;
    bot.caught_up().await?;
    check!(tally.unmatched == 0, "{tally}");
    stage.verdict().check_once()
}

async fn up(stage: Stage) -> Result<(), String> {
    let mut bot = stage.start_ready(4, &Stores::default()).await?;
    under_load(&stage, &mut bot, 8).await?;
    check!(stage.starts().0 == 12, "{} Identifies, not 12", stage.starts().0);
    check!(bot.cluster.shards() == 8, "there are {} shards, not 8", bot.cluster.shards());
    Ok(())
}

async fn down(stage: Stage) -> Result<(), String> {
    let mut bot = stage.start_ready(6, &Stores::default()).await?;
    under_load(&stage, &mut bot, 2).await?;
    check!(stage.starts().0 == 8, "{} Identifies, not 8", stage.starts().0);
    check!(bot.cluster.shards() == 2, "there are {} shards, not 2", bot.cluster.shards());
    Ok(())
}

async fn silent(stage: Stage) -> Result<(), String> {
    let mut bot = stage.start_ready(2, &Stores::default()).await?;
    bot.caught_up().await?;
    begin(&mut bot, 4).await?;
    let mut created = 0;
    let tally = bot.until("the end of the reshard", |key, event| match event {
        ClusterEvent::Shard(Event::Dispatch(dispatch)) => {
            let is_new = key.is_some_and(|key| key.generation.0 == 2);
            created += u32::from(is_new && dispatch.name() == "GUILD_CREATE");
            None
        }
        ClusterEvent::Reshard(ReshardEvent::Finished { tally }) => Some(*tally),
        _ => None,
    });
    let tally = tally.await?;
    // 16 guilds, and what has no guild.
    check!((tally.silent, tally.unmatched) == (17, 0), "{tally}");
    check!(created == 0, "{created} guilds are created again for the application");
    stage.message_in(0..16)?;
    bot.caught_up().await?;
    stage.verdict().check_once()
}

async fn there_and_back(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let mut bot = stage.start_ready(2, &stores).await?;
    under_load(&stage, &mut bot, 4).await?;
    under_load(&stage, &mut bot, 2).await?;
    let generation = bot.cluster.generation();
    check!(generation.0 == 3, "it is generation {generation}, not 3");
    let plan = stores.plan().ok_or("no plan is kept")?;
    check!((plan.shards, plan.generation.0, plan.reshard) == (2, 3, None), "{plan:?}");
    Ok(())
}

async fn little_room(stage: Stage) -> Result<(), String> {
    let mut limits = ClusterLimits::default();
    (limits.events, limits.unacknowledged) = (2, 2);
    let builder = stage.builder(ShardCount::Exactly(2), &Stores::default())?.limits(limits);
    let mut bot = stage.start(builder).await?;
    bot.all_ready().await?;
    under_load(&stage, &mut bot, 4).await
}

async fn bounded(stage: Stage) -> Result<(), String> {
    let mut config = ClusterConfig::default();
    config.overlap = Duration::from_secs(20);
    // Less than a GUILD_CREATE: nothing can be held back, so sessions may never meet.
    config.held_bytes = 1 << 10;
    let builder = stage.builder(ShardCount::Exactly(2), &Stores::default())?.cluster_config(config);
    let mut bot = stage.start(builder).await?;
    bot.all_ready().await?;
    stage.control(Control::Rate(LOAD))?;
    begin(&mut bot, 4).await?;
    bot.resharded().await?;
    stage.control(Control::Rate(0.0))?;
    stage.message_in(0..16)?;
    bot.caught_up().await?;
    stage.verdict().check_order()
}

async fn lanes(stage: Stage) -> Result<(), String> {
    let bot = stage.start_ready(4, &Stores::default()).await?;
    let handle = bot.cluster.handle();
    let finished: Arc<Mutex<bool>> = Arc::default();
    for mut lane in bot.cluster.lanes(2) {
        let (stage, finished) = (stage.clone(), finished.clone());
        stage.clone().spawn(async move {
            while let Some(item) = lane.next_event().await {
                *lock(&finished) |=
                    matches!(item.event(), ClusterEvent::Reshard(ReshardEvent::Finished { .. }));
                stage.see(&item);
                item.done();
            }
        });
    }
    stage.control(Control::Rate(LOAD))?;
    let asked = stage.within("the answer to a reshard", handle.reshard(ShardCount::Exactly(6))).await?;
    asked.map_err(|error| error.to_string())?;
    stage.until_seen("the end of the reshard", |_| *lock(&finished)).await?;
    stage.control(Control::Rate(0.0))?;
    stage.message_in(0..16)?;
    stage.until_seen("all events", |stage| stage.verdict().0.lost == 0).await?;
    stage.verdict().check_once()
}

async fn old_sessions_end(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let mut bot = stage.start_ready(2, &stores).await?;
    begin(&mut bot, 4).await?;
    bot.resharded().await?;
    let gone = stage.until("the end of the old sessions", |gateway| {
        let sessions = gateway.state()["sessions"].as_array().map_or(0, Vec::len);
        (sessions == 4 && gateway.connections().count() == 4).then_some(())
    });
    bot.meanwhile("the end of the old sessions", gone).await??;
    let closes = stage.server().with(|gateway| gateway.counters().client_closes.clone());
    check!(closes.get(&1000) == Some(&2) && closes.len() == 1, "closed with {closes:?}");
    let new = set((0..4).map(|id| shard(id, 4)));
    bot.meanwhile("the new sessions in the store", stores.until(|it| set(it.sessions()) == new)).await
}

/// A bot of four shards; of eight, the gate holds one back.
async fn held_back(stage: &Stage, stores: &Stores) -> Result<(Bot, BarredGate), String> {
    let gate = BarredGate::new(stage.runtime(), 16, [shard(5, 8)]);
    let builder = stage.builder(ShardCount::Exactly(4), stores)?.gate(Arc::new(gate.clone()));
    let mut bot = stage.start(builder).await?;
    bot.all_ready().await?;
    Ok((bot, gate))
}

async fn abort(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let (mut bot, gate) = held_back(&stage, &stores).await?;
    stage.control(Control::Rate(LOAD))?;
    begin(&mut bot, 8).await?;
    bot.until("a new session", |key, event| {
        let is_new = key.is_some_and(|key| key.generation.0 == 2);
        (is_new && matches!(event, ClusterEvent::Shard(Event::Ready))).then_some(())
    })
    .await?;
    bot.cluster.abort_reshard().map_err(|error| error.to_string())?;
    let reason = aborted(&mut bot).await?;
    check!(reason == ReshardEvent::Aborted(AbortReason::Requested), "{reason:?}");
    gate.open();
    let gone = stage.until("the end of the new sessions", |gateway| {
        let sessions = gateway.state()["sessions"].as_array().map_or(0, Vec::len);
        (sessions == 4 && gateway.connections().count() == 4).then_some(())
    });
    bot.meanwhile("the end of the new sessions", gone).await??;
    // It can be begun again.
    under_load(&stage, &mut bot, 8).await
}

async fn refused(stage: Stage) -> Result<(), String> {
    let mut bot = stage.start_ready(2, &Stores::default()).await?;
    let mut rule = Rule::once(Point::Identify, Action::Close(Some(4014)));
    rule.shard = Some(3);
    stage.control(Control::Rule(rule))?;
    stage.control(Control::Rate(LOAD))?;
    begin(&mut bot, 4).await?;
    let reason = StopReason::Rejected(Rejection::DisallowedIntents);
    let expected = AbortReason::ShardStopped { shard: shard(3, 4), reason };
    let found = aborted(&mut bot).await?;
    check!(found == ReshardEvent::Aborted(expected), "{found:?}");
    stage.control(Control::Rate(0.0))?;
    stage.message_in(0..16)?;
    bot.caught_up().await?;
    check!(bot.cluster.health().healthy() >= 2, "{}", bot.cluster.health());
    stage.verdict().check_once()
}

async fn plan_not_kept(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let mut bot = stage.start_ready(2, &stores).await?;
    stores.refuse_plans(true);
    begin(&mut bot, 4).await?;
    let found = aborted(&mut bot).await?;
    check!(found == ReshardEvent::Aborted(AbortReason::PlanNotKept), "{found:?}");
    check!(stage.starts() == (2, 0), "Identifies and Resumes: {:?}, not 2 and 0", stage.starts());
    stores.refuse_plans(false);
    under_load(&stage, &mut bot, 4).await
}

async fn cutover_not_kept(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let mut bot = stage.start_ready(2, &stores).await?;
    stage.control(Control::Rate(LOAD))?;
    begin(&mut bot, 4).await?;
    phase(&mut bot, ReshardEvent::Preparing { from: 2, to: 4 }).await?;
    stores.refuse_plans(true);
    bot.until("the plan is not kept", |_, event| matches!(event, ClusterEvent::PlanNotKept).then_some(()))
        .await?;
    let plan = stores.plan().ok_or("no plan is kept")?;
    check!(plan.generation.0 == 1, "{plan:?}");
    stores.refuse_plans(false);
    bot.resharded().await?;
    stage.control(Control::Rate(0.0))?;
    bot.caught_up().await?;
    stage.verdict().check_once()
}

async fn voice(stage: Stage) -> Result<(), String> {
    let mut bot = stage.start_ready(2, &Stores::default()).await?;
    stage.control_on(Target::Guild(guild_id(3)), Control::Voice { joins: true })?;
    bot.caught_up().await?;
    begin(&mut bot, 4).await?;
    let mut named = Vec::new();
    bot.until("the end of the reshard", |_, event| match event {
        ClusterEvent::Reshard(ReshardEvent::GuildSwitched { guild, how, voice }) => {
            named.push((*guild, *how, *voice));
            None
        }
        ClusterEvent::Reshard(ReshardEvent::Finished { .. }) => Some(()),
        _ => None,
    })
    .await?;
    check!(named == [(Some(Snowflake(guild_id(3))), Switch::Silent, true)], "{named:?}");
    stage.message_in(0..16)?;
    bot.caught_up().await?;
    stage.verdict().check_once()
}

async fn outage(stage: Stage) -> Result<(), String> {
    let mut bot = stage.start_ready(2, &Stores::default()).await?;
    stage.control(Control::Rate(LOAD))?;
    begin(&mut bot, 4).await?;
    let guild = Target::Guild(guild_id(3));
    let event = |name: &str, data| Control::Event { name: name.to_owned(), data };
    let id = guild_id(3).to_string();
    phase(&mut bot, ReshardEvent::Preparing { from: 2, to: 4 }).await?;
    stage.control_on(guild, event("GUILD_DELETE", json!({"id": id, "unavailable": true})))?;
    phase(&mut bot, ReshardEvent::Overlapping).await?;
    stage
        .control_on(guild, event("GUILD_CREATE", json!({"id": id, "unavailable": false, "name": "back"})))?;
    bot.resharded().await?;
    stage.control(Control::Rate(0.0))?;
    stage.message_in(0..16)?;
    bot.caught_up().await?;
    stage.verdict().check_order()
}

/// Reshards under load, and does this to a session of a generation on the way.
async fn disturbed(stage: &Stage, generation: u32, controls: Vec<Control>) -> Result<Bot, String> {
    let mut bot = stage.start_ready(2, &Stores::default()).await?;
    stage.control(Control::Rate(LOAD))?;
    begin(&mut bot, 4).await?;
    phase(&mut bot, ReshardEvent::Overlapping).await?;
    // Shard 1 of either generation.
    let count = if generation == 1 { 2 } else { 4 };
    let session = stage.session_of(1, count).ok_or("the shard has no session")?;
    for control in controls {
        stage.control_on(Target::Session(session), control)?;
    }
    let tally = bot.resharded().await?;
    stage.control(Control::Rate(0.0))?;
    stage.message_in(0..16)?;
    bot.caught_up().await?;
    check!(tally.unmatched == 0, "{tally}");
    stage.verdict().check_once()?;
    Ok(bot)
}

async fn old_cut_off(stage: Stage) -> Result<(), String> {
    disturbed(&stage, 1, vec![Control::Abort]).await.map(drop)
}

async fn new_cut_off(stage: Stage) -> Result<(), String> {
    disturbed(&stage, 2, vec![Control::Abort]).await.map(drop)
}

async fn falls_silent(stage: Stage) -> Result<(), String> {
    disturbed(&stage, 1, vec![Control::Silence]).await.map(drop)
}

async fn new_session(stage: Stage) -> Result<(), String> {
    let _bot = disturbed(&stage, 2, vec![Control::Invalid { resumable: false }]).await?;
    check!(stage.starts().0 == 7, "{} Identifies, not 7", stage.starts().0);
    Ok(())
}

async fn restarted(stage: Stage) -> Result<(), String> {
    let mut bot = stage.start_ready(2, &Stores::default()).await?;
    stage.control(Control::Rate(LOAD))?;
    begin(&mut bot, 4).await?;
    phase(&mut bot, ReshardEvent::Overlapping).await?;
    bot.cluster.restart(shard(1, 2)).map_err(|error| error.to_string())?;
    bot.resharded().await?;
    stage.control(Control::Rate(0.0))?;
    stage.message_in(0..16)?;
    bot.caught_up().await?;
    check!(stage.starts() == (6, 1), "Identifies and Resumes: {:?}, not 6 and 1", stage.starts());
    stage.verdict().check_once()
}

async fn old_refused(stage: Stage) -> Result<(), String> {
    let mut bot = stage.start_ready(2, &Stores::default()).await?;
    stage.control(Control::Rate(LOAD))?;
    begin(&mut bot, 4).await?;
    phase(&mut bot, ReshardEvent::Overlapping).await?;
    let session = stage.session_of(1, 2).ok_or("the shard has no session")?;
    stage.control_on(Target::Session(session), Control::Close { code: Some(4014) })?;
    bot.resharded().await?;
    stage.control(Control::Rate(0.0))?;
    stage.message_in(0..16)?;
    bot.caught_up().await?;
    stage.verdict().check_order()
}

async fn no_guild(stage: Stage) -> Result<(), String> {
    let mut bot = stage.start_ready(2, &Stores::default()).await?;
    let mut sent = 0;
    let mut direct = || {
        sent += 1;
        let data = json!({"id": sent.to_string(), "channel_id": "7", "content": "a direct message"});
        let event = Control::Event { name: "MESSAGE_CREATE".to_owned(), data };
        stage.control_on(Target::Shard(0), event)
    };
    direct()?;
    begin(&mut bot, 4).await?;
    for step in
        [ReshardEvent::Preparing { from: 2, to: 4 }, ReshardEvent::Overlapping, ReshardEvent::CuttingOver]
    {
        phase(&mut bot, step).await?;
        direct()?;
        direct()?;
    }
    let tally = bot.resharded().await?;
    check!(tally.unmatched == 0, "{tally}");
    direct()?;
    bot.caught_up().await?;
    stage.verdict().check_once()
}

async fn drained(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let (mut bot, gate) = held_back(&stage, &stores).await?;
    stage.control(Control::Rate(LOAD))?;
    begin(&mut bot, 8).await?;
    phase(&mut bot, ReshardEvent::Preparing { from: 4, to: 8 }).await?;
    bot.cluster.drain(Duration::from_secs(600));
    let reason = aborted(&mut bot).await?;
    check!(reason == ReshardEvent::Aborted(AbortReason::Ending), "{reason:?}");
    bot.ended().await?;
    drop(bot);
    gate.open();
    let old = set((0..4).map(|id| shard(id, 4)));
    check!(set(stores.sessions()) == old, "{:?} are kept", stores.sessions());
    let identifies = stage.starts().0;
    let mut bot = stage.start(stage.builder(ShardCount::Recommended, &stores)?).await?;
    bot.all_ready().await?;
    stage.control(Control::Rate(0.0))?;
    stage.message_in(0..16)?;
    bot.caught_up().await?;
    check!(stage.starts().0 == identifies, "{} Identifies after it", stage.starts().0 - identifies);
    stage.verdict().check_once()
}

async fn end_not_kept(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let mut bot = stage.start_ready(2, &stores).await?;
    stage.control(Control::Rate(LOAD))?;
    begin(&mut bot, 4).await?;
    phase(&mut bot, ReshardEvent::CuttingOver).await?;
    stores.refuse_plans(true);
    bot.until("the plan is not kept", |_, event| matches!(event, ClusterEvent::PlanNotKept).then_some(()))
        .await?;
    check!(stage.sessions() == 6, "{} sessions live, not those of both generations", stage.sessions());
    stores.refuse_plans(false);
    bot.resharded().await?;
    stage.control(Control::Rate(0.0))?;
    stage.message_in(0..16)?;
    bot.caught_up().await?;
    stage.verdict().check_once()
}
