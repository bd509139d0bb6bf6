#![cfg_attr(feature = "front", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "front"), doc = "A simulated Discord gateway as a value: see [`Gateway`].")]
// The macro that builds a guild needs it.
#![recursion_limit = "256"]

mod bytes_fault;
mod config;
mod connection;
mod control;
mod etf;
mod faults;
#[cfg(feature = "front")]
mod front;
mod gateway;
mod handshake;
mod intents;
mod ledger;
mod lifecycle;
mod messages;
mod parameters;
mod query;
mod requests;
mod rest;
mod routes;
mod rules;
mod script;
mod session;
mod shapes;
mod timers;
mod trace;
mod traffic;
mod wire;
mod world;

pub use bytes_fault::{ByteEffect, ByteFault, BytePlan, ByteStep};
pub use config::Config;
pub use control::{Control, ControlError, Target};
pub use etf::encode as encode_etf;
#[cfg(feature = "tls")]
pub use front::Tls;
#[cfg(feature = "front")]
pub use front::{Observer, Server, ServerConfig};
pub use gateway::{ClientMessage, ConnectionId, Counters, Gateway, Output};
pub use ledger::{Comparison, Ledger};
pub use parameters::Parameters;
pub use rest::Response;
pub use rules::{Action, Point, Rule};
pub use script::{ScriptStep, When};
pub use trace::{Direction, Record};
pub use wire::{About, FrameMode, KeyOrder, Message};
pub use world::{guild_id, iso8601};
