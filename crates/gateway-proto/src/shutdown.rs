//! How an application ends a shard, or its connection.

/// How to shut a shard down. Exhaustive: the session stays or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shutdown {
    /// Leave the session alive on the server (close code 4000), to be resumed with
    /// [`Shard::session`](crate::Shard::session) in a later process.
    ///
    /// Dispatches that arrive from now on are neither delivered nor counted: that Resume replays them.
    Resumable,
    /// End the session (close code 1000): the bot goes offline at once.
    LogOff,
}

/// How to connect anew. Exhaustive: with the session or without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reconnect {
    /// Resume the session, if there is one.
    Resume,
    /// Begin a new session. Costs an Identify.
    Fresh,
}
