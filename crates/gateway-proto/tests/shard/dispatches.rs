//! Dispatches after delivery: their keys, and their serialized form.

use std::collections::BTreeSet;

use gateway_proto::health::Phase;
use gateway_proto::session::{DispatchBytesError, DispatchKey, SessionSnapshot};
use gateway_proto::{Dispatch, Encoding, Event, Input, Output, Raw, ShardId};
use proptest::prelude::*;

use crate::support::{SESSION, Scenario, config, server};

fn dispatches(scenario: &mut Scenario) -> Vec<Dispatch> {
    let outputs = scenario.outputs().into_iter();
    outputs
        .filter_map(|(_, output)| match output {
            Output::Event(Event::Dispatch(dispatch)) => Some(dispatch),
            _ => None,
        })
        .collect()
}

fn keys(scenario: &mut Scenario) -> Vec<DispatchKey> {
    dispatches(scenario).iter().map(|dispatch| dispatch.key().expect("it is of a session")).collect()
}

#[test]
fn keys_outlive_connections_and_processes() {
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    scenario.server(&server::ready());
    scenario.server(&server::message(2));
    let first = keys(&mut scenario);
    assert_eq!(first.iter().map(|key| key.sequence()).collect::<Vec<_>>(), [1, 2]);
    assert!(first[0].is_same_session(first[1]) && first[0] < first[1]);
    // A Resume on another connection.
    scenario.eof();
    scenario.next_connect();
    scenario.open();
    scenario.server(&server::message(3));
    scenario.server(&server::resumed(4));
    let resumed = keys(&mut scenario);
    assert!(resumed.iter().all(|key| key.is_same_session(first[0])));

    // Another process that has only the snapshot: the replayed 2 has the same key.
    let mut config = config();
    config.session = Some(SessionSnapshot::new(SESSION.to_owned(), None, 1, ShardId::ONE));
    let mut restarted = Scenario::new(config);
    restarted.open();
    restarted.server(&server::message(2));
    restarted.server(&server::message(3));
    assert_eq!(keys(&mut restarted), [first[1], resumed[0]]);

    // Another session with the same numbers.
    scenario.server(&server::invalid_session(false));
    scenario.eof();
    scenario.next_connect();
    scenario.open();
    scenario.input(Input::IdentifyGranted);
    scenario.server(&server::ready_with(r#""session_id":"another-s3cret""#));
    scenario.server(&server::message(2));
    let other = keys(&mut scenario);
    assert_eq!(other.iter().map(|key| key.sequence()).collect::<Vec<_>>(), [1, 2]);
    assert!(!other[0].is_same_session(first[0]));
    let all: BTreeSet<_> = first.iter().chain(&resumed).chain(&other).collect();
    assert_eq!(all.len(), 6);
    for key in all {
        assert!(!key.to_string().contains("s3") && !format!("{key:?}").contains("s3"));
    }
}

/// Before Identify or Resume a number belongs to no session, and there may be no session to resume.
#[test]
fn a_dispatch_without_a_session_has_no_key() {
    let mut config = config();
    config.session = Some(SessionSnapshot::new(SESSION.to_owned(), None, 1, ShardId::ONE));
    let mut early = Scenario::new(config);
    early.input(Input::Opened);
    early.server(&server::message(2));
    let mut nameless = Scenario::at(Phase::AwaitingReady);
    nameless.server(&server::ready_with(r#""session_id":"""#));
    nameless.server(&server::message(2));
    let mut unnumbered = Scenario::at(Phase::Ready);
    unnumbered.server(r#"{"t":"TYPING_START","s":null,"op":0,"d":{}}"#);
    for (scenario, count) in [(&mut early, 1), (&mut nameless, 2), (&mut unnumbered, 1)] {
        let dispatches = dispatches(scenario);
        assert_eq!(dispatches.len(), count);
        assert!(dispatches.iter().all(|dispatch| dispatch.key().is_none()));
    }
}

/// Keys and acknowledgements do not increase the size of an event, which is moved often.
#[test]
fn the_size_of_an_event_is_unchanged() {
    if cfg!(target_pointer_width = "64") {
        assert_eq!((size_of::<Dispatch>(), size_of::<Event>()), (96, 104));
    }
}

fn assert_same(dispatch: &Dispatch) {
    let there = Dispatch::from_bytes(dispatch.to_bytes()).unwrap();
    assert_eq!(
        (there.name(), there.sequence(), there.encoding(), there.key()),
        (dispatch.name(), dispatch.sequence(), dispatch.encoding(), dispatch.key())
    );
    assert_eq!(there.data().as_bytes(), dispatch.data().as_bytes());
    assert_eq!(there.raw().as_bytes(), dispatch.raw().as_bytes());
    assert_eq!(there.to_bytes(), dispatch.to_bytes());
}

#[test]
fn a_dispatch_from_bytes_equals_the_original() {
    let mut scenario = Scenario::at(Phase::AwaitingReady);
    scenario.server(&server::ready());
    scenario.server(&server::message(2));
    scenario.server(r#"{"t":"NOT_YET_DOCUMENTED","s":3,"op":0,"d":null}"#);
    scenario.server(r#"{"t":"X","s":4,"op":0}"#);
    scenario.server(r#"{"op":0,"d":[1, 2]}"#);
    let dispatches = dispatches(&mut scenario);
    assert_eq!(dispatches.len(), 5);
    dispatches.iter().for_each(assert_same);

    let etf =
        Raw::encode(&serde_json::json!({"op": 0, "t": "X", "s": 7, "d": {"id": 7}}), Encoding::Etf).unwrap();
    let mut payload = vec![131];
    payload.extend(etf.as_bytes());
    let dispatch = Dispatch::from_payload(payload, Encoding::Etf).unwrap();
    assert_same(&dispatch);
    let data = Dispatch::from_bytes(dispatch.to_bytes()).unwrap();
    assert_eq!(data.decode::<std::collections::BTreeMap<String, u64>>().unwrap()["id"], 7);
    let hello = Dispatch::from_payload(server::hello(), Encoding::Json).unwrap_err();
    assert_eq!(hello.to_string(), "invalid value, expected opcode 0");
}

/// Other versions of this crate read this form, so it must not change.
#[test]
fn the_serialized_form_is_unchanged() {
    let dispatch = Dispatch::from_payload(r#"{"t":"AB","s":258,"op":0,"d":[1]}"#, Encoding::Json).unwrap();
    assert_eq!(dispatch.to_bytes(), b"\x01\x02\0\0\0\0\0\0\x01\x02\0\0\0\x02AB[1]");
    let keyed = b"\x01\x07\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\x03\0\0\0\x02ABa\x01";
    let dispatch = Dispatch::from_bytes(&keyed[..]).unwrap();
    assert_eq!(dispatch.key().unwrap().to_string(), "0000000000000003-258");
    assert_eq!((dispatch.encoding(), dispatch.data().as_bytes()), (Encoding::Etf, &b"a\x01"[..]));
}

#[test]
fn invalid_bytes_are_refused() {
    let whole = b"\x01\x06\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\x03\0\0\0\x02AB";
    assert!(Dispatch::from_bytes(&whole[..]).is_ok());
    for cut in 0..whole.len() {
        assert_eq!(Dispatch::from_bytes(&whole[..cut]).unwrap_err(), DispatchBytesError::Damaged, "{cut}");
    }
    for (at, byte, error) in [
        (0, 2, DispatchBytesError::Version(2)),
        (0, b'{', DispatchBytesError::Version(b'{')),
        (1, 0x0e, DispatchBytesError::Damaged),
        (17, 0, DispatchBytesError::Damaged),
        (18, 255, DispatchBytesError::Damaged),
        (22, 0xff, DispatchBytesError::Damaged),
    ] {
        let mut changed = whole.to_vec();
        changed[at] = byte;
        assert_eq!(Dispatch::from_bytes(changed).unwrap_err(), error, "byte {at}");
    }
}

proptest! {
    /// Any bytes that are accepted as a dispatch can be serialized and read again.
    #[test]
    fn bytes_are_refused_or_are_a_dispatch(flags in 0_u8..16, rest in proptest::collection::vec(0_u8..8, 0..60)) {
        let bytes = [&[1, flags][..], &rest].concat();
        if let Ok(dispatch) = Dispatch::from_bytes(bytes) {
            assert_same(&dispatch);
        }
    }
}
