//! Rules: actions that replace the usual one at a point.

use std::fmt;
use std::time::Duration;

use crate::bytes_fault::ByteFault;
use crate::control_error::ControlError;
use crate::response::Response;

/// A point in the life of a connection at which a [`Rule`] can act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Point {
    /// An upgrade request has arrived. Usually it is accepted.
    Upgrade,
    /// The WebSocket is open. Usually Hello follows.
    Connect,
    /// Hello was sent. Usually nothing follows.
    Hello,
    /// Identify has arrived. Usually READY and the guilds follow, or a refusal.
    Identify,
    /// READY was sent. Usually the guilds follow. They also follow another action, or are kept for a Resume, unless it is
    /// [`Action::Ignore`].
    Ready,
    /// Resume has arrived. Usually the replay and RESUMED follow, or a refusal.
    Resume,
    /// Within the replay, after [`Rule::after`] of its dispatches. Usually the rest of it and RESUMED follow, also after
    /// [`Action::Reconnect`].
    Replay,
    /// RESUMED was sent.
    Resumed,
    /// A heartbeat has arrived. Usually its ACK follows.
    Heartbeat,
    /// The client's close frame has arrived. Usually it is answered and the connection ends.
    Close,
}

/// The action of a rule. [`Rule::check`] rejects actions without effect at a point.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Action {
    /// Send a close frame with this code, or with none. At [`Point::Close`] it answers the client's.
    Close(Option<u16>),
    /// Reset the TCP connection.
    Abort,
    /// End the TCP stream without a close frame.
    Drop,
    /// Send opcode 9 with this `d`.
    Invalid(bool),
    /// Send opcode 7.
    Reconnect,
    /// Do nothing.
    Ignore,
    /// Do the usual later.
    Delay(Duration),
    /// From now on send nothing on this connection, not even a pong.
    Silence,
    /// Send an HTTP response in place of the upgrade. Only at [`Point::Upgrade`].
    Http(Response),
    /// Do the usual, with a fault in the bytes that are sent from now on.
    Bytes(ByteFault),
}

/// At `on`, performs `action` in place of the usual one.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The point.
    pub on: Point,
    /// The action.
    pub action: Action,
    /// The number of times; `None` for always.
    pub count: Option<u32>,
    /// For [`Point::Replay`]: the number of dispatches of the replay before the action.
    pub after: usize,
    /// The id of the shard whose connections are affected. Known from [`Point::Identify`] or [`Point::Resume`] on, so
    /// rules for earlier points cannot have it.
    pub shard: Option<u32>,
}

impl Rule {
    /// A rule that applies once.
    pub fn once(on: Point, action: Action) -> Self {
        Self { on, action, count: Some(1), after: 0, shard: None }
    }

    /// A rule that applies until it is cleared.
    pub fn always(on: Point, action: Action) -> Self {
        Self { count: None, ..Self::once(on, action) }
    }

    /// Checks whether the rule can have an effect.
    ///
    /// # Errors
    /// A sentence that says why it cannot.
    pub fn check(&self) -> Result<(), ControlError> {
        let on = self.on;
        let sentence = match &self.action {
            Action::Http(_) if on != Point::Upgrade => {
                "http is for on=upgrade: later there is no HTTP any more".to_owned()
            }
            Action::Http(response) if !(100..=599).contains(&response.status) => {
                format!("{} is not a status of HTTP: 100 to 599", response.status)
            }
            Action::Ignore | Action::Delay(_) if matches!(on, Point::Hello | Point::Resumed) => {
                format!("on={on} has nothing to leave out or to delay: nothing comes after it by itself")
            }
            Action::Invalid(_) | Action::Reconnect if on == Point::Close => {
                "on=close cannot send anything: the client has closed the connection".to_owned()
            }
            _ if self.count == Some(0) => "a rule holds at least once".to_owned(),
            _ if self.after != 0 && on != Point::Replay => "after is for on=replay".to_owned(),
            _ if self.shard.is_some() && matches!(on, Point::Upgrade | Point::Connect | Point::Hello) => {
                format!("on={on} knows no shard yet: it shows in Identify or Resume")
            }
            _ => return Ok(()),
        };
        Err(ControlError::new(sentence))
    }
}

impl Point {
    /// All points, with their names in the control interface.
    pub(crate) const NAMES: [(&'static str, Self); 10] = [
        ("upgrade", Self::Upgrade),
        ("connect", Self::Connect),
        ("hello", Self::Hello),
        ("identify", Self::Identify),
        ("ready", Self::Ready),
        ("resume", Self::Resume),
        ("replay", Self::Replay),
        ("resumed", Self::Resumed),
        ("heartbeat", Self::Heartbeat),
        ("close", Self::Close),
    ];
}

impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, point)| point == self).map_or("", |(name, _)| name);
        formatter.write_str(name)
    }
}

/// The active rules, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Rules(Vec<Rule>);

impl Rules {
    pub(crate) fn add(&mut self, rule: Rule) {
        self.0.push(rule);
    }

    /// Removes the rules of one point, or all.
    pub(crate) fn clear(&mut self, point: Option<Point>) {
        self.0.retain(|rule| point.is_some_and(|point| rule.on != point));
    }

    /// The rule for a point that a connection of this shard has reached. Counts its use.
    pub(crate) fn take(&mut self, point: Point, shard: Option<u32>) -> Option<Rule> {
        let holds = |rule: &Rule| rule.on == point && (rule.shard.is_none() || rule.shard == shard);
        let index = self.0.iter().position(holds)?;
        match &mut self.0[index].count {
            Some(1) => Some(self.0.remove(index)),
            Some(count) => {
                *count -= 1;
                Some(self.0[index].clone())
            }
            None => Some(self.0[index].clone()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_holds_as_often_as_it_says() {
        let mut rules = Rules::default();
        rules.add(Rule { count: Some(2), ..Rule::once(Point::Hello, Action::Abort) });
        rules.add(Rule::always(Point::Resume, Action::Ignore));
        assert!(rules.take(Point::Identify, None).is_none());
        assert!(rules.take(Point::Hello, None).is_some());
        assert!(rules.take(Point::Hello, None).is_some());
        assert!(rules.take(Point::Hello, None).is_none());
        for _ in 0..5 {
            assert_eq!(rules.take(Point::Resume, None).unwrap().action, Action::Ignore);
        }
        rules.clear(Some(Point::Resume));
        assert!(rules.take(Point::Resume, None).is_none());
    }

    #[test]
    fn a_rule_of_one_shard_leaves_the_others_alone() {
        let mut rules = Rules::default();
        rules.add(Rule { shard: Some(2), ..Rule::always(Point::Identify, Action::Abort) });
        assert!(rules.take(Point::Identify, Some(1)).is_none());
        assert!(rules.take(Point::Identify, None).is_none());
        assert!(rules.take(Point::Identify, Some(2)).is_some());
    }

    #[test]
    fn only_what_can_do_something_is_a_rule() {
        let second = Action::Delay(Duration::from_secs(1));
        let http = |status| Action::Http(Response::empty(status));
        let once = Rule::once;
        let cases = [
            (once(Point::Connect, http(429)), "http is for on=upgrade: later there is no HTTP any more"),
            (once(Point::Upgrade, http(99)), "99 is not a status of HTTP: 100 to 599"),
            (once(Point::Upgrade, http(600)), "600 is not a status of HTTP: 100 to 599"),
            (
                once(Point::Hello, second.clone()),
                "on=hello has nothing to leave out or to delay: nothing comes after it by itself",
            ),
            (
                once(Point::Resumed, Action::Ignore),
                "on=resumed has nothing to leave out or to delay: nothing comes after it by itself",
            ),
            (
                once(Point::Close, Action::Reconnect),
                "on=close cannot send anything: the client has closed the connection",
            ),
            (Rule { count: Some(0), ..once(Point::Ready, Action::Abort) }, "a rule holds at least once"),
            (Rule { after: 1, ..once(Point::Ready, Action::Abort) }, "after is for on=replay"),
            (
                Rule { shard: Some(0), ..once(Point::Connect, Action::Abort) },
                "on=connect knows no shard yet: it shows in Identify or Resume",
            ),
        ];
        for (rule, sentence) in cases {
            assert_eq!(rule.check().map_err(|error| error.to_string()), Err(sentence.to_owned()), "{rule:?}");
        }
        for (_, point) in Point::NAMES {
            assert_eq!(once(point, Action::Abort).check(), Ok(()));
            assert_eq!(once(point, Action::Silence).check(), Ok(()));
        }
        assert_eq!(once(Point::Upgrade, http(100)).check(), Ok(()));
        assert_eq!(once(Point::Replay, second).check(), Ok(()));
    }

    #[test]
    fn clearing_one_point_leaves_the_others() {
        let mut rules = Rules::default();
        rules.add(Rule::always(Point::Hello, Action::Abort));
        rules.add(Rule::always(Point::Resume, Action::Abort));
        rules.clear(Some(Point::Hello));
        assert_eq!(rules.len(), 1);
        rules.clear(None);
        assert_eq!(rules.len(), 0);
    }
}
