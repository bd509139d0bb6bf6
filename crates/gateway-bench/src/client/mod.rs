//! Whole clients: one contender in this process, connected to a server of [`serve`](crate::serve).

#[cfg(feature = "ours")]
mod blocking;
#[cfg(feature = "ours")]
mod bound;
mod course;
mod options;
#[cfg(feature = "ours")]
mod ours;
mod report;
#[cfg(feature = "ours")]
mod runtimes;
mod sample;
#[cfg(feature = "serenity")]
mod serenity;
mod sums;
#[cfg(feature = "twilight")]
mod twilight;

use std::sync::Arc;

use course::Course;
pub use options::{ClientOptions, Job, Who};
pub use report::Report;

/// Runs a contender until it has received the requested events.
///
/// # Errors
///
/// If the contender does not support the job, or its connection has ended.
pub fn run(options: &ClientOptions) -> Result<Report, String> {
    options.validate()?;
    crate::limits::allow_connections(options.shards as usize).map_err(|error| error.to_string())?;
    let course = Arc::new(Course::new(options));
    match options.who {
        #[cfg(feature = "ours")]
        Who::Tokio => runtimes::tokio(options, &course)?,
        #[cfg(feature = "ours")]
        Who::Smol => runtimes::smol(options, &course)?,
        #[cfg(feature = "ours")]
        Who::AsyncStd => runtimes::async_std(options, &course)?,
        #[cfg(feature = "ours")]
        Who::Blocking => blocking::run(options, &course)?,
        #[cfg(feature = "ours")]
        Who::Bound => bound::run(options, &course)?,
        #[cfg(feature = "twilight")]
        Who::Twilight => twilight::run(options, &course)?,
        #[cfg(feature = "serenity")]
        Who::Serenity => serenity::run(options, &course)?,
        // Unreachable if all contenders are compiled in.
        #[allow(unreachable_patterns, reason = "it depends on the features")]
        other => return Err(format!("{other} is not compiled into this program")),
    }
    Report::new(options, &course)
}
