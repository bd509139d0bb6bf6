//! The scenarios.

mod application;
mod back_off;
mod close_codes;
mod closing;
mod commands;
mod compression;
mod connecting;
mod dialing;
mod encodings;
mod envelopes;
mod heartbeats;
mod identifying;
mod invalid_sessions;
mod limits;
mod reconnects;
mod resets;
mod resuming;
mod sessions;
mod upgrades;

use crate::Scenario;

/// All scenarios in the order of their themes.
pub fn table() -> Vec<Scenario> {
    [
        connecting::scenarios(),
        dialing::scenarios(),
        upgrades::scenarios(),
        resets::scenarios(),
        encodings::scenarios(),
        envelopes::scenarios(),
        compression::scenarios(),
        heartbeats::scenarios(),
        identifying::scenarios(),
        sessions::scenarios(),
        resuming::scenarios(),
        reconnects::scenarios(),
        invalid_sessions::scenarios(),
        close_codes::scenarios(),
        closing::scenarios(),
        back_off::scenarios(),
        commands::scenarios(),
        limits::scenarios(),
        application::scenarios(),
    ]
    .concat()
}
