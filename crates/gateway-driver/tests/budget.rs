//! A shard that always has something to do still lets other tasks run.

mod support;

use std::io::Write;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use gateway_driver::Runtime;
use gateway_driver::proto::Event;
use support::{Client, HEARTBEAT, PollOnce, Server, Wakeups, config, event};
use tungstenite::Message;

/// Events and inputs between two `Pending`.
const BUDGET: usize = 128;

/// Polls for events until nothing is left to do. Returns the number of events between two `Pending`, and their sequence
/// numbers.
fn runs(mut poll: impl FnMut(&Waker) -> Poll<Option<Event>>) -> (Vec<usize>, Vec<u64>) {
    let wakeups = Arc::new(Wakeups::default());
    let waker = Waker::from(wakeups.clone());
    let (mut runs, mut run, mut sequences) = (Vec::new(), 0, Vec::new());
    while wakeups.take() {
        while let Poll::Ready(event) = poll(&waker) {
            run += 1;
            if let Some(Event::Dispatch(dispatch)) = event {
                sequences.extend(dispatch.sequence());
            }
        }
        runs.push(std::mem::take(&mut run));
    }
    (runs, sequences)
}

fn flood(client: &mut Client, count: u64) -> Server {
    let mut server = client.connect_and_identify();
    for sequence in 2..=count {
        server.send(event(sequence));
    }
    server
}

#[test]
fn a_flood_of_events_is_interrupted_however_it_is_polled() {
    let expected: Vec<u64> = (2..=1000).collect();
    let mut client = Client::new(config());
    let _server = flood(&mut client, 1000);
    // A new future for each event.
    let (by_futures, sequences) = runs(|waker| pin!(client.shard.next_event()).poll_once(waker));
    assert_eq!(sequences, expected);

    let mut client = Client::new(config());
    let _server = flood(&mut client, 1000);
    let (by_stream, sequences) =
        runs(|waker| futures_core::Stream::poll_next(Pin::new(&mut client.shard), &mut context(waker)));
    assert_eq!(sequences, expected);

    for runs in [by_futures, by_stream] {
        assert!(runs.iter().all(|run| *run <= BUDGET), "{runs:?}");
        assert!(runs.len() > 999 / BUDGET, "{runs:?}");
        assert!(runs.contains(&BUDGET), "no more often than it must: {runs:?}");
    }
}

fn context(waker: &Waker) -> std::task::Context<'_> {
    std::task::Context::from_waker(waker)
}

/// The number of polls until nothing is left to do.
fn polls(client: &mut Client) -> usize {
    let mut polls = 0;
    while client.take_wakeup() {
        client.step();
        polls += 1;
    }
    polls
}

/// Pings cause neither an event nor an input.
#[test]
fn a_flood_of_pings_is_interrupted_and_delays_no_timeout() {
    let mut client = Client::new(config());
    let mut server = client.connect_and_identify();
    client.pass(Duration::from_secs(1));
    for _ in 0..10_000 {
        server.send_message(Message::Ping("".into()));
    }
    let end = client.runtime.now() + HEARTBEAT;
    while !client.runtime.advance_to_next(end) {}
    for _ in 0..4 {
        client.step();
    }
    let answers: Vec<Message> = std::iter::from_fn(|| server.receive()).collect();
    assert!(answers.len() < 5 * BUDGET, "{} frames after four polls", answers.len());
    assert!(answers.iter().any(Message::is_text), "a heartbeat goes out in the middle");
    let polls = polls(&mut client);
    assert!(polls >= 9000 / BUDGET, "{polls} polls");
}

#[test]
fn a_message_in_countless_reads_is_interrupted() {
    let mut client = Client::new(config());
    let mut server = client.connect_and_identify();
    server.end.set_slice(1);
    // An empty fragment of a text message that never ends.
    server.end.write_all(&[1, 0]).unwrap();
    server.end.write_all(&[0; 10_000]).unwrap();
    let polls = polls(&mut client);
    assert!(polls >= 10_000 / BUDGET, "{polls} polls");
    assert!(client.disconnects().is_empty());
}

#[test]
fn an_answer_to_the_upgrade_in_countless_reads_is_interrupted() {
    for head in ["HTTP/1.1 101 Switching Protocols\r\nX-Padding: ", "HTTP/1.1 503 Down\r\n\r\n"] {
        let mut client = Client::new(config());
        let mut end = client.wait_for_connection().unwrap();
        client.settle();
        end.set_slice(1);
        end.write_all(head.as_bytes()).unwrap();
        end.write_all(&[b'x'; 4000]).unwrap();
        let mut unread = end.unread_by_client();
        while client.take_wakeup() {
            client.step();
            let read = unread - end.unread_by_client();
            assert!(read <= BUDGET, "{read} reads in one poll");
            unread -= read;
        }
        assert_eq!(unread, 0, "it goes on by itself");
        assert!(client.disconnects().is_empty());
    }
}

#[test]
fn a_stopped_shard_reports_it_at_each_poll() {
    let mut client = Client::new(config());
    client.shard.shutdown(gateway_driver::proto::Shutdown::LogOff);
    client.settle();
    assert!(client.ended);
    for _ in 0..10 * BUDGET {
        assert!(matches!(pin!(client.shard.next_event()).poll_once(Waker::noop()), Poll::Ready(None)));
    }
}

#[test]
fn the_background_task_yields_to_others() {
    let mut client = Client::new(config());
    let _server = flood(&mut client, 1000);
    let (mut events, mut task) = client.shard.background(1_000_000);
    let wakeups = Arc::new(Wakeups::default());
    let waker = Waker::from(wakeups.clone());
    let mut polls = 0;
    while wakeups.take() {
        assert!(Pin::new(&mut task).poll_once(&waker).is_pending());
        polls += 1;
    }
    assert!(polls > 999 / BUDGET, "{polls} polls of the task");
    let (runs, sequences) = runs(|waker| pin!(events.next_event()).poll_once(waker));
    assert_eq!(sequences, (2..=1000).collect::<Vec<_>>());
    assert!(runs.iter().all(|run| *run <= BUDGET) && runs.len() > 999 / BUDGET, "{runs:?}");
}
