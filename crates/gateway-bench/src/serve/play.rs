//! The small events: connections wait until all have their READY, then receive events in turns.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::connection::Connection;
use super::prepared::{Prepared, share};
use super::{Extent, Sent, Shared, spawn};
use crate::mode::Mode;

/// Opcode 11, see
/// [Discord Docs, Gateway > Sending Heartbeats](https://discord.com/developers/docs/events/gateway#sending-heartbeats).
const ACKNOWLEDGEMENT: &[u8] = br#"{"t":null,"s":null,"op":11,"d":null}"#;

/// A connection that has sent its READY.
pub(super) struct Player {
    pub(super) connection: Connection,
    pub(super) mode: Mode,
}

/// The connections that wait for the others.
pub(super) struct Stage {
    waiting: Mutex<Vec<Player>>,
    enough: usize,
}

impl Stage {
    pub(super) fn new(enough: usize) -> Self {
        Self { waiting: Mutex::new(Vec::new()), enough }
    }

    /// Adds a connection. Returns all of them if it completes the number.
    fn join(&self, player: Player) -> Option<Vec<Player>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(player);
        (waiting.len() >= self.enough).then(|| std::mem::take(&mut *waiting))
    }
}

impl Player {
    /// Continues as the options determine, until the client disconnects.
    pub(super) fn play(self, shared: &Arc<Shared>) -> io::Result<()> {
        if shared.options.extent != Extent::Events {
            return self.rest(shared);
        }
        let Some(mut players) = shared.stage.join(self) else { return Ok(()) };
        let sent = take_turns(&mut players, shared)?;
        // Fails if the receiver was dropped.
        let _ = shared.sent.send(sent);
        for player in players {
            let shared = shared.clone();
            spawn(move || {
                let _ = player.rest(&shared);
            })?;
        }
        Ok(())
    }

    /// Keeps the connection open until the client disconnects.
    fn rest(self, shared: &Shared) -> io::Result<()> {
        let acknowledges = shared.options.heartbeat_ms.and(shared.frames.get(&self.mode));
        let acknowledgement = acknowledges.map(|prepared| prepared.message(ACKNOWLEDGEMENT));
        self.connection.read_to_end(acknowledgement.as_deref())
    }
}

/// Sends each connection its share, one burst at a time.
fn take_turns(players: &mut [Player], shared: &Shared) -> io::Result<Sent> {
    let (share, burst) = (share(&shared.options)?, shared.options.burst);
    let (start, mut bytes, mut done) = (Instant::now(), 0, 0);
    let prepared = |mode: Mode| -> io::Result<&Prepared> {
        shared.frames.get(&mode).ok_or_else(|| io::Error::other("a mode that is not served"))
    };
    while done < share {
        let end = share.min(done.saturating_add(burst));
        for player in &mut *players {
            let messages = prepared(player.mode)?.events(done..end);
            player.connection.write(messages)?;
            bytes += messages.len();
        }
        done = end;
    }
    Ok(Sent {
        mode: players.first().map(|player| player.mode.to_string()).unwrap_or_default(),
        connections: players.len(),
        events: share * players.len(),
        bytes,
        seconds: start.elapsed().as_secs_f64(),
    })
}
