//! The errors of the published crates: each text of a chain is printed once. A text contains that of the inner error, so no error has a
//! `source`.

#[path = "shared/sources.rs"]
mod sources;

use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use gateway_codec::http::BodyError;
use gateway_codec::{Compression, Encoding, InflateError, UnknownName, json};
use gateway_driver::BuildError;
use gateway_driver::gate::GateError;
use gateway_driver::net::resolve_error;
use gateway_driver::tls::{Roots, TlsError};
use gateway_proto::api::GatewayBotError;
use gateway_proto::command::{MemberRequestError, SendError};
use gateway_proto::config::{ConfigError, ShardIdError, UrlError};
use gateway_proto::disconnect::{Refused, Rejection};
use gateway_proto::identify::{
    BudgetError, IdentifyBudget, IdentifyQueue, IdentifyRefused, SessionStartLimit, TooFewStarts,
};
use gateway_proto::session::{
    AckError, AckTracker, AckTrackerFull, DispatchBytesError, DispatchKey, DispatchKeyError,
};
use gateway_proto::transcript::TranscriptError;
use gateway_proto::{ConnectError, Dispatch, GatewayUrl, ShardId, StopReason};
use gateway_sim::{Config, Control, Gateway, Target};
use gateway_tokio::{ClusterError, MembersError, RequestError, StartError};

use sources::sources_of;

type Chain = Vec<String>;

fn chain(error: &(dyn Error + 'static)) -> Chain {
    std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source())
        .map(ToString::to_string)
        .collect()
}

/// The name of a type without its path.
fn name<T>(_: &T) -> &'static str {
    std::any::type_name::<T>().rsplit("::").next().unwrap()
}

/// Every type of error with the chains of its variants.
#[derive(Default)]
struct Errors(Vec<(&'static str, Chain)>);

impl Errors {
    fn add<E: Error + 'static>(&mut self, errors: impl IntoIterator<Item = E>) {
        for error in errors {
            self.0.push((name(&error), chain(&error)));
        }
    }

    /// Adds errors that wrap another one, whose text theirs must contain.
    fn add_around<I: Error, E: Error + 'static>(
        &mut self,
        inner: impl IntoIterator<Item = I>,
        wrap: impl Fn(I) -> E,
    ) {
        for inner in inner {
            let text = inner.to_string();
            let outer = wrap(inner);
            assert!(outer.to_string().contains(&text), "{} lacks {text:?}: {outer}", name(&outer));
            self.add([outer]);
        }
    }
}

fn io_error() -> std::io::Error {
    std::io::Error::other("the disk is full")
}

fn malformed() -> gateway_codec::Error {
    json::from_slice::<u8>(b"[").unwrap_err()
}

/// A writer whose every write fails.
struct Full;

impl std::io::Write for Full {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(io_error())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn of_codec(errors: &mut Errors) {
    let unwritten = gateway_codec::convert::convert_to(
        b"1",
        Encoding::Etf,
        Encoding::Json,
        &gateway_codec::convert::Options::default(),
        &mut Full,
    );
    errors.add([malformed(), unwritten.unwrap_err()]);
    let inflate = [
        InflateError::TooLarge { limit: 1 },
        InflateError::Corrupt { reason: "a block has no type" },
        InflateError::Incomplete,
        InflateError::Poisoned,
        InflateError::Unsupported { format: "gzip", feature: "zlib" },
    ];
    errors.add(inflate.clone());
    errors.add_around(inflate, BodyError::Inflate);
    errors.add_around([malformed()], BodyError::Document);
    errors.add([BodyError::UnknownEncoding, BodyError::UnknownType]);
    errors.add::<UnknownName>(["zlib".parse::<Compression>().unwrap_err()]);
}

fn too_few_starts() -> TooFewStarts {
    let mut limit = SessionStartLimit::default();
    limit.remaining = 1;
    let mut budget = IdentifyBudget::default();
    budget.shards = 4;
    match IdentifyQueue::with_budget(budget, &limit, Instant::now()) {
        Err(BudgetError::TooFewStarts(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn config_error() -> ConfigError {
    ConfigError::new("token", "it is empty")
}

fn refused() -> [IdentifyRefused; 3] {
    let wait = Duration::from_secs(60);
    [
        IdentifyRefused::new(100, 100, wait),
        IdentifyRefused::not_persisted(7, 1),
        IdentifyRefused::unreachable(),
    ]
}

fn of_proto(errors: &mut Errors) {
    errors.add([
        SendError::TooLarge { size: 5000, limit: 4096 },
        SendError::QueueFull { waiting: 1000 },
        SendError::ReservedOpcode { op: 2 },
        SendError::Invalid("name at least one guild"),
        SendError::Stopped,
    ]);
    errors.add_around([malformed()], SendError::Encode);
    let text = || "connection refused".to_owned();
    errors.add([
        ConnectError::Dns(text()),
        ConnectError::Tcp(text()),
        ConnectError::Tls(text()),
        ConnectError::Refused(Refused::new(503)),
        ConnectError::Handshake(text()),
    ]);
    errors.add([config_error()]);
    errors.add([too_few_starts()]);
    errors.add([
        GatewayBotError::Io("reset".to_owned()),
        GatewayBotError::TimedOut,
        GatewayBotError::Unauthorized,
        GatewayBotError::TooLarge,
        GatewayBotError::Malformed("no shards".to_owned()),
    ]);
    errors.add_around([config_error()], GatewayBotError::Token);
    errors.add_around([ConnectError::Dns("no such name".to_owned())], GatewayBotError::Connect);
    errors.add_around([config_error()], BudgetError::Config);
    errors.add_around([too_few_starts()], BudgetError::TooFewStarts);
    errors.add(refused());
    errors.add_around(refused(), StopReason::IdentifyRefused);
    errors.add([StopReason::Rejected(Rejection::ShardingRequired)]);
    errors.add([TranscriptError::Version, TranscriptError::Line { number: 3, error: None }]);
    errors.add_around([io_error()], TranscriptError::Io);
    errors.add_around([malformed()], |error| TranscriptError::Line { number: 3, error: Some(error) });
    errors.add_around([config_error()], TranscriptError::Config);
    errors.add::<UrlError>(
        ["", "http://h", "wss://:1", "wss://h:0"].map(|url| GatewayUrl::parse(url).unwrap_err()),
    );
    errors.add([AckError::NotAwaited, AckError::NotDelivered { sequence: 8, delivered: 7 }]);
    let keys = ["0000000000000001-1", "0000000000000001-2"].map(|key| key.parse::<DispatchKey>().unwrap());
    let mut tracker = AckTracker::new(1);
    let full = keys.into_iter().find_map(|key| tracker.received(key).err());
    errors.add::<AckTrackerFull>([full.unwrap()]);
    errors.add::<DispatchKeyError>(["1".parse::<DispatchKey>().unwrap_err()]);
    errors.add([
        MemberRequestError::RateLimited { retry_after: Duration::from_secs(1) },
        MemberRequestError::TimedOut { received: 0, expected: None },
        MemberRequestError::TimedOut { received: 1, expected: Some(2) },
    ]);
    errors.add::<ShardIdError>([ShardId::new(4, 4).unwrap_err(), "x".parse::<ShardId>().unwrap_err()]);
    errors.add::<DispatchBytesError>([
        Dispatch::from_bytes(vec![0xff]).unwrap_err(),
        DispatchBytesError::Damaged,
    ]);
}

fn of_driver(errors: &mut Errors) {
    let tls = || {
        [
            TlsError::NoProvider,
            TlsError::NoRoots(Roots::Native),
            TlsError::NoRoots(Roots::ExtraOnly),
            TlsError::RootsUnusable("the system has none".to_owned()),
            TlsError::ProviderUnusable("it has no cipher suite".to_owned()),
            TlsError::Pem("it contains no certificate".to_owned()),
        ]
    };
    errors.add(tls());
    errors.add_around(tls(), BuildError::Tls);
    errors.add_around([config_error()], BuildError::Config);
    errors.add_around([BudgetError::Config(config_error())], GateError::Budget);
    errors.add_around([io_error()], GateError::Store);
    let resolve = resolve_error(io_error());
    errors.0.push(("ResolveError", chain(&resolve)));
}

fn of_cluster(errors: &mut Errors) {
    let shard = ShardId::ONE;
    let cluster = || {
        [
            ClusterError::NoShards,
            ClusterError::Range { from: 1, to: 3, total: 2 },
            ClusterError::TooFewShards { shards: 1, guilds: 5000 },
            ClusterError::SameCount,
            ClusterError::Resharding,
            ClusterError::NotResharding,
            ClusterError::CutoverBegun,
            ClusterError::NotWhole,
            ClusterError::Rolling,
            ClusterError::Ending,
            ClusterError::NoSuchShard(shard),
            ClusterError::AlreadyHere(shard),
            ClusterError::OtherGeneration(shard),
        ]
    };
    errors.add(cluster());
    errors.add_around(cluster(), StartError::Cluster);
    errors.add_around(cluster(), RequestError::Cluster);
    errors.add_around([BuildError::Config(config_error())], StartError::Build);
    errors.add_around([BuildError::Config(config_error())], RequestError::Build);
    errors.add_around([GatewayBotError::Unauthorized], StartError::GatewayBot);
    errors.add_around([GatewayBotError::Unauthorized], RequestError::GatewayBot);
    errors.add_around([GateError::Budget(BudgetError::Config(config_error()))], StartError::Gate);
    errors.add_around([too_few_starts()], StartError::TooFewStarts);
    errors.add_around([too_few_starts()], RequestError::TooFewStarts);
    errors.add_around([config_error()], RequestError::Budget);
    errors.add_around([io_error()], StartError::Store);
    errors.add([
        StartError::OtherBot { found: "id 1".to_owned(), expected: "id 2".to_owned() },
        StartError::ReshardUnfinished { from: 16, to: 32 },
    ]);
    errors.add_around([SendError::Stopped], MembersError::Send);
    errors.add([MembersError::TimedOut, MembersError::NotHere, MembersError::Ended]);
}

fn of_sim(errors: &mut Errors) {
    let mut gateway = Gateway::new(Config::default(), Instant::now());
    let control = Control::Invalid { resumable: true };
    errors.add([gateway.control(Target::Session(99), control, Instant::now()).unwrap_err()]);
}

/// The types that the published crates implement `Error` for.
fn implemented() -> Vec<String> {
    let crates = ["gateway-codec", "gateway-proto", "gateway-driver", "gateway-cluster", "gateway-sim"];
    let mut types = Vec::new();
    for file in crates.into_iter().flat_map(sources_of) {
        for line in fs::read_to_string(file).unwrap().lines() {
            let rest = line.strip_prefix("impl std::error::").or_else(|| line.strip_prefix("impl error::"));
            let Some(name) = rest.and_then(|rest| rest.strip_prefix("Error for ")) else { continue };
            types.push(name.split(' ').next().unwrap().to_owned());
        }
    }
    types
}

#[test]
fn each_text_of_a_chain_is_printed_once() {
    let mut errors = Errors::default();
    of_codec(&mut errors);
    of_proto(&mut errors);
    of_driver(&mut errors);
    of_cluster(&mut errors);
    of_sim(&mut errors);
    for (name, chain) in &errors.0 {
        assert!(chain.iter().all(|text| !text.is_empty()), "{name} has no text: {chain:?}");
        assert_eq!(chain.len(), 1, "{name} has a source, unlike other errors: {chain:?}");
    }
    let implemented = implemented();
    assert!(implemented.len() > 20, "{implemented:?}");
    for name in implemented {
        assert!(errors.0.iter().any(|(known, _)| *known == name), "this test builds no {name}");
    }
}
