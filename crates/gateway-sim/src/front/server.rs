//! A gateway that listens on a port as long as the value exists.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;
use smol::channel::{self, Sender};
use smol::{Async, block_on};

use super::clock::Clock;
use super::executor;
use super::port::ReservedPort;
use super::shared::{Observer, Shared, State};
#[cfg(feature = "tls")]
use super::tls::{Identity, Tls};
use crate::config::Config;
use crate::control::{Control, Target};
use crate::control_error::ControlError;
use crate::gateway::Gateway;
use crate::ledger::Ledger;

/// The configuration of a [`Server`]. Start from `Default` and assign fields.
#[non_exhaustive]
pub struct ServerConfig {
    /// The configuration of the gateway. `url` and `trace` are set by the server.
    pub gateway: Config,
    /// The address to listen on; port 0 for any free one. Default `127.0.0.1:0`.
    pub listen: SocketAddr,
    /// The host in READY and `GET /gateway`, such as `localhost`. The port is added. `None`: the address.
    pub host: Option<String>,
    /// The URL in READY and `GET /gateway`, if clients reach the server under another name: scheme, host and port.
    pub url: Option<String>,
    /// Whether to listen on a second port, which READY names as `resume_gateway_url`. Default no.
    pub resume_port: bool,
    /// Whether to answer `GET /_ctl/COMMAND`. Default yes. Any client that reaches the port can then end its sessions.
    pub control: bool,
    /// TLS, with a certificate generated at the start. Default none.
    #[cfg(feature = "tls")]
    pub tls: Option<Tls>,
    /// Receives the trace: one JSON line for each event on the wire.
    pub trace: Option<Box<dyn Write + Send>>,
    /// Receives each record of the trace. The gateway waits for it, so it must not call the [`Server`].
    pub observer: Option<Observer>,
    /// How many times faster than the wall clock the gateway's clock runs. Default 1.
    pub speed: u32,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            gateway: Config::default(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            host: None,
            url: None,
            resume_port: false,
            control: true,
            #[cfg(feature = "tls")]
            tls: None,
            trace: None,
            observer: None,
            speed: 1,
        }
    }
}

impl From<Config> for ServerConfig {
    fn from(gateway: Config) -> Self {
        Self { gateway, ..Self::default() }
    }
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServerConfig")
            .field("gateway", &self.gateway)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

/// A simulated gateway on a port. Dropping it ends it and all its connections.
pub struct Server {
    shared: Arc<Shared>,
    url: String,
    /// Closed to end the thread.
    stop: Sender<Infallible>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server. A [`Config`] alone uses any free port of the loopback interface.
    ///
    /// # Errors
    /// If the address cannot be listened on, the certificate cannot be generated, or the thread cannot be started.
    pub fn start(config: impl Into<ServerConfig>) -> io::Result<Self> {
        let mut config: ServerConfig = config.into();
        let mut listeners = vec![listen(config.listen)?];
        if config.resume_port {
            listeners.push(listen(SocketAddr::new(config.listen.ip(), 0))?);
        }
        let addresses: Vec<_> = listeners.iter().map(|(_, port)| port.address()).collect();
        #[cfg(feature = "tls")]
        let identity = config.tls.as_ref().map(Identity::new).transpose()?;
        #[cfg(feature = "tls")]
        let scheme = if identity.is_some() { "wss" } else { "ws" };
        #[cfg(not(feature = "tls"))]
        let scheme = "ws";
        let url_of = |address: &SocketAddr| match &config.host {
            Some(host) => format!("{scheme}://{host}:{}", address.port()),
            None => format!("{scheme}://{address}"),
        };
        let url = url_of(&addresses[0]);
        if let Some(address) = addresses.get(1) {
            config.gateway.resume_url = Some(url_of(address));
        }
        config.gateway.url = config.url.unwrap_or_else(|| url.clone());
        config.gateway.trace = config.trace.is_some() || config.observer.is_some();
        let clock = Clock::start(config.speed);
        let gateway = Gateway::new(config.gateway, clock.started());
        let mut shared = Shared::new(gateway, clock, config.trace, config.observer);
        shared.step(|state, _| state.listening.extend(&addresses));
        shared.addresses = addresses;
        shared.control = config.control;
        #[cfg(feature = "tls")]
        {
            shared.identity = identity;
        }
        let shared = Arc::new(shared);
        let (stop, stopped) = channel::bounded(1);
        let thread = thread::Builder::new().name("gateway-sim".to_owned()).spawn({
            let shared = shared.clone();
            move || executor::run(&shared, listeners, &stopped)
        })?;
        Ok(Self { shared, url, stop, thread: Some(thread) })
    }

    /// `ws://HOST:PORT` or `wss://HOST:PORT`, without a trailing slash.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// `http://HOST:PORT` or `https://HOST:PORT`, the base URL of the HTTP API.
    pub fn http_url(&self) -> String {
        self.url.replacen("ws", "http", 1)
    }

    /// The address on which the server listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.addresses[0]
    }

    /// The certificate that clients must trust, as PEM. `None` without TLS.
    #[cfg(feature = "tls")]
    pub fn root_certificate(&self) -> Option<&str> {
        self.shared.identity.as_ref().map(|identity| identity.root.as_str())
    }

    /// Performs a control command on every session or connection. See [`Gateway::control`].
    ///
    /// # Errors
    /// If a value is invalid; nothing was changed.
    pub fn control(&self, control: Control) -> Result<Value, ControlError> {
        self.control_on(Target::All, control)
    }

    /// Performs a control command on one target.
    ///
    /// # Errors
    /// If a value is invalid; nothing was changed.
    pub fn control_on(&self, target: Target, control: Control) -> Result<Value, ControlError> {
        block_on(self.shared.control(target, control))
    }

    /// The dispatches so far.
    pub fn ledger(&self) -> Ledger {
        self.with(|gateway| gateway.ledger().clone())
    }

    /// Calls `look` with the gateway.
    pub fn with<T>(&self, look: impl FnOnce(&Gateway) -> T) -> T {
        self.shared.with(|state| look(&state.gateway))
    }

    /// Waits until `look` returns a value. It is called again after each step of the gateway. `None` after `limit`.
    pub fn wait<T>(&self, limit: Duration, look: impl FnMut(&Gateway) -> Option<T>) -> Option<T> {
        block_on(self.until(limit, look))
    }

    /// As [`wait`](Self::wait), for a task of any runtime.
    pub async fn until<T>(&self, limit: Duration, mut look: impl FnMut(&Gateway) -> Option<T>) -> Option<T> {
        self.shared.until(limit, |state| look(&state.gateway)).await
    }

    /// Waits until connects are accepted again after [`Control::Down`]. `false` after `limit`.
    pub fn wait_until_up(&self, limit: Duration) -> bool {
        let all = self.shared.addresses.len();
        let up = |state: &mut State| (state.listening.len() == all && !state.gateway.is_down()).then_some(());
        block_on(self.shared.until(limit, up)).is_some()
    }

    /// Waits until the process ends.
    pub fn run_forever(mut self) {
        if let Some(thread) = self.thread.take() {
            // The thread ends before the server stops only if it has panicked.
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A listener, and the port, which stays reserved while the gateway is down.
fn listen(address: SocketAddr) -> io::Result<(Async<TcpListener>, ReservedPort)> {
    let port = ReservedPort::new(address)?;
    Ok((Async::new(port.listen()?)?, port))
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Server").field("url", &self.url).finish_non_exhaustive()
    }
}
