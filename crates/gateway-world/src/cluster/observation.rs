//! What the rules of a cluster are shown.

use gateway_cluster::{ClusterEvent, ShardKey};

/// One thing that happened to a cluster. A guild is named by its id; 0 stands for what has no guild.
#[derive(Debug)]
pub enum ClusterObservation<'a> {
    /// A process of the cluster begins.
    Began {
        /// It goes on with a cutover that an earlier process has begun.
        cutting_over: bool,
    },
    /// Something happened at the gateway.
    Happened {
        /// Its number, which grows.
        event: u64,
        /// Where.
        guild: u64,
        /// The sessions that owe it to the application: those that it was dispatched to and that are in charge of the guild.
        owed_by: &'a [u64],
    },
    /// The application was given something that happened.
    Delivered {
        /// Its number.
        event: u64,
        /// Where it happened.
        guild: u64,
        /// Which shard it came from.
        by: ShardKey,
    },
    /// The application has dealt with something that happened.
    Handled {
        /// Its number.
        event: u64,
        /// Where it happened.
        guild: u64,
    },
    /// A session is over although the cluster has not ended it, and what it still had is lost with it.
    SessionLost {
        /// The session.
        session: u64,
    },
    /// The cluster tells the application something.
    Told(&'a ClusterEvent),
    /// The cluster starts a shard.
    Started {
        /// The shard.
        key: ShardKey,
        /// With a session to resume.
        resuming: bool,
        /// A session of this shard is stored, and lives at the gateway.
        could_resume: bool,
        /// The shard runs already.
        runs: bool,
        /// The plan has such a shard.
        planned: bool,
    },
    /// The cluster shuts a shard down.
    ShutDown {
        /// The shard.
        key: ShardKey,
        /// It runs, and was not shut down before.
        runs: bool,
    },
    /// A shard sends Identify.
    Identified {
        /// The shard.
        key: ShardKey,
        /// `max_concurrency` of the gateway.
        max_concurrency: u32,
    },
    /// The application asks where commands for a guild go to.
    Sender {
        /// The guild.
        guild: u64,
        /// The answer.
        key: ShardKey,
        /// What is at the other end.
        standing: Standing,
    },
    /// What is held back and what waits, after an input.
    Sizes {
        /// Bytes of events that a reshard holds back.
        held: usize,
        /// How many it may.
        held_bound: usize,
        /// Events that wait for the application.
        waiting: usize,
        /// How many may.
        waiting_bound: usize,
    },
    /// The faults have stopped for as long as everything may take.
    Calm {
        /// A process runs.
        runs: bool,
        /// It reshards.
        resharding: bool,
        /// How many shards do not run although nothing was told of them.
        missing: usize,
        /// How many dispatches were given out or held back long ago, and are neither handled nor discarded.
        outstanding: usize,
    },
}

/// What is at the other end of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A shard that runs.
    Runs,
    /// A shard that waits for its turn to start.
    Waits,
    /// A shard that has stopped for good, which the application was told.
    Stopped,
    /// A shard that was handed over.
    HandedOver,
    /// None of these.
    Dead,
}
