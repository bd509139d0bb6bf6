//! The presence of a bot.

use gateway_codec::Raw;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A presence (Discord Docs, Gateway Events > Update Presence). All four fields are always sent: leaving one out is
/// answered with close code 4001.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Presence {
    /// Since when the bot is idle, in milliseconds of Unix time.
    pub since: Option<u64>,
    /// What the bot is doing.
    pub activities: Vec<Activity>,
    /// The bot's status.
    pub status: Status,
    /// Whether the bot is away.
    pub afk: bool,
}

/// A status (Discord Docs, Gateway Events > Update Presence > Status Types).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// Online.
    #[default]
    Online,
    /// Idle.
    Idle,
    /// Do not disturb.
    Dnd,
    /// Shown as offline.
    Invisible,
    /// Offline.
    Offline,
}

impl Presence {
    /// A presence with this status and these activities.
    pub fn new(status: Status, activities: impl Into<Vec<Activity>>) -> Self {
        Self { status, activities: activities.into(), ..Self::default() }
    }
}

/// An activity: the fields that a bot may set (Discord Docs, Gateway Events > Activity Object).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Activity {
    /// Its name. Required even for [`ActivityKind::Custom`], where it is not shown.
    pub name: String,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: ActivityKind,
    /// The state, or the text of a custom status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The address of a stream, for [`ActivityKind::Streaming`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl Activity {
    /// An activity of this kind and name.
    pub fn new(kind: ActivityKind, name: impl Into<String>) -> Self {
        Self { name: name.into(), kind, state: None, url: None }
    }

    /// A custom status.
    pub fn custom(text: impl Into<String>) -> Self {
        Self { state: Some(text.into()), ..Self::new(ActivityKind::Custom, "Custom Status") }
    }
}

/// The kind of an activity (Discord Docs, Gateway Events > Activity Types).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ActivityKind {
    /// "Playing …"
    Playing,
    /// "Streaming …": needs the address of a Twitch or YouTube stream.
    Streaming,
    /// "Listening to …"
    Listening,
    /// "Watching …"
    Watching,
    /// A custom status: its text is the state.
    Custom,
    /// "Competing in …"
    Competing,
}

/// The presence to identify with: the newest of the application.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum LatestPresence {
    Typed(Presence),
    /// The data of a raw command, with all of its fields.
    Raw(Raw),
}

impl LatestPresence {
    /// `None` if the gateway would reject it, since then it would reject every further Identify too.
    pub(crate) fn of_raw(data: &Raw) -> Option<Self> {
        #[derive(Deserialize)]
        #[allow(dead_code, reason = "decoded only to check that it can be")]
        struct Documented {
            #[serde(deserialize_with = "present")]
            since: Option<u64>,
            activities: Vec<DocumentedActivity>,
            status: Status,
            afk: bool,
        }
        #[derive(Deserialize)]
        #[allow(dead_code, reason = "decoded only to check that it can be")]
        struct DocumentedActivity {
            name: String,
            #[serde(rename = "type")]
            kind: u64,
        }
        /// Accepts null, but not a missing field.
        fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
            Option::deserialize(deserializer)
        }
        data.decode::<Documented>().is_ok().then(|| Self::Raw(data.clone()))
    }
}

impl Serialize for ActivityKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(*self as u8)
    }
}
