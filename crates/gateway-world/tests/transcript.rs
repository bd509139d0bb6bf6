//! From a violation to a file that plays it again.

mod liar;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use gateway_proto::{Event, Output, Shard};
use gateway_world::{Profile, Setting, Time, Transcript, User, Violation, World};
use liar::{Honest, Liar, Lie};

/// Keeps to itself the third end of a connection that it learns of.
#[derive(Default)]
struct Secretive(u32);
impl Lie for Secretive {
    fn output(&mut self, _: &mut Shard, output: Output, _: &mut VecDeque<Output>) -> Option<Output> {
        if let Output::Event(Event::Disconnected(_)) = &output {
            self.0 += 1;
            return (self.0 != 3).then_some(output);
        }
        Some(output)
    }
}

const SETTING: Setting =
    Setting { seed: 5, hours: 24.0, shards: 3, profile: Profile::Flaky, user: User::Thorough };

fn first_violation<L: Lie>(heap: fn() -> usize) -> Violation {
    let cycles = (0..).map_while(|number| SETTING.cycle(number));
    let world = World::new(SETTING, Time::ZERO, cycles, Liar::<L>::make).with_heap(heap);
    world.run().violation.expect("the lie is found out")
}

fn written_and_read(transcript: &Transcript) -> Transcript {
    let mut file = Vec::new();
    transcript.write(&mut file).unwrap();
    Transcript::read(file.as_slice()).unwrap()
}

#[test]
fn a_violation_is_shrunk_written_down_and_played_again() {
    let violation = first_violation::<Secretive>(|| 0);
    assert_eq!(violation.invariant, "socket");
    let before = SETTING.cycle(0).unwrap().faults.len();
    let transcript = Transcript::explain(SETTING, &violation, Liar::<Secretive>::make, || 0).unwrap();
    // Three ends of connections of one shard.
    let faults = transcript.case.faults();
    assert!(faults <= 6 && faults < before / 10, "{faults} of {before}");
    assert!(transcript.violation.contains("a connection begins before the end of the last was told"));
    assert!(
        transcript.steps.iter().any(|step| step.contains(&format!("shard {}: Output", transcript.shard)))
    );

    let read = written_and_read(&transcript);
    assert_eq!(read, transcript);
    let replay = read.replay(Liar::<Secretive>::make, || 0);
    assert_eq!(replay.differs_from, None);
    assert_eq!(replay.outcome.violation.map(|it| it.to_string()), Some(transcript.violation));

    // A shard that is mended goes another way.
    let mended = read.replay(Liar::<Honest>::make, || 0);
    assert_eq!(mended.outcome.violation, None);
    assert!(mended.differs_from.is_some());
}

/// The memory in use, a GiB more at each call.
static HEAP: AtomicUsize = AtomicUsize::new(0);

/// What breaks the rule is the heap alone: no fault is needed, and the runs that look for one measure it too.
#[test]
fn too_large_a_heap_is_explained_too() {
    let grows = || HEAP.fetch_add(1 << 30, Ordering::Relaxed);
    let violation = first_violation::<Honest>(grows);
    assert_eq!(violation.invariant, "memory");
    let transcript = Transcript::explain(SETTING, &violation, Liar::<Honest>::make, grows).unwrap();
    assert_eq!(transcript.case.faults(), 0);
    let read = written_and_read(&transcript);
    let replay = read.replay(Liar::<Honest>::make, grows);
    assert_eq!((replay.differs_from, replay.outcome.violation.unwrap().invariant), (None, "memory"));
    assert_eq!(read.replay(Liar::<Honest>::make, || 0).outcome.violation, None);
}
