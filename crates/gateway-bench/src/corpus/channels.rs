//! Channels and threads.

use fastrand::Rng;
use gateway_sim::iso8601;
use serde_json::{Value, json};

use super::draw::{around, chance, pick, skewed};
use super::text;
use super::time::old_snowflake;

/// A channel of a guild, and its object in GUILD_CREATE
/// ([Discord Docs, Channels Resource > Channel Object](https://discord.com/developers/docs/resources/channel#channel-object)).
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) id: u64,
    /// 0 text, 2 voice, 4 category, 5 announcements, 13 stage, 15 forum.
    pub(super) kind: u8,
    pub(super) name: String,
    pub(super) parent: Option<u64>,
    topic: Option<String>,
    position: usize,
    last_message: Option<u64>,
    overwrites: Vec<Overwrite>,
}

#[derive(Debug)]
struct Overwrite {
    id: u64,
    member: bool,
    allow: u64,
    deny: u64,
}

/// Permissions with about as many digits as real ones.
pub(super) fn permissions(random: &mut Rng) -> u64 {
    const USUAL: [&u64; 6] =
        [&1_071_698_660_929, &2_248_473_465_835_073, &1024, &3_072, &6_546_775_617, &137_411_140_505_153];
    *pick(random, &USUAL) | 1 << random.u32(0..31)
}

impl Channel {
    /// A channel of this kind. Without a kind it is one that a category contains, mostly a text channel.
    pub(super) fn new(
        random: &mut Rng,
        now_ms: u64,
        kind: Option<u8>,
        parent: Option<u64>,
        position: usize,
        roles: &[u64],
    ) -> Self {
        let kind = kind.unwrap_or_else(|| *pick(random, &[&0, &0, &0, &0, &0, &0, &2, &2, &5, &15, &13]));
        let overwrites = (0..around(random, 3))
            .map(|_| Overwrite {
                id: roles[skewed(random, roles.len())],
                member: chance(random, 10),
                allow: if random.bool() { 0 } else { permissions(random) },
                deny: if random.bool() { 0 } else { permissions(random) },
            })
            .collect();
        Self {
            id: old_snowflake(random, now_ms),
            kind,
            name: if matches!(kind, 2 | 4 | 13) { text::title(random) } else { text::channel_name(random) },
            parent,
            topic: (matches!(kind, 0 | 5 | 15) && chance(random, 45)).then(|| text::words(random, 18)),
            position,
            last_message: (kind != 4 && chance(random, 90)).then(|| old_snowflake(random, now_ms)),
            overwrites,
        }
    }

    /// Whether users write messages in it.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.kind, 0 | 5)
    }

    /// The channel object without `guild_id`, as in a guild.
    pub(super) fn object(&self) -> Value {
        let overwrites: Vec<Value> = self
            .overwrites
            .iter()
            .map(|overwrite| {
                json!({
                    "type": u8::from(overwrite.member), "id": overwrite.id.to_string(),
                    "deny": overwrite.deny.to_string(), "allow": overwrite.allow.to_string(),
                })
            })
            .collect();
        let mut channel = json!({
            "id": self.id.to_string(), "type": self.kind, "name": self.name, "position": self.position,
            "flags": 0,
            "parent_id": self.parent.map(|parent| parent.to_string()), "permission_overwrites": overwrites,
            "version": (self.id >> 22) + 1_420_070_400_000,
        });
        if self.kind != 4 {
            channel["last_message_id"] = self.last_message.map(|id| id.to_string()).into();
            channel["rate_limit_per_user"] = 0.into();
            channel["nsfw"] = false.into();
            channel["icon_emoji"] = json!({"name": "🎨", "id": null});
            channel["theme_color"] = Value::Null;
        }
        match self.kind {
            2 | 13 => {
                channel["user_limit"] = 0.into();
                channel["bitrate"] = 64_000.into();
                channel["rtc_region"] = Value::Null;
            }
            0 | 5 | 15 => channel["topic"] = self.topic.clone().into(),
            _ => {}
        }
        if matches!(self.kind, 0 | 5) {
            channel["last_pin_timestamp"] = self
                .last_message
                .filter(|id| id % 3 == 0)
                .map(|id| iso8601((id >> 22) + 1_420_070_400_000))
                .into();
        }
        if self.kind == 15 {
            channel["default_auto_archive_duration"] = 4320.into();
            channel["default_sort_order"] = Value::Null;
            channel["default_forum_layout"] = 1.into();
            channel["default_reaction_emoji"] = json!({"emoji_name": "👍", "emoji_id": null});
            channel["template"] = "".into();
            channel["available_tags"] = (1..4)
                .map(|number| {
                    json!({"name": format!("tag {number}"), "moderated": false,
                        "id": (self.id + number).to_string(),
                        "emoji_name": "❓", "emoji_id": null})
                })
                .collect();
        }
        channel
    }

    /// The channel as in interactions, with its guild and the member's permissions.
    pub(super) fn of_interaction(&self, guild: u64) -> Value {
        let mut channel = self.object();
        if let Some(fields) = channel.as_object_mut() {
            for key in ["permission_overwrites", "version", "icon_emoji"] {
                fields.remove(key);
            }
        }
        channel["guild_id"] = guild.to_string().into();
        channel["permissions"] = "4503599627370495".into();
        channel
    }
}

/// A thread in a channel
/// ([Discord Docs, Channels Resource > Thread Metadata Object](https://discord.com/developers/docs/resources/channel#thread-metadata-object)).
pub(super) fn thread(
    random: &mut Rng,
    id: u64,
    guild: u64,
    parent: &Channel,
    owner: u64,
    now_ms: u64,
) -> Value {
    let made = iso8601((id >> 22) + 1_420_070_400_000);
    let mut thread = json!({
        "id": id.to_string(), "type": 11, "name": text::words(random, 6), "guild_id": guild.to_string(),
        "parent_id": parent.id.to_string(), "owner_id": owner.to_string(),
        "last_message_id": old_snowflake(random, now_ms).to_string(), "message_count": random.u8(0..50),
        "member_count": random.u8(1..50), "total_message_sent": random.u8(..), "rate_limit_per_user": 0,
        "flags": 0,
        "thread_metadata": {
            "locked": false, "create_timestamp": made, "auto_archive_duration": 4320, "archived": false,
            "archive_timestamp": made,
        },
    });
    if parent.kind == 15 {
        thread["applied_tags"] = json!([(parent.id + 1).to_string()]);
    }
    if chance(random, 20) {
        thread["member"] = json!({
            "user_id": owner.to_string(), "muted": false, "mute_config": null, "join_timestamp": made,
            "id": id.to_string(), "flags": 1,
        });
    }
    thread
}
