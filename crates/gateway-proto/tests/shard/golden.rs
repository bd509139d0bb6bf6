//! Every message that a shard sends, byte by byte
//! ([Discord Docs, Gateway Events > Send Events](https://discord.com/developers/docs/events/gateway-events#send-events),
//! [Gateway > Using ETF Encoding](https://discord.com/developers/docs/events/gateway#using-etf-encoding)). A message of
//! another shape is answered with close code 4001 or 4002 (serenity-rs/serenity#1200; discord/discord-api-docs#2262).

use gateway_proto::codec::etf::{Reader, Term};
use gateway_proto::command::{
    Activity, ActivityKind, ChannelInfoField, MemberSelection, Presence, RequestGuildMembers, Status,
    VoiceStateUpdate,
};
use gateway_proto::health::Phase;
use gateway_proto::{Command, Compression, Encoding, Input, Raw, ShardConfig, ShardId, Snowflake, codec};

use crate::support::{Scenario, saved_session, server};

const IDENTIFY_BEGINS: &str = r#"send {"op":2,"d":{"token":"t0ken-s3cret","properties":{"os":"linux","browser":"gateway-proto","device":"gateway-proto"},"#;

fn identify(change: impl FnOnce(&mut ShardConfig)) -> String {
    let mut scenario = Scenario::with(Phase::AwaitingIdentify, change);
    scenario.input(Input::IdentifyGranted);
    scenario.log().pop().unwrap()
}

fn command(encoding: Encoding, command: Command) -> String {
    let mut scenario = Scenario::with(Phase::Ready, |config| config.encoding = encoding);
    scenario.shard.send(command).unwrap();
    scenario.settle();
    scenario.log().pop().unwrap()
}

fn json(op: Command) -> String {
    command(Encoding::Json, op)
}

fn etf(op: Command) -> String {
    command(Encoding::Etf, op)
}

fn presence() -> Presence {
    let mut streaming = Activity::new(ActivityKind::Streaming, "a \"game\"");
    streaming.state = Some("live".to_owned());
    streaming.url = Some("https://twitch.tv/x".to_owned());
    let mut presence = Presence::new(Status::Dnd, [streaming]);
    presence.since = Some(91_879_201);
    presence.afk = true;
    presence
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

/// The token is sent without a prefix, in whichever form it was given.
#[test]
fn the_token_is_sent_without_a_prefix() {
    assert_eq!(identify(|config| config.token = "Bot t0ken-s3cret".into()), identify(|_| {}));
}

#[test]
fn resume_in_json() {
    let mut scenario = Scenario::with(Phase::AwaitingHello, |config| config.session = Some(saved_session()));
    scenario.server(&server::hello());
    let resume = r#"send {"op":6,"d":{"token":"t0ken-s3cret","session_id":"s3ssion-s3cret","seq":5}}"#;
    assert_eq!(scenario.log().pop().unwrap(), resume);
}

/// All four keys of a presence are always present: `since` as null, `activities` as an empty list.
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
        let log = json(Command::UpdatePresence(Presence::new(status, [])));
        assert!(log.contains(&format!(r#""status":"{word}""#)), "{log}");
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
        let log = json(Command::UpdatePresence(Presence::new(Status::Online, activities)));
        assert!(log.contains(&format!(r#"{{"name":"x","type":{number}}}"#)), "{log}");
    }
}

#[test]
fn voice_states_in_json() {
    let voice = |channel_id| {
        let mut update = VoiceStateUpdate::new(Snowflake(41771983423143937), channel_id);
        update.self_deaf = true;
        Command::UpdateVoiceState(update)
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
        let mut request = RequestGuildMembers::new(Snowflake(7), members);
        request.presences = presences;
        request.nonce = nonce.map(str::to_owned);
        json(Command::RequestGuildMembers(request))
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

/// A raw command is sent unchanged, in the shard's encoding, from either encoding.
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

/// The bytes of a sent message in ETF.
fn bytes_of(log: &str) -> Vec<u8> {
    let digits = log.strip_prefix("send ").expect("a message goes out");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// The message has these bytes, and every map in it has binaries as keys.
fn is_golden(log: &str, golden: &[u8]) {
    let bytes = bytes_of(log);
    assert_eq!(bytes.escape_ascii().to_string(), golden.escape_ascii().to_string());
    check_keys(&bytes).unwrap();
}

/// Walks a document to its last byte: every map key must be a binary, or the server closes with 4002
/// ([Discord Docs, Gateway > Using ETF Encoding](https://discord.com/developers/docs/events/gateway#using-etf-encoding)).
fn check_keys(document: &[u8]) -> Result<(), String> {
    let mut reader = Reader::new(document).map_err(|error| error.to_string())?;
    check_keys_of_next(&mut reader)?;
    if reader.rest().is_empty() { Ok(()) } else { Err("bytes follow".to_owned()) }
}

fn check_keys_of_next(reader: &mut Reader<'_>) -> Result<(), String> {
    match reader.term().map_err(|error| error.to_string())? {
        Term::Map(count) => {
            for _ in 0..count {
                let at = reader.offset();
                match reader.term().map_err(|error| error.to_string())? {
                    Term::Binary(_) => check_keys_of_next(reader)?,
                    key => return Err(format!("the key at {at} is {key:?}")),
                }
            }
        }
        Term::List(count) => {
            (0..count).try_for_each(|_| check_keys_of_next(reader))?;
            reader.list_end().map_err(|error| error.to_string())?;
        }
        Term::Tuple(count) => (0..count).try_for_each(|_| check_keys_of_next(reader))?,
        _ => {}
    }
    Ok(())
}

/// Heartbeats byte by byte.
#[test]
fn heartbeats_in_etf() {
    let etf = |json: &str| {
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        codec::encode(&value, Encoding::Etf).unwrap()
    };
    let begins = "send 8374000000026d000000026f7061016d0000000164";
    let mut scenario = Scenario::with(Phase::AwaitingReady, |config| config.encoding = Encoding::Etf);
    scenario.server_binary(etf(&server::heartbeat_request()));
    assert_eq!(scenario.log(), [format!("{begins}73036e696c")]);
    scenario.server_binary(etf(&server::ready().replace(r#""s":1"#, r#""s":250"#)));
    scenario.server_binary(etf(&server::message(251)));
    scenario.log();
    scenario.server_binary(etf(&server::heartbeat_request()));
    let log = scenario.log();
    assert_eq!(log, [format!("{begins}61fb")]);
    check_keys(&bytes_of(&log[0])).unwrap();
}

#[test]
fn keys_that_are_not_binaries_are_found() {
    for good in [&b"\x83j"[..], b"\x83t\0\0\0\x01m\0\0\0\x01al\0\0\0\x01t\0\0\0\0j", b"\x83m\0\0\0\x02s\x03"]
    {
        check_keys(good).unwrap();
    }
    for bad in [
        // An atom of each tag, an integer, and the atoms for null and true.
        &b"\x83t\0\0\0\x01s\x02opa\x01"[..],
        b"\x83t\0\0\0\x01d\0\x02opa\x01",
        b"\x83t\0\0\0\x01w\x02opa\x01",
        b"\x83t\0\0\0\x01v\0\x02opa\x01",
        b"\x83t\0\0\0\x01a\x07a\x01",
        b"\x83t\0\0\0\x01s\x03nila\x01",
        b"\x83t\0\0\0\x01s\x04truea\x01",
        // After a valid key, within its value, in a list, in a tuple.
        b"\x83t\0\0\0\x02m\0\0\0\x02opa\x01s\x01da\x01",
        b"\x83t\0\0\0\x01m\0\0\0\x01dt\0\0\0\x01s\x01aa\x01",
        b"\x83t\0\0\0\x01m\0\0\0\x01dl\0\0\0\x02a\x01t\0\0\0\x01s\x01aa\x01j",
        b"\x83h\x01t\0\0\0\x01s\x01aa\x01",
    ] {
        let error = check_keys(bad).unwrap_err();
        assert!(error.starts_with("the key at "), "{}: {error}", bad.escape_ascii());
    }
    // The server's documents have atoms as keys.
    let payload = serde_json::json!({"op": 1, "d": null});
    let server = codec::etf::to_vec_with(&payload, codec::etf::Style::Server).unwrap();
    assert_eq!(check_keys(&server).unwrap_err(), "the key at 6 is Atom(\"d\")");
}

#[test]
fn identify_in_etf() {
    let identify = |change: &dyn Fn(&mut ShardConfig)| {
        identify(|config| {
            config.encoding = Encoding::Etf;
            change(config);
        })
    };
    is_golden(
        &identify(&|_| {}),
        b"\x83t\0\0\0\x02m\0\0\0\x02opa\x02m\0\0\0\x01dt\0\0\0\x05m\0\0\0\x05tokenm\0\0\0\x0ct0ken-s3cret\
          m\0\0\0\x0apropertiest\0\0\0\x03m\0\0\0\x02osm\0\0\0\x05linuxm\0\0\0\x07browserm\0\0\0\x0dgateway-proto\
          m\0\0\0\x06devicem\0\0\0\x0dgateway-protom\0\0\0\x08compresss\x05false\
          m\0\0\0\x05shardl\0\0\0\x02a\0a\x01jm\0\0\0\x07intentsb\0\0\x02\x01",
    );
    let full = identify(&|config| {
        config.large_threshold = Some(250);
        config.shard = ShardId::new(3, 16).unwrap();
        config.presence = Some(Presence::default());
    });
    is_golden(
        &full,
        b"\x83t\0\0\0\x02m\0\0\0\x02opa\x02m\0\0\0\x01dt\0\0\0\x07m\0\0\0\x05tokenm\0\0\0\x0ct0ken-s3cret\
          m\0\0\0\x0apropertiest\0\0\0\x03m\0\0\0\x02osm\0\0\0\x05linuxm\0\0\0\x07browserm\0\0\0\x0dgateway-proto\
          m\0\0\0\x06devicem\0\0\0\x0dgateway-protom\0\0\0\x08compresss\x05falsem\0\0\0\x0flarge_thresholda\xfa\
          m\0\0\0\x05shardl\0\0\0\x02a\x03a\x10jm\0\0\0\x08presencet\0\0\0\x04m\0\0\0\x05sinces\x03nil\
          m\0\0\0\x0aactivitiesjm\0\0\0\x06statusm\0\0\0\x06onlinem\0\0\0\x03afks\x05false\
          m\0\0\0\x07intentsb\0\0\x02\x01",
    );
}

#[test]
fn resume_in_etf() {
    let mut scenario = Scenario::with(Phase::AwaitingHello, |config| {
        config.session = Some(saved_session());
        config.encoding = Encoding::Etf;
    });
    scenario.server(&server::hello());
    is_golden(
        &scenario.log().pop().unwrap(),
        b"\x83t\0\0\0\x02m\0\0\0\x02opa\x06m\0\0\0\x01dt\0\0\0\x03m\0\0\0\x05tokenm\0\0\0\x0ct0ken-s3cret\
          m\0\0\0\x0asession_idm\0\0\0\x0es3ssion-s3cretm\0\0\0\x03seqa\x05",
    );
}

#[test]
fn presences_in_etf() {
    is_golden(
        &etf(Command::UpdatePresence(Presence::default())),
        b"\x83t\0\0\0\x02m\0\0\0\x02opa\x03m\0\0\0\x01dt\0\0\0\x04m\0\0\0\x05sinces\x03nil\
          m\0\0\0\x0aactivitiesjm\0\0\0\x06statusm\0\0\0\x06onlinem\0\0\0\x03afks\x05false",
    );
    is_golden(
        &etf(Command::UpdatePresence(presence())),
        b"\x83t\0\0\0\x02m\0\0\0\x02opa\x03m\0\0\0\x01dt\0\0\0\x04m\0\0\0\x05sinceb\x05y\xf7!\
          m\0\0\0\x0aactivitiesl\0\0\0\x01t\0\0\0\x04m\0\0\0\x04namem\0\0\0\x08a \"game\"m\0\0\0\x04typea\x01\
          m\0\0\0\x05statem\0\0\0\x04livem\0\0\0\x03urlm\0\0\0\x13https://twitch.tv/xj\
          m\0\0\0\x06statusm\0\0\0\x03dndm\0\0\0\x03afks\x04true",
    );
}

#[test]
fn voice_states_in_etf() {
    let voice = |channel_id| {
        let mut update = VoiceStateUpdate::new(Snowflake(41771983423143937), channel_id);
        update.self_deaf = true;
        etf(Command::UpdateVoiceState(update))
    };
    is_golden(
        &voice(Some(Snowflake(u64::MAX))),
        b"\x83t\0\0\0\x02m\0\0\0\x02opa\x04m\0\0\0\x01dt\0\0\0\x04m\0\0\0\x08guild_idm\0\0\0\x1141771983423143937\
          m\0\0\0\x0achannel_idm\0\0\0\x1418446744073709551615m\0\0\0\x09self_mutes\x05false\
          m\0\0\0\x09self_deafs\x04true",
    );
    is_golden(
        &voice(None),
        b"\x83t\0\0\0\x02m\0\0\0\x02opa\x04m\0\0\0\x01dt\0\0\0\x04m\0\0\0\x08guild_idm\0\0\0\x1141771983423143937\
          m\0\0\0\x0achannel_ids\x03nilm\0\0\0\x09self_mutes\x05falsem\0\0\0\x09self_deafs\x04true",
    );
}

#[test]
fn requests_for_members_in_etf() {
    let request = |guild_id, members, presences, nonce: Option<&str>| {
        let mut request = RequestGuildMembers::new(Snowflake(guild_id), members);
        request.presences = presences;
        request.nonce = nonce.map(str::to_owned);
        etf(Command::RequestGuildMembers(request))
    };
    is_golden(
        &request(41771983423143937, MemberSelection::Everyone, false, None),
        b"\x83t\0\0\0\x02m\0\0\0\x02opa\x08m\0\0\0\x01dt\0\0\0\x04m\0\0\0\x08guild_idm\0\0\0\x1141771983423143937\
          m\0\0\0\x05querym\0\0\0\0m\0\0\0\x05limita\0m\0\0\0\x09presencess\x05false",
    );
    let prefix = MemberSelection::Prefix { query: "é".to_owned(), limit: 100 };
    is_golden(
        &request(7, prefix, true, Some("n")),
        b"\x83t\0\0\0\x02m\0\0\0\x02opa\x08m\0\0\0\x01dt\0\0\0\x05m\0\0\0\x08guild_idm\0\0\0\x017\
          m\0\0\0\x05querym\0\0\0\x02\xc3\xa9m\0\0\0\x05limitadm\0\0\0\x09presencess\x04truem\0\0\0\x05noncem\0\0\0\x01n",
    );
    is_golden(
        &request(7, MemberSelection::Users(vec![Snowflake(8), Snowflake(9)]), false, None),
        b"\x83t\0\0\0\x02m\0\0\0\x02opa\x08m\0\0\0\x01dt\0\0\0\x04m\0\0\0\x08guild_idm\0\0\0\x017\
          m\0\0\0\x08user_idsl\0\0\0\x02m\0\0\0\x018m\0\0\0\x019jm\0\0\0\x05limita\0m\0\0\0\x09presencess\x05false",
    );
}

#[test]
fn requests_for_sounds_and_channels_in_etf() {
    is_golden(
        &etf(Command::RequestSoundboardSounds { guild_ids: vec![Snowflake(7), Snowflake(8)] }),
        b"\x83t\0\0\0\x02m\0\0\0\x02opa\x1fm\0\0\0\x01dt\0\0\0\x01m\0\0\0\x09guild_idsl\0\0\0\x02m\0\0\0\x017m\0\0\0\x018j",
    );
    let fields = vec![ChannelInfoField::Status, ChannelInfoField::VoiceStartTime];
    is_golden(
        &etf(Command::RequestChannelInfo { guild_id: Snowflake(7), fields }),
        b"\x83t\0\0\0\x02m\0\0\0\x02opa+m\0\0\0\x01dt\0\0\0\x02m\0\0\0\x08guild_idm\0\0\0\x017\
          m\0\0\0\x06fieldsl\0\0\0\x02m\0\0\0\x06statusm\0\0\0\x10voice_start_timej",
    );
}

/// Raw data of the server with atoms as keys is sent with binaries as keys.
#[test]
fn raw_commands_with_atom_keys_are_sent_with_binary_keys() {
    let data = codec::etf::to_vec_with(&serde_json::json!({"d": {"id": "7"}}), codec::etf::Style::Server);
    let data = Raw::new(data.unwrap(), Encoding::Etf);
    is_golden(
        &etf(Command::Raw { op: 40, data }),
        b"\x83t\0\0\0\x02m\0\0\0\x02opa(m\0\0\0\x01dt\0\0\0\x01m\0\0\0\x01dt\0\0\0\x01m\0\0\0\x02ida\x07",
    );
}

/// Every message in ETF has the same content as in JSON, and only binaries as keys.
#[test]
fn every_message_has_the_same_content_in_etf() {
    let mut voice = VoiceStateUpdate::new(Snowflake(u64::MAX), None);
    voice.self_mute = true;
    let mut members = RequestGuildMembers::new(Snowflake(7), MemberSelection::Users(vec![Snowflake(8)]));
    members.presences = true;
    members.nonce = Some("n".to_owned());
    let commands = [
        Command::UpdatePresence(presence()),
        Command::UpdatePresence(Presence::default()),
        Command::UpdateVoiceState(voice),
        Command::RequestGuildMembers(members),
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
        let bytes = bytes_of(&etf);
        let value: serde_json::Value = codec::decode(&bytes, Encoding::Etf).unwrap();
        assert_eq!(value, expected);
        check_keys(&bytes).unwrap();
    }
}
