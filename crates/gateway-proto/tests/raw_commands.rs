//! Raw commands are subject to the rate limits of the commands that they contain.

mod client;

use std::time::Duration;

use client::{Client, config};
use gateway_proto::command::{
    Activity, ActivityKind, MemberSelection, Presence, RequestGuildMembers, Status,
};
use gateway_proto::{Command, Encoding, Raw, Snowflake};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

fn raw(op: u64, data: &Value) -> Command {
    Command::Raw { op, data: Raw::new(data.to_string(), Encoding::Json) }
}

fn presence(since: u64) -> Value {
    json!({"since": since, "activities": [{"name": "x", "type": 2, "emoji": null}], "status": "idle", "afk": true})
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

/// The data sent since the last call.
fn sent(client: &mut Client) -> Vec<Value> {
    client.sent.drain(..).map(|mut payload| payload["d"].take()).collect()
}

#[test]
fn raw_presences_are_presences() {
    let mut client = ready();
    for since in 1..=3 {
        send(&mut client, raw(3, &presence(since)));
        let mut typed = Presence::default();
        typed.since = Some(since);
        send(&mut client, Command::UpdatePresence(typed));
    }
    assert_eq!(sent(&mut client).len(), 5, "in 20 s, in either form");
    send(&mut client, raw(3, &presence(7)));
    assert_eq!(client.shard.health().queued_commands, 1, "it takes the place of the one that waits");
    client.pass(21 * SECOND);
    assert_eq!(sent(&mut client), [presence(7)]);
}

/// The presence in the next Identify.
fn identified_with(client: &mut Client) -> Value {
    client.receive(json!({"op": 9, "d": false}));
    client.lose_connection();
    client.sent.clear();
    client.open();
    let presence = client.expect(2)["presence"].take();
    client.ready();
    presence
}

#[test]
fn a_raw_presence_is_kept_for_the_next_identify_if_the_gateway_would_accept_it() {
    let mut client = ready();
    send(&mut client, raw(3, &presence(5)));
    assert_eq!(identified_with(&mut client), presence(5));
    // A presence that the gateway would answer with a close code must not be in every Identify.
    for (name, bad) in [
        ("since", json!("x")),
        ("activities", json!(null)),
        ("activities", json!([{"type": 0}])),
        ("activities", json!([{"name": "x", "type": "0"}])),
        ("status", json!("away")),
        ("afk", json!(0)),
    ] {
        let mut data = presence(6);
        data[name] = bad;
        send(&mut client, raw(3, &data));
        data.as_object_mut().unwrap().remove(name);
        send(&mut client, raw(3, &data));
    }
    send(&mut client, raw(3, &json!(null)));
    assert_eq!(identified_with(&mut client), presence(5));
    let typed = Presence::new(Status::Online, [Activity::new(ActivityKind::Playing, "y")]);
    send(&mut client, Command::UpdatePresence(typed));
    assert_eq!(identified_with(&mut client)["activities"][0]["name"], "y");
}

/// Every form of a request for all members of a guild.
fn everyone(guild: u64) -> Vec<Command> {
    let id = guild.to_string();
    let etf = json!({"guild_id": guild, "query": "", "limit": 0});
    vec![
        raw(8, &json!({"guild_id": id, "query": "", "limit": 0})),
        raw(8, &json!({"guild_id": guild, "query": "", "limit": 0, "nonce": "n", "presences": true})),
        raw(8, &json!({"limit": 0, "guild_id": id})),
        raw(8, &json!({"guild_id": id, "query": ""})),
        raw(8, &json!({"guild_id": id})),
        raw(8, &json!({"guild_id": id, "query": null, "limit": null, "user_ids": null})),
        raw(8, &json!({"guild_id": id, "query": "", "limit": 0, "user_ids": ["1"]})),
        Command::Raw { op: 8, data: Raw::encode(&etf, Encoding::Etf).unwrap() },
    ]
}

#[test]
fn raw_requests_for_all_members_are_held_to_their_limit() {
    for command in everyone(1) {
        let mut client = ready();
        let typed = RequestGuildMembers::new(Snowflake(1), MemberSelection::Everyone);
        send(&mut client, Command::RequestGuildMembers(typed));
        send(&mut client, command.clone());
        assert_eq!(sent(&mut client).len(), 1, "{command:?}");
        client.pass(30 * SECOND);
        assert_eq!(sent(&mut client).len(), 0, "{command:?}");
        client.pass(SECOND);
        assert_eq!(sent(&mut client).len(), 1, "{command:?}");
    }
}

#[test]
fn other_raw_requests_for_members_are_not() {
    let others = [
        json!({"guild_id": "1", "query": "", "limit": 5}),
        json!({"guild_id": "1", "query": "a", "limit": 0}),
        json!({"guild_id": "1", "user_ids": ["1"]}),
        json!({"guild_id": "1", "user_ids": ["1"], "limit": 0}),
        json!(null),
    ];
    let mut client = ready();
    for command in everyone(1).into_iter().take(1).chain(others.iter().map(|data| raw(8, data))) {
        send(&mut client, command);
    }
    send(&mut client, everyone(2).remove(0));
    assert_eq!(sent(&mut client).len(), 1 + others.len() + 1);
}

#[test]
fn a_rate_limit_that_answers_a_raw_request_is_observed() {
    for command in everyone(1) {
        let mut client = ready();
        send(&mut client, command.clone());
        send(&mut client, command.clone());
        sent(&mut client);
        let limited = json!({"opcode": 8, "retry_after": 90.5, "meta": {"guild_id": "1"}});
        client.dispatch("RATE_LIMITED", 2, limited);
        client.pass(90 * SECOND);
        assert_eq!(sent(&mut client).len(), 0, "{command:?}");
        client.pass(SECOND);
        assert_eq!(sent(&mut client).len(), 1, "{command:?}");
    }
}
