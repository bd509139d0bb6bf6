//! The bot itself, on whatever runtime drives it.

use std::convert::Infallible;
use std::io::Write;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::{self, Either};
use gateway_driver::proto::{Event, Shutdown};
use gateway_driver::{Connector, Runtime, Sender, Shard};

use crate::report::{Next, REFUSED};
use crate::{Options, Report};

/// Reads the flags and runs the bot with them: what `main` of every example calls, within its runtime.
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

/// Runs the bot until it has what it was asked for, is interrupted, or is refused. Gives the exit status.
pub async fn run<R: Runtime, O: Write, E: Write>(
    runtime: R,
    connector: Option<Arc<dyn Connector>>,
    report: &mut Report<O, E>,
) -> u8 {
    let options = report.options();
    let deadline = options.duration.map(|duration| runtime.now() + duration);
    let shard = options.driver_config().map_err(|error| error.to_string()).and_then(|mut driver| {
        driver.connector = connector;
        Shard::with(runtime.clone(), options.config.clone(), driver).map_err(|error| error.to_string())
    });
    let mut shard = match shard {
        Ok(shard) => shard,
        Err(error) => {
            report.say(&error);
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
            report.say(&error);
        }
    }
    let stop = shard.stop_reason().expect("a shard's events end only with a reason").clone();
    let (stats, session) = (shard.stats(), shard.session());
    // What keeps the session has written its last before the report writes its own.
    drop(shard);
    report.finish(&stop, &stats, session.as_ref())
}

/// The next event, while the clock goes on.
async fn next_event<R: Runtime>(
    shard: &mut Shard<R>,
    clock: Pin<&mut impl Future<Output = Infallible>>,
) -> Option<Event> {
    match future::select(pin!(shard.next_event()), clock).await {
        Either::Left((event, _)) => event,
        Either::Right((never, _)) => match never {},
    }
}

/// Ends the bot when its time is up; has nothing to say itself.
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

/// Ctrl-C ends the bot as its flags would: the session is kept where `--session` says.
fn shut_down_on_interrupt<O: Write, E: Write>(sender: Sender, report: &mut Report<O, E>) {
    let how = report.shutdown();
    if let Err(error) = ctrlc::set_handler(move || sender.shutdown(how)) {
        report.say(&format_args!("an interrupt will end the bot at once: {error}"));
    }
}
