//! Records what happens to a shard, without secrets, and replays it.
//!
//! [`Shard::with_transcript`](crate::Shard::with_transcript) writes one JSON value on each line: first the configuration,
//! then every input with its time, every request of the application, and every output. Times are nanoseconds since the
//! start of the transcript. [`Replay`] reads it and gives the same inputs to a new shard.
//!
//! ```text
//! {"transcript":1,"version":"0.1.0","config":{"shard":[0,1],"intents":513,"tls":true,…}}
//! {"at":0,"said":{"event":"connecting, attempt 0"}}
//! {"at":0,"said":"connect"}
//! {"at":0,"said":{"wait":{"until":10000000000}}}
//! {"at":83000000,"input":"opened"}
//! {"at":84000000,"input":{"message":{"bytes":112,"read":"payload","payload":{"op":10,"d":{"heartbeat_interval":41250}}}}}
//! ```
//!
//! A message is reduced to its opcode, sequence number, name and sizes, and to the data that the shard itself reads: the
//! heartbeat interval, the flag of opcode 9, `retry_after` of RATE_LIMITED. Sessions and guilds are numbered. A
//! transcript contains no token, session ids, URLs, hosts, presences, command data, event content or error texts.
//!
//! ```
//! use std::fs::File;
//! use std::io::{self, BufReader};
//! use std::time::Instant;
//!
//! use gateway_proto::transcript::Replay;
//!
//! fn look_at(path: &str) -> Result<(), Box<dyn std::error::Error>> {
//!     for step in Replay::new(BufReader::new(File::open(path)?), Instant::now())? {
//!         let step = step?;
//!         println!("{step}");
//!         if step.differs() {
//!             println!("this version of the library does something else");
//!             break;
//!         }
//!     }
//!     Ok(())
//! }
//! ```

mod line;
pub(crate) mod record;
mod recorded_output;
mod replay;

pub use recorded_output::RecordedOutput;
pub use replay::{Replay, Step, TranscriptError};
