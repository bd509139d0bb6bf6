//! A bot that is killed over and over, and its gate with it, spends no more session starts than a day has.

use std::time::Duration;

use gateway_world::{Fault, Planned, Profile, Setting, Time, User, World, over_messages};

#[test]
fn the_budget_outlives_the_process() {
    let setting = Setting { seed: 1, hours: 50.0, shards: 4, profile: Profile::Calm, user: User::Quick };
    let mut cycle = setting.cycle(0).expect("a world has a beginning");
    let minutes = 0..48 * 60;
    let planned = |minute: u32, seconds: f64, fault| {
        let hours = f64::from(minute) / 60.0 + seconds / 3600.0;
        Planned { at: Time::from_hours(hours), shard: Some(minute % 4), fault }
    };
    // Each minute a shard gives its session up, and is killed when it has begun another.
    cycle.faults = minutes
        .flat_map(|minute| {
            let crash = Fault::Crash { lasting: Duration::from_secs(1) };
            [planned(minute, 0.0, Fault::UserReconnect { fresh: true }), planned(minute, 30.0, crash)]
        })
        .collect();
    let outcome = World::new(setting, Time::ZERO, std::iter::once(cycle), over_messages).run();
    assert_eq!(outcome.violation, None);
    assert_eq!(outcome.identifies_max_24h, 900, "all that may be spent is spent");
}
