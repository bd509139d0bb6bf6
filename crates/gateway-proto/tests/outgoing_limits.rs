//! Rate limits of certain commands, and requests for members with their answers.

mod client;

use std::time::Duration;

use client::{Client, config};
use gateway_proto::command::{
    MemberRequestError, MemberRequests, MemberSelection, Presence, RequestGuildMembers, SendError,
};
use gateway_proto::{Command, Dispatch, Event, Snowflake};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

fn presence(since: u64) -> Command {
    let mut presence = Presence::default();
    presence.since = Some(since);
    Command::UpdatePresence(presence)
}

fn members(guild: u64, members: MemberSelection) -> RequestGuildMembers {
    RequestGuildMembers::new(Snowflake(guild), members)
}

fn everyone(guild: u64) -> Command {
    Command::RequestGuildMembers(members(guild, MemberSelection::Everyone))
}

fn some_users(guild: u64) -> Command {
    Command::RequestGuildMembers(members(guild, MemberSelection::Users(vec![Snowflake(1)])))
}

fn ready() -> Client {
    let mut client = Client::new(config());
    client.identify();
    client
}

fn send(client: &mut Client, command: Command) {
    client.shard.send(command).unwrap();
    client.input(gateway_proto::Input::Timeout);
}

/// What was sent since the last call: the `since` of presences, the guild of requests.
fn sent(client: &mut Client) -> Vec<Value> {
    let mut sent = std::mem::take(&mut client.sent);
    let name = |payload: &mut Value| match payload["op"].as_u64() {
        Some(3) => payload["d"]["since"].take(),
        _ => payload["d"]["guild_id"].take(),
    };
    sent.iter_mut().map(name).collect()
}

#[test]
fn five_presences_in_twenty_seconds_and_then_the_newest() {
    let mut client = ready();
    (1..=9).for_each(|since| send(&mut client, presence(since)));
    assert_eq!(sent(&mut client), [1, 2, 3, 4, 5]);
    send(&mut client, some_users(7));
    assert_eq!(sent(&mut client), ["7"], "others pass");
    client.pass(20 * SECOND);
    assert!(client.sent.is_empty());
    client.pass(SECOND);
    assert_eq!(sent(&mut client), [9]);
    assert_eq!(client.shard.health().queued_commands, 0);
}

#[test]
fn presences_that_wait_for_ready_are_one() {
    let mut config = config();
    config.limits.queued_commands = 2;
    let mut client = Client::new(config);
    client.shard.send(some_users(1)).unwrap();
    for since in 1..=5 {
        client.shard.send(presence(since)).unwrap();
    }
    assert!(matches!(client.shard.send(some_users(2)), Err(SendError::QueueFull { waiting: 2 })));
    client.shard.send(presence(6)).unwrap();
    client.identify();
    assert_eq!(sent(&mut client), [json!("1"), json!(6)]);
}

/// The limit applies to the session, not the connection.
#[test]
fn a_new_connection_allows_no_more_presences() {
    let mut client = ready();
    (1..=5).for_each(|since| send(&mut client, presence(since)));
    client.lose_connection();
    client.open();
    client.dispatch("RESUMED", 2, json!({}));
    client.sent.clear();
    send(&mut client, presence(6));
    assert!(client.sent.is_empty());
    client.pass(22 * SECOND);
    assert_eq!(sent(&mut client), [6]);
}

#[test]
fn all_members_of_a_guild_once_in_thirty_seconds() {
    let mut client = ready();
    for guild in [1, 1, 1, 2] {
        send(&mut client, everyone(guild));
    }
    send(&mut client, some_users(1));
    assert_eq!(sent(&mut client), ["1", "2", "1"], "another guild and single users pass");
    client.pass(30 * SECOND);
    assert!(client.sent.is_empty());
    client.pass(SECOND);
    assert_eq!(sent(&mut client), ["1"]);
    client.pass(31 * SECOND);
    assert_eq!(sent(&mut client), ["1"]);
}

#[test]
fn a_rate_limit_of_the_gateway_is_observed() {
    let mut client = ready();
    send(&mut client, everyone(1));
    send(&mut client, everyone(1));
    sent(&mut client);
    let limited = |guild: &str| json!({"opcode": 8, "retry_after": 90.5, "meta": {"guild_id": guild}});
    client.dispatch("RATE_LIMITED", 2, limited("1"));
    client.dispatch("RATE_LIMITED", 3, limited("2"));
    client.dispatch("RATE_LIMITED", 4, json!({"opcode": 8, "retry_after": -1, "meta": {"guild_id": "1"}}));
    send(&mut client, everyone(2));
    assert_eq!(sent(&mut client), ["2"], "it was not asked for, so it is not believed");
    client.pass(90 * SECOND);
    assert!(client.sent.is_empty());
    client.pass(SECOND);
    assert_eq!(sent(&mut client), ["1"]);
}

struct Asking {
    client: Client,
    requests: MemberRequests,
    sequence: u64,
}

impl Asking {
    fn new() -> Self {
        Self { client: ready(), requests: MemberRequests::new(20 * SECOND, 0x1234_5678_9abc), sequence: 1 }
    }

    /// The request and its nonce on the wire.
    fn ask(&mut self, guild: u64) -> (gateway_proto::command::MemberRequestId, String) {
        let (id, command) = self.requests.request(members(guild, MemberSelection::Everyone), self.client.now);
        send(&mut self.client, command);
        let nonce = self.client.expect(8)["nonce"].as_str().unwrap().to_owned();
        (id, nonce)
    }

    fn dispatch(&mut self, name: &str, data: Value) {
        self.sequence += 1;
        self.client.dispatch(name, self.sequence, data);
        let dispatches: Vec<Dispatch> = std::mem::take(&mut self.client.events)
            .into_iter()
            .filter_map(|event| match event {
                Event::Dispatch(dispatch) => Some(dispatch),
                _ => None,
            })
            .collect();
        for dispatch in &dispatches {
            self.requests.handle_dispatch(dispatch, self.client.now);
        }
    }

    fn chunk(&mut self, nonce: &str, index: u64, count: u64) {
        let data = json!({"guild_id": "1", "members": [], "chunk_index": index, "chunk_count": count, "nonce": nonce});
        self.dispatch("GUILD_MEMBERS_CHUNK", data);
    }
}

#[test]
fn chunks_become_one_answer_in_order() {
    let mut asking = Asking::new();
    let (first, nonce) = asking.ask(1);
    let (second, other) = asking.ask(2);
    assert!(nonce.len() <= 32 && nonce != other);
    for (nonce, index, count) in [
        (&nonce, 2, 3),
        (&nonce, 0, 3),
        (&nonce, 0, 3),
        (&nonce, 7, 3),
        (&nonce, 1, 4),
        (&"of an earlier process".to_owned(), 1, 3),
    ] {
        asking.chunk(nonce, index, count);
    }
    assert!(asking.requests.poll(asking.client.now).is_none());
    asking.chunk(&nonce, 1, 3);
    let answer = asking.requests.poll(asking.client.now).unwrap();
    let index = |dispatch: &Dispatch| dispatch.decode::<Value>().unwrap()["chunk_index"].as_u64().unwrap();
    assert_eq!(answer.id, first);
    assert_eq!(answer.result.unwrap().iter().map(index).collect::<Vec<_>>(), [0, 1, 2]);
    asking.chunk(&other, 0, 1);
    let answer = asking.requests.poll(asking.client.now).unwrap();
    assert_eq!((answer.id, answer.result.unwrap().len()), (second, 1));
    assert_eq!(asking.requests.next_deadline(), None);
}

#[test]
fn a_refused_request_says_how_long_to_wait() {
    for with_nonce in [true, false] {
        let mut asking = Asking::new();
        let (id, nonce) = asking.ask(1);
        let mut meta = json!({"guild_id": "1"});
        if with_nonce {
            meta["nonce"] = nonce.clone().into();
        }
        asking.dispatch("RATE_LIMITED", json!({"opcode": 8, "retry_after": 12.5, "meta": meta}));
        let answer = asking.requests.poll(asking.client.now).unwrap();
        let retry_after = Duration::from_millis(12_500);
        assert_eq!(answer.id, id);
        assert_eq!(answer.result.unwrap_err(), MemberRequestError::RateLimited { retry_after });
        asking.chunk(&nonce, 0, 1);
        assert!(asking.requests.poll(asking.client.now).is_none(), "it has been answered");
    }
}

#[test]
fn silence_ends_a_request_and_each_chunk_extends_its_deadline() {
    let mut asking = Asking::new();
    let (_, nonce) = asking.ask(1);
    asking.client.now += 15 * SECOND;
    asking.chunk(&nonce, 0, 2);
    asking.client.now += 19 * SECOND;
    assert!(asking.requests.poll(asking.client.now).is_none());
    asking.client.now += SECOND;
    assert_eq!(asking.requests.next_deadline(), Some(asking.client.now));
    let error = asking.requests.poll(asking.client.now).unwrap().result.unwrap_err();
    assert_eq!(error, MemberRequestError::TimedOut { received: 1, expected: Some(2) });
    let (id, _) = asking.ask(2);
    asking.requests.cancel(id);
    assert_eq!(asking.requests.next_deadline(), None);
}
