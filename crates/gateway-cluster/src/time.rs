//! Times that do not overflow.

use std::time::{Duration, Instant};

/// Later than anything that is waited for.
const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// The time after this wait, which is thirty years at most.
pub(crate) fn later(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait.min(FAR)).unwrap_or(now)
}
