//! What a process that starts after a crash makes of what it finds.

use std::sync::Arc;

use gateway_cluster::{AbortReason, ClusterEvent, ReshardEvent, ShardCount};
use gateway_driver::proto::{Event, Shutdown};
use gateway_sim::Control;

use super::{LOAD, check, reshard, scenarios, shard};
use crate::cluster::ClusterScenario;
use crate::cluster::bot::Bot;
use crate::cluster::gate::BarredGate;
use crate::cluster::stage::{Stage, set};
use crate::cluster::stores::Stores;

const CRASH: &str =
    "discord.py#2283, nextcord#126: a Resume in another process; Discord Docs, Gateway > Preparing to Resume";
const PHASES: &str = "discord-hybrid-sharding#93: after a reshard, a process that starts has the old count";

pub(super) fn table() -> Vec<ClusterScenario> {
    scenarios![
        "a-crash-under-load-loses-nothing", CRASH, plain;
        "a-crash-while-preparing-leaves-the-old-generation-in-charge", PHASES, preparing;
        "a-crash-while-overlapping-leaves-the-old-generation-in-charge", PHASES, overlapping;
        "a-crash-while-cutting-over-goes-on-with-both-generations", PHASES, cutting_over;
        "a-shutdown-while-cutting-over-goes-on-with-both-generations", PHASES, shut_down;
        "a-crash-after-a-reshard-goes-on-with-the-new-generation", PHASES, finished;
    ]
}

/// The process crashes now: what is written later is not there for the next.
async fn crash(stage: &Stage, bot: Bot, stores: &Stores) -> Result<Stores, String> {
    let stores = stores.after_a_crash();
    drop(bot);
    stage.disconnected().await?;
    Ok(stores)
}

/// Takes what there is after a crash, and sees that nothing is lost.
async fn nothing_lost(stage: &Stage, bot: &mut Bot) -> Result<(), String> {
    stage.control(Control::Rate(0.0))?;
    stage.message_in(0..16)?;
    bot.caught_up().await?;
    stage.verdict().check_order()
}

async fn plain(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let mut bot = stage.start_ready(4, &stores).await?;
    let all = set((0..4).map(|id| shard(id, 4)));
    bot.meanwhile("the sessions in the store", stores.until(|it| set(it.sessions()) == all)).await?;
    stage.control(Control::Rate(LOAD))?;
    let mut events = 0;
    bot.until("twenty events", |_, event| {
        events += u32::from(matches!(event, ClusterEvent::Shard(Event::Dispatch(_))));
        (events == 20).then_some(())
    })
    .await?;
    let stores = crash(&stage, bot, &stores).await?;
    let mut bot = stage.start_ready(4, &stores).await?;
    nothing_lost(&stage, &mut bot).await?;
    check!(stage.starts() == (4, 4), "Identifies and Resumes: {:?}, not 4 and 4", stage.starts());
    Ok(())
}

/// A bot of four shards under load with kept sessions, and its stores. Of eight shards, the gate holds one back.
async fn under_load(stage: &Stage) -> Result<(Bot, Stores, BarredGate), String> {
    let stores = Stores::default();
    let gate = BarredGate::new(stage.runtime(), 16, [shard(5, 8)]);
    let builder = stage.builder(ShardCount::Exactly(4), &stores)?.gate(Arc::new(gate.clone()));
    let mut bot = stage.start(builder).await?;
    bot.all_ready().await?;
    let all = set((0..4).map(|id| shard(id, 4)));
    bot.meanwhile("the sessions in the store", stores.until(|it| set(it.sessions()) == all)).await?;
    stage.control(Control::Rate(LOAD))?;
    reshard(&mut bot, ShardCount::Exactly(8)).await?.map_err(|error| error.to_string())?;
    Ok((bot, stores, gate))
}

/// Starts the bot again with the recommended number, so that the kept plan tells it.
async fn again(stage: &Stage, stores: &Stores) -> Result<Bot, String> {
    stage.start(stage.builder(ShardCount::Recommended, stores)?).await
}

/// After a crash before the cutover the old generation resumes, and the reshard is aborted.
async fn old_in_charge(stage: &Stage, stores: &Stores) -> Result<(), String> {
    let before = stage.starts();
    let mut bot = again(stage, stores).await?;
    let mut aborted = None;
    bot.until("all shards are ready", |_, event| {
        if let ClusterEvent::Reshard(event) = event {
            aborted = Some(event.clone());
        }
        matches!(event, ClusterEvent::AllReady).then_some(())
    })
    .await?;
    check!(aborted == Some(ReshardEvent::Aborted(AbortReason::Restarted)), "{aborted:?}");
    check!(bot.cluster.shards() == 4, "there are {} shards, not 4", bot.cluster.shards());
    nothing_lost(stage, &mut bot).await?;
    let now = stage.starts();
    check!(now == (before.0, before.1 + 4), "Identifies and Resumes: {now:?} after {before:?}");
    let old = set((0..4).map(|id| shard(id, 4)));
    let settled =
        stores.until(|it| set(it.sessions()) == old && it.plan().is_some_and(|plan| plan.reshard.is_none()));
    bot.meanwhile("the old generation alone in the store", settled).await
}

async fn preparing(stage: Stage) -> Result<(), String> {
    let (mut bot, stores, _gate) = under_load(&stage).await?;
    bot.until("a new session", |key, event| {
        let is_new = key.is_some_and(|key| key.generation.0 == 2);
        (is_new && matches!(event, ClusterEvent::Shard(Event::Ready))).then_some(())
    })
    .await?;
    let stores = crash(&stage, bot, &stores).await?;
    old_in_charge(&stage, &stores).await
}

/// Takes events until the reshard is in this phase.
async fn phase(bot: &mut Bot, phase: ReshardEvent) -> Result<(), String> {
    bot.until(&phase.to_string(), |_, event| match event {
        ClusterEvent::Reshard(found) if *found == phase => Some(()),
        _ => None,
    })
    .await
}

async fn overlapping(stage: Stage) -> Result<(), String> {
    let (mut bot, stores, gate) = under_load(&stage).await?;
    phase(&mut bot, ReshardEvent::Preparing { from: 4, to: 8 }).await?;
    // The cutover does not begin before its plan is kept.
    stores.refuse_plans(true);
    gate.open();
    phase(&mut bot, ReshardEvent::Overlapping).await?;
    let stores = crash(&stage, bot, &stores).await?;
    old_in_charge(&stage, &stores).await
}

/// After a crash within the cutover both generations resume, and the reshard ends.
async fn goes_on(stage: &Stage, stores: &Stores) -> Result<(), String> {
    let identifies = stage.starts().0;
    let mut bot = again(stage, stores).await?;
    bot.resharded().await?;
    nothing_lost(stage, &mut bot).await?;
    check!(bot.cluster.shards() == 8, "there are {} shards, not 8", bot.cluster.shards());
    let now = stage.starts().0;
    check!(now == identifies, "{} Identifies after the crash", now - identifies);
    let new = set((0..8).map(|id| shard(id, 8)));
    let settled = stores.until(|it| {
        set(it.sessions()) == new && it.plan().is_some_and(|plan| plan.shards == 8 && plan.reshard.is_none())
    });
    bot.meanwhile("the new generation alone in the store", settled).await
}

async fn cutting_over(stage: Stage) -> Result<(), String> {
    let (mut bot, stores, gate) = under_load(&stage).await?;
    gate.open();
    phase(&mut bot, ReshardEvent::CuttingOver).await?;
    let stores = crash(&stage, bot, &stores).await?;
    goes_on(&stage, &stores).await
}

async fn shut_down(stage: Stage) -> Result<(), String> {
    let (mut bot, stores, gate) = under_load(&stage).await?;
    gate.open();
    phase(&mut bot, ReshardEvent::CuttingOver).await?;
    bot.cluster.shutdown(Shutdown::Resumable);
    bot.ended().await?;
    drop(bot);
    stage.disconnected().await?;
    goes_on(&stage, &stores).await
}

async fn finished(stage: Stage) -> Result<(), String> {
    let (mut bot, stores, gate) = under_load(&stage).await?;
    gate.open();
    bot.resharded().await?;
    let stores = crash(&stage, bot, &stores).await?;
    let identifies = stage.starts().0;
    let mut bot = again(&stage, &stores).await?;
    bot.all_ready().await?;
    nothing_lost(&stage, &mut bot).await?;
    check!(bot.cluster.shards() == 8, "there are {} shards, not 8", bot.cluster.shards());
    let now = stage.starts().0;
    check!(now == identifies, "{} Identifies after the crash", now - identifies);
    Ok(())
}
