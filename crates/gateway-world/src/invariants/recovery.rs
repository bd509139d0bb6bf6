//! Once the faults have stopped, every shard is READY within a stated time.

use gateway_proto::health::Phase;

use super::Rule;
use crate::observation::Observation;
use crate::plan::RECOVERY;
use crate::time::Time;

/// An opcode that there is not. The gateway closes a connection over it, so it is a fault of the user.
pub(crate) const UNKNOWN_OPCODE: u64 = 99;

/// When the shard last sent a command of its user that ends the connection.
///
/// Such a command may have waited for READY long after the last fault that was planned.
#[derive(Default)]
pub(super) struct Recovery(Option<Time>);

impl Rule for Recovery {
    const NAME: &'static str = "recovery";

    fn observe(&mut self, at: Time, what: &Observation<'_>) -> Result<(), String> {
        let (phase, starts_left) = match what {
            Observation::Sent { op: Some(UNKNOWN_OPCODE), .. } => {
                self.0 = Some(at);
                return Ok(());
            }
            Observation::Calm { refused: false, phase, starts_left } => (phase, *starts_left),
            _ => return Ok(()),
        };
        match phase {
            Some(Phase::Ready) => Ok(()),
            // When the day's session starts are spent, there is nothing to do but to wait.
            Some(Phase::AwaitingIdentify | Phase::AwaitingReady) if !starts_left => Ok(()),
            _ if self.0.is_some_and(|sent| at.since(sent) < RECOVERY) => Ok(()),
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
        let [mut at_fault, mut other] = [Recovery::default(), Recovery::default()];
        let check = Time::from_hours(24.0);
        at_fault.observe(check, &sent(UNKNOWN_OPCODE)).unwrap();
        other.observe(check, &sent(3)).unwrap();
        let late = check + RECOVERY / 2;
        at_fault.observe(late, &calm(Phase::BackingOff, true)).unwrap();
        other.observe(late, &calm(Phase::BackingOff, true)).unwrap_err();
        at_fault.observe(check + RECOVERY, &calm(Phase::BackingOff, true)).unwrap_err();
    }

    #[test]
    fn without_session_starts_shards_wait_and_do_nothing_else() {
        let (mut rule, now) = (Recovery::default(), Time::from_hours(24.0));
        for phase in [Phase::AwaitingIdentify, Phase::AwaitingReady] {
            rule.observe(now, &calm(phase, false)).unwrap();
            rule.observe(now, &calm(phase, true)).unwrap_err();
        }
        for phase in [Phase::BackingOff, Phase::Connecting, Phase::AwaitingHello, Phase::Resuming] {
            rule.observe(now, &calm(phase, false)).unwrap_err();
        }
        rule.observe(now, &calm(Phase::Ready, true)).unwrap();
    }
}
