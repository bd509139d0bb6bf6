//! The bot, on any runtime.

use std::convert::Infallible;
use std::io::Write;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::{self, Either};
use gateway_driver::gate::LocalIdentifyGate;
use gateway_driver::proto::{Event, Shutdown};
use gateway_driver::store::SessionKeeper;
use gateway_driver::stream::Connector;
use gateway_driver::{Runtime, Sender, Shard, TranscriptWriter};

use crate::report::{Next, REFUSED};
use crate::{Options, Report};

/// Parses the flags and runs the bot: the `main` of every example calls this within its runtime.
pub async fn main<R: Runtime>(runtime: R) -> ExitCode {
    main_through(runtime, None).await
}

/// As [`main`], with connections opened by this connector in place of the runtime.
pub async fn main_through<R: Runtime>(runtime: R, connector: Option<Arc<dyn Connector>>) -> ExitCode {
    let options = match Options::from_command_line() {
        Ok(options) => options,
        Err(status) => return status,
    };
    let mut report = Report::to_terminal(options);
    ExitCode::from(run(runtime, connector, &mut report).await)
}

/// Runs the bot until it has printed the requested events, is interrupted, or is refused. Returns the exit status.
pub async fn run<R: Runtime, O: Write, E: Write>(
    runtime: R,
    connector: Option<Arc<dyn Connector>>,
    report: &mut Report<O, E>,
) -> u8 {
    let options = report.options();
    let deadline = options.duration.map(|duration| runtime.now() + duration);
    let (mut shard, keepers) = match shard(runtime.clone(), connector, options) {
        Ok(made) => made,
        Err(error) => {
            report.log(&error);
            return REFUSED;
        }
    };
    let sender = shard.sender();
    shut_down_on_interrupt(sender.clone(), report);
    let mut clock = pin!(shut_down_at(deadline, runtime, sender.clone(), report.shutdown()));
    while let Some(event) = next_event(&mut shard, clock.as_mut()).await {
        if report.event(&event) == Next::Enough {
            sender.shutdown(report.shutdown());
        }
        if let Some(sequence) = report.take_written()
            && let Err(error) = sender.ack(sequence)
        {
            report.log(&error);
        }
        keepers.report_errors(report);
    }
    let stop = shard.stop_reason().expect("a shard's events end only with a reason").clone();
    let (stats, session) = (shard.stats(), shard.session());
    // The session keeper must write its last session before the report writes its own.
    drop(shard);
    keepers.flush(report);
    report.finish(&stop, &stats, session.as_ref())
}

fn shard<R: Runtime>(
    runtime: R,
    connector: Option<Arc<dyn Connector>>,
    options: &Options,
) -> Result<(Shard<R>, Keepers<R>), String> {
    let mut config = options.config.clone();
    config.shard = options.only_shard().map_err(|error| error.to_string())?;
    let mut driver = options.driver_config().map_err(|error| error.to_string())?;
    driver.connector = connector;
    let transcript = options.open_transcript(config.shard).map_err(|error| error.to_string())?;
    driver.transcript = transcript.map(TranscriptWriter::new);
    let gate = options.identify_gate(runtime.clone()).map_err(|error| error.to_string())?;
    if let Some(gate) = gate.clone() {
        driver.identify_gate = Some(gate);
    }
    let keepers = Keepers { session: driver.session_keeper.clone(), gate };
    let shard = Shard::with(runtime, config, driver).map_err(|error| error.to_string())?;
    Ok((shard, keepers))
}

/// The stores for the next run.
struct Keepers<R: Runtime> {
    session: Option<Arc<SessionKeeper>>,
    gate: Option<Arc<LocalIdentifyGate<R>>>,
}

impl<R: Runtime> Keepers<R> {
    /// Reports the last error of each store.
    fn report_errors<O: Write, E: Write>(&self, report: &mut Report<O, E>) {
        if let Some(error) = self.session.as_ref().and_then(|keeper| keeper.take_error()) {
            report.log(&format_args!("the session could not be kept: {error}"));
        }
        if let Some(error) = self.gate.as_ref().and_then(|gate| gate.take_error()) {
            report.log(&format_args!("the session starts could not be kept: {error}"));
        }
    }

    /// Waits until everything is written.
    fn flush<O: Write, E: Write>(&self, report: &mut Report<O, E>) {
        self.report_errors(report);
        if let Some(keeper) = &self.session
            && let Err(error) = keeper.flush()
        {
            report.log(&format_args!("the session could not be kept: {error}"));
        }
    }
}

/// The next event, while the timer runs.
async fn next_event<R: Runtime>(
    shard: &mut Shard<R>,
    clock: Pin<&mut impl Future<Output = Infallible>>,
) -> Option<Event> {
    match future::select(pin!(shard.next_event()), clock).await {
        Either::Left((event, _)) => event,
        Either::Right((never, _)) => match never {},
    }
}

/// Shuts the bot down when its time is up. Never resolves.
async fn shut_down_at<R: Runtime>(
    deadline: Option<Instant>,
    runtime: R,
    sender: Sender,
    how: Shutdown,
) -> Infallible {
    if let Some(deadline) = deadline {
        runtime.sleep_until(deadline).await;
        sender.shutdown(how);
    }
    future::pending().await
}

/// Ctrl-C shuts the bot down as its flags determine: the session is stored in the file of `--session`.
fn shut_down_on_interrupt<O: Write, E: Write>(sender: Sender, report: &mut Report<O, E>) {
    let how = report.shutdown();
    if let Err(error) = ctrlc::set_handler(move || sender.shutdown(how)) {
        report.log(&format_args!("an interrupt will end the bot at once: {error}"));
    }
}
