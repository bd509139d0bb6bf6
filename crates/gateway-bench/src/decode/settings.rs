//! The options of the programs that decode.

use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};

use super::{Contender, Job, Who, contender};
use crate::mode::Mode;

/// The options of a program that decodes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The job.
    pub job: Job,
    /// The contender.
    pub who: Who,
    /// The mode of the frames.
    pub mode: Mode,
    /// The file of frames.
    pub frames: PathBuf,
    /// The number of passes over the frames.
    pub passes: u32,
    /// The number of contenders that take turns, each with its own stream of all frames.
    pub streams: u32,
}

impl Settings {
    /// The usage text after the name of the program.
    pub const USAGE: &str = "--job JOB --who WHO --mode MODE --frames FILE [--passes N] [--streams N]\n";

    /// Reads them from the command line of a program of this name.
    ///
    /// # Errors
    ///
    /// The usage text, for an unknown or a missing flag.
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

    /// The requested contender.
    ///
    /// # Errors
    ///
    /// If it does not support the job or the mode.
    pub fn contender(&self) -> Result<Box<dyn Contender>, String> {
        let Self { job, who, mode, .. } = self;
        contender(*job, *who, *mode).ok_or_else(|| format!("{who} does not do {job} in {mode}"))
    }
}
