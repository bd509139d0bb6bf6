//! Guilds: the state that later events refer to, and GUILD_CREATE.

use std::collections::VecDeque;

use fastrand::Rng;
use gateway_sim::iso8601;
use serde_json::{Value, json};

use super::channels::{self, Channel};
use super::draw::{around, chance, hex, maybe_image, pick, skewed};
use super::people::{self, Person};
use super::text;
use super::time::{Clock, old_snowflake};

/// The sizes of an average guild.
const PEOPLE: f64 = 440.0;
const ROLES: f64 = 85.0;
const CHANNELS: f64 = 120.0;
const EMOJIS: f64 = 110.0;
const THREADS: f64 = 25.0;
/// The number of recent messages to which replies and edits refer.
const REMEMBERED: usize = 32;

/// A guild.
#[derive(Debug)]
pub(super) struct Guild {
    pub(super) id: u64,
    name: String,
    pub(super) people: Vec<Person>,
    pub(super) channels: Vec<Channel>,
    roles: Vec<Value>,
    pub(super) role_ids: Vec<u64>,
    pub(super) emojis: Vec<Emoji>,
    /// The newest messages, the newest last.
    pub(super) recent: VecDeque<Recent>,
}

/// An emoji of a guild.
#[derive(Debug)]
pub(super) struct Emoji {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) animated: bool,
}

/// A message that later events refer to.
#[derive(Debug, Clone)]
pub(super) struct Recent {
    pub(super) id: u64,
    pub(super) channel: usize,
    pub(super) author: usize,
    pub(super) sent_at_ms: u64,
    pub(super) content: String,
}

impl Guild {
    /// A guild that is `size` times as large as the average one.
    pub(super) fn new(random: &mut Rng, now_ms: u64, size: f64) -> Self {
        let count = |average: f64, least: usize| ((average * size + 0.5) as usize).max(least);
        let id = old_snowflake(random, now_ms);
        let mut role_ids = vec![id];
        role_ids.extend((1..count(ROLES, 3)).map(|_| old_snowflake(random, now_ms)));
        let roles = role_ids.iter().enumerate().map(|(position, id)| role(random, *id, position)).collect();
        let people = (0..count(PEOPLE, 8)).map(|_| Person::new(random, &role_ids[1..], now_ms)).collect();
        let mut channels = Vec::new();
        let mut category = None;
        for position in 0..count(CHANNELS, 5) {
            // A category, then its channels: first a text channel, then a voice channel.
            let kind = [Some(4), Some(0), Some(2)].get(position % 10).copied().flatten();
            let parent = category.filter(|_| kind != Some(4));
            let channel = Channel::new(random, now_ms, kind, parent, position, &role_ids);
            if kind == Some(4) {
                category = Some(channel.id);
            }
            channels.push(channel);
        }
        let emojis = (0..count(EMOJIS, 2))
            .map(|_| Emoji {
                id: old_snowflake(random, now_ms),
                name: text::username(random).replace('.', "_"),
                animated: chance(random, 25),
            })
            .collect();
        Self {
            id,
            name: text::title(random),
            people,
            channels,
            roles,
            role_ids,
            emojis,
            recent: VecDeque::new(),
        }
    }

    /// The index of a member; a few members are drawn most of the time.
    pub(super) fn anyone(&self, random: &mut Rng) -> usize {
        skewed(random, self.people.len())
    }

    /// The index of a text channel.
    pub(super) fn text_channel(&self, random: &mut Rng) -> usize {
        self.channel(random, Channel::is_text)
    }

    /// The index of a voice channel.
    pub(super) fn voice_channel(&self, random: &mut Rng) -> usize {
        self.channel(random, |channel| channel.kind == 2)
    }

    /// The first channel that fits, searched from a random index with wrap-around: every guild has one.
    fn channel(&self, random: &mut Rng, fits: impl Fn(&Channel) -> bool) -> usize {
        let from = skewed(random, self.channels.len());
        (from..self.channels.len()).chain(0..from).find(|place| fits(&self.channels[*place])).unwrap_or(from)
    }

    /// Stores a message for events that refer to it.
    pub(super) fn remember(&mut self, message: Recent) {
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(message);
    }

    /// An emoji as in a reaction or a status.
    pub(super) fn reaction_emoji(&self, random: &mut Rng) -> Value {
        if random.bool() {
            return json!({"name": pick(random, &text::EMOJI), "id": null});
        }
        let emoji = &self.emojis[skewed(random, self.emojis.len())];
        let mut value = json!({"name": emoji.name, "id": emoji.id.to_string()});
        if emoji.animated {
            value["animated"] = true.into();
        }
        value
    }

    /// A role by its index.
    pub(super) fn role(&self, place: usize) -> &Value {
        &self.roles[place]
    }

    /// The `d` of GUILD_CREATE
    /// ([Discord Docs, Gateway Events > Guild Create](https://discord.com/developers/docs/events/gateway-events#guild-create)).
    pub(super) fn create(&self, random: &mut Rng, clock: &mut Clock, application: u64) -> Value {
        let now_ms = clock.now_ms;
        let members: Vec<Value> = self.people.iter().map(Person::member).collect();
        let mut presences = Vec::new();
        for person in &self.people {
            let status = people::status(random);
            if status != "offline" {
                presences.push(person.presence(random, status, now_ms, true));
            }
        }
        let voice_states: Vec<Value> = (0..self.people.len())
            .step_by(20)
            .map(|person| voice_state(random, &self.people[person], Some(self.channels[2].id), false))
            .collect();
        let parents: Vec<&Channel> =
            self.channels.iter().filter(|channel| channel.is_text() || channel.kind == 15).collect();
        let threads: Vec<Value> = (0..around(random, THREADS as usize * self.people.len() / PEOPLE as usize))
            .map(|_| {
                let parent = parents[skewed(random, parents.len())];
                let owner = self.people[self.anyone(random)].id;
                let id = old_snowflake(random, now_ms);
                channels::thread(random, id, self.id, parent, owner, now_ms)
            })
            .collect();
        let channels: Vec<Value> = self.channels.iter().map(Channel::object).collect();
        let emojis: Vec<Value> = self.emojis.iter().map(Emoji::object).collect();
        let stage = self.channels.iter().find(|channel| channel.kind == 13);
        let stages: Vec<Value> = stage.map(|stage| self.stage(random, stage, now_ms)).into_iter().collect();
        let text_channel = self.channels[1].id.to_string();
        let hash = |random: &mut Rng| maybe_image(random, 40);
        let mut guild = json!({
            "id": self.id.to_string(), "name": self.name, "icon": maybe_image(random, 95),
            "splash": hash(random),
            "discovery_splash": hash(random), "home_header": null, "owner_id": self.people[0].id.to_string(),
            "afk_channel_id": self.channels[2].id.to_string(), "afk_timeout": 900, "verification_level": 2,
            "default_message_notifications": 1, "explicit_content_filter": 2, "mfa_level": 1, "nsfw": false,
            "nsfw_level": 0, "system_channel_id": text_channel, "system_channel_flags": 13, "premium_tier": 3,
            "rules_channel_id": text_channel, "public_updates_channel_id": text_channel, "hub_type": null,
            "safety_alerts_channel_id": null, "application_id": null, "region": "deprecated", "lazy": true,
            "latest_onboarding_question_id": null, "max_members": 500_000, "max_presences": null,
            "version": 1,
            "max_video_channel_users": 25, "max_stage_video_channel_users": 300, "vanity_url_code": null,
            "description": text::words(random, 15), "banner": hash(random), "preferred_locale": "en-US",
            "premium_subscription_count": random.u8(..), "premium_progress_bar_enabled": true,
            "features": ["COMMUNITY", "NEWS", "ANIMATED_ICON", "INVITE_SPLASH", "BANNER", "ROLE_ICONS", "SOUNDBOARD",
                "WELCOME_SCREEN_ENABLED", "MEMBER_VERIFICATION_GATE_ENABLED", "PREVIEW_ENABLED", "AUTO_MODERATION"],
            "activity_instances": [], "embedded_activities": [], "inventory_settings": null,
            "joined_at": iso8601(now_ms - 50_000_000_000), "large": self.people.len() > 250,
            "unavailable": false,
            "member_count": self.people.len() * 3,
        });
        guild["incidents_data"] = if chance(random, 20) {
            json!({"raid_detected_at": null, "invites_disabled_until": iso8601(now_ms + 3_600_000),
                "dms_disabled_until": null, "dm_spam_detected_at": null})
        } else {
            Value::Null
        };
        guild["application_command_counts"] = json!({"1": 41, "2": 2, "3": 1});
        guild["roles"] = self.roles.clone().into();
        guild["emojis"] = emojis.into();
        guild["stickers"] = (0..around(random, 12)).map(|_| self.sticker(random, now_ms)).collect();
        guild["members"] = members.into();
        guild["presences"] = presences.into();
        guild["voice_states"] = voice_states.into();
        guild["threads"] = threads.into();
        guild["channels"] = channels.into();
        guild["stage_instances"] = stages.into();
        guild["guild_scheduled_events"] =
            (0..random.usize(0..4)).map(|_| self.scheduled_event(random, clock, application)).collect();
        guild["soundboard_sounds"] = (0..around(random, 8)).map(|_| self.sound(random, now_ms)).collect();
        guild
    }

    fn sticker(&self, random: &mut Rng, now_ms: u64) -> Value {
        json!({
            "type": 2, "tags": pick(random, &text::EMOJI), "name": text::username(random),
            "id": old_snowflake(random, now_ms).to_string(), "guild_id": self.id.to_string(),
            "format_type": random.u8(1..5), "description": text::words(random, 4), "available": true,
            "asset": "",
        })
    }

    fn sound(&self, random: &mut Rng, now_ms: u64) -> Value {
        let custom = random.bool().then(|| self.emojis[0].id.to_string());
        json!({
            "volume": 0.75, "user_id": self.people[self.anyone(random)].id.to_string(),
            "sound_id": old_snowflake(random, now_ms).to_string(), "name": text::username(random),
            "guild_id": self.id.to_string(), "emoji_name": custom.is_none().then_some("📯"),
            "emoji_id": custom,
            "available": true,
        })
    }

    fn stage(&self, random: &mut Rng, channel: &Channel, now_ms: u64) -> Value {
        json!({
            "topic": text::words(random, 6), "privacy_level": 2, "invite_code": null,
            "id": old_snowflake(random, now_ms).to_string(), "guild_scheduled_event_id": null,
            "guild_id": self.id.to_string(), "discoverable_disabled": true,
            "channel_id": channel.id.to_string(),
        })
    }

    fn scheduled_event(&self, random: &mut Rng, clock: &mut Clock, application: u64) -> Value {
        let start = clock.now_ms + random.u64(3_600_000..1_000_000_000);
        json!({
            "id": clock.snowflake(random).to_string(), "guild_id": self.id.to_string(), "channel_id": null,
            "creator_id": application.to_string(), "name": text::title(random),
            "description": text::words(random, 60), "scheduled_start_time": iso8601(start),
            "scheduled_end_time": iso8601(start + 7_200_000), "privacy_level": 2, "status": 1,
            "entity_type": 3,
            "entity_id": null, "entity_metadata": {"location": "https://example.com/\"live\""}, "sku_ids": [],
            "recurrence_rule": null, "image": maybe_image(random, 50), "guild_scheduled_event_exceptions": [],
            "auto_start": false,
        })
    }
}

impl Emoji {
    /// An emoji object
    /// ([Discord Docs, Emoji Resource > Emoji Object](https://discord.com/developers/docs/resources/emoji#emoji-object)).
    fn object(&self) -> Value {
        json!({
            "roles": [], "require_colons": true, "name": self.name, "managed": false,
            "id": self.id.to_string(),
            "available": true, "animated": self.animated,
        })
    }
}

/// A role object
/// ([Discord Docs, Permissions > Role Object](https://discord.com/developers/docs/topics/permissions#role-object)). The
/// first is @everyone.
fn role(random: &mut Rng, id: u64, position: usize) -> Value {
    let color = if random.bool() { 0 } else { random.u32(0..0x0100_0000) };
    let managed = position > 0 && chance(random, 15);
    let mut role = json!({
        "id": id.to_string(), "name": if position == 0 { "@everyone".to_owned() } else { text::title(random) },
        "color": color, "hoist": chance(random, 20), "icon": maybe_image(random, 4), "unicode_emoji": null,
        "colors": {"tertiary_color": null, "secondary_color": null, "primary_color": color},
        "position": position,
        "permissions": channels::permissions(random).to_string(), "managed": managed,
        "mentionable": chance(random, 20), "flags": 0, "version": (id >> 22) + 1_420_070_400_000,
    });
    role["tags"] = if managed {
        if chance(random, 10) {
            json!({"premium_subscriber": null})
        } else {
            json!({"bot_id": (id - 1).to_string()})
        }
    } else {
        json!({})
    };
    role
}

/// A voice state without `guild_id` and `member`, as in a guild
/// ([Discord Docs, Voice Resource > Voice State Object](https://discord.com/developers/docs/resources/voice#voice-state-object)).
pub(super) fn voice_state(random: &mut Rng, person: &Person, channel: Option<u64>, stage: bool) -> Value {
    let self_deaf = chance(random, 25);
    let mut state = json!({
        "user_id": person.id.to_string(), "suppress": stage, "session_id": hex(random, 32),
        "self_video": chance(random, 5),
        "self_mute": self_deaf || chance(random, 40), "self_deaf": self_deaf,
        "request_to_speak_timestamp": null,
        "mute": false, "deaf": false, "channel_id": channel.map(|channel| channel.to_string()),
    });
    if chance(random, 10) {
        state["self_stream"] = true.into();
    }
    state
}
