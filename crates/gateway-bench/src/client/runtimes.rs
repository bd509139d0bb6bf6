//! Our shards on each runtime, all on the current thread.

use std::sync::Arc;

use ::smol::{LocalExecutor, Timer, block_on};
use gateway_async_std::{AsyncStdRuntime, async_std as runtime_of_async_std};
use gateway_smol::SmolRuntime;
use gateway_tokio::TokioRuntime;

use super::course::Course;
use super::{ClientOptions, ours};

pub(super) fn tokio(options: &ClientOptions, course: &Arc<Course>) -> Result<(), String> {
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        for shard in ours::shards::<TokioRuntime>(options, course)? {
            ::tokio::spawn(shard.run());
        }
        course.watch(options, async |time| ::tokio::time::sleep(time).await).await
    })
}

pub(super) fn smol(options: &ClientOptions, course: &Arc<Course>) -> Result<(), String> {
    let executor = LocalExecutor::new();
    block_on(executor.run(async {
        for shard in ours::shards::<SmolRuntime>(options, course)? {
            executor.spawn(shard.run()).detach();
        }
        course
            .watch(options, async |time| {
                Timer::after(time).await;
            })
            .await
    }))
}

/// On a local executor: the global one of the runtime has a thread for each processor, and the other contenders have one thread.
pub(super) fn async_std(options: &ClientOptions, course: &Arc<Course>) -> Result<(), String> {
    let executor = LocalExecutor::new();
    runtime_of_async_std::task::block_on(executor.run(async {
        for shard in ours::shards::<AsyncStdRuntime>(options, course)? {
            executor.spawn(shard.run()).detach();
        }
        course.watch(options, async |time| runtime_of_async_std::task::sleep(time).await).await
    }))
}
