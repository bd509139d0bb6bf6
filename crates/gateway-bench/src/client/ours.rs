//! What our clients do with an event, with any driver.

use std::future::pending;
use std::sync::Arc;

use gateway_driver::gate::LocalIdentifyGate;
use gateway_driver::tls::{Roots, TlsSettings};
use gateway_driver::{DriverConfig, Runtime, Shard};
use gateway_proto::codec::RawRef;
use gateway_proto::identify::{IdentifyBudget, SessionStartLimit};
use gateway_proto::{Dispatch, Event, Intents, ShardConfig, ShardId};

use super::course::{Course, Runner};
use super::{ClientOptions, Job};

/// The result of a dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    More,
    Enough,
}

/// The configuration of a shard.
pub(super) fn config(options: &ClientOptions, shard: u32) -> Result<ShardConfig, String> {
    let mut config = ShardConfig::new("bench", Intents::ALL);
    config.shard = ShardId::new(shard, options.shards).map_err(|error| error.to_string())?;
    config.url.clone_from(&options.url);
    config.encoding = options.mode.encoding;
    config.compression = options.mode.compression;
    Ok(config)
}

/// The TLS configuration. Without a root certificate it is the default, which plain connections do not use.
pub(super) fn tls(options: &ClientOptions) -> Result<TlsSettings, String> {
    let mut settings = TlsSettings::default();
    if let Some(ca) = &options.ca {
        let pem = std::fs::read(ca).map_err(|error| format!("{}: {error}", ca.display()))?;
        settings.roots = Roots::ExtraOnly;
        settings.add_pem_roots(&pem).map_err(|error| error.to_string())?;
    }
    Ok(settings)
}

/// All shards of the process, which may identify at once.
pub(super) fn shards<R: Runtime + Default>(
    options: &ClientOptions,
    course: &Arc<Course>,
) -> Result<Vec<Drive<R>>, String> {
    let mut driver = DriverConfig::default();
    if options.is_tls() {
        driver.tls = Some(tls(options)?.client_config().map_err(|error| error.to_string())?);
    }
    driver.identify_gate = Some(Arc::new(gate(R::default(), options.shards)?));
    course.begin()?;
    let shard = |id| {
        let shard = Shard::with(R::default(), config(options, id)?, driver.clone());
        Ok(Drive {
            shard: shard.map_err(|error| error.to_string())?,
            work: Work { job: options.job, runner: Runner::new(options, course) },
        })
    };
    (0..options.shards).map(shard).collect()
}

/// A gate that lets all shards identify at once, as for a bot with this `max_concurrency`.
fn gate<R: Runtime>(runtime: R, shards: u32) -> Result<LocalIdentifyGate<R>, String> {
    let (mut budget, mut limit) = (IdentifyBudget::default(), SessionStartLimit::default());
    budget.shards = shards;
    (limit.total, limit.max_concurrency) = (1000 + 2 * shards, shards);
    limit.remaining = limit.total;
    LocalIdentifyGate::with_budget(runtime, budget, &limit).map_err(|error| error.to_string())
}

/// A shard and the work for its events.
pub(super) struct Drive<R> {
    shard: Shard<R>,
    work: Work,
}

impl<R: Runtime> Drive<R> {
    /// Drives the shard until it has received its events. It stays connected until this is dropped.
    pub(super) async fn run(mut self) {
        while let Some(event) = self.shard.next_event().await {
            match self.work.event(&event) {
                Ok(Next::More) => {}
                Ok(Next::Enough) => return pending().await,
                Err(sentence) => return self.work.runner.fail(sentence),
            }
        }
        self.work.runner.fail(format!("the shard has stopped: {:?}", self.shard.stop_reason()));
    }
}

/// The work for the events of a shard.
pub(super) struct Work {
    pub(super) job: Job,
    pub(super) runner: Runner,
}

impl Work {
    pub(super) fn event(&mut self, event: &Event) -> Result<Next, String> {
        match event {
            Event::Dispatch(dispatch) => self.dispatch(dispatch),
            Event::Disconnected(disconnected) => Err(format!("{disconnected:?}")),
            _ => Ok(Next::More),
        }
    }

    fn dispatch(&mut self, dispatch: &Dispatch) -> Result<Next, String> {
        if self.runner.is_lead()? {
            return Ok(Next::More);
        }
        if self.runner.sums.checks() {
            self.runner.sums.event(dispatch.name(), dispatch.sequence());
        }
        match self.job {
            Job::Raw | Job::Growth | Job::Idle => {
                std::hint::black_box((dispatch.name(), dispatch.sequence(), dispatch.data()));
            }
            Job::SmallBot => self.small_bot(dispatch)?,
            Job::Typed => self.typed(dispatch)?,
        }
        Ok(if self.runner.has_enough()? { Next::Enough } else { Next::More })
    }

    fn small_bot(&mut self, dispatch: &Dispatch) -> Result<(), String> {
        if dispatch.name() == "MESSAGE_CREATE" {
            let d = dispatch.data();
            let [channel, author, content] = d.fields(["channel_id", "author", "content"]);
            let channel = channel.and_then(RawRef::as_id).ok_or("a message without channel")?;
            let author =
                author.and_then(|author| author.get("id")?.as_id()).ok_or("a message without author")?;
            let content = content.and_then(RawRef::as_str).ok_or("a message without content")?;
            self.runner.sums.message(channel, author, &content);
        }
        Ok(())
    }

    #[cfg(feature = "twilight")]
    fn typed(&mut self, dispatch: &Dispatch) -> Result<(), String> {
        use twilight_model::gateway::event::{DispatchEvent, DispatchEventWithTypeDeserializer};
        let seed = DispatchEventWithTypeDeserializer::new(dispatch.name());
        let event =
            dispatch.data().decode_seed(seed).map_err(|error| format!("{}: {error}", dispatch.name()))?;
        if let DispatchEvent::MessageCreate(message) = &event {
            self.runner.sums.message(message.channel_id.get(), message.author.id.get(), &message.content);
        }
        std::hint::black_box(event);
        Ok(())
    }

    #[cfg(not(feature = "twilight"))]
    fn typed(&mut self, _: &Dispatch) -> Result<(), String> {
        Err("types need the feature `twilight`".to_owned())
    }
}
