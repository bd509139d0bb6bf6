//! What a cluster refuses, and that nothing has changed then.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::time::Duration;

use gateway_cluster::{
    AbortReason, ClusterError, ClusterEvent, RequestError, ReshardEvent, ShardCount, StartError,
};
use gateway_driver::proto::api::GatewayBotError;
use gateway_driver::proto::identify::GatewayBot;
use gateway_driver::proto::session::SessionSnapshot;
use gateway_driver::proto::{Intents, Shutdown};
use gateway_sim::ReservedPort;

use super::{check, reshard, scenarios, shard};
use crate::cluster::ClusterScenario;
use crate::cluster::gate::BarredGate;
use crate::cluster::stage::{Stage, set};
use crate::cluster::stores::Stores;
use crate::scenario::TOKEN;

const SHARDING: &str = "Discord Docs, Gateway > Sharding: shard_id is below num_shards";
const GUILDS: &str = "Discord Docs, Gateway > Sharding: a shard has 2500 guilds at most";
const LIMIT: &str = "Discord Docs, Gateway > Session Start Limit: beyond it the token is reset (discord.js#2882, discordgo#1429)";
const CONCURRENCY: &str =
    "Discord Docs, Gateway > Session Start Limit Structure: max_concurrency is at least 1";
const ANSWER: &str = "Discord Docs, Opcodes and Status Codes > HTTP: 401 and 429 have their own meaning";
const OTHER_COUNT: &str = "Discord Docs, Gateway > Sharding: a session has its own shard id and count";
const OTHER_BOT: &str = "Discord Docs, Gateway > Resuming: a Resume needs the token of the session's bot";
const NOT_NOW: &str =
    "Discord Docs, Gateway > Sharding: a new set of shards is started before the old one is closed";

pub(super) fn table() -> Vec<ClusterScenario> {
    scenarios![
        "a-count-of-zero-or-a-range-beyond-the-total-is-refused", SHARDING, counts;
        "a-max-concurrency-of-zero-is-read-as-one", CONCURRENCY, no_concurrency,
        |config| config.max_concurrency = 0;
        "a-start-beyond-the-budget-opens-nothing", LIMIT, start_beyond_budget,
        |config| config.session_starts = 10;
        "a-reshard-beyond-the-budget-opens-nothing", LIMIT, reshard_beyond_budget,
        |config| config.session_starts = 12;
        "too-few-shards-for-the-guilds-are-refused", GUILDS, too_few_shards, |config| config.guilds = 2600;
        "a-store-of-another-bot-is-refused", OTHER_BOT, other_bot;
        "sessions-of-another-count-are-left-alone", OTHER_COUNT, other_count;
        "a-token-that-the-api-rejects-opens-nothing", ANSWER, unauthorized;
        "a-rate-limited-api-says-when-to-ask-again", ANSWER, rate_limited;
        "an-api-that-cannot-be-reached-opens-nothing", ANSWER, unreachable;
        "a-field-of-one-shard-in-the-configuration-is-refused", SHARDING, one_shard_fields;
        "an-unfinished-reshard-goes-on-or-nothing-starts", OTHER_COUNT, unfinished;
        "a-request-at-the-wrong-time-changes-nothing", NOT_NOW, wrong_time;
    ]
}

/// No connection was opened, and no session started.
fn nothing_opened(stage: &Stage) -> Result<(), String> {
    check!(stage.connects() == 0, "{} connections were opened", stage.connects());
    Ok(())
}

async fn counts(stage: Stage) -> Result<(), String> {
    let range = |shards: Range<u32>, total| ShardCount::Range { shards, total };
    let beyond = |from, to, total| ClusterError::Range { from, to, total };
    let cases = [
        (ShardCount::Exactly(0), ClusterError::NoShards),
        (range(0..0, 0), ClusterError::NoShards),
        (range(2..5, 4), beyond(2, 5, 4)),
        (range(2..2, 4), beyond(2, 2, 4)),
        (range(4..6, 4), beyond(4, 6, 4)),
    ];
    for (shards, expected) in cases {
        let text = format!("{shards:?}");
        match stage.start_in_vain(stage.builder(shards, &Stores::default())?).await? {
            StartError::Cluster(error) if error == expected => {}
            error => return Err(format!("{text}: {error:?}, not {expected:?}")),
        }
    }
    nothing_opened(&stage)
}

async fn no_concurrency(stage: Stage) -> Result<(), String> {
    let mut bot = stage.start_ready(2, &Stores::default()).await?;
    let identified: Vec<_> = stage.identifies().iter().map(|identify| identify.shard).collect();
    check!(identified == [(0, 2), (1, 2)], "{identified:?} identify");
    stage.message_in(0..16)?;
    bot.caught_up().await
}

async fn start_beyond_budget(stage: Stage) -> Result<(), String> {
    // More than a whole day has.
    match stage.start_in_vain(stage.builder(ShardCount::Exactly(20), &Stores::default())?).await? {
        StartError::Gate(error) => check!(error.to_string().contains("20 shards"), "{error}"),
        error => return Err(format!("it is refused, but with {error:?}")),
    }
    nothing_opened(&stage)?;
    let stores = Stores::default();
    // Sessions that are kept cost nothing.
    for _ in 0..2 {
        let mut bot = stage.start_ready(4, &stores).await?;
        bot.cluster.shutdown(Shutdown::Resumable);
        bot.ended().await?;
    }
    check!(stage.starts() == (4, 4), "Identifies and Resumes: {:?}, not 4 and 4", stage.starts());
    let connects = stage.connects();
    // Six are left, of which one is in reserve.
    match stage.start_in_vain(stage.builder(ShardCount::Exactly(6), &Stores::default())?).await? {
        StartError::TooFewStarts(error) => {
            let day = Duration::from_secs(24 * 60 * 60);
            let waits = !error.reset_after.is_zero() && error.reset_after <= day;
            let counts = (error.starting, error.remaining, error.reserve);
            check!(counts == (6, 6, 1) && waits, "{error:?}");
        }
        error => return Err(format!("it is refused, but with {error:?}")),
    }
    check!(stage.connects() == connects, "{} connections were opened", stage.connects() - connects);
    Ok(())
}

async fn reshard_beyond_budget(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let mut bot = stage.start_ready(4, &stores).await?;
    let asked = reshard(&mut bot, ShardCount::Exactly(8)).await?;
    match asked {
        Err(RequestError::TooFewStarts(error)) => {
            check!((error.starting, error.remaining) == (8, 8), "{error:?}");
        }
        other => return Err(format!("it is not refused for the budget: {other:?}")),
    }
    check!(bot.cluster.plan().reshard.is_none(), "{:?}", bot.cluster.plan());
    check!(stage.starts() == (4, 0), "Identifies and Resumes: {:?}, not 4 and 0", stage.starts());
    stage.message_in(0..16)?;
    bot.caught_up().await?;
    stage.verdict().check_once()
}

async fn too_few_shards(stage: Stage) -> Result<(), String> {
    let mut config = stage.config();
    // Without GUILDS the gateway sends no GUILD_CREATE, which would be some thousand here.
    config.intents = Intents::GUILD_MESSAGES;
    let builder = stage.builder_with(config, ShardCount::Exactly(2), &Stores::default())?;
    let mut bot = stage.start(builder).await?;
    bot.all_ready().await?;
    let asked = reshard(&mut bot, ShardCount::Exactly(1)).await?;
    let expected = ClusterError::TooFewShards { shards: 1, guilds: 2600 };
    check!(asked == Err(RequestError::Cluster(expected)), "{asked:?}");
    check!(stage.starts() == (2, 0), "Identifies and Resumes: {:?}, not 2 and 0", stage.starts());
    Ok(())
}

async fn other_bot(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let mut bot = stage.start_ready(2, &stores).await?;
    bot.cluster.shutdown(Shutdown::Resumable);
    bot.ended().await?;
    drop(bot);
    let before = (stores.plan(), set(stores.sessions()));
    let mut config = stage.config();
    config.token = format!("not-{TOKEN}").into();
    let builder = stage.builder_with(config, ShardCount::Exactly(2), &stores)?;
    let error = stage.start_in_vain(builder.ask_with(|| async { Ok(GatewayBot::default()) })).await?;
    check!(matches!(error, StartError::OtherBot { .. }), "{error:?}");
    check!(!error.to_string().contains(TOKEN), "the token is in the error");
    check!((stores.plan(), set(stores.sessions())) == before, "the store has changed");
    check!(stage.connects() == 2, "{} connections were opened, not 2", stage.connects());
    Ok(())
}

async fn other_count(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let mut bot = stage.start_ready(4, &stores).await?;
    bot.cluster.shutdown(Shutdown::Resumable);
    bot.ended().await?;
    drop(bot);
    let mut bot = stage.start_ready(2, &stores).await?;
    check!(stage.starts() == (6, 0), "Identifies and Resumes: {:?}, not 6 and 0", stage.starts());
    let generation = bot.cluster.generation();
    check!(generation.0 == 2, "it is generation {generation}, not 2");
    let left = set((0..4).map(|id| shard(id, 4)));
    check!(left.is_subset(&set(stores.sessions())), "only {:?} are kept", stores.sessions());
    stage.message_in(0..16)?;
    bot.caught_up().await
}

async fn one_shard_fields(stage: Stage) -> Result<(), String> {
    let mut config = stage.config();
    config.session = Some(SessionSnapshot::new("session".to_owned(), None, 1, shard(0, 2)));
    let builder = stage.builder_with(config, ShardCount::Exactly(2), &Stores::default())?;
    let error = stage.start_in_vain(builder).await?;
    check!(matches!(error, StartError::Build(_)) && error.to_string().contains("sessions_in"), "{error:?}");
    // A field that no shard can be built with.
    let mut config = stage.config();
    config.large_threshold = Some(1);
    let builder = stage.builder_with(config, ShardCount::Exactly(2), &Stores::default())?;
    let error = stage.start_in_vain(builder).await?;
    check!(matches!(error, StartError::Build(_)), "{error:?}");
    nothing_opened(&stage)
}

async fn unfinished(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let mut bot = stage.start_ready(2, &stores).await?;
    reshard(&mut bot, ShardCount::Exactly(4)).await?.map_err(|error| error.to_string())?;
    bot.until("guilds are switched", |_, event| {
        matches!(event, ClusterEvent::Reshard(ReshardEvent::CuttingOver)).then_some(())
    })
    .await?;
    let stores = stores.after_a_crash();
    drop(bot);
    stage.disconnected().await?;
    let error = stage.start_in_vain(stage.builder(ShardCount::Exactly(6), &stores)?).await?;
    check!(matches!(error, StartError::ReshardUnfinished { from: 2, to: 4 }), "{error:?}");
    // Either number lets it go on.
    let mut bot = stage.start(stage.builder(ShardCount::Exactly(4), &stores)?).await?;
    bot.resharded().await?;
    stage.message_in(0..16)?;
    bot.caught_up().await?;
    stage.verdict().check_order()
}

async fn unauthorized(stage: Stage) -> Result<(), String> {
    let mut config = stage.config();
    config.token = format!("not-{TOKEN}").into();
    let builder = stage.builder_without_stores(config, ShardCount::Recommended)?;
    let error = stage.start_in_vain(builder).await?;
    check!(matches!(error, StartError::GatewayBot(GatewayBotError::Unauthorized)), "{error:?}");
    nothing_opened(&stage)
}

async fn rate_limited(stage: Stage) -> Result<(), String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    let url = format!("http://{}", listener.local_addr().map_err(|error| error.to_string())?);
    let answering = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let body = r#"{"message": "You are being rate limited.", "retry_after": 64.57, "global": false}"#;
        let length = body.len();
        write!(stream, "HTTP/1.1 429 Too Many Requests\r\nContent-Length: {length}\r\n\r\n{body}")
    });
    let builder = stage.builder_without_stores(stage.config(), ShardCount::Recommended)?.api_url(url);
    let error = stage.start_in_vain(builder).await?;
    let wait = Some(Duration::from_millis(64_570));
    let expected = GatewayBotError::RateLimited { retry_after: wait };
    check!(matches!(&error, StartError::GatewayBot(found) if *found == expected), "{error:?}");
    answering.join().map_err(|_| "the API has panicked")?.map_err(|error| error.to_string())?;
    nothing_opened(&stage)
}

async fn unreachable(stage: Stage) -> Result<(), String> {
    let port = ReservedPort::new((Ipv4Addr::LOCALHOST, 0).into()).map_err(|error| error.to_string())?;
    let url = format!("http://{}", port.address());
    let builder = stage.builder_without_stores(stage.config(), ShardCount::Recommended)?.api_url(url);
    let error = stage.start_in_vain(builder).await?;
    check!(matches!(error, StartError::GatewayBot(GatewayBotError::Connect(_))), "{error:?}");
    nothing_opened(&stage)
}

async fn wrong_time(stage: Stage) -> Result<(), String> {
    let stores = Stores::default();
    let gate = BarredGate::new(stage.runtime(), 16, [shard(5, 8)]);
    let builder = stage.builder(ShardCount::Exactly(4), &stores)?;
    let mut bot = stage.start(builder.gate(std::sync::Arc::new(gate.clone()))).await?;
    bot.all_ready().await?;
    let refused = |result: Result<(), RequestError>, expected: ClusterError| match result {
        Err(RequestError::Cluster(error)) if error == expected => Ok(()),
        other => Err(format!("{other:?}, not {expected:?}")),
    };
    refused(bot.cluster.abort_reshard(), ClusterError::NotResharding)?;
    refused(bot.cluster.restart(shard(4, 8)), ClusterError::NoSuchShard(shard(4, 8)))?;
    for (count, error) in [
        (ShardCount::Exactly(0), ClusterError::NoShards),
        (ShardCount::Exactly(4), ClusterError::SameCount),
        (ShardCount::Range { shards: 0..2, total: 8 }, ClusterError::NotWhole),
    ] {
        refused(reshard(&mut bot, count).await?, error)?;
    }
    reshard(&mut bot, ShardCount::Exactly(8)).await?.map_err(|error| error.to_string())?;
    refused(reshard(&mut bot, ShardCount::Exactly(16)).await?, ClusterError::Resharding)?;
    refused(bot.cluster.rolling_restart(), ClusterError::Resharding)?;
    let released = bot.meanwhile("the answer to release", handle_release(&bot)).await?;
    refused(released, ClusterError::Resharding)?;
    bot.cluster.abort_reshard().map_err(|error| error.to_string())?;
    let reason = super::aborted(&mut bot).await?;
    check!(reason == ReshardEvent::Aborted(AbortReason::Requested), "{reason:?}");
    // A whole bot, but not in this process.
    bot.cluster.shutdown(Shutdown::Resumable);
    bot.ended().await?;
    let stores = Stores::default();
    let range = ShardCount::Range { shards: 0..2, total: 4 };
    let mut part = stage.start(stage.builder(range, &stores)?.gate(std::sync::Arc::new(gate))).await?;
    part.all_ready().await?;
    refused(reshard(&mut part, ShardCount::Exactly(8)).await?, ClusterError::NotWhole)?;
    part.cluster.shutdown(Shutdown::Resumable);
    refused(part.cluster.restart(shard(0, 4)), ClusterError::Ending)
}

/// Releases a shard, as far as that is possible.
fn handle_release(bot: &crate::cluster::bot::Bot) -> impl Future<Output = Result<(), RequestError>> + use<> {
    let handle = bot.cluster.handle();
    async move { handle.release(shard(0, 4)).await.map(drop) }
}
