//! Every message that goes out, byte by byte (protocol, 2.2 and 4.1). A message of the wrong shape is answered with close
//! code 4001 or 4002 (B82, B84).

use gateway_proto::{
    Activity, ActivityKind, ChannelInfoField, Command, Compression, Encoding, Input, MemberSelection, Phase,
    Presence, Raw, RequestGuildMembers, ShardConfig, ShardId, Snowflake, Status, VoiceStateUpdate,
};

use crate::support::{Scenario, saved_session, server};

const IDENTIFY_BEGINS: &str = r#"send {"op":2,"d":{"token":"t0ken-s3cret","properties":{"os":"linux","browser":"gateway-proto","device":"gateway-proto"},"#;

fn identify(change: impl FnOnce(&mut ShardConfig)) -> String {
    let mut scenario = Scenario::with(Phase::AwaitingIdentify, change);
    scenario.input(Input::IdentifyGranted);
    scenario.said().pop().unwrap()
}

fn command(encoding: Encoding, command: Command) -> String {
    let mut scenario = Scenario::with(Phase::Ready, |config| config.encoding = encoding);
    scenario.shard.send(command).unwrap();
    scenario.settle();
    scenario.said().pop().unwrap()
}

fn json(op: Command) -> String {
    command(Encoding::Json, op)
}

fn presence() -> Presence {
    let streaming = Activity {
        state: Some("live".to_owned()),
        url: Some("https://twitch.tv/x".to_owned()),
        ..Activity::new(ActivityKind::Streaming, "a \"game\"")
    };
    Presence { since: Some(91_879_201), activities: vec![streaming], status: Status::Dnd, afk: true }
}

#[test]
fn identify_in_json() {
    let plain = r#""compress":false,"shard":[0,1],"intents":513}}"#;
    assert_eq!(identify(|_| {}), format!("{IDENTIFY_BEGINS}{plain}"));
    let full = identify(|config| {
        config.compression = Compression::Payload;
        config.large_threshold = Some(250);
        config.shard = ShardId::new(3, 16).unwrap();
        config.presence = Some(Presence::default());
    });
    let expected = r#""compress":true,"large_threshold":250,"shard":[3,16],"presence":{"since":null,"activities":[],"status":"online","afk":false},"intents":513}}"#;
    assert_eq!(full, format!("{IDENTIFY_BEGINS}{expected}"));
}

/// The token goes out bare, whichever way it was given.
#[test]
fn the_token_goes_out_bare() {
    assert_eq!(identify(|config| config.token = "Bot t0ken-s3cret".into()), identify(|_| {}));
}

#[test]
fn resume_in_json() {
    let mut scenario = Scenario::with(Phase::AwaitingHello, |config| config.session = Some(saved_session()));
    scenario.server(&server::hello());
    let resume = r#"send {"op":6,"d":{"token":"t0ken-s3cret","session_id":"s3ssion-s3cret","seq":5}}"#;
    assert_eq!(scenario.said().pop().unwrap(), resume);
}

/// All four keys of a presence are always there: `since` as null, `activities` as an empty list.
#[test]
fn presences_in_json() {
    assert_eq!(
        json(Command::UpdatePresence(Presence::default())),
        r#"send {"op":3,"d":{"since":null,"activities":[],"status":"online","afk":false}}"#
    );
    assert_eq!(
        json(Command::UpdatePresence(presence())),
        r#"send {"op":3,"d":{"since":91879201,"activities":[{"name":"a \"game\"","type":1,"state":"live","url":"https://twitch.tv/x"}],"status":"dnd","afk":true}}"#
    );
    for (status, word) in
        [(Status::Idle, "idle"), (Status::Invisible, "invisible"), (Status::Offline, "offline")]
    {
        let said = json(Command::UpdatePresence(Presence { status, ..Presence::default() }));
        assert!(said.contains(&format!(r#""status":"{word}""#)), "{said}");
    }
    let kinds = [
        ActivityKind::Playing,
        ActivityKind::Streaming,
        ActivityKind::Listening,
        ActivityKind::Watching,
        ActivityKind::Custom,
        ActivityKind::Competing,
    ];
    for (number, kind) in kinds.into_iter().enumerate() {
        let activities = vec![Activity::new(kind, "x")];
        let said = json(Command::UpdatePresence(Presence { activities, ..Presence::default() }));
        assert!(said.contains(&format!(r#"{{"name":"x","type":{number}}}"#)), "{said}");
    }
}

#[test]
fn voice_states_in_json() {
    let voice = |channel_id| {
        Command::UpdateVoiceState(VoiceStateUpdate {
            guild_id: Snowflake(41771983423143937),
            channel_id,
            self_mute: false,
            self_deaf: true,
        })
    };
    assert_eq!(
        json(voice(Some(Snowflake(u64::MAX)))),
        r#"send {"op":4,"d":{"guild_id":"41771983423143937","channel_id":"18446744073709551615","self_mute":false,"self_deaf":true}}"#
    );
    assert_eq!(
        json(voice(None)),
        r#"send {"op":4,"d":{"guild_id":"41771983423143937","channel_id":null,"self_mute":false,"self_deaf":true}}"#
    );
}

#[test]
fn requests_for_members_in_json() {
    let request = |members, presences, nonce: Option<&str>| {
        json(Command::RequestGuildMembers(RequestGuildMembers {
            guild_id: Snowflake(7),
            members,
            presences,
            nonce: nonce.map(str::to_owned),
        }))
    };
    assert_eq!(
        request(MemberSelection::Everyone, false, None),
        r#"send {"op":8,"d":{"guild_id":"7","query":"","limit":0,"presences":false}}"#
    );
    assert_eq!(
        request(MemberSelection::Prefix { query: "é".to_owned(), limit: 100 }, true, Some("n")),
        r#"send {"op":8,"d":{"guild_id":"7","query":"é","limit":100,"presences":true,"nonce":"n"}}"#
    );
    assert_eq!(
        request(MemberSelection::Users(vec![Snowflake(8), Snowflake(9)]), false, None),
        r#"send {"op":8,"d":{"guild_id":"7","user_ids":["8","9"],"limit":0,"presences":false}}"#
    );
}

#[test]
fn requests_for_sounds_and_channels_in_json() {
    let guild_ids = vec![Snowflake(7), Snowflake(8)];
    assert_eq!(
        json(Command::RequestSoundboardSounds { guild_ids }),
        r#"send {"op":31,"d":{"guild_ids":["7","8"]}}"#
    );
    let fields = vec![ChannelInfoField::Status, ChannelInfoField::VoiceStartTime];
    assert_eq!(
        json(Command::RequestChannelInfo { guild_id: Snowflake(7), fields }),
        r#"send {"op":43,"d":{"guild_id":"7","fields":["status","voice_start_time"]}}"#
    );
}

/// A raw command goes out as it was given, in the shard's encoding, whichever it came in.
#[test]
fn raw_commands_in_either_encoding() {
    let raw = |bytes: &'static [u8], encoding| Command::Raw { op: 40, data: Raw::new(bytes, encoding) };
    let text = br#"{"b":[1,null],"a":-1}"#;
    assert_eq!(json(raw(text, Encoding::Json)), r#"send {"op":40,"d":{"b":[1,null],"a":-1}}"#);
    assert_eq!(json(raw(b"m\0\0\0\x01x", Encoding::Etf)), r#"send {"op":40,"d":"x"}"#);
    assert_eq!(
        command(Encoding::Etf, raw(b"[0,300]", Encoding::Json)),
        "send 83740000000 2 6d00000002 6f70 6128 6d00000001 64 6c00000002 6100 620000012c 6a"
            .replace(' ', "")
            .replacen("send", "send ", 1)
    );
}

// ---- ETF: keys are binaries, never atoms; nil, true and false are small atoms; ids are text ----

/// The vectors of the protocol.
#[test]
fn heartbeats_in_etf() {
    let etf = |json: &str| {
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        gateway_proto::codec::encode(&value, Encoding::Etf).unwrap()
    };
    let begins = "send 8374000000026d000000026f7061016d0000000164";
    let mut scenario = Scenario::with(Phase::AwaitingReady, |config| config.encoding = Encoding::Etf);
    scenario.server_binary(etf(&server::heartbeat_request()));
    assert_eq!(scenario.said(), [format!("{begins}73036e696c")]);
    scenario.server_binary(etf(&server::ready()));
    scenario.server_binary(etf(&server::message(251)));
    scenario.said();
    scenario.server_binary(etf(&server::heartbeat_request()));
    assert_eq!(scenario.said(), [format!("{begins}61fb")]);
}

/// Every message in ETF says the same as in JSON, has no atom but nil, true and false, and no key but binaries.
#[test]
fn every_message_says_the_same_in_etf() {
    let commands = [
        Command::UpdatePresence(presence()),
        Command::UpdatePresence(Presence::default()),
        Command::UpdateVoiceState(VoiceStateUpdate {
            guild_id: Snowflake(u64::MAX),
            channel_id: None,
            self_mute: true,
            self_deaf: false,
        }),
        Command::RequestGuildMembers(RequestGuildMembers {
            guild_id: Snowflake(7),
            members: MemberSelection::Users(vec![Snowflake(8)]),
            presences: true,
            nonce: Some("n".to_owned()),
        }),
        Command::RequestSoundboardSounds { guild_ids: vec![Snowflake(7)] },
        Command::RequestChannelInfo { guild_id: Snowflake(7), fields: vec![ChannelInfoField::Status] },
    ];
    let mut pairs: Vec<(String, String)> = commands
        .into_iter()
        .map(|op| (command(Encoding::Json, op.clone()), command(Encoding::Etf, op)))
        .collect();
    let presence = |config: &mut ShardConfig| config.presence = Some(presence());
    pairs.push((
        identify(presence),
        identify(|config| {
            presence(config);
            config.encoding = Encoding::Etf;
        }),
    ));
    for (json, etf) in pairs {
        let expected: serde_json::Value = serde_json::from_str(&json[5..]).unwrap();
        let bytes: Vec<u8> =
            (5..etf.len()).step_by(2).map(|at| u8::from_str_radix(&etf[at..at + 2], 16).unwrap()).collect();
        let value: serde_json::Value = gateway_proto::codec::decode(&bytes, Encoding::Etf).unwrap();
        assert_eq!(value, expected);
        let atoms =
            bytes.windows(2).filter(|pair| pair == b"s\x03" || pair == b"s\x04" || pair == b"s\x05").count();
        let words =
            json.matches("null").count() + json.matches("true").count() + json.matches("false").count();
        assert_eq!(atoms, words, "{json}");
    }
}
