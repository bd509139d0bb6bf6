//! A day of each profile.

use gateway_world::{Profile, Setting, Time, User, World, over_messages};

fn a_day(profile: Profile) {
    let setting = Setting { seed: 1, hours: 24.0, shards: 4, profile, user: User::Thorough };
    let cycles = (0..).map_while(move |number| setting.cycle(number));
    let outcome = World::new(setting, Time::ZERO, cycles, over_messages).run();
    assert_eq!(outcome.violation, None);
    assert!((95.9..96.1).contains(&outcome.shard_hours), "{}", outcome.shard_hours);
    assert!(outcome.counts.faults > 0 && outcome.counts.resumed > 0 && outcome.counts.dispatches > 1000);
}

#[test]
fn calm() {
    a_day(Profile::Calm);
}

#[test]
fn flaky() {
    a_day(Profile::Flaky);
}

#[test]
fn outage() {
    a_day(Profile::Outage);
}

#[test]
fn hostile() {
    a_day(Profile::Hostile);
}
