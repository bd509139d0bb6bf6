//! The bot itself.

use std::io::BufRead;
use std::time::Duration;

use gateway_tokio::proto::config::Delivery;
use gateway_tokio::{
    Cluster, ClusterEvent, ClusterHandle, ClusterItem, Event, Intents, ShardConfig, ShardCount, ShardId,
};
use tokio::sync::mpsc;

use crate::options::Options;

/// How often the state of all shards is printed.
const STATUS_EVERY: Duration = Duration::from_secs(60);
/// How long an ending bot may take for what it has received.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the bot until it is drained, or all its shards have stopped.
pub(crate) async fn run(options: Options) -> Result<(), String> {
    let mut config = ShardConfig::new(options.token, Intents::UNPRIVILEGED);
    config.delivery = Delivery::Acknowledged;
    let mut bot = Cluster::builder(config)
        .shards(options.shards)
        .sessions_in(options.sessions)
        .api_url(options.api_url)
        .start()
        .await
        .map_err(|error| error.to_string())?;
    println!("{} shards start; {:?} sessions may be started today", bot.shards(), bot.budget());
    drain_on_interrupt(bot.handle());
    let mut lines = read_lines();
    let mut status = tokio::time::interval(STATUS_EVERY);
    loop {
        tokio::select! {
            item = bot.next_event() => match item {
                Some(item) => handle(item),
                None => break,
            },
            Some(line) = lines.recv() => obey(&line, &bot),
            _ = status.tick() => print!("{}", bot.health()),
        }
    }
    println!("the bot has ended; its sessions are kept");
    Ok(())
}

/// What a bot does with its events. What is not done when the process dies is delivered again.
fn handle(item: ClusterItem) {
    match item.event() {
        ClusterEvent::Shard(Event::Dispatch(dispatch)) if dispatch.name() == "MESSAGE_CREATE" => {
            // Here the bot answers.
        }
        ClusterEvent::Shard(Event::Disconnected(_) | Event::Resumed { .. } | Event::Ready) => {
            println!("{item:?}");
        }
        ClusterEvent::Shard(_) => {}
        event => println!("{event}"),
    }
    item.done();
}

/// Carries out a line of standard input.
fn obey(line: &str, bot: &ClusterHandle) {
    let mut words = line.split_whitespace();
    let word = words.next().unwrap_or_default();
    let number = words.next().map(str::parse::<u32>);
    let result = match (word, number) {
        ("status", None) => {
            print!("{}", bot.health());
            return;
        }
        ("reshard", number) => {
            let count = match number {
                None => ShardCount::Recommended,
                Some(Ok(count)) => ShardCount::Exactly(count),
                Some(Err(error)) => return println!("{error}"),
            };
            // Discord may take its time to answer, and events go on.
            let bot = bot.clone();
            tokio::spawn(async move {
                if let Err(error) = bot.reshard(count).await {
                    println!("not resharded: {error}");
                }
            });
            return;
        }
        ("rolling", None) => bot.rolling_restart(),
        ("restart", Some(Ok(id))) => match ShardId::new(id, bot.shards()) {
            Ok(shard) => bot.restart(shard),
            Err(error) => return println!("{error}"),
        },
        ("drain", None) => return bot.drain(PATIENCE),
        _ => return println!("say status, reshard N, reshard, rolling, restart ID or drain"),
    };
    if let Err(error) = result {
        println!("{error}");
    }
}

/// The first Ctrl-C drains the bot, the second ends it at once.
fn drain_on_interrupt(bot: ClusterHandle) {
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            println!("draining");
            bot.drain(PATIENCE);
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(130);
        }
    });
}

/// The lines of standard input, which only a thread can wait for.
fn read_lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    lines
}
