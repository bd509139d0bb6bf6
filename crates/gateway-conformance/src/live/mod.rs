//! Scenarios over real sockets, on any runtime, against a simulated gateway behind TLS.

mod application;
mod runtime;
mod stage;
mod trap;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use gateway_driver::gate::{IdentifyGate, LocalIdentifyGate};
use gateway_driver::proto::ShardConfig;
use gateway_driver::proto::session::SessionSnapshot;
use gateway_driver::tls::{Roots, TlsSettings};
use gateway_driver::{DriverConfig, Runtime, Sender, Shard};
use gateway_sim::{Config, Control, Gateway, Server, ServerConfig, Tls};

use crate::memory::{refused, through_a_file};
use crate::observation::{ClientAct, Observed, Seen, TraceLine, Wire};
use crate::probe::Probe;
use crate::runner::{Backend, Stall};
use crate::scenario::{ClientAction, Network, Setup};
pub(crate) use runtime::{Faulty, Routes};
pub(crate) use stage::Clock;
use stage::Stage;
use trap::Trap;

/// The server's name for the shard. The look-up of the name is part of the test.
const HOST: &str = "localhost";

/// How much faster than the wall clock the clocks of shard and server run, so that a minute of a scenario passes quickly.
pub(crate) const SPEED: u32 = 10;

/// A future that must run to its end.
pub type Driving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs a future to its end on some runtime.
pub(crate) type BlockOn = Arc<dyn Fn(Driving) + Send + Sync>;

/// One scenario on a runtime.
pub(crate) struct Live<R: Runtime> {
    stage: Arc<Stage>,
    server: Server,
    runtime: Faulty<R>,
    /// Kept across restarts, since the server remembers the time of the last Identify.
    gate: Arc<dyn IdentifyGate>,
    routes: Arc<Routes>,
    traps: Vec<Trap>,
    config: ShardConfig,
    setup: Setup,
    block_on: BlockOn,
    /// How long to wait for an expected observation.
    patience: Duration,
    /// The running shard. Started by the first step that needs it.
    running: Option<Running>,
}

struct Running {
    sender: Sender,
    thread: JoinHandle<()>,
}

impl<R: Runtime> Live<R> {
    /// Prepares a scenario.
    pub(crate) fn new(
        runtime: R,
        block_on: BlockOn,
        mut config: ShardConfig,
        gateway: Config,
        setup: Setup,
        patience: Duration,
    ) -> Result<Self, String> {
        let clock = Clock::start(SPEED);
        let stage = Arc::new(Stage::new(clock));
        let server = serve(gateway, Wire::new(clock.started(), config.encoding), setup.tls, &stage)
            .map_err(|error| format!("no simulated gateway: {error}"))?;
        config.url = format!("{}{}", server.url(), config.url);
        let routes = Arc::new(Routes::new(setup.wall_clock));
        let runtime = Faulty::new(runtime, clock, routes.clone());
        let gate = Arc::new(LocalIdentifyGate::new(runtime.clone(), 1));
        Ok(Self {
            stage,
            server,
            runtime,
            gate,
            routes,
            traps: Vec::new(),
            config,
            setup,
            block_on,
            patience,
            running: None,
        })
    }

    /// Starts the shard unless it is running.
    fn sender(&mut self) -> Result<&Sender, String> {
        if self.running.is_none() {
            self.start(self.config.clone())?;
        }
        match &self.running {
            Some(running) => Ok(&running.sender),
            None => Err("the shard does not run".to_owned()),
        }
    }

    fn start(&mut self, config: ShardConfig) -> Result<(), String> {
        let mut driver = DriverConfig::default();
        driver.identify_gate = Some(self.gate.clone());
        if self.setup.tls {
            driver.tls = Some(self.trust()?);
        }
        let shard = Shard::with(self.runtime.clone(), config, driver).map_err(|error| error.to_string())?;
        let sender = shard.sender();
        let driving = application::drive(shard, self.setup.background, self.stage.clone());
        let block_on = self.block_on.clone();
        let thread = thread::Builder::new()
            .name("conformance".to_owned())
            .spawn(move || block_on(driving))
            .map_err(|error| format!("no thread: {error}"))?;
        self.running = Some(Running { sender, thread });
        Ok(())
    }

    /// Trusts the generated root of the server, and those of the traps that must be trusted.
    fn trust(&self) -> Result<Arc<gateway_driver::rustls::ClientConfig>, String> {
        let mut settings = TlsSettings::default();
        settings.roots = Roots::ExtraOnly;
        let roots = self.traps.iter().filter_map(Trap::root_certificate);
        for root in self.server.root_certificate().into_iter().chain(roots) {
            settings.add_pem_roots(root.as_bytes()).map_err(|error| error.to_string())?;
        }
        settings.client_config().map_err(|error| error.to_string())
    }

    fn restart(&mut self, change: fn(&mut ShardConfig)) -> Result<(), String> {
        let session = self.sender()?.session();
        self.join();
        let session: Option<SessionSnapshot> = session.map(|session| through_a_file(&session)).transpose()?;
        let mut config = self.config.clone();
        config.session = session;
        change(&mut config);
        self.stage.begin_again();
        self.start(config)
    }

    /// Waits for the shard's thread. A thread that hangs is detached, so that the suite does not hang.
    fn join(&mut self) {
        if let Some(running) = self.running.take()
            && self.stage.wait_for_end(self.patience)
        {
            // If it panicked, an expected observation was missing before.
            let _ = running.thread.join();
        }
    }
}

/// A simulated gateway whose records go to the stage.
fn serve(gateway: Config, mut wire: Wire, tls: bool, stage: &Arc<Stage>) -> std::io::Result<Server> {
    let mut config = ServerConfig::default();
    config.gateway = gateway;
    // Messages may be delayed and arrive together: a fast clock makes small delays long.
    config.gateway.identify_interval /= 2;
    config.gateway.send_window = config.gateway.send_window * 4 / 5;
    config.resume_port = true;
    // The host of the base URL: a session is resumed at no other host.
    config.host = Some(HOST.to_owned());
    config.tls = tls.then(Tls::default);
    config.speed = SPEED;
    let stage = stage.clone();
    config.observer = Some(Box::new(move |record| {
        let (act, line) = wire.read(record);
        stage.observe(act, line);
    }));
    Server::start(config)
}

impl<R: Runtime> Backend for Live<R> {
    fn next_act(&mut self) -> Result<Observed<ClientAct>, Stall> {
        self.sender().map_err(|_| Stall("the shard could not be created"))?;
        self.stage.next_act(self.patience)
    }

    fn put_back(&mut self, acts: Vec<Observed<ClientAct>>) -> bool {
        self.stage.put_back(acts);
        true
    }

    fn next_seen(&mut self) -> Result<Observed<Seen>, Stall> {
        self.sender().map_err(|_| Stall("the shard could not be created"))?;
        self.stage.next_seen(self.patience)
    }

    fn all_connections_end(&mut self) -> bool {
        let none_is_open = |gateway: &Gateway| gateway.connections().next().is_none().then_some(());
        self.server.wait(self.patience, none_is_open).is_some()
    }

    fn untaken_acts(&mut self) -> Vec<Observed<ClientAct>> {
        self.stage.acts_so_far()
    }

    fn control(&mut self, control: Control) -> Result<(), String> {
        self.server.control(control).map(drop).map_err(|error| error.to_string())
    }

    fn act(&mut self, action: &ClientAction) -> Result<(), String> {
        let sender = self.sender()?;
        match action {
            ClientAction::Send(command) => sender.send(command.clone()).map_err(|error| error.to_string())?,
            ClientAction::SendMany(command, count) => {
                for _ in 0..*count {
                    sender.send(command.clone()).map_err(|error| error.to_string())?;
                }
            }
            ClientAction::SendRefused(command, expected) => refused(sender.send(command.clone()), expected)?,
            ClientAction::Shutdown(how) => sender.shutdown(*how),
            ClientAction::Reconnect(how) => sender.reconnect(*how),
            ClientAction::StopTaking => self.stage.set_taking(false),
            ClientAction::TakeAgain => self.stage.set_taking(true),
            ClientAction::Suspend => self.stage.set_suspended(true),
            ClientAction::WakeUp => self.stage.set_suspended(false),
            ClientAction::Acknowledge(sequence) => {
                sender.ack(*sequence).map_err(|error| error.to_string())?;
            }
            ClientAction::SetWallClock(ahead) => self.routes.set_wall_clock(*ahead),
            ClientAction::Restart(change) => self.restart(*change)?,
        }
        Ok(())
    }

    fn network(&mut self, network: Network) {
        match network {
            Network::Dials(fault, count) => match Trap::start(fault) {
                Ok(trap) => {
                    self.routes.add(&trap, count);
                    self.traps.push(trap);
                }
                // Without its trap the connection succeeds, and the scenario fails.
                Err(error) => self.stage.note(&format!("no trap: {error}")),
            },
            Network::StopWrites => self.routes.stop_writes(),
        }
    }

    fn elapse(&mut self, time: Duration) {
        if self.sender().is_ok() {
            self.stage.let_pass(time / SPEED);
        }
    }

    fn becomes_true(&mut self, test: &dyn Fn(&Probe) -> bool) -> bool {
        let deadline = Instant::now() + self.patience;
        loop {
            if self.probe().as_ref().is_some_and(test) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            // Nothing observable happens.
            self.stage.let_pass(Duration::from_millis(2));
        }
    }

    fn now(&self) -> Duration {
        self.stage.now()
    }

    fn is_exact(&self) -> bool {
        false
    }

    fn probe(&mut self) -> Option<Probe> {
        let sender = self.sender().ok()?;
        Some(Probe { health: sender.health(), stats: sender.stats(), session: sender.session() })
    }

    fn trace(&self) -> Vec<TraceLine> {
        self.stage.lines()
    }
}

impl<R: Runtime> Drop for Live<R> {
    fn drop(&mut self) {
        self.stage.abort();
        self.join();
    }
}
