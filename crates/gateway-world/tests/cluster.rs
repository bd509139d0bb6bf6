//! A cluster in each profile.

use gateway_world::{
    ClusterCounts, ClusterOutcome, ClusterWorld, Profile, Setting, Time, User, every_third_over_bytes,
};

fn world(profile: Profile, seed: u64, hours: f64, shards: u32) -> ClusterWorld {
    let setting = Setting { seed, hours, shards, profile, user: User::Cluster };
    let cycles = (0..).map_while(move |number| setting.cycle(number));
    ClusterWorld::new(setting, Time::ZERO, cycles, every_third_over_bytes)
}

fn holds(outcome: ClusterOutcome) -> ClusterCounts {
    assert_eq!(outcome.violation, None, "{:?}", outcome.counts);
    outcome.counts
}

#[test]
fn two_shards_start_and_live() {
    let setting = Setting { seed: 1, hours: 3.0, shards: 4, profile: Profile::Calm, user: User::Cluster };
    let mut cycle = setting.cycle(0).unwrap();
    cycle.faults.clear();
    let world = ClusterWorld::new(setting, Time::ZERO, std::iter::once(cycle), every_third_over_bytes);
    let counts = holds(world.run());
    assert_eq!((counts.identifies, counts.processes), (2, 1));
    assert!(counts.delivered > 100, "{counts:?}");
    assert_eq!(counts.delivered, counts.events);
}

#[test]
fn a_day_of_each_profile() {
    let mut all = ClusterCounts::default();
    for profile in Profile::ALL {
        let counts = holds(world(profile, 1, 24.0, 8).run());
        assert!(counts.finished > 0 && counts.processes > 1, "{profile}: {counts:?}");
        all.add(&counts);
    }
    assert!(all.aborted > 0 && all.cutovers_resumed > 0 && all.rolled > 0, "{all:?}");
    let switched = all.switched;
    assert!(switched.matched > 0 && switched.silent > 0 && switched.unmatched > 0, "{all:?}");
}
