//! Our state machine over a blocking socket, as in the example `blocking_bot`.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use gateway_driver::rustls::ClientConfig;
use gateway_examples::raw::{Filled, Incoming, Socket, Timed};
use gateway_proto::identify::{IdentifyOutput, IdentifyQueue};
use gateway_proto::raw::{Connection, Input, Output};

use super::course::{Course, Runner};
use super::ours::{self, Next, Work};
use super::{ClientOptions, Job};

/// The size of a read, as in the driver.
const BUFFER_BYTES: usize = 512 << 10;

pub(super) fn run(options: &ClientOptions, course: &Arc<Course>) -> Result<(), String> {
    let mut config = ours::config(options, 0)?;
    config.seed = Some(1);
    let tls = ours::tls(options)?.client_config().map_err(|error| error.to_string())?;
    course.begin()?;
    let connection = Connection::new(config, Instant::now()).map_err(|error| error.to_string())?;
    let work = Work { job: options.job, runner: Runner::new(options, course) };
    let mut bot = Bot {
        connection,
        tls,
        socket: None,
        identify: IdentifyQueue::new(1),
        incoming: Incoming::with_capacity(BUFFER_BYTES),
        until: None,
    };
    bot.run(work, options, course)
}

struct Bot {
    connection: Connection,
    tls: Arc<ClientConfig>,
    socket: Option<Socket<Timed>>,
    identify: IdentifyQueue,
    incoming: Incoming,
    /// When the idle time is over.
    until: Option<Instant>,
}

impl Bot {
    fn run(&mut self, mut work: Work, options: &ClientOptions, course: &Course) -> Result<(), String> {
        let shard = self.connection.config().shard;
        loop {
            match self.connection.poll_output() {
                Output::Connect(url) => {
                    let patience = self.connection.config().timeouts.connect;
                    let deadline = Instant::now() + patience;
                    let input = match Socket::open(&url, &self.tls, deadline, &AtomicBool::new(false)) {
                        Ok(socket) => {
                            self.socket = Some(socket);
                            Input::Opened
                        }
                        Err(error) => Input::ConnectFailed(error),
                    };
                    self.connection.handle_input(input, Instant::now());
                }
                Output::AcquireIdentify => {
                    self.identify.request(shard);
                }
                Output::Event(event) => {
                    if work.event(&event)? == Next::Enough {
                        return Ok(());
                    }
                }
                Output::Timeout(deadline) => {
                    if options.job == Job::Idle && self.is_over(options, course) {
                        return course.end_of_idleness();
                    }
                    self.wait(deadline);
                }
                // Only a connection that ends has these, and its end is reported before.
                Output::ShutDown | Output::CancelIdentify => {}
                Output::Stopped(reason) => return Err(format!("the shard has stopped: {reason:?}")),
            }
        }
    }

    /// Whether the idle time is over.
    fn is_over(&mut self, options: &ClientOptions, course: &Course) -> bool {
        if self.until.is_none() {
            let start = course.state().start;
            self.until = start.map(|start| start.wall + Duration::from_secs(options.seconds));
        }
        self.until.is_some_and(|until| until <= Instant::now())
    }

    /// Waits for bytes, for a permit, or for the deadline.
    fn wait(&mut self, deadline: Instant) {
        if let Some(socket) = &mut self.socket {
            socket.write_in_time(&mut self.connection);
        }
        if self.incoming.feed(&mut self.connection) {
            return;
        }
        let now = Instant::now();
        if let Some(IdentifyOutput::Granted(_)) = self.identify.poll_output(now) {
            return self.connection.handle_input(Input::IdentifyGranted, now);
        }
        if deadline <= now {
            return self.connection.handle_input(Input::Timeout, now);
        }
        let wakes = [Some(deadline), self.until, self.identify.next_deadline(now)];
        let wake = wakes.into_iter().flatten().min().unwrap_or(deadline);
        let Some(socket) = &mut self.socket else {
            return thread::sleep(wake.saturating_duration_since(now));
        };
        if let Filled::End(input) = self.incoming.fill(|buffer| socket.read_until(wake, buffer)) {
            self.connection.handle_input(input, Instant::now());
        }
    }
}
