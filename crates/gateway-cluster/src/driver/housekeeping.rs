//! The task of a cluster itself: deadlines, plans that are written, recommendations, and the end.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use gateway_driver::Runtime;
use gateway_driver::task::Timer;

use super::host::Asking;
use super::hub::Hub;
use super::off_thread::off_thread;
use super::plan_store::PlanStore;
use crate::ClusterPlan;

/// A plan that is being written.
type Writing = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

pub(crate) struct Housekeeping<R> {
    hub: Arc<Hub>,
    timer: Timer<R>,
    runtime: R,
    plans: Option<Arc<dyn PlanStore>>,
    writing: Option<(u64, Writing)>,
    /// How often the recommendation is asked for. None: never.
    ask_every: Option<Duration>,
    ask_at: Option<Instant>,
    asking: Option<Asking>,
}

impl<R: Runtime> Housekeeping<R> {
    pub(crate) fn new(
        hub: Arc<Hub>,
        runtime: R,
        plans: Option<Arc<dyn PlanStore>>,
        ask_every: Option<Duration>,
    ) -> Self {
        let ask_at = ask_every.map(|every| runtime.now() + every);
        let timer = Timer::new(runtime.clone());
        Self { hub, timer, runtime, plans, writing: None, ask_every, ask_at, asking: None }
    }

    /// Runs until the cluster has ended, or nothing reads it any more.
    pub(crate) async fn run(mut self) {
        loop {
            let mut woken = self.hub.signals.keeper.listen();
            if self.hub.is_abandoned() {
                return;
            }
            let over = self.look();
            if over && self.writing.is_none() {
                break;
            }
            poll_fn(|context| match Pin::new(&mut woken).poll(context) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => self.poll(context),
            })
            .await;
        }
        if let Some(keeper) = self.hub.keeper.clone() {
            // The next process may be there already. An error was reported to the keeper's callback.
            let _ = off_thread(move || keeper.flush()).await;
        }
        self.hub.end();
    }

    /// Does what is due, and notes when the next is. Returns whether the cluster is over.
    fn look(&mut self) -> bool {
        let hub = self.hub.clone();
        let now = self.runtime.now();
        let draining = hub.signals.draining.load(Ordering::SeqCst);
        hub.members.handle_timeout_if_due(&hub, now);
        if self.asking.is_none() && self.ask_at.is_some_and(|at| now >= at) {
            self.ask_at = self.ask_every.map(|every| now + every);
            self.asking = Some(hub.host.ask());
        }
        let (over, write) = hub.tell(|core, now| {
            if core.machine.next_deadline().is_some_and(|deadline| now >= deadline) {
                core.machine.handle_timeout(now);
            }
            if draining && Hub::is_drained(core) {
                core.machine.handle_drained();
            }
            (core.over, if self.writing.is_none() { core.writes.pop_front() } else { None })
        });
        if let Some((number, plan)) = write {
            self.writing = Some((number, self.write(plan)));
        }
        let own = [hub.members.next_deadline(), self.ask_at].into_iter().flatten();
        let mut core = hub.lock();
        core.deadline = own.chain(core.machine.next_deadline()).min();
        over && core.writes.is_empty()
    }

    fn write(&self, plan: ClusterPlan) -> Writing {
        match self.plans.clone() {
            Some(plans) => Box::pin(off_thread(move || plans.save(&plan))),
            // Without a store a plan lives as long as the process, and so does everything that it is about.
            None => Box::pin(std::future::ready(Ok(()))),
        }
    }

    /// Ready when there is something to look at.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some((number, writing)) = &mut self.writing
            && let Poll::Ready(written) = writing.as_mut().poll(context)
        {
            let number = *number;
            self.writing = None;
            self.hub.tell(|core, now| core.machine.handle_persisted(number, written.is_ok(), now));
            return Poll::Ready(());
        }
        if let Some(asking) = &mut self.asking
            && let Poll::Ready(answer) = asking.as_mut().poll(context)
        {
            self.asking = None;
            // What fails today is asked for again in an hour.
            if let Ok(bot) = answer {
                self.hub.host.update(&bot);
                self.hub.tell(|core, _| core.machine.handle_recommendation(bot.shards));
            }
            return Poll::Ready(());
        }
        let deadline = self.hub.lock().deadline;
        deadline.map_or(Poll::Pending, |deadline| self.timer.poll_until(deadline, context))
    }
}
