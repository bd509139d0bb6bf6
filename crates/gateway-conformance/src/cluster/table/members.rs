//! Requests for members, which outlive what they were sent on.

use gateway_cluster::{MembersError, ShardCount};
use gateway_driver::proto::command::{MemberSelection, RequestGuildMembers};
use gateway_driver::proto::{Dispatch, Intents, Shutdown, Snowflake};
use gateway_sim::{Control, Target};

use super::{check, scenarios};
use crate::cluster::ClusterScenario;
use crate::cluster::bot::Bot;
use crate::cluster::stage::Stage;
use crate::cluster::stores::Stores;

const CHUNKS: &str =
    "Discord Docs, Gateway Events > Request Guild Members: answered by one or more GUILD_MEMBERS_CHUNK";
const LIMITED: &str = "Discord Docs, Gateway Events > Request Guild Members: one request a guild and 30 s; RATE_LIMITED says when";
const NONE: &str =
    "Discord Docs, Gateway Events > Request Guild Members: without GUILD_MEMBERS nothing answers";

pub(super) fn table() -> Vec<ClusterScenario> {
    scenarios![
        "members-are-answered-in-order", CHUNKS, answered, |config| {
            (config.guilds, config.members) = (2, 2500);
        };
        "members-are-answered-over-a-new-session", CHUNKS, new_session;
        "members-are-answered-over-a-reshard", CHUNKS, over_reshard;
        "members-wait-for-the-rate-limit", LIMITED, rate_limited;
        "members-end-with-the-cluster", NONE, ended;
    ]
}

/// Guild 1, which shard 1 of two or four has.
fn guild() -> Snowflake {
    Snowflake(gateway_sim::guild_id(1))
}

fn everyone() -> RequestGuildMembers {
    RequestGuildMembers::new(guild(), MemberSelection::Everyone)
}

/// A bot of two shards, with this intent of members or without.
async fn start(stage: &Stage, members: bool) -> Result<Bot, String> {
    let mut config = stage.config();
    // Presences bring all members with the guild, which is much.
    if members {
        config.intents = Intents::GUILDS | Intents::GUILD_MEMBERS;
    }
    let builder = stage.builder_with(config, ShardCount::Exactly(2), &Stores::default())?;
    let builder = builder.configure(|shard, config| {
        // The privilege comes with the reshard.
        if shard.count() > 2 {
            config.intents |= Intents::GUILD_MEMBERS;
        }
    });
    let mut bot = stage.start(builder).await?;
    bot.all_ready().await?;
    Ok(bot)
}

/// The number of members in these chunks.
fn members_in(chunks: &[Dispatch]) -> usize {
    let of_chunk =
        |chunk: &Dispatch| chunk.data().get("members").map_or(0, |members| members.elements().count());
    chunks.iter().map(of_chunk).sum()
}

async fn answered(stage: Stage) -> Result<(), String> {
    let mut bot = start(&stage, true).await?;
    let handle = bot.cluster.handle();
    let answer = bot.meanwhile("the members", handle.members(everyone())).await?;
    let chunks = answer.map_err(|error| error.to_string())?;
    let indexes: Vec<Option<u64>> =
        chunks.iter().map(|chunk| chunk.data().get("chunk_index")?.decode().ok()).collect();
    check!(indexes == [Some(0), Some(1), Some(2)], "chunks {indexes:?}");
    check!(members_in(&chunks) == 2500, "{} members, not 2500", members_in(&chunks));
    Ok(())
}

async fn new_session(stage: Stage) -> Result<(), String> {
    let mut bot = start(&stage, true).await?;
    bot.caught_up().await?;
    let session = stage.audit().session(bot.cluster.shard_of(guild())).ok_or("the shard has no session")?;
    let connection = stage
        .server()
        .with(|gateway| gateway.connections().find(|id| gateway.session_of(*id) == Some(session)))
        .ok_or("the session has no connection")?;
    // The gateway takes the request, and its answer is lost with the session.
    stage.control_on(Target::Session(session), Control::Silence)?;
    let handle = bot.cluster.handle();
    let answer = async {
        let lost = async {
            stage.until("the request", |_| (!stage.said(8).is_empty()).then_some(())).await?;
            // In this order, since the shard resumes at once.
            stage.control_on(Target::Session(session), Control::Expire)?;
            stage.control_on(Target::Connection(connection), Control::Abort)
        };
        both(handle.members(everyone()), lost).await
    };
    let (answer, lost) = bot.meanwhile("the members", answer).await?;
    lost?;
    let chunks = answer.map_err(|error| error.to_string())?;
    check!(members_in(&chunks) == 2, "{} members, not 2", members_in(&chunks));
    check!(stage.starts().0 == 3, "{} Identifies, not 3", stage.starts().0);
    Ok(())
}

/// Both results, whichever is there first.
async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    let (mut first, mut second) = (None, None);
    std::future::poll_fn(|context| {
        use std::task::Poll::{Pending, Ready};
        if first.is_none()
            && let Ready(result) = one.as_mut().poll(context)
        {
            first = Some(result);
        }
        if second.is_none()
            && let Ready(result) = other.as_mut().poll(context)
        {
            second = Some(result);
        }
        match (first.take(), second.take()) {
            (Some(one), Some(other)) => Ready((one, other)),
            (one, other) => {
                (first, second) = (one, other);
                Pending
            }
        }
    })
    .await
}

async fn over_reshard(stage: Stage) -> Result<(), String> {
    // The old shards lack the intent, so only the new generation is answered.
    let mut bot = start(&stage, false).await?;
    let handle = bot.cluster.handle();
    let answer = async {
        let resharding = async {
            stage.until("the request", |_| (!stage.said(8).is_empty()).then_some(())).await?;
            handle.reshard(ShardCount::Exactly(4)).await.map_err(|error| error.to_string())
        };
        both(handle.members(everyone()), resharding).await
    };
    let (answer, resharding) = bot.meanwhile("the members", answer).await?;
    resharding?;
    let chunks = answer.map_err(|error| error.to_string())?;
    check!(members_in(&chunks) == 2, "{} members, not 2", members_in(&chunks));
    let key = bot.cluster.shard_of(guild());
    check!(key.generation.0 == 2, "it is answered while shard {key} is in charge");
    Ok(())
}

async fn rate_limited(stage: Stage) -> Result<(), String> {
    let mut bot = start(&stage, true).await?;
    let handle = bot.cluster.handle();
    for _ in 0..2 {
        let answer = bot.meanwhile("the members", handle.members(everyone())).await?;
        let chunks = answer.map_err(|error| error.to_string())?;
        check!(members_in(&chunks) == 2, "{} members, not 2", members_in(&chunks));
    }
    Ok(())
}

async fn ended(stage: Stage) -> Result<(), String> {
    let mut bot = start(&stage, false).await?;
    let handle = bot.cluster.handle();
    let answer = async {
        let ending = async {
            stage.until("the request", |_| (!stage.said(8).is_empty()).then_some(())).await?;
            handle.shutdown(Shutdown::Resumable);
            Ok::<(), String>(())
        };
        both(handle.members(everyone()), ending).await
    };
    let (answer, ending) = bot.meanwhile("the end of the request", answer).await?;
    ending?;
    check!(matches!(answer, Err(MembersError::Ended)), "{answer:?}");
    Ok(())
}
