//! A handler that is busy when the machine is suspended is done once the machine wakes, and acknowledges then.

use std::time::Duration;

use gateway_world::{Fault, Planned, Profile, Setting, Time, User, World, over_messages};

#[test]
fn time_goes_on() {
    let setting = Setting { seed: 1, hours: 24.0, shards: 4, profile: Profile::Calm, user: User::Thorough };
    let mut cycle = setting.cycle(0).expect("a world has a beginning");
    let suspend = |clock_stops| Fault::Suspend { lasting: Duration::from_secs(600), clock_stops };
    cycle.faults = (1..20_u32)
        .flat_map(|hour| {
            [
                (0.0, Fault::Flood { events: 50 }),
                (1.0, Fault::SlowHandler { lasting: Duration::from_secs(120) }),
                (2.0, suspend(hour % 2 == 0)),
            ]
            .map(|(seconds, fault)| Planned {
                at: Time::from_hours(f64::from(hour) + seconds / 3600.0),
                shard: None,
                fault,
            })
        })
        .collect();
    let outcome = World::new(setting, Time::ZERO, std::iter::once(cycle), over_messages).run();
    assert_eq!(outcome.violation, None);
    assert!(outcome.counts.dispatches > 19 * 50 * 4);
}
