//! How an application ends a shard or its connection.

/// How to shut a shard down. Exhaustive: the session is kept or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shutdown {
    /// Keep the session on the server (close code 4000). A later process can resume it with
    /// [`Shard::session`](crate::Shard::session).
    ///
    /// Dispatches that arrive after this are neither delivered nor counted; that Resume replays them.
    Resumable,
    /// End the session (close code 1000). The bot goes offline immediately.
    LogOff,
}

/// How to reconnect. Exhaustive: with the session or without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reconnect {
    /// Resume the session, if there is one.
    Resume,
    /// Start a new session. Uses one Identify.
    Fresh,
}
