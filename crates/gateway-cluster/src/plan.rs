//! What a cluster keeps beside its sessions.

use serde::{Deserialize, Serialize};

use crate::Generation;

/// Which generation a bot is at, and how far its reshard has come: for the next process.
///
/// It holds no secret. Serializable; written by a newer version of this crate it is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
#[non_exhaustive]
pub struct ClusterPlan {
    /// Which bot this is: the id of its user where the token tells it, otherwise a hash of the token. None: not known.
    pub bot: Option<String>,
    /// The generation in charge.
    pub generation: Generation,
    /// Its shard count.
    pub shards: u32,
    /// The reshard that was begun and not ended.
    pub reshard: Option<ReshardPlan>,
}

/// A reshard that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReshardPlan {
    /// The shard count of the next generation.
    pub shards: u32,
    /// How far it has come.
    pub phase: ReshardPhase,
}

/// How far a reshard has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReshardPhase {
    /// The old generation is in charge of everything. A process that finds this goes on with the old generation.
    Preparing,
    /// Each generation is in charge of some guilds. A process that finds this resumes both, and goes on.
    CuttingOver,
}

impl ClusterPlan {
    /// The plan of a bot that has never run.
    pub fn new(shards: u32) -> Self {
        Self { bot: None, generation: Generation::FIRST, shards, reshard: None }
    }
}

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bot: Option<String>,
    generation: Generation,
    shards: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reshard: Option<ReshardPlan>,
}

impl From<ClusterPlan> for Stored {
    fn from(plan: ClusterPlan) -> Self {
        let ClusterPlan { bot, generation, shards, reshard } = plan;
        Self { version: VERSION, bot, generation, shards, reshard }
    }
}

impl TryFrom<Stored> for ClusterPlan {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let Stored { version, bot, generation, shards, reshard } = stored;
        if version != VERSION {
            return Err(format!(
                "a plan of version {version}, not {VERSION}: use the version that wrote it, or newer"
            ));
        }
        if shards == 0 || reshard.is_some_and(|reshard| reshard.shards == 0) {
            return Err("a plan without shards".to_owned());
        }
        Ok(Self { bot, generation, shards, reshard })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_comes_back_as_it_was() {
        let reshard = ReshardPlan { shards: 32, phase: ReshardPhase::CuttingOver };
        let plan =
            ClusterPlan { bot: Some("id 7".to_owned()), reshard: Some(reshard), ..ClusterPlan::new(16) };
        for plan in [plan, ClusterPlan::new(1)] {
            let text = serde_json::to_string(&plan).unwrap();
            assert_eq!(serde_json::from_str::<ClusterPlan>(&text).unwrap(), plan, "{text}");
        }
    }

    #[test]
    fn a_plan_of_another_version_is_refused() {
        for (text, words) in [
            (r#"{"version":2,"generation":1,"shards":1}"#, "version 2"),
            (r#"{"version":1,"generation":1,"shards":0}"#, "without shards"),
            (
                r#"{"version":1,"generation":1,"shards":1,"reshard":{"shards":0,"phase":"preparing"}}"#,
                "without shards",
            ),
            (r#"{"version":1,"generation":1,"shards":1,"reshard":{"shards":2,"phase":"later"}}"#, "later"),
        ] {
            let error = serde_json::from_str::<ClusterPlan>(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
