//! Over bytes a shard does what it does over messages, wherever the bytes are cut.

use gateway_proto::Shard;
use gateway_world::{ByteMachine, Machine, MixedMachine, Outcome, Profile, Setting, Time, User, World};

fn run<M: Machine>(setting: Setting) -> Outcome {
    let cycles = (0..).map_while(move |number| setting.cycle(number));
    let outcome = World::<M>::new(setting, Time::ZERO, cycles).run();
    assert_eq!(outcome.violation, None, "{setting:?}");
    outcome
}

/// The same life, to the last number.
#[test]
fn bytes_and_messages_agree() {
    for profile in Profile::ALL {
        let setting = Setting { seed: 7, hours: 24.0, shards: 4, profile, user: User::Thorough };
        let messages = run::<Shard>(setting);
        let bytes = run::<ByteMachine>(setting);
        assert_eq!(messages, bytes, "{profile}");
        assert!(bytes.counts.resumed > 0 && bytes.counts.dispatches > 1000);
        assert_eq!(run::<MixedMachine>(setting), messages, "{profile}");
    }
}
