//! Clients come and go while the engine runs, and several may be the same shard.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use gateway_proto::health::Phase;
use gateway_proto::{Event, Intents, Output, ShardConfig};
use gateway_sim::ConnectionId;
use gateway_world::{
    ClientId, Dial, Engine, Happening, Line, MakeClient, Observation, Observer, Time, over_bytes,
    over_messages,
};

/// On which connections each client has had events.
#[derive(Default)]
struct Connections(BTreeSet<(ClientId, ConnectionId)>);

impl Observer for Connections {
    fn observe(
        &mut self,
        _: Time,
        client: ClientId,
        connection: Option<ConnectionId>,
        what: &Observation<'_>,
    ) {
        if let (Observation::Output(Output::Event(Event::Dispatch(_))), Some(connection)) = (what, connection)
        {
            self.0.insert((client, connection));
        }
    }
}

type Watched = Engine<(), Connections>;

fn engine() -> Watched {
    let mut config = gateway_sim::Config::default();
    config.url = "ws://gateway.test".to_owned();
    let gate = gateway_proto::identify::IdentifyQueue::new(1);
    Engine::starting_at(Time::ZERO, config, gate, Instant::now(), Connections::default())
}

fn add(engine: &mut Watched, make: MakeClient, change: impl FnOnce(&mut ShardConfig)) -> ClientId {
    let mut config = ShardConfig::new("simulated-token", Intents::GUILDS);
    config.url = "ws://gateway.test".to_owned();
    config.seed = Some(1);
    change(&mut config);
    let client = make(config, engine.client_now()).unwrap();
    engine.add(client)
}

fn run_for(engine: &mut Watched, time: Duration) {
    let end = engine.now() + time;
    loop {
        match engine.step() {
            Some(Happening::Said(id, Output::Connect(url))) => {
                let line = Line { latency: Duration::from_millis(20), ..Line::default() };
                engine.dial(id, &url, line, Dial::Succeeds);
            }
            Some(_) => {}
            None => {
                let next = engine.next_time();
                if next > end {
                    return engine.advance_to(end);
                }
                engine.advance_to(next);
            }
        }
    }
}

fn phase(engine: &Watched, client: ClientId) -> Option<Phase> {
    engine.client(client).map(|client| client.health().phase)
}

#[test]
fn two_processes_of_one_shard_live_beside_each_other() {
    for make in [over_messages as MakeClient, over_bytes] {
        let mut engine = engine();
        let minute = Duration::from_secs(60);
        let first = add(&mut engine, make, |_| {});
        let second = add(&mut engine, make, |config| config.seed = Some(2));
        assert_eq!(first.shard(), second.shard());
        run_for(&mut engine, minute);
        assert_eq!([first, second].map(|id| phase(&engine, id)), [Some(Phase::Ready); 2]);
        assert_eq!(engine.gateway().counters().readies, 2);
        let connections: Vec<_> = engine.observer.0.iter().copied().collect();
        assert_eq!(connections.len(), 2, "{connections:?}");
        for (client, connection) in connections {
            assert_eq!(engine.client_of(connection), Some(client));
        }

        // The process dies, and the gateway learns it; the other stays.
        engine.remove(first);
        run_for(&mut engine, minute);
        assert_eq!((phase(&engine, first), phase(&engine, second)), (None, Some(Phase::Ready)));
        assert_eq!(engine.gateway().connections().count(), 1);
        assert_eq!(engine.clients().collect::<Vec<_>>(), [second]);
    }
}

#[test]
fn one_that_waits_at_the_gate_gives_up_its_place_when_it_dies() {
    let mut engine = engine();
    let clients: Vec<ClientId> = (0..3).map(|_| add(&mut engine, over_messages, |_| {})).collect();
    run_for(&mut engine, Duration::from_secs(1));
    assert_eq!(engine.gate().waiting(), 2, "one identifies, two wait");
    engine.remove(clients[1]);
    assert_eq!(engine.gate().waiting(), 1);
    run_for(&mut engine, Duration::from_secs(6));
    assert_eq!(phase(&engine, clients[2]), Some(Phase::Ready));
}

#[test]
fn a_message_on_its_way_outlives_its_sender() {
    let mut engine = engine();
    let client = add(&mut engine, over_messages, |_| {});
    run_for(&mut engine, Duration::from_secs(10));
    let before = engine.gateway().counters().heartbeats;
    // It dies while the heartbeat that the gateway has asked for is under way.
    engine.control(gateway_sim::Target::All, gateway_sim::Control::Beat).unwrap();
    run_for(&mut engine, Duration::from_millis(30));
    engine.remove(client);
    assert_eq!(engine.gateway().counters().heartbeats, before);
    run_for(&mut engine, Duration::from_millis(15));
    assert_eq!(engine.gateway().counters().heartbeats, before + 1);
}
