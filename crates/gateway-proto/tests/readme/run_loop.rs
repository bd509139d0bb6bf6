use std::time::Instant;

use gateway_proto::config::ConfigError;
use gateway_proto::{CloseFrame, Closed, ConnectError, Event, GatewayUrl, Input, Message, Output, Shard, ShardConfig, Shutdown, StopReason};

/// The driver's interface to a WebSocket library and its platform.
trait Platform {
    fn now(&self) -> Instant;
    /// Connects, with TLS if `url.is_tls()`, and requests `url.path_and_query()`.
    fn connect(&mut self, url: &GatewayUrl) -> Result<(), ConnectError>;
    /// Queues a message without blocking.
    fn send(&mut self, message: Message);
    fn close(&mut self, frame: CloseFrame);
    fn disconnect(&mut self);
    /// The next message, the end of the connection, or `None` at `until`.
    fn wait(&mut self, until: Instant) -> Option<Result<Message, Closed>>;
}

fn run(config: ShardConfig, platform: &mut impl Platform) -> Result<StopReason, ConfigError> {
    let mut shard = Shard::new(config, platform.now())?;
    loop {
        let input = match shard.poll_output() {
            Output::Connect(url) => match platform.connect(&url) {
                Ok(()) => Input::Opened,
                Err(error) => Input::ConnectFailed(error),
            },
            // A single shard needs no gate. Several share an `IdentifyQueue`.
            Output::AcquireIdentify => Input::IdentifyGranted,
            Output::CancelIdentify => continue,
            Output::Send(message) => {
                platform.send(message);
                continue;
            }
            Output::Event(event) => {
                if let Event::Dispatch(dispatch) = &event
                    && dispatch.name() == "MESSAGE_CREATE"
                {
                    shard.shutdown(Shutdown::Resumable);
                }
                continue;
            }
            Output::Close(frame) => {
                platform.close(frame);
                continue;
            }
            Output::Disconnect => {
                platform.disconnect();
                continue;
            }
            Output::Timeout(until) => match platform.wait(until) {
                Some(Ok(message)) => Input::Message(message),
                Some(Err(closed)) => Input::Closed(closed),
                None => Input::Timeout,
            },
            Output::Stopped(reason) => return Ok(reason),
        };
        shard.handle_input(input, platform.now());
    }
}
