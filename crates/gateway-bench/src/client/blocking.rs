//! Our state machine over a blocking socket, in the way of the example `blocking_bot`.

use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use gateway_driver::rustls::ClientConfig;
use gateway_examples::raw::{Socket, input};
use gateway_proto::IdentifyQueue;
use gateway_proto::raw::{Connection, Input, Output};

use super::course::{Course, Runner};
use super::ours::{self, Next, Work};
use super::{ClientOptions, Job};

/// As much as the drivers read at once.
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
        buffer: vec![0; BUFFER_BYTES],
        until: None,
    };
    bot.run(work, options, course)
}

struct Bot {
    connection: Connection,
    tls: Arc<ClientConfig>,
    socket: Option<Socket<TcpStream>>,
    identify: IdentifyQueue,
    buffer: Vec<u8>,
    /// When idleness has lasted long enough.
    until: Option<Instant>,
}

impl Bot {
    fn run(&mut self, mut work: Work, options: &ClientOptions, course: &Course) -> Result<(), String> {
        let shard = self.connection.config().shard;
        loop {
            match self.connection.poll_output() {
                Output::Connect(url) => {
                    let patience = self.connection.config().timeouts.connect;
                    let input = match Socket::open(&url, &self.tls, patience) {
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
                // Only a connection that ends has these, and its end is told before.
                Output::ShutDown | Output::CancelIdentify => {}
                Output::Stopped(reason) => return Err(format!("the shard has stopped: {reason:?}")),
            }
        }
    }

    /// Whether all has been still for long enough.
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
            socket.write_from(&mut self.connection);
        }
        let now = Instant::now();
        if self.identify.poll(now).is_some() {
            return self.connection.handle_input(Input::IdentifyGranted, now);
        }
        if deadline <= now {
            return self.connection.handle_input(Input::Timeout, now);
        }
        let wakes = [Some(deadline), self.until, self.identify.next_deadline(now)];
        let wait = wakes.into_iter().flatten().min().unwrap_or(deadline).saturating_duration_since(now);
        let Some(socket) = &mut self.socket else { return thread::sleep(wait) };
        let read = socket.read_for(wait, &mut self.buffer);
        if let Some(input) = input(&read, &self.buffer) {
            self.connection.handle_input(input, Instant::now());
        }
    }
}
