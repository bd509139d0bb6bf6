//! Runs one scenario in one way: tells the three parties what to do, and holds what is seen against what must be seen.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gateway_driver::proto::{Event, Notice, Shutdown};
use gateway_sim::Control;
use gateway_world::Told;

use crate::observation::{ClientAct, Observed, Seen, TraceLine};
use crate::probe::Probe;
use crate::scenario::{Deed, Expectation, Network, Step, TOKEN};

/// A way of running scenarios: a shard, a server and a network, and a clock for all of them.
pub(crate) trait Way {
    /// The next thing that the server saw. Waits for it.
    fn next_act(&mut self) -> Result<Observed<ClientAct>, Stall>;

    /// Takes acts back that were seen too early: they come next again. False where connections cannot cross.
    fn put_back(&mut self, _acts: Vec<Observed<ClientAct>>) -> bool {
        false
    }
    /// The next thing that the application saw. Waits for it.
    fn next_seen(&mut self) -> Result<Observed<Seen>, Stall>;
    /// After the end of the shard: waits until the server has seen the end of every connection. False if it does not.
    fn all_connections_end(&mut self) -> bool;
    /// The observations of the server that no step has taken yet. Does not wait.
    fn seen_but_not_asked_for(&mut self) -> Vec<Observed<ClientAct>>;
    /// The server does something.
    fn control(&mut self, control: Control) -> Result<(), String>;
    /// The application does something.
    fn act(&mut self, deed: &Deed) -> Result<(), String>;
    /// The network does something.
    fn network(&mut self, network: Network);
    /// Lets time pass.
    fn elapse(&mut self, time: Duration);
    /// Waits until this holds; false if it does not come to.
    fn comes_to_hold(&mut self, test: &dyn Fn(&Probe) -> bool) -> bool;
    /// The time since the start.
    fn now(&self) -> Duration;
    /// Whether times are exact, so that they can be asserted.
    fn is_exact(&self) -> bool;
    /// What the present shard answers, if there is one.
    fn probe(&mut self) -> Option<Probe>;
    /// Everything so far, for people.
    fn trace(&self) -> Vec<TraceLine>;
}

/// Nothing more happens, or nothing in time.
pub(crate) struct Stall(pub(crate) &'static str);

/// The progress of a scenario, for the suite that waits for its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<AtomicUsize>);

impl Progress {
    /// Which step it is at, from 1; 0 before the first one and after the last one.
    pub(crate) fn step(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, step: usize) {
        self.0.store(step, Ordering::Relaxed);
    }
}

/// Why a scenario has failed, and what had happened until then.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Failure {
    /// What was wrong, in a sentence.
    pub sentence: String,
    /// Which step it was, from 1; 0 for what must hold at the end of every scenario.
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
pub(crate) fn run(steps: &[Step], way: &mut dyn Way, progress: &Progress) -> Result<(), Failure> {
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

/// Whether it is the last that is to be seen of a connection, or the beginning of its end.
fn ends_a_connection(expected: &Expectation<ClientAct>) -> bool {
    let closes = [1000, 1002, 1007, 1009, 4000].map(|code| ClientAct::Closes { code: Some(code) });
    let mut ends = [ClientAct::Leaves, ClientAct::Echoes { code: None }].into_iter().chain(closes);
    ends.any(|act| expected.is_met_by(&act))
}

struct Runner<'a> {
    way: &'a mut dyn Way,
    progress: &'a Progress,
    /// When the last thing happened that was asked for.
    mark: Duration,
    /// What must hold in every scenario of all that the application sees.
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
            Step::Client(deed) => {
                if let Deed::Restart(_) = deed {
                    self.told.restarted();
                    self.stopped = false;
                }
                self.way.act(deed)?;
            }
            Step::Network(network) => self.way.network(*network),
            Step::Elapse(time) => self.way.elapse(*time),
            Step::Holds(expected) => {
                if !self.way.comes_to_hold(&|probe| expected.is_met_by(probe)) {
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
        // Over real sockets the end of one connection may be seen after the beginning of the next.
        let may_cross = ends_a_connection(expected) && self.way.put_back(Vec::new());
        let mut early = Vec::new();
        loop {
            let Observed { at, what } = self.way.next_act().map_err(|stall| {
                format!("the client should have been seen that it {}, but {}", expected.text, stall.0)
            })?;
            if expected.is_met_by(&what) {
                self.way.put_back(early);
                return self.on_time(at, expected.within, &what);
            }
            if may_cross && (!early.is_empty() || matches!(what, ClientAct::Opens { .. })) {
                early.push(Observed { at, what });
                continue;
            }
            if !what.is_quiet() {
                return Err(format!(
                    "the client {what}, where it should have been seen that it {}",
                    expected.text
                ));
            }
        }
    }

    fn application(&mut self, expected: &Expectation<Seen>) -> Result<(), String> {
        loop {
            let Observed { at, what } = self.way.next_seen().map_err(|stall| {
                format!("the application should have seen {}, but {}", expected.text, stall.0)
            })?;
            self.tell(&what)?;
            if expected.is_met_by(&what) {
                return self.on_time(at, expected.within, &what);
            }
            if !self.may_happen_at_any_time(&what) {
                return Err(format!(
                    "the application saw {what}, where it should have seen {}",
                    expected.text
                ));
            }
        }
    }

    /// Where times are not exact, the machine may be too busy to drive the shard.
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
                Err(format!("{what}: after {after:?}, where it should be {earliest:?} to {latest:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Ends the shard if it has not ended, and looks at everything that is left.
    fn end(&mut self) -> Result<(), String> {
        if !self.stopped {
            self.way.act(&Deed::TakeAgain)?;
            self.way.act(&Deed::WakeUp)?;
            self.way.act(&Deed::Shutdown(Shutdown::Resumable))?;
        }
        let mut ending = Vec::new();
        while !self.stopped {
            let observed = self
                .way
                .next_seen()
                .map_err(|stall| format!("the shard should have stopped when asked to, but {}", stall.0))?;
            self.tell(&observed.what)?;
            ending.push(observed.what);
        }
        // The end of the shard is its own doing; what came before it is not.
        let extra = ending.iter().find(|seen| {
            !self.may_happen_at_any_time(seen)
                && !matches!(seen, Seen::Stopped(_) | Seen::Event(Event::Disconnected(_)))
        });
        if let Some(extra) = extra {
            return Err(format!("the application saw {extra} besides all that it should"));
        }
        if !self.way.all_connections_end() {
            return Err("the shard has stopped, and a connection of it is still open".to_owned());
        }
        let acts = self.way.seen_but_not_asked_for();
        let extra = acts.iter().find(|act| {
            !act.what.is_quiet()
                && !matches!(act.what, ClientAct::Closes { code: Some(4000) } | ClientAct::Opens { .. })
        });
        if let Some(extra) = extra {
            return Err(format!("the client {} besides all that it should", extra.what));
        }
        Ok(())
    }

    /// Holds what the application sees against what must hold in every scenario.
    fn tell(&mut self, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Event(event) => self.told.event(event),
            Seen::Stopped(reason) => {
                self.stopped = true;
                self.told.stopped(reason)
            }
        }
    }
}
