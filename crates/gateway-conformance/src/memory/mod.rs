//! Scenarios in memory, on a virtual clock: the state machine over messages, and over bytes.

mod byte_client;
mod client;
mod message_client;
mod pipe;
mod server_bytes;
mod simulation;

pub(crate) use byte_client::{OneByteAtATime, WholeReads};
pub(crate) use client::Client;
pub(crate) use message_client::MessageClient;
pub(crate) use simulation::{Simulation, refused, through_a_file, wall_clock};
