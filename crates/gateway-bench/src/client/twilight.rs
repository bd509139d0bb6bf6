//! twilight-gateway: its shard as a stream of texts, and its parser for the jobs that need it.

use std::future::{pending, poll_fn};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream;
use tokio::sync::oneshot;
use twilight_gateway::queue::Queue;
use twilight_gateway::{ConfigBuilder, EventTypeFlags, Intents, Message, Shard, ShardId, parse};
use twilight_model::gateway::OpCode;
use twilight_model::gateway::event::{DispatchEvent, GatewayEvent, GatewayEventDeserializer};

use super::course::{Course, Runner};
use super::{ClientOptions, Job};

pub(super) fn run(options: &ClientOptions, course: &Arc<Course>) -> Result<(), String> {
    // Fails only if the process has a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Some(ca) = options.ca.as_deref().filter(|ca| !is_trusted(ca)) {
        return Err(format!(
            "twilight takes its roots from the environment: set SSL_CERT_FILE={}",
            ca.display()
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        // Shards share the configuration, and with it the TLS roots, as its documentation recommends.
        let config = ConfigBuilder::new("bench".to_owned(), Intents::all())
            .proxy_url(options.url.clone())
            .queue(AtOnce)
            .build();
        course.begin()?;
        for id in 0..options.shards {
            let shard = Shard::with_config(ShardId::new(id, options.shards), config.clone());
            let drive = Drive { shard, job: options.job, runner: Runner::new(options, course) };
            tokio::spawn(drive.run());
        }
        course.watch(options, async |time| tokio::time::sleep(time).await).await
    })
}

fn is_trusted(ca: &Path) -> bool {
    std::env::var_os("SSL_CERT_FILE").is_some_and(|file| Path::new(&file) == ca)
}

/// Lets all shards identify at once.
#[derive(Debug, Clone)]
struct AtOnce;

impl Queue for AtOnce {
    fn enqueue(&self, _: u32) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        // The receiver is not dropped yet.
        let _ = sender.send(());
        receiver
    }
}

/// A shard and the work for its events.
struct Drive {
    shard: Shard<AtOnce>,
    job: Job,
    runner: Runner,
}

impl Drive {
    /// Drives the shard until it has received its events. It stays connected until this is dropped.
    async fn run(mut self) {
        let failure = loop {
            let message = poll_fn(|context| Pin::new(&mut self.shard).poll_next(context)).await;
            let text = match message {
                Some(Ok(Message::Text(text))) => text,
                other => break format!("the shard has stopped: {other:?}"),
            };
            match self.text(text) {
                Ok(false) => {}
                Ok(true) => return pending().await,
                Err(sentence) => break sentence,
            }
        };
        self.runner.fail(failure);
    }

    /// Handles a text. Returns whether it was the last event.
    fn text(&mut self, text: String) -> Result<bool, String> {
        // Beyond the guilds there are only dispatches, unless the shard is idle and counts nothing.
        if self.runner.leads() {
            return match envelope(&text)?.op() == OpCode::Dispatch as u8 {
                true => self.runner.is_lead().map(|_| false),
                false => Ok(false),
            };
        }
        if self.runner.sums.checks() {
            let envelope = envelope(&text)?;
            let (_, sequence, name) = envelope.into_parts();
            self.runner.sums.event(name.as_deref().unwrap_or_default(), sequence);
        }
        match self.job {
            Job::Raw | Job::Growth | Job::Idle => drop(std::hint::black_box(text)),
            Job::SmallBot => self.parse(text, EventTypeFlags::MESSAGE_CREATE)?,
            Job::Typed => self.parse(text, EventTypeFlags::all())?,
        }
        self.runner.has_enough()
    }

    fn parse(&mut self, text: String, wanted: EventTypeFlags) -> Result<(), String> {
        let event = parse(text, wanted).map_err(|error| format!("{error:?}"))?;
        if let Some(GatewayEvent::Dispatch(_, DispatchEvent::MessageCreate(message))) = &event {
            self.runner.sums.message(message.channel_id.get(), message.author.id.get(), &message.content);
        }
        std::hint::black_box(event);
        Ok(())
    }
}

fn envelope(text: &str) -> Result<GatewayEventDeserializer<'_>, String> {
    GatewayEventDeserializer::from_json(text).ok_or_else(|| "a message without opcode".to_owned())
}
