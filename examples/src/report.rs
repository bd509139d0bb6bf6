//! The output of the example bots: events on standard output, everything else on standard error.

use std::fmt;
use std::io::{self, Write};

use gateway_driver::proto::codec::RawRef;
use gateway_driver::proto::codec::text::escape;
use gateway_driver::proto::config::Delivery;
use gateway_driver::proto::disconnect::Rejection;
use gateway_driver::proto::health::Stats;
use gateway_driver::proto::session::SessionSnapshot;
use gateway_driver::proto::{Dispatch, Event, ShardId, Shutdown, StopReason};
use serde::Serialize;

use crate::Options;

/// The exit status if the gateway has rejected the bot permanently, or the flags are invalid.
pub const REFUSED: u8 = 2;

/// Writes a bot's output and determines when it is complete.
pub struct Report<O, E> {
    output: O,
    log: E,
    options: Box<Options>,
    dispatches: u64,
    /// The number of the newest dispatch whose line was written, until it is taken.
    written: Option<u64>,
}

/// One line per dispatch.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<ShardId>,
    t: &'a str,
    s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    d: Option<RawRef<'a>>,
}

/// The last line.
#[derive(Serialize)]
struct LastLine {
    summary: Summary,
}

#[derive(Serialize)]
struct Summary {
    events: u64,
    connects: u64,
    identifies: u64,
    resumes: u64,
    stop: String,
}

/// Whether a bot continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It continues.
    GoOn,
    /// It has printed the requested number of events, or its output is closed.
    Enough,
}

impl Report<io::StdoutLock<'static>, io::Stderr> {
    /// Creates a report to this process's standard output and standard error.
    pub fn to_terminal(options: Box<Options>) -> Self {
        Self::new(options, io::stdout().lock(), io::stderr())
    }
}

impl<O: Write, E: Write> Report<O, E> {
    /// Creates a report to these writers.
    pub fn new(options: Box<Options>, output: O, log: E) -> Self {
        Self { output, log, options, dispatches: 0, written: None }
    }

    /// The options of the bot.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The writers.
    pub fn into_writers(self) -> (O, E) {
        (self.output, self.log)
    }

    /// How to shut down: a session that is stored in a file is kept.
    pub fn shutdown(&self) -> Shutdown {
        match self.options.session_file {
            Some(_) => Shutdown::Resumable,
            None => Shutdown::LogOff,
        }
    }

    /// Writes an event of the bot's only shard.
    pub fn event(&mut self, event: &Event) -> Next {
        self.event_of(None, event)
    }

    /// Writes an event, with the name of its shard if there are several.
    pub fn event_of(&mut self, shard: Option<ShardId>, event: &Event) -> Next {
        let Event::Dispatch(dispatch) = event else {
            match shard {
                Some(shard) => self.log(&format_args!("shard {shard}: {event}")),
                None => self.log(event),
            }
            return Next::GoOn;
        };
        if self.is_enough() {
            return Next::Enough;
        }
        self.dispatches += 1;
        match self.write_dispatch(shard, dispatch) {
            Err(_) => Next::Enough,
            Ok(()) if self.is_enough() => Next::Enough,
            Ok(()) => Next::GoOn,
        }
    }

    fn is_enough(&self) -> bool {
        self.options.events.is_some_and(|events| self.dispatches >= events)
    }

    fn write_dispatch(&mut self, shard: Option<ShardId>, dispatch: &Dispatch) -> io::Result<()> {
        let mut line = Line { shard, t: dispatch.name(), s: dispatch.sequence(), d: None };
        if self.options.full {
            line.d = Some(dispatch.data());
        }
        let text = match serde_json::to_string(&line) {
            Ok(text) => text,
            Err(error) => {
                self.log(&format_args!("the data of {} cannot be shown: {error}", escape(dispatch.name())));
                line.d = None;
                serde_json::to_string(&line)?
            }
        };
        self.output.write_all(one_line(text).as_bytes())?;
        self.output.write_all(b"\n")?;
        if self.options.config.delivery == Delivery::Acknowledged {
            self.output.flush()?;
            self.written = dispatch.sequence();
        }
        Ok(())
    }

    /// The dispatch to acknowledge: its line has been written. Only with `--ack`.
    pub fn take_written(&mut self) -> Option<u64> {
        self.written.take()
    }

    /// Writes a line to the log. Ignores an error of the log.
    pub fn log(&mut self, words: &dyn fmt::Display) {
        let _ = writeln!(self.log, "{words}");
    }

    /// Writes the summary and stores the session. Returns the exit status.
    pub fn finish(&mut self, stop: &StopReason, stats: &Stats, session: Option<&SessionSnapshot>) -> u8 {
        let summary = Summary {
            events: self.dispatches,
            connects: stats.connects,
            identifies: stats.identifies,
            resumes: stats.resumes,
            stop: stop_word(stop),
        };
        if let Err(error) = self.options.write_session(session) {
            self.log(&format_args!("the session could not be kept: {error}"));
        }
        let written = serde_json::to_vec(&LastLine { summary })
            .map_err(io::Error::from)
            .and_then(|line| self.output.write_all(&line))
            .and_then(|()| self.output.write_all(b"\n"))
            .and_then(|()| self.output.flush());
        if let Err(error) = written {
            self.log(&format_args!("the summary could not be written: {error}"));
        }
        match stop {
            StopReason::Rejected(_) => {
                self.log(&format_args!("the gateway refused the bot: {stop}"));
                REFUSED
            }
            StopReason::IdentifyRefused(_) => {
                self.log(stop);
                REFUSED
            }
            _ => 0,
        }
    }
}

/// Converts JSON to one line of visible characters with the same meaning.
fn one_line(json: String) -> String {
    let is_visible = |character: char| match character {
        '\'' | '"' | '\\' => true,
        _ => character.escape_debug().len() == 1,
    };
    if json.chars().all(is_visible) {
        return json;
    }
    let mut line = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        match character {
            _ if is_visible(character) => line.push(character),
            // Between values only: within a string JSON has these as escapes.
            '\t' | '\n' | '\r' => line.push(' '),
            _ => {
                let units = &mut [0; 2];
                for unit in character.encode_utf16(units) {
                    line.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    line
}

/// The stop reason as a word.
fn stop_word(stop: &StopReason) -> String {
    match stop {
        StopReason::Shutdown(how) => how.to_string(),
        StopReason::IdentifyRefused(_) => "identify-refused".to_owned(),
        StopReason::Rejected(rejection) => format!("rejected-{}", Rejection::code(*rejection)),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_means_what_it_did() {
        let json = "{\"a\" :\r\n\t\"\u{7f}\u{9b}2J\u{202e}\u{e0001}é\\n\\\\\\\"\"}";
        let line = one_line(json.to_owned());
        assert_eq!(line, r#"{"a" :   "\u007f\u009b2J\u202e\udb40\udc01é\n\\\""}"#);
        let values = [json, &line].map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
        assert_eq!(values[0], values[1]);
    }
}
