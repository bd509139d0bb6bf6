//! The futures that wait at a gate, and their answers.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Instant;

use gateway_proto::ShardId;
use gateway_proto::identify::{IdentifyOutput, IdentifyQueue, IdentifyRefused, IdentifySnapshot, Ticket};

/// A queue, and the futures that wait for its answers.
pub(crate) struct Requests {
    pub(crate) queue: IdentifyQueue,
    requests: BTreeMap<Ticket, Request>,
}

#[derive(Default)]
struct Request {
    /// `None` if the future was not polled since it was woken.
    waker: Option<Waker>,
    answer: Option<Result<(), IdentifyRefused>>,
}

/// The answer to a poll of a future.
pub(crate) enum Answer {
    Granted,
    Refused(IdentifyRefused),
    /// Poll again when woken, or at this time.
    Wait(Option<Instant>),
}

impl Requests {
    pub(crate) fn new(queue: IdentifyQueue) -> Self {
        Self { queue, requests: BTreeMap::new() }
    }

    pub(crate) fn begin(&mut self, shard: ShardId) -> Ticket {
        let ticket = self.queue.request(shard);
        self.requests.insert(ticket, Request::default());
        ticket
    }

    /// Removes the request of a dropped future, answered or not.
    pub(crate) fn end(&mut self, ticket: Ticket) {
        self.queue.cancel(ticket);
        self.requests.remove(&ticket);
    }

    /// Performs the outputs of the queue. Returns the futures to wake.
    pub(crate) fn advance(
        &mut self,
        now: Instant,
        mut persist: impl FnMut(u64, IdentifySnapshot),
    ) -> Vec<Waker> {
        let mut woken = Vec::new();
        while let Some(output) = self.queue.poll_output(now) {
            let (ticket, answer) = match output {
                IdentifyOutput::Persist { number, snapshot } => {
                    persist(number, snapshot);
                    continue;
                }
                IdentifyOutput::Granted(ticket) => (ticket, Ok(())),
                IdentifyOutput::Refused(ticket, refused) => (ticket, Err(refused)),
            };
            if let Some(request) = self.requests.get_mut(&ticket) {
                request.answer = Some(answer);
                woken.extend(request.waker.take());
            }
        }
        woken
    }

    /// Polls for the answer to a request, after [`Self::advance`].
    pub(crate) fn poll(&mut self, ticket: Ticket, waker: &Waker, now: Instant) -> Answer {
        let Some(request) = self.requests.get_mut(&ticket) else { return Answer::Wait(None) };
        match request.answer {
            Some(Err(refused)) => return Answer::Refused(refused),
            // The future may be polled long after it was woken.
            Some(Ok(())) if self.queue.redeem(ticket, now) => return Answer::Granted,
            _ => request.answer = None,
        }
        request.waker = Some(waker.clone());
        Answer::Wait(self.queue.next_deadline(now))
    }

    /// All wakers, because deadlines have changed.
    pub(crate) fn wake_all(&mut self) -> Vec<Waker> {
        self.requests.values_mut().filter_map(|request| request.waker.take()).collect()
    }
}
