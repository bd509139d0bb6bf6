//! What becomes of the requests at a gate.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use gateway_proto::{IdentifyQueue, IdentifyRefused, IdentifySnapshot, ShardId, Ticket, WhenSpent};

/// How long to wait before session starts that could not be kept are tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The queue, and who waits for its answers.
pub(crate) struct Requests {
    pub(crate) queue: IdentifyQueue,
    /// None: nothing is kept.
    pub(crate) keeping: Option<Keeping>,
    requests: BTreeMap<Ticket, Request>,
}

/// How far session starts are written down.
pub(crate) struct Keeping {
    /// What becomes of a permit that cannot be kept.
    when_spent: WhenSpent,
    /// The newest state was given a number, and has not been handed over.
    unkept: bool,
    number: u64,
    /// When to try again. None: nothing has failed.
    retry_at: Option<Instant>,
}

struct Request {
    shard: ShardId,
    /// Whom to wake with the answer. None: nobody has asked.
    waker: Option<Waker>,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    Waiting,
    /// It was kept, and then came too late.
    WaitingAgain,
    /// The permit is given once the state with this number is kept.
    BeingKept(u64),
    Granted,
    Refused(IdentifyRefused),
}

/// What a request is told.
pub(crate) enum Answer {
    Granted,
    Refused(IdentifyRefused),
    /// Ask again when woken, or at this time.
    Wait(Option<Instant>),
}

impl Keeping {
    pub(crate) fn new(when_spent: WhenSpent) -> Self {
        Self { when_spent, unkept: false, number: 0, retry_at: None }
    }

    /// The number of the state as it is now.
    fn number_anew(&mut self) -> u64 {
        if !self.unkept {
            self.number += 1;
            self.unkept = true;
        }
        self.number
    }
}

impl Requests {
    pub(crate) fn new(queue: IdentifyQueue) -> Self {
        Self { queue, keeping: None, requests: BTreeMap::new() }
    }

    pub(crate) fn begin(&mut self, shard: ShardId) -> Ticket {
        let ticket = self.queue.request(shard);
        self.requests.insert(ticket, Request { shard, waker: None, stage: Stage::Waiting });
        ticket
    }

    /// A request is over, answered or not.
    pub(crate) fn end(&mut self, ticket: Ticket) {
        self.queue.cancel(ticket);
        self.requests.remove(&ticket);
    }

    /// Asks what has become of a request. Others may learn of their answers by that.
    pub(crate) fn poll(
        &mut self,
        ticket: Ticket,
        waker: &Waker,
        now: Instant,
        woken: &mut Vec<Waker>,
    ) -> Answer {
        self.grant(now, woken);
        self.refuse(now, woken);
        self.retry(now);
        let Some(request) = self.requests.get_mut(&ticket) else { return Answer::Wait(None) };
        request.waker = Some(waker.clone());
        let retry_at = self.keeping.as_ref().and_then(|keeping| keeping.retry_at);
        match request.stage {
            Stage::Refused(refused) => return Answer::Refused(refused),
            Stage::Granted if self.queue.redeem(request.shard, ticket, now) => return Answer::Granted,
            Stage::Granted => request.stage = Stage::WaitingAgain,
            Stage::BeingKept(_) => return Answer::Wait(retry_at),
            Stage::Waiting | Stage::WaitingAgain => {}
        }
        let deadlines = [self.queue.next_deadline(now), retry_at];
        Answer::Wait(deadlines.into_iter().flatten().min())
    }

    /// What is to be kept now, if anything, and its number.
    pub(crate) fn take_unkept(&mut self, now: Instant) -> Option<(u64, IdentifySnapshot)> {
        let keeping = self.keeping.as_mut().filter(|keeping| keeping.unkept)?;
        keeping.unkept = false;
        Some((keeping.number, self.queue.snapshot(now)))
    }

    /// The state with this number was kept, or could not be. Gives whom to wake.
    pub(crate) fn kept(&mut self, number: u64, well: bool, now: Instant) -> Vec<Waker> {
        let Some(keeping) = &mut self.keeping else { return Vec::new() };
        let hold = keeping.when_spent == WhenSpent::Hold;
        keeping.retry_at = (!well && hold).then(|| now + RETRY);
        let waiting = |request: &&mut Request| matches!(request.stage, Stage::BeingKept(of) if of <= number);
        let mut woken = Vec::new();
        for request in self.requests.values_mut().filter(waiting) {
            request.stage = match (well, hold) {
                (true, _) => Stage::Granted,
                (false, true) => request.stage,
                (false, false) => Stage::Refused(self.queue.not_kept(now)),
            };
            woken.extend(request.waker.take());
        }
        woken
    }

    /// Everybody is to ask again.
    pub(crate) fn everybody(&mut self) -> Vec<Waker> {
        self.requests.values_mut().filter_map(|request| request.waker.take()).collect()
    }

    fn grant(&mut self, now: Instant, woken: &mut Vec<Waker>) {
        while let Some(granted) = self.queue.poll(now) {
            let Some(request) = self.requests.get_mut(&granted) else { continue };
            request.stage = match (request.stage, &mut self.keeping) {
                (Stage::Waiting, Some(keeping)) => Stage::BeingKept(keeping.number_anew()),
                _ => {
                    woken.extend(request.waker.take());
                    Stage::Granted
                }
            };
        }
    }

    fn refuse(&mut self, now: Instant, woken: &mut Vec<Waker>) {
        while let Some((ticket, refused)) = self.queue.poll_refused(now) {
            let Some(request) = self.requests.get_mut(&ticket) else { continue };
            request.stage = Stage::Refused(refused);
            woken.extend(request.waker.take());
        }
    }

    /// Has everything kept again that could not be.
    fn retry(&mut self, now: Instant) {
        let Some(keeping) = &mut self.keeping else { return };
        if keeping.retry_at.is_some_and(|at| at <= now) {
            keeping.retry_at = None;
            let number = keeping.number_anew();
            for request in self.requests.values_mut() {
                if let Stage::BeingKept(of) = &mut request.stage {
                    *of = number;
                }
            }
        }
    }
}

pub(crate) fn lock(requests: &Mutex<Requests>) -> MutexGuard<'_, Requests> {
    requests.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Call this without the lock: whoever is woken may do anything at once.
pub(crate) fn wake(woken: Vec<Waker>) {
    woken.into_iter().for_each(Waker::wake);
}
