//! What happened to a shard, as a file without secrets, and the same life once more from that file.
//!
//! [`Shard::with_transcript`](crate::Shard::with_transcript) writes one JSON value on each line: first how the shard was set
//! up, then every input with its time, every request of the application, and every output. Times are nanoseconds since the
//! beginning. [`Replay`] reads it and lets a fresh shard live the same life.
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
//! Of a message it keeps opcode, sequence number, name and sizes, and of its data only what the shard itself reads: the
//! heartbeat interval, the flag of opcode 9, `retry_after` of RATE_LIMITED. Sessions and guilds are numbered. Not in it are the
//! token, session ids, URLs and hosts, presences, the data of commands, the content of events, and the texts of errors.
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
mod replay;
mod said;

pub use replay::{Replay, Step, TranscriptError};
pub use said::Said;
