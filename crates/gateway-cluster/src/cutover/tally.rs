//! How guilds were cut over.

use std::fmt;

/// How the new generation came to be in charge of a guild.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Switch {
    /// Both sessions had received the same event, and it occurred once. Nothing was lost, and nothing is delivered twice.
    Matched,
    /// Both sessions had received nothing for some seconds, and were known to have received all there was. Nothing was lost, and
    /// nothing is delivered twice.
    Silent,
    /// The sessions did not meet within the overlap. Nothing was lost; what the new session has received of the guild is delivered,
    /// although the old one may have delivered some of it.
    Unmatched {
        /// The guild's GUILD_CREATE comes first. False: it was dropped for lack of memory, or never came.
        snapshot: bool,
    },
}

/// How many guilds were cut over in which way. What has no guild counts as one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CutoverTally {
    /// [`Switch::Matched`].
    pub matched: u64,
    /// [`Switch::Silent`].
    pub silent: u64,
    /// [`Switch::Unmatched`].
    pub unmatched: u64,
}

impl CutoverTally {
    pub(crate) fn count(&mut self, how: Switch) {
        *match how {
            Switch::Matched => &mut self.matched,
            Switch::Silent => &mut self.silent,
            Switch::Unmatched { .. } => &mut self.unmatched,
        } += 1;
    }
}

impl fmt::Display for CutoverTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { matched, silent, unmatched } = self;
        write!(f, "matched={matched} silent={silent} unmatched={unmatched}")
    }
}
