//! serenity: its client with one handler, which gets every event decoded.

use std::sync::{Arc, Mutex, PoisonError};

use serenity::all::{ClientBuilder, Context, Event, GatewayIntents, HttpBuilder, RawEventHandler};
use serenity::async_trait;

use super::ClientOptions;
use super::course::{Course, Runner};

pub(super) fn run(options: &ClientOptions, course: &Arc<Course>) -> Result<(), String> {
    // Fails only if the process has a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let rest = options.url.replacen("ws://", "http://", 1);
        let http = HttpBuilder::new("bench").proxy(rest).ratelimiter_disabled(true).build();
        course.begin()?;
        let handler = Handler { runner: Mutex::new(Runner::new(options, course)) };
        let mut client = ClientBuilder::new_with_http(http, GatewayIntents::all())
            .raw_event_handler(handler)
            .await
            .map_err(|error| error.to_string())?;
        let failure = course.clone();
        tokio::spawn(async move {
            let end = client.start().await;
            failure.fail(format!("the client has stopped: {end:?}"));
        });
        course.watch(options, async |time| tokio::time::sleep(time).await).await
    })
}

/// A handler of all events: handlers of single kinds would not see the last event.
struct Handler {
    /// Never contended: all tasks are on one thread.
    runner: Mutex<Runner>,
}

#[async_trait]
impl RawEventHandler for Handler {
    async fn raw_event(&self, _: Context, event: Event) {
        let mut runner = self.runner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(sentence) = see(&mut runner, &event) {
            runner.fail(sentence);
        }
    }
}

fn see(runner: &mut Runner, event: &Event) -> Result<(), String> {
    if runner.is_lead()? {
        return Ok(());
    }
    if runner.sums.checks() {
        runner.sums.event(&event.name().ok_or("an event that it does not know")?, None);
    }
    if let Event::MessageCreate(message) = event {
        let message = &message.message;
        runner.sums.message(message.channel_id.get(), message.author.id.get(), &message.content);
    }
    runner.has_enough().map(|_| ())
}
