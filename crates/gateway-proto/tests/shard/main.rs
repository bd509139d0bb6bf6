//! The shard on a virtual clock, with one file for each theme. `FAULTS.md` in the parent folder names the test for each
//! reported fault.

#[path = "../support/mod.rs"]
mod support;

mod back_off;
mod close_codes;
mod commands;
mod config;
mod dispatches;
mod documents;
mod ending;
mod every_input;
mod failed_resumes;
#[cfg(all(feature = "zlib", feature = "zstd"))]
mod formats;
mod golden;
mod health;
mod heartbeat;
mod hostile_text;
mod identify;
mod invalid_session;
mod liveness;
mod properties;
mod reconnect;
mod resume;
mod resume_url;
mod saved_sessions;
mod sequence_numbers;
mod slow_messages;
mod timeouts;
