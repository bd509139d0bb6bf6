//! Runs one scenario in one way: drives server, network and application, and compares the observations with the expected ones.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gateway_driver::proto::{Event, Notice, Shutdown};
use gateway_sim::Control;
use gateway_world::Told;

use crate::observation::{ClientAct, Observed, Seen, TraceLine};
use crate::probe::Probe;
use crate::scenario::{ClientAction, Expectation, Network, Step, TOKEN};

/// A way of running scenarios: a shard, a server and a network, and a clock for all of them.
pub(crate) trait Backend {
    /// Waits for the next observation of the server.
    fn next_act(&mut self) -> Result<Observed<ClientAct>, Stall>;

    /// Returns observations that came too early, so that they are taken again. False if connections cannot overlap.
    fn put_back(&mut self, _acts: Vec<Observed<ClientAct>>) -> bool {
        false
    }
    /// Waits for the next observation of the application.
    fn next_seen(&mut self) -> Result<Observed<Seen>, Stall>;
    /// After the end of the shard, waits until the server has observed the end of every connection. Returns whether it
    /// has.
    fn all_connections_end(&mut self) -> bool;
    /// The observations of the server that no step has taken yet. Does not wait.
    fn untaken_acts(&mut self) -> Vec<Observed<ClientAct>>;
    /// Performs a command of the server.
    fn control(&mut self, control: Control) -> Result<(), String>;
    /// Performs an action of the application.
    fn act(&mut self, action: &ClientAction) -> Result<(), String>;
    /// Performs an action of the network.
    fn network(&mut self, network: Network);
    /// Lets time pass.
    fn elapse(&mut self, time: Duration);
    /// Waits until this condition holds. Returns whether it does.
    fn becomes_true(&mut self, test: &dyn Fn(&Probe) -> bool) -> bool;
    /// The time since the start.
    fn now(&self) -> Duration;
    /// Whether times are exact, so that they can be asserted.
    fn is_exact(&self) -> bool;
    /// The state of the current shard, if there is one.
    fn probe(&mut self) -> Option<Probe>;
    /// The trace so far.
    fn trace(&self) -> Vec<TraceLine>;
}

/// No further observation comes, or none in time.
pub(crate) struct Stall(pub(crate) &'static str);

/// The progress of a scenario, for the suite that waits for its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<AtomicUsize>);

impl Progress {
    /// The number of the current step, from 1; 0 before the first and after the last.
    pub(crate) fn step(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, step: usize) {
        self.0.store(step, Ordering::Relaxed);
    }

    /// The next step begins.
    pub(crate) fn advance(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Why a scenario has failed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Failure {
    /// The failure, in a sentence.
    pub sentence: String,
    /// The number of the step, from 1; 0 for the checks at the end of every scenario.
    pub step: usize,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            0 => f.write_str(&self.sentence),
            step => write!(f, "step {step}: {}", self.sentence),
        }
    }
}

/// Runs the steps, ends the shard, and checks what must hold in every scenario.
pub(crate) fn run(steps: &[Step], way: &mut dyn Backend, progress: &Progress) -> Result<(), Failure> {
    let told = Told::new(TOKEN);
    let mut runner = Runner { way, progress, mark: Duration::ZERO, told, stopped: false };
    let result = runner.steps(steps).and_then(|()| {
        progress.set(0);
        runner.end()
    });
    let result = result.map_err(|sentence| Failure { sentence, step: progress.step() });
    progress.set(0);
    result
}

/// Whether it is the last expected observation of a connection, or the beginning of its end.
fn ends_a_connection(expected: &Expectation<ClientAct>) -> bool {
    let closes = [1000, 1002, 1007, 1009, 4000].map(|code| ClientAct::Closes { code: Some(code) });
    let mut ends = [ClientAct::EndsStream, ClientAct::Echoes { code: None }].into_iter().chain(closes);
    ends.any(|act| expected.is_met_by(&act))
}

struct Runner<'a> {
    way: &'a mut dyn Backend,
    progress: &'a Progress,
    /// The time of the last expected observation.
    mark: Duration,
    /// The rules that the application's observations must follow in every scenario.
    told: Told,
    stopped: bool,
}

impl Runner<'_> {
    fn steps(&mut self, steps: &[Step]) -> Result<(), String> {
        steps.iter().try_for_each(|step| match step {
            Step::Group(steps) => self.steps(steps),
            step => {
                self.progress.set(self.progress.step() + 1);
                self.step(step)
            }
        })
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Wire(expected) => return self.wire(expected),
            Step::App(expected) => return self.application(expected),
            Step::Gateway(control) => self.way.control(control.clone())?,
            Step::Client(action) => {
                if let ClientAction::Restart(_) = action {
                    self.told.restarted();
                    self.stopped = false;
                }
                self.way.act(action)?;
            }
            Step::Network(network) => self.way.network(*network),
            Step::Elapse(time) => self.way.elapse(*time),
            Step::Holds(expected) => {
                if !self.way.becomes_true(&|probe| expected.is_met_by(probe)) {
                    let probe = self.way.probe();
                    return Err(format!("it does not hold that {}: {probe:?}", expected.text));
                }
            }
            Step::Group(_) => {}
        }
        self.mark = self.way.now();
        Ok(())
    }

    fn wire(&mut self, expected: &Expectation<ClientAct>) -> Result<(), String> {
        // Over real sockets the end of one connection may be observed after the beginning of the next.
        let may_cross = ends_a_connection(expected) && self.way.put_back(Vec::new());
        let mut early = Vec::new();
        loop {
            let Observed { at, what } = self
                .way
                .next_act()
                .map_err(|stall| format!("expected that the client {}, but {}", expected.text, stall.0))?;
            if expected.is_met_by(&what) {
                self.way.put_back(early);
                return self.on_time(at, expected.within, &what);
            }
            if may_cross && (!early.is_empty() || matches!(what, ClientAct::Opens { .. })) {
                early.push(Observed { at, what });
                continue;
            }
            if !what.is_quiet() {
                return Err(format!("the client {what}; expected that it {}", expected.text));
            }
        }
    }

    fn application(&mut self, expected: &Expectation<Seen>) -> Result<(), String> {
        loop {
            let Observed { at, what } = self.way.next_seen().map_err(|stall| {
                format!("expected that the application sees {}, but {}", expected.text, stall.0)
            })?;
            self.check(&what)?;
            if expected.is_met_by(&what) {
                return self.on_time(at, expected.within, &what);
            }
            if !self.may_happen_at_any_time(&what) {
                return Err(format!("the application saw {what}; expected {}", expected.text));
            }
        }
    }

    /// If times are not exact, the machine may be too busy to drive the shard.
    fn may_happen_at_any_time(&self, seen: &Seen) -> bool {
        let not_driven = matches!(seen, Seen::Event(Event::Notice(Notice::NotDriven { .. })));
        seen.is_quiet() || (not_driven && !self.way.is_exact())
    }

    fn on_time(
        &mut self,
        at: Duration,
        within: Option<(Duration, Duration)>,
        what: &dyn fmt::Display,
    ) -> Result<(), String> {
        let after = at.saturating_sub(self.mark);
        self.mark = self.mark.max(at);
        match within {
            Some((earliest, latest)) if self.way.is_exact() && !(earliest..=latest).contains(&after) => {
                Err(format!("{what}: after {after:?}, but should be {earliest:?} to {latest:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Ends the shard if it has not ended, and checks the remaining observations.
    fn end(&mut self) -> Result<(), String> {
        if !self.stopped {
            self.way.act(&ClientAction::TakeAgain)?;
            self.way.act(&ClientAction::WakeUp)?;
            self.way.act(&ClientAction::Shutdown(Shutdown::Resumable))?;
        }
        let mut ending = Vec::new();
        while !self.stopped {
            let observed = self
                .way
                .next_seen()
                .map_err(|stall| format!("expected that the shard stops on request, but {}", stall.0))?;
            self.check(&observed.what)?;
            ending.push(observed.what);
        }
        // Observations of the end are expected; earlier ones are not.
        let extra = ending.iter().find(|seen| {
            !self.may_happen_at_any_time(seen)
                && !matches!(seen, Seen::Stopped(_) | Seen::Event(Event::Disconnected(_)))
        });
        if let Some(extra) = extra {
            return Err(format!("the application saw {extra}, which no step expects"));
        }
        if !self.way.all_connections_end() {
            return Err("the shard has stopped, and a connection of it is still open".to_owned());
        }
        let acts = self.way.untaken_acts();
        let extra = acts.iter().find(|act| {
            !act.what.is_quiet()
                && !matches!(act.what, ClientAct::Closes { code: Some(4000) } | ClientAct::Opens { .. })
        });
        if let Some(extra) = extra {
            return Err(format!("the client {}, which no step expects", extra.what));
        }
        Ok(())
    }

    /// Checks an observation of the application against the rules of every scenario.
    fn check(&mut self, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Event(event) => self.told.event(event),
            Seen::Stopped(reason) => {
                self.stopped = true;
                self.told.stopped(reason)
            }
        }
    }
}
