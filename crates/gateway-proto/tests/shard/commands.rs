//! Commands of the application: when they are sent, how many, and which are refused
//! ([Discord Docs, Gateway > Sending Events](https://discord.com/developers/docs/events/gateway#sending-events) and
//! [Rate Limiting](https://discord.com/developers/docs/events/gateway#rate-limiting)).

use gateway_proto::command::{
    Activity, ChannelInfoField, MemberSelection, Presence, RequestGuildMembers, SendError, Status,
};
use gateway_proto::health::Phase;
use gateway_proto::{Command, Input, Message, Output, Raw, Snowflake};

use crate::support::{INTERVAL, PHASES, Scenario, ms, raw_command, secs, server};

/// The numbers of the commands sent since the last call, in their order.
fn numbers(scenario: &mut Scenario) -> Vec<u64> {
    let commands = scenario.log().into_iter();
    commands
        .filter_map(|line| line.strip_prefix(r#"send {"op":50,"d":"#)?.strip_suffix('}')?.parse().ok())
        .collect()
}

fn queue(scenario: &mut Scenario, numbers: std::ops::Range<u64>) {
    for number in numbers {
        scenario.shard.send(raw_command(50, &number.to_string())).unwrap();
    }
}

/// Commands wait until READY or RESUMED; before it the server would answer with 4003. Then they are sent in order
/// (twilight-rs/twilight#2264).
#[test]
fn commands_wait_until_ready() {
    for phase in PHASES.into_iter().filter(|phase| !matches!(phase, Phase::Ready | Phase::Stopped)) {
        let mut scenario = Scenario::at(phase);
        queue(&mut scenario, 0..5);
        scenario.settle();
        assert_eq!(numbers(&mut scenario), [0; 0], "{phase:?}");
        assert_eq!(scenario.shard.health().queued_commands, 5);
        for _ in 0..20 {
            match scenario.shard.phase() {
                Phase::BackingOff => {
                    scenario.next_deadline();
                }
                Phase::Connecting => scenario.input(Input::Opened),
                Phase::AwaitingHello => scenario.server(&server::hello()),
                Phase::AwaitingIdentify => scenario.input(Input::IdentifyGranted),
                Phase::AwaitingReady => scenario.server(&server::ready()),
                Phase::Resuming => scenario.server(&server::resumed(2)),
                Phase::Closing => scenario.eof(),
                _ => break,
            }
        }
        assert_eq!(numbers(&mut scenario), [0, 1, 2, 3, 4], "{phase:?}");
        assert_eq!(scenario.shard.stats().commands, 5);
    }
}

/// While the shard is READY, a command is sent at once.
#[test]
fn a_command_is_sent_at_once_when_ready() {
    let mut scenario = Scenario::at(Phase::Ready);
    queue(&mut scenario, 7..8);
    assert_eq!(scenario.log(), [""; 0], "it takes effect at the next input");
    scenario.settle();
    assert_eq!(numbers(&mut scenario), [7]);
}

/// At most 120 messages in 60 seconds, including Identify and heartbeats, with slots reserved for heartbeats, and one
/// second of margin
/// ([Discord Docs, Gateway > Rate Limiting](https://discord.com/developers/docs/events/gateway#rate-limiting)).
#[test]
fn commands_leave_room_for_heartbeats() {
    let mut scenario = Scenario::at(Phase::Ready);
    queue(&mut scenario, 0..500);
    scenario.settle();
    // 120, less Identify, two scheduled heartbeats and one that may be requested.
    assert_eq!(numbers(&mut scenario), (0..116).collect::<Vec<_>>());
    scenario.server(&server::heartbeat_request());
    assert_eq!(scenario.log(), [r#"send {"op":1,"d":1}"#]);
    scenario.server(&server::acknowledgement());
    scenario.live(secs(61) - ms(1));
    assert_eq!(numbers(&mut scenario), [0; 0]);
    scenario.live(ms(1));
    assert_eq!(numbers(&mut scenario).first(), Some(&116));
}

/// With 500 queued commands every heartbeat is sent on time (discord-jda/JDA#1294; Rapptz/discord.py@5fe998a).
#[test]
fn a_full_queue_delays_no_heartbeat() {
    let mut scenario = Scenario::at(Phase::Ready);
    queue(&mut scenario, 0..500);
    let mut beats = Vec::new();
    let mut commands = Vec::new();
    for _ in 0..400 {
        scenario.advance(secs(1));
        scenario.server(&server::acknowledgement());
        for (at, line) in scenario.log_at() {
            if line.starts_with(r#"send {"op":1,"#) {
                beats.push(at);
            } else if let Some(rest) = line.strip_prefix(r#"send {"op":50,"d":"#) {
                commands.push(rest.trim_end_matches('}').parse::<u64>().unwrap());
            }
        }
    }
    assert!(beats.windows(2).all(|pair| pair[1] - pair[0] == INTERVAL), "{beats:?}");
    assert_eq!(beats.len(), 10);
    assert_eq!(commands, (0..500).collect::<Vec<_>>());
}

/// The count starts again on every connection, and queued commands are sent there.
#[test]
fn a_new_connection_has_a_new_count() {
    let mut scenario = Scenario::at(Phase::Ready);
    queue(&mut scenario, 0..200);
    scenario.settle();
    assert_eq!(numbers(&mut scenario).len(), 116);
    scenario.eof();
    scenario.open();
    scenario.server(&server::resumed(2));
    assert_eq!(numbers(&mut scenario), (116..200).collect::<Vec<_>>());
    assert_eq!(scenario.elapsed(), ms(0));
}

/// A smaller limit applies too.
#[test]
fn the_limit_is_configurable() {
    let mut scenario = Scenario::with(Phase::Ready, |config| config.limits.sends_per_minute = 70);
    queue(&mut scenario, 0..200);
    scenario.settle();
    assert_eq!(numbers(&mut scenario).len(), 66);
}

/// RATE_LIMITED is delivered like any dispatch: the application sees what was refused, and when to retry
/// (discord/discord-api-docs#7760).
#[test]
fn a_refused_request_is_delivered() {
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.server(r#"{"t":"RATE_LIMITED","s":2,"op":0,"d":{"opcode":8,"retry_after":29.5,"meta":{"guild_id":"7","nonce":"n"}}}"#);
    let outputs = scenario.outputs();
    let [(_, Output::Event(gateway_proto::Event::Dispatch(dispatch)))] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    let d: serde_json::Value = dispatch.decode().unwrap();
    assert_eq!((dispatch.name(), d["retry_after"].as_f64()), ("RATE_LIMITED", Some(29.5)));
}

// ---- Refused commands, which change nothing ----

fn refused(command: Command) -> SendError {
    let mut scenario = Scenario::at(Phase::Ready);
    let error = scenario.shard.send(command).unwrap_err();
    scenario.settle();
    assert_eq!((scenario.log(), scenario.shard.health().queued_commands), (Vec::new(), 0));
    assert!(!error.to_string().is_empty());
    error
}

/// A command of more than 4096 bytes would be answered with 4002; one of 4096 bytes is sent.
#[test]
fn a_command_over_4096_bytes_is_refused() {
    let sized =
        |size: usize| raw_command(50, &format!("\"{}\"", "x".repeat(size - r#"{"op":50,"d":""}"#.len())));
    let mut scenario = Scenario::at(Phase::Ready);
    scenario.shard.send(sized(4096)).unwrap();
    scenario.settle();
    let outputs = scenario.outputs();
    assert!(matches!(&outputs[..], [(_, Output::Send(Message::Text(text)))] if text.len() == 4096));
    let error = refused(sized(4097));
    assert!(matches!(error, SendError::TooLarge { size: 4097, limit: 4096 }), "{error}");
    assert!(error.to_string().contains("split it"));
}

/// A full queue is reported.
#[test]
fn a_full_queue_is_reported() {
    let mut scenario = Scenario::with(Phase::Connecting, |config| config.limits.queued_commands = 3);
    queue(&mut scenario, 0..3);
    let error = scenario.shard.send(raw_command(50, "3")).unwrap_err();
    assert!(matches!(error, SendError::QueueFull { waiting: 3 }), "{error}");
    scenario.open();
    scenario.input(Input::IdentifyGranted);
    scenario.server(&server::ready());
    assert_eq!(numbers(&mut scenario), [0, 1, 2]);
    queue(&mut scenario, 3..6);
}

/// The shard's own opcodes and those of the server cannot be sent.
#[test]
fn reserved_opcodes_are_refused() {
    for op in [0, 1, 2, 6, 7, 9, 10, 11] {
        assert!(
            matches!(refused(raw_command(op, "null")), SendError::ReservedOpcode { op: refused } if refused == op)
        );
    }
}

/// A command that the server would drop silently, or close the connection for, is refused with a reason
/// ([Discord Docs, Gateway Events > Send Events](https://discord.com/developers/docs/events/gateway-events#send-events)).
#[test]
fn commands_against_the_documentation_are_refused() {
    let members = |members, nonce| {
        let mut request = RequestGuildMembers::new(Snowflake(1), members);
        request.nonce = nonce;
        Command::RequestGuildMembers(request)
    };
    let prefix = |query: &str, limit| MemberSelection::Prefix { query: query.to_owned(), limit };
    let users = |count| MemberSelection::Users(vec![Snowflake(1); count]);
    let bad = [
        members(MemberSelection::Everyone, Some("é".repeat(17))),
        members(prefix("", 5), None),
        members(prefix("a", 0), None),
        members(prefix("a", 101), None),
        members(users(0), None),
        members(users(101), None),
        Command::RequestSoundboardSounds { guild_ids: Vec::new() },
        Command::RequestChannelInfo { guild_id: Snowflake(1), fields: Vec::new() },
    ];
    for command in bad {
        let name = format!("{command:?}");
        assert!(matches!(refused(command), SendError::Invalid(_)), "{name}");
    }
    let good = [
        members(MemberSelection::Everyone, Some("é".repeat(16))),
        members(prefix("a", 1), None),
        members(prefix("a", 100), None),
        members(users(100), None),
        Command::RequestSoundboardSounds { guild_ids: vec![Snowflake(1)] },
        Command::RequestChannelInfo { guild_id: Snowflake(1), fields: vec![ChannelInfoField::Status] },
    ];
    let mut scenario = Scenario::at(Phase::Ready);
    for command in good {
        scenario.shard.send(command).unwrap();
    }
    scenario.settle();
    assert_eq!(scenario.log().len(), 6);
}

/// Data that cannot be encoded in the shard's encoding is refused.
#[test]
fn data_that_cannot_be_written_is_refused() {
    let mut scenario = Scenario::with(Phase::Ready, |config| config.encoding = gateway_proto::Encoding::Json);
    let data = Raw::new(b"m\xff".to_vec(), gateway_proto::Encoding::Etf);
    let error = scenario.shard.send(Command::Raw { op: 50, data }).unwrap_err();
    assert!(matches!(error, SendError::Encode(_)), "{error}");
    assert!(error.to_string().starts_with("the command's data cannot be written: "), "{error}");
}

/// A refused presence is not used for the next Identify.
#[test]
fn a_refused_presence_is_not_kept() {
    let mut scenario = Scenario::at(Phase::Ready);
    let long = Presence::new(Status::Online, [Activity::custom("x".repeat(5_000))]);
    assert!(scenario.shard.send(Command::UpdatePresence(long)).is_err());
    scenario.closed(4009);
    scenario.open();
    scenario.input(Input::IdentifyGranted);
    assert!(!scenario.log().last().unwrap().contains("presence"));
}
