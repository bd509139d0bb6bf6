//! With the default timeouts every shard is READY within [`RECOVERY_BY_DEFAULT`] after the last fault, whatever that was.

mod liar;

use std::time::Duration;

use gateway_proto::ShardConfig;
use gateway_proto::config::Timeouts;
use gateway_sim::{Action, Point};
use gateway_world::{
    Cycle, Fault, Planned, Profile, RECOVERY, RECOVERY_BY_DEFAULT, Setting, Time, Unreachable, User,
    Violation, World,
};
use liar::{Liar, Lie, plan};

/// A shard with the timeouts that it has by default.
#[derive(Default)]
struct ByDefault;
impl Lie for ByDefault {
    fn start(config: &mut ShardConfig) {
        config.timeouts = Timeouts::default();
    }
}

/// Two hours of world with these faults, and three hours after them.
fn run(faults: Vec<Planned>, recovery: Duration) -> Option<Violation> {
    let setting = Setting { seed: 3, hours: 5.0, shards: 8, profile: Profile::Flaky, user: User::Thorough };
    let cycle = Cycle { calm_from: Time::from_hours(2.0), end: Time::from_hours(5.0), faults };
    let world = World::new(setting, Time::ZERO, std::iter::once(cycle), Liar::<ByDefault>::make);
    world.with_recovery(recovery).run().violation
}

/// The longest recovery: an Identify that is lost silently in the last minute.
fn lost_identifies() -> Vec<Planned> {
    let ignored = Fault::Rule { at: Point::Identify, action: Action::Ignore, times: u32::MAX };
    plan(&[(1.9, ignored), (1.97, Fault::Expire), (1.97, Fault::Reset)])
}

#[test]
fn after_an_identify_that_was_lost() {
    assert_eq!(run(lost_identifies(), RECOVERY_BY_DEFAULT), None);
    let too_soon = run(lost_identifies(), RECOVERY).expect("half an hour is too short for that");
    assert_eq!(too_soon.invariant, "recovery");
}

#[test]
fn after_an_outage_of_every_kind() {
    let lasting = Duration::from_secs(7000);
    for fault in [
        Fault::Unreachable { how: Unreachable::Dns, lasting },
        Fault::Unreachable { how: Unreachable::Nothing, lasting },
        Fault::Restart { lasting, forgets: true },
        Fault::Stall { lasting },
        Fault::Suspend { lasting, clock_stops: true },
        Fault::Suspend { lasting, clock_stops: false },
    ] {
        let faults = plan(&[(0.05, fault.clone()), (0.05, Fault::Reset)]);
        assert_eq!(run(faults, RECOVERY_BY_DEFAULT), None, "{fault:?}");
    }
    for (at, action) in [
        (Point::Connect, Action::Ignore),
        (Point::Resume, Action::Ignore),
        (Point::Identify, Action::Close(None)),
        (Point::Heartbeat, Action::Ignore),
        (Point::Resume, Action::Invalid(true)),
    ] {
        let rule = Fault::Rule { at, action, times: u32::MAX };
        assert_eq!(run(plan(&[(0.05, rule), (0.06, Fault::Reset)]), RECOVERY_BY_DEFAULT), None, "{at:?}");
    }
}
