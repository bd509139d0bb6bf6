#![doc = include_str!("../README.md")]

mod cluster;
mod live;
mod memory;
mod observation;
mod probe;
mod report;
mod runner;
mod scenario;
mod suite;
mod table;
mod vocabulary;

pub use cluster::{ClusterScenario, cluster_table};
pub use live::Driving;
pub use observation::{ClientAct, Seen, TraceLine};
pub use probe::Probe;
pub use report::{About, Outcome, Report};
pub use runner::Failure;
pub use scenario::{
    ALL, BOTH, ClientAction, DialFault, ETF, Expectation, JSON, Network, PAYLOAD, STREAMS, Scenario, Setup,
    Step, Test, Variant, ZLIB, ZSTD,
};
pub use suite::{Suite, run};
pub use table::table;

/// The vocabulary of scenarios.
pub mod words {
    pub use crate::vocabulary::*;
    pub use crate::{holds, loses, loses_all, sees, send_refused};
    pub use gateway_driver::proto::Event;
}
