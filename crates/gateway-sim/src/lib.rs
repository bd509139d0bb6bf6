#![cfg_attr(feature = "front", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "front"), doc = "A simulated Discord gateway as a value: see [`Gateway`].")]
// The macro that builds a guild needs this limit.
#![recursion_limit = "256"]

mod byte_connection;
mod bytes_fault;
mod commands;
mod config;
mod connection;
mod control;
mod control_error;
mod control_parser;
mod counters;
mod etf;
mod faults;
mod frames;
mod framing;
#[cfg(feature = "front")]
mod front;
mod gateway;
mod http;
mod identify_gate;
mod intents;
mod io;
mod ledger;
mod message;
mod parameters;
mod response;
mod rest;
mod routes;
mod rules;
mod script;
mod session;
mod sessions;
mod shapes;
mod switchboard;
mod timers;
mod trace;
mod traffic;
mod websocket;
mod wire;
mod world;

pub use byte_connection::ByteConnection;
pub use bytes_fault::{ByteEffect, ByteFault, BytePlan, ByteStep};
pub use config::Config;
pub use control::{Control, Target};
pub use control_error::ControlError;
pub use counters::Counters;
pub use etf::encode as encode_etf;
pub use frames::frame;
pub use framing::{FrameMode, KeyOrder};
#[cfg(feature = "tls")]
pub use front::Tls;
#[cfg(feature = "front")]
pub use front::{Observer, ReservedPort, Server, ServerConfig};
pub use gateway::Gateway;
pub use http::{Request, switching_protocols};
pub use io::{ClientMessage, ConnectionId, Output};
pub use ledger::{Comparison, EventComparison, Ledger, LedgerEvent};
pub use message::{About, Message};
pub use parameters::Parameters;
pub use response::Response;
pub use rules::{Action, Point, Rule};
pub use script::{ScriptStep, When};
pub use trace::{Direction, Record};
pub use websocket::{FromClient, WebSocketServer};
pub use world::{guild_id, iso8601};
