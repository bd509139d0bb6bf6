//! Whole clients: one contender in this process, connected to a server of [`serve`](crate::serve).

mod blocking;
mod course;
mod options;
mod ours;
mod report;
mod runtimes;
mod sample;
#[cfg(feature = "peers")]
mod serenity;
mod sums;
#[cfg(feature = "peers")]
mod twilight;

use std::sync::Arc;

use course::Course;
pub use options::{ClientOptions, Job, Who};
pub use report::Report;

/// Lets a contender run until it has seen what was asked for.
///
/// # Errors
///
/// A sentence, where a contender does not do that, or its connection has ended.
pub fn run(options: &ClientOptions) -> Result<Report, String> {
    options.validate()?;
    crate::limits::allow_connections(options.shards as usize).map_err(|error| error.to_string())?;
    let course = Arc::new(Course::new(options));
    match options.who {
        Who::Tokio => runtimes::tokio(options, &course)?,
        Who::Smol => runtimes::smol(options, &course)?,
        Who::AsyncStd => runtimes::async_std(options, &course)?,
        Who::Blocking => blocking::run(options, &course)?,
        #[cfg(feature = "peers")]
        Who::Twilight => twilight::run(options, &course)?,
        #[cfg(feature = "peers")]
        Who::Serenity => serenity::run(options, &course)?,
        #[cfg(not(feature = "peers"))]
        Who::Twilight | Who::Serenity => return Err("peers need the feature `peers`".to_owned()),
    }
    Report::new(options, &course)
}
