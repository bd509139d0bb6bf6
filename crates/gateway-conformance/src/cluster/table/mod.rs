//! All scenarios of clusters, by what they are about.

mod bad_input;
mod crashes;
mod delivery;
mod members;
mod operations;
mod resharding;
mod starting;

use gateway_cluster::{ClusterEvent, RequestError, ReshardEvent, ShardCount};
use gateway_driver::proto::ShardId;

use super::ClusterScenario;
use super::bot::Bot;

/// Fails the scenario with this sentence unless the condition holds.
macro_rules! check {
    ($condition:expr, $($sentence:tt)+) => {
        if !$condition {
            return Err(format!($($sentence)+));
        }
    };
}
use check;

/// A table: name, rule, function, and how the gateway differs from the usual, each ended by a semicolon.
macro_rules! scenarios {
    ($($name:literal, $rule:expr, $play:path $(, $gateway:expr)?;)*) => {
        vec![$(
            ClusterScenario::new($name, $rule, |stage| Box::pin($play(stage)))$(.gateway($gateway))?
        ),*]
    };
}
use scenarios;

/// Events a second over all guilds, by the gateway's clock, which runs fast: enough for some in each phase of a reshard.
const LOAD: f64 = 6.0;

/// Every scenario of clusters. Their order is that of the matrix.
pub fn cluster_table() -> Vec<ClusterScenario> {
    [
        starting::table(),
        delivery::table(),
        operations::table(),
        members::table(),
        resharding::table(),
        crashes::table(),
        bad_input::table(),
    ]
    .concat()
}

/// A shard of so many.
fn shard(id: u32, count: u32) -> ShardId {
    ShardId::new(id, count).expect("the scenario names a shard that there is")
}

/// Asks for a reshard, and takes events until there is an answer.
async fn reshard(bot: &mut Bot, count: ShardCount) -> Result<Result<(), RequestError>, String> {
    let handle = bot.cluster.handle();
    bot.meanwhile("the answer to a reshard", handle.reshard(count)).await
}

/// Takes events until a reshard is aborted.
async fn aborted(bot: &mut Bot) -> Result<ReshardEvent, String> {
    bot.until("the reshard is aborted", |_, event| match event {
        ClusterEvent::Reshard(event @ ReshardEvent::Aborted(_)) => Some(event.clone()),
        _ => None,
    })
    .await
}
