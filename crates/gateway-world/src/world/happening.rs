//! Lets the planned faults happen.

use std::time::Duration;

use gateway_proto::identify::SessionStartLimit;
use gateway_proto::{Reconnect, Shutdown};
use gateway_sim::{Control, Target};

use super::bot::Restart;
use super::process::index;
use super::{Event, World};
use crate::engine::ClientId;
use crate::fault::{Fault, Planned};
use crate::observation::Observation;
use crate::plan::{Setting, User};
use crate::{commands, effect, gate};

impl World {
    /// Something goes wrong, or the user does something.
    pub(super) fn happen(&mut self, planned: Planned) {
        let Planned { shard, fault, .. } = planned;
        self.note(|| format!("fault {fault:?} for {}", who(shard)));
        if self.happens_to_the_world(&fault, shard) {
            return;
        }
        let everybody = 0..self.bots.len();
        match shard {
            Some(shard) if everybody.contains(&(shard as usize)) => self.happens_to(shard as usize, &fault),
            Some(_) => {}
            None => everybody.for_each(|shard| self.happens_to(shard, &fault)),
        }
    }

    /// What is not of one shard. False: it is not of that kind.
    fn happens_to_the_world(&mut self, fault: &Fault, shard: Option<u32>) -> bool {
        match fault {
            Fault::Suspend { lasting, clock_stops } => self.suspend(*lasting, *clock_stops),
            Fault::WallClock { seconds } => {
                self.wall_clock_ahead += i64::from(*seconds);
                self.set_wall_clock();
            }
            fault => return effect::of_the_gateway(&mut self.engine, fault, shard),
        }
        true
    }

    fn happens_to(&mut self, shard: usize, fault: &Fault) {
        let now = self.engine.now();
        let process = self.running(shard);
        match fault {
            Fault::Unreachable { how, lasting } => {
                self.bots[shard].unreachable = Some((*how, now + *lasting));
            }
            Fault::Expire => {
                let id = self.bots[shard].session_id.as_ref();
                if let Some(session) = id.and_then(|id| self.engine.gateway().session_number(id)) {
                    self.control(Target::Session(session), Control::Expire);
                }
            }
            Fault::Flood { events } => self.emit(shard, *events),
            Fault::Commands { .. }
            | Fault::SlowHandler { .. }
            | Fault::Crash { .. }
            | Fault::Redeploy { .. }
            | Fault::UserReconnect { .. } => self.user_does(shard, fault),
            fault => {
                process.into_iter().for_each(|id| effect::of_the_connection(&mut self.engine, id, fault));
            }
        }
    }

    // ---- The user ---------------------------------------------------------------------------------------------

    fn user_does(&mut self, shard: usize, fault: &Fault) {
        let now = self.engine.now();
        let Some(id) = self.running(shard) else { return };
        let bot = &mut self.bots[shard];
        // While it sleeps it does nothing; a process that is going down does nothing new.
        if self.suspended_until.is_some() || bot.shutting_down.is_some() {
            return;
        }
        match fault {
            Fault::Commands { count } => {
                let Setting { user, shards, .. } = self.setting;
                let Some(client) = self.engine.client_mut(id) else { return };
                for _ in 0..*count {
                    let command = match user {
                        User::Quick => commands::quick(&mut bot.rng),
                        User::Thorough | User::Cluster => commands::any(&mut bot.rng, shards, bot.encoding),
                    };
                    // A full queue is an answer too.
                    let _ = client.send(command);
                }
                let commands = client.health().queued_commands;
                self.observe(shard, &Observation::Queued { commands });
            }
            Fault::SlowHandler { lasting } if bot.busy_until.is_none() => {
                bot.busy_until = Some(now + *lasting);
                self.engine.plan(now + *lasting, Event::HandlerDone(id));
                self.engine.set_reading(id, false);
            }
            Fault::Crash { lasting } if !bot.refused => {
                self.observe(shard, &Observation::Died);
                self.engine.remove(id);
                // The gate dies with it.
                let client_now = self.engine.client_now();
                let limit = SessionStartLimit::default();
                let gate = gate::restored(self.setting.shards, &limit, self.kept.as_ref(), now, client_now);
                self.engine.replace_gate(gate);
                self.engine.plan(now + *lasting, Event::Start(shard, Some(id)));
            }
            Fault::Redeploy { lasting, log_off } if !bot.refused => {
                let how = if *log_off { Shutdown::LogOff } else { Shutdown::Resumable };
                bot.shutting_down = Some(Restart { at: now + *lasting, log_off: *log_off });
                self.engine.client_mut(id).into_iter().for_each(|client| client.shutdown(how));
                self.observe(shard, &Observation::UserAsked { gives_up_session: *log_off });
            }
            Fault::UserReconnect { fresh } => {
                let how = if *fresh { Reconnect::Fresh } else { Reconnect::Resume };
                self.engine.client_mut(id).into_iter().for_each(|client| client.reconnect(how));
                self.observe(shard, &Observation::UserAsked { gives_up_session: *fresh });
            }
            _ => {}
        }
    }

    pub(super) fn handler_done(&mut self, id: ClientId) {
        let bot = &mut self.bots[index(id)];
        if bot.process != Some(id) || bot.busy_until.is_none() {
            return;
        }
        if let Some(until) = self.suspended_until {
            bot.busy_until = Some(until);
            return self.engine.plan(until, Event::HandlerDone(id));
        }
        bot.busy_until = None;
        self.engine.set_reading(id, true);
    }

    // ---- The machine that the shards run on -------------------------------------------------------------------

    fn suspend(&mut self, lasting: Duration, clock_stops: bool) {
        if self.suspended_until.is_none() {
            let until = self.engine.now() + lasting;
            self.suspended_until = Some(until);
            self.engine.suspend();
            self.engine.plan(until, Event::Wake(if clock_stops { lasting } else { Duration::ZERO }));
            (0..self.bots.len()).for_each(|shard| self.observe(shard, &Observation::Suspended));
        }
    }

    pub(super) fn wake(&mut self, clock_stood_still: Duration) {
        self.suspended_until = None;
        (0..self.bots.len()).for_each(|shard| self.observe(shard, &Observation::Woke));
        self.engine.resume(clock_stood_still);
    }

    /// The faults are over: whatever has no end of its own ends now.
    pub(super) fn calm_down(&mut self) {
        self.note(|| "the faults are over".to_owned());
        effect::end_all(&mut self.engine);
    }
}

fn who(shard: Option<u32>) -> String {
    shard.map_or("all".to_owned(), |shard| format!("shard {shard}"))
}
