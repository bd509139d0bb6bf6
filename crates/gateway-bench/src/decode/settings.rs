//! What a program that decodes is asked for.

use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};

use super::{Contender, Job, Who, contender};
use crate::mode::Mode;

/// What a program that decodes is asked for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is done.
    pub job: Job,
    /// Who does it.
    pub who: Who,
    /// In which mode the frames are.
    pub mode: Mode,
    /// The file of frames.
    pub frames: PathBuf,
    /// How often it is done.
    pub passes: u32,
    /// How many of them have their turns, each with its own stream of all frames.
    pub streams: u32,
}

impl Settings {
    /// How a program that reads them is used, behind its name.
    pub const USAGE: &str = "--job JOB --who WHO --mode MODE --frames FILE [--passes N] [--streams N]\n";

    /// Reads them from the command line of a program of this name.
    ///
    /// # Errors
    ///
    /// A flag that there is not, or one that is missing: how the program is used.
    pub fn read(mut arguments: Parser, program: &str) -> Result<Self, String> {
        let (mut job, mut who, mut mode, mut frames) = (None, None, None, None);
        let (mut passes, mut streams) = (3, 1);
        let text = |error: lexopt::Error| error.to_string();
        while let Some(argument) = arguments.next().map_err(text)? {
            let name = match argument {
                Arg::Long(name) => name.to_owned(),
                other => return Err(other.unexpected().to_string()),
            };
            let value = arguments.value().map_err(text)?;
            match name.as_str() {
                "job" => job = Some(value.parse().map_err(text)?),
                "who" => who = Some(value.parse().map_err(text)?),
                "mode" => mode = Some(value.parse().map_err(text)?),
                "frames" => frames = Some(PathBuf::from(value)),
                "passes" => passes = value.parse().map_err(text)?,
                "streams" => streams = value.parse().map_err(text)?,
                _ => return Err(format!("there is no option --{name}")),
            }
        }
        match (job, who, mode, frames) {
            (Some(job), Some(who), Some(mode), Some(frames)) => {
                Ok(Self { job, who, mode, frames, passes, streams })
            }
            _ => Err(format!("{program} {}", Self::USAGE)),
        }
    }

    /// The contender that is asked for.
    ///
    /// # Errors
    ///
    /// It does not do that.
    pub fn contender(&self) -> Result<Box<dyn Contender>, String> {
        let Self { job, who, mode, .. } = self;
        contender(*job, *who, *mode).ok_or_else(|| format!("{who} does not do {job} in {mode}"))
    }
}
