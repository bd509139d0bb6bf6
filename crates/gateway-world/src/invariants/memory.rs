//! Memory is bounded: what waits in a shard, what one input leads to, and the heap of the whole world.

use super::Rule;
use crate::observation::Observation;
use crate::time::Time;

/// [`gateway_proto::config::ShardLimits::queued_commands`].
const QUEUED_COMMANDS: usize = 1000;
/// One input empties the queue of commands at most, and says a little besides.
const OUTPUTS: usize = 1100;
/// What the world takes without shards, in bytes.
const WORLD: usize = 16 << 20;
/// What a shard takes together with its end of the gateway: contexts of compression, replay, what is on its way.
const SHARD: usize = 1 << 20;

/// What has come out since the last input.
#[derive(Default)]
pub(super) struct Memory(usize);

impl Rule for Memory {
    const NAME: &'static str = "memory";

    fn observe(&mut self, _: Time, what: &Observation<'_>) -> Result<(), String> {
        match what {
            Observation::Settled => self.0 = 0,
            Observation::Output(_) | Observation::Sent { .. } => {
                self.0 += 1;
                if self.0 > OUTPUTS {
                    return Err(format!("one input led to more than {OUTPUTS} outputs"));
                }
            }
            Observation::Queued { commands } if *commands > QUEUED_COMMANDS => {
                return Err(format!("{commands} commands wait"));
            }
            Observation::Heap { bytes, shards } if *bytes > WORLD + *shards as usize * SHARD => {
                return Err(format!("{bytes} bytes are in use for {shards} shards"));
            }
            _ => {}
        }
        Ok(())
    }
}
