//! The task of a cluster itself: deadlines, plans that are written, recommendations, and the end.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use gateway_driver::Runtime;
use gateway_driver::proto::{Shutdown, StopReason};
use gateway_driver::store::SessionKeeper;
use gateway_driver::task::Timer;

use super::host::Asking;
use super::hub::Hub;
use super::off_thread::off_thread;
use super::plan_store::PlanStore;
use crate::time::later;
use crate::{ClusterEvent, ClusterPlan};

/// The recommendation is asked for no more often than this.
const SOONEST: Duration = Duration::from_secs(60);

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
        let ask_every = ask_every.map(|every| every.max(SOONEST));
        let ask_at = ask_every.map(|every| later(runtime.now(), every));
        let timer = Timer::new(runtime.clone());
        Self { hub, timer, runtime, plans, writing: None, ask_every, ask_at, asking: None }
    }

    /// Runs until the cluster has ended, or nothing reads it any more.
    pub(crate) async fn run(mut self) {
        loop {
            let mut woken = self.hub.signals.keeper.listen();
            if self.hub.is_abandoned() {
                return flush(self.hub.keeper.clone()).await;
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
        flush(self.hub.keeper.clone()).await;
        self.hub.end();
    }

    /// Builds the shards that are to be started. Without the machine's lock, since the application's code has a say in it.
    fn start_shards(&self) {
        let hub = &self.hub;
        while let Some((key, session)) = {
            let mut core = hub.lock();
            let start = core.starts.pop_front();
            core.building = start.as_ref().map(|(key, _)| (*key, None));
            start
        } {
            let built = hub.host.build(hub, key, session.clone());
            let task = hub.tell(|core, now| {
                let shutdown = core.building.take().and_then(|(_, shutdown)| shutdown);
                match built {
                    Ok((slot, task)) => {
                        if let Some(how) = shutdown {
                            slot.shut_down(how);
                        }
                        core.slots.insert(key, slot);
                        Ok(task)
                    }
                    Err(error) => {
                        let reason = StopReason::Shutdown(Shutdown::Resumable);
                        core.machine.handle_stopped(key, reason, session, now);
                        Err(error.to_string())
                    }
                }
            });
            match task {
                Ok(task) => hub.host.spawn(task),
                Err(error) => hub.report(key, ClusterEvent::ShardNotBuilt { error }),
            }
        }
    }

    /// Does what is due, and notes when the next is. Returns whether the cluster is over.
    fn look(&mut self) -> bool {
        let hub = self.hub.clone();
        let now = self.runtime.now();
        let draining = hub.signals.draining.load(Ordering::SeqCst);
        hub.handle_lost();
        self.start_shards();
        hub.members.handle_timeout_if_due(&hub, now);
        if self.asking.is_none() && self.ask_at.is_some_and(|at| now >= at) {
            self.ask_at = self.ask_every.map(|every| later(now, every));
            self.asking = Some(hub.host.ask());
        }
        let (over, write) = hub.tell(|core, now| {
            if core.machine.next_deadline().is_some_and(|deadline| now >= deadline) {
                core.machine.handle_timeout(now);
            }
            if draining && core.is_drained(None) {
                core.machine.handle_drained();
            }
            if let Some(generation) = core.awaited.filter(|it| core.is_drained(Some(*it))) {
                core.awaited = None;
                core.machine.handle_handled(generation);
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

/// Waits until all sessions are written. An error is an event already.
async fn flush(keeper: Option<Arc<SessionKeeper>>) {
    if let Some(keeper) = keeper {
        let _ = off_thread(move || keeper.flush()).await;
    }
}
