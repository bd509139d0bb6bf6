//! Once the faults have stopped, every shard is READY within a stated time.

use gateway_proto::health::Phase;

use super::Invariant;
use crate::observation::Observation;
use crate::time::Time;
use crate::world::RECOVERY;

/// An opcode that there is not. The gateway closes a connection over it, so it is a fault of the user.
pub(crate) const UNKNOWN_OPCODE: u64 = 99;

/// For each shard, when it last sent a command of its user that ends the connection.
///
/// Such a command may have waited for READY long after the last fault that was planned.
pub(super) struct Recovery(Vec<Option<Time>>);

impl Recovery {
    pub(super) fn new(shards: usize) -> Self {
        Self(vec![None; shards])
    }
}

impl Invariant for Recovery {
    fn name(&self) -> &'static str {
        "recovery"
    }

    fn observe(&mut self, at: Time, shard: usize, what: &Observation<'_>) -> Result<(), String> {
        let (phase, starts_left) = match what {
            Observation::Sent { op: Some(UNKNOWN_OPCODE), .. } => {
                self.0[shard] = Some(at);
                return Ok(());
            }
            Observation::Calm { refused: false, phase, starts_left } => (phase, *starts_left),
            _ => return Ok(()),
        };
        match phase {
            Some(Phase::Ready) => Ok(()),
            // When the day's session starts are spent, there is nothing to do but to wait.
            Some(Phase::AwaitingIdentify | Phase::AwaitingReady) if !starts_left => Ok(()),
            _ if self.0[shard].is_some_and(|sent| at.since(sent) < RECOVERY) => Ok(()),
            Some(phase) => Err(format!("long after the last fault the shard is still {phase:?}")),
            None => Err("long after the last fault the process does not run".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calm(phase: Phase, starts_left: bool) -> Observation<'static> {
        Observation::Calm { phase: Some(phase), refused: false, starts_left }
    }

    fn sent(op: u64) -> Observation<'static> {
        Observation::Sent { op: Some(op), bytes: 50, session_lives: true }
    }

    #[test]
    fn what_the_user_breaks_may_take_as_long_as_any_fault() {
        let mut rule = Recovery::new(2);
        let check = Time::from_hours(24.0);
        rule.observe(check, 0, &sent(UNKNOWN_OPCODE)).unwrap();
        rule.observe(check, 1, &sent(3)).unwrap();
        let late = check + RECOVERY / 2;
        rule.observe(late, 0, &calm(Phase::BackingOff, true)).unwrap();
        rule.observe(late, 1, &calm(Phase::BackingOff, true)).unwrap_err();
        rule.observe(check + RECOVERY, 0, &calm(Phase::BackingOff, true)).unwrap_err();
    }

    #[test]
    fn without_session_starts_shards_wait_and_do_nothing_else() {
        let (mut rule, now) = (Recovery::new(1), Time::from_hours(24.0));
        for phase in [Phase::AwaitingIdentify, Phase::AwaitingReady] {
            rule.observe(now, 0, &calm(phase, false)).unwrap();
            rule.observe(now, 0, &calm(phase, true)).unwrap_err();
        }
        for phase in [Phase::BackingOff, Phase::Connecting, Phase::AwaitingHello, Phase::Resuming] {
            rule.observe(now, 0, &calm(phase, false)).unwrap_err();
        }
        rule.observe(now, 0, &calm(Phase::Ready, true)).unwrap();
    }
}
