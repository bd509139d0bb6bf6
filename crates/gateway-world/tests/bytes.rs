//! Over bytes a shard does what it does over messages, wherever the bytes are cut.

use gateway_world::{
    MakeClient, Outcome, Profile, Setting, Time, User, World, every_third_over_bytes, messages_over_bytes,
    over_messages,
};

fn run(setting: Setting, make: MakeClient) -> Outcome {
    let cycles = (0..).map_while(move |number| setting.cycle(number));
    let outcome = World::new(setting, Time::ZERO, cycles, make).run();
    assert_eq!(outcome.violation, None, "{setting:?}");
    outcome
}

/// The same life, to the last number.
#[test]
fn bytes_and_messages_agree() {
    for profile in Profile::ALL {
        let setting = Setting { seed: 7, hours: 24.0, shards: 4, profile, user: User::Thorough };
        let messages = run(setting, over_messages);
        let bytes = run(setting, messages_over_bytes);
        assert_eq!(messages, bytes, "{profile}");
        assert!(bytes.counts.resumed > 0 && bytes.counts.dispatches > 1000);
        assert_eq!(run(setting, every_third_over_bytes), messages, "{profile}");
    }
}
