//! Users, members and presences.

use fastrand::Rng;
use gateway_sim::iso8601;
use serde_json::{Value, json};

use super::draw::{around, base64, chance, hex, image, maybe_image, pick, skewed};
use super::text;
use super::time::old_snowflake;

/// A user and member of a guild.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) id: u64,
    pub(super) bot: bool,
    username: String,
    discriminator: String,
    global_name: Option<String>,
    avatar: Option<String>,
    public_flags: u32,
    decoration: Option<(String, u64)>,
    nameplate: Option<u64>,
    tag: Option<(u64, String, String)>,
    nick: Option<String>,
    member_avatar: Option<String>,
    member_decoration: Option<(String, u64)>,
    roles: Vec<u64>,
    joined_at_ms: u64,
    premium_since_ms: Option<u64>,
}

impl Person {
    /// A person with some of the roles. One in thirty is a bot.
    pub(super) fn new(random: &mut Rng, roles: &[u64], now_ms: u64) -> Self {
        let bot = random.u8(0..30) == 0;
        let username = text::username(random);
        let mut own: Vec<u64> =
            (0..around(random, 2)).filter_map(|_| roles.get(skewed(random, roles.len())).copied()).collect();
        own.sort_unstable();
        own.dedup();
        let joined_at_ms = now_ms - random.u64(60_000..150_000_000_000);
        Self {
            id: old_snowflake(random, now_ms),
            bot,
            discriminator: if bot { format!("{:04}", random.u16(1..10_000)) } else { "0".to_owned() },
            global_name: (!bot && chance(random, 80)).then(|| text::display_name(random, &username)),
            avatar: maybe_image(random, 85),
            public_flags: if chance(random, 40) { 1 << pick(random, &[&6, &7, &8, &9, &22]) } else { 0 },
            decoration: decoration(random, 8, now_ms),
            nameplate: chance(random, 3).then(|| old_snowflake(random, now_ms)),
            tag: chance(random, 8).then(|| {
                let name = text::username(random).chars().take(4).collect::<String>().to_uppercase();
                (old_snowflake(random, now_ms), name, hex(random, 32))
            }),
            nick: chance(random, 22).then(|| text::display_name(random, &username)),
            member_avatar: maybe_image(random, 4),
            member_decoration: decoration(random, 2, now_ms),
            roles: own,
            joined_at_ms,
            premium_since_ms: chance(random, 5).then(|| random.u64(joined_at_ms..now_ms)),
            username,
        }
    }

    /// A user object
    /// ([Discord Docs, Users Resource > User Object](https://discord.com/developers/docs/resources/user#user-object)).
    /// `bot` is present only if it is true.
    pub(super) fn user(&self) -> Value {
        let mut user = json!({
            "id": self.id.to_string(), "username": self.username, "discriminator": self.discriminator,
            "global_name": self.global_name, "avatar": self.avatar, "public_flags": self.public_flags,
            "primary_guild": self.tag.as_ref().map(|(guild, tag, badge)| json!({
                "tag": tag, "identity_guild_id": guild.to_string(), "identity_enabled": true, "badge": badge,
            })),
            "avatar_decoration_data": self.decoration.as_ref().map(decoration_object),
            "collectibles": self.nameplate.map(|sku| json!({"nameplate": {
                "sku_id": sku.to_string(), "palette": "violet",
                "label": "COLLECTIBLES_NAMEPLATES_NEBULA_A11Y",
                "asset": "nameplates/nameplates/nebula/", "expires_at": null,
            }})),
        });
        if self.bot {
            user["bot"] = true.into();
        }
        user
    }

    /// A member object without its user, as in messages
    /// ([Discord Docs, Guild Resource > Guild Member Object](https://discord.com/developers/docs/resources/guild#guild-member-object)).
    pub(super) fn partial_member(&self) -> Value {
        let roles: Vec<String> = self.roles.iter().map(u64::to_string).collect();
        let mut member = json!({
            "roles": roles, "premium_since": self.premium_since_ms.map(iso8601), "pending": false,
            "nick": self.nick,
            "mute": false, "joined_at": iso8601(self.joined_at_ms), "flags": 0, "deaf": false,
            "communication_disabled_until": null, "banner": null, "avatar": self.member_avatar,
        });
        if let Some(decoration) = &self.member_decoration {
            member["avatar_decoration_data"] = decoration_object(decoration);
            member["collectibles"] = Value::Null;
        }
        member
    }

    /// A member object with its user, in which `bot` is always present.
    pub(super) fn member(&self) -> Value {
        let mut member = self.partial_member();
        let mut user = self.user();
        user["bot"] = self.bot.into();
        member["user"] = user;
        member
    }

    /// The member with the `permissions` that interactions add.
    pub(super) fn member_with_permissions(&self, permissions: u64) -> Value {
        let mut member = self.member();
        member["permissions"] = permissions.to_string().into();
        member
    }

    /// The `d` of GUILD_MEMBER_UPDATE: the member gets a new nickname or is timed out.
    pub(super) fn member_update(&self, random: &mut Rng, guild: u64, now_ms: u64) -> Value {
        let mut member = self.member();
        match random.u8(0..4) {
            0 => member["nick"] = text::display_name(random, &self.username).into(),
            1 => {
                let until = now_ms + random.u64(60_000..604_800_000);
                member["communication_disabled_until"] = iso8601(until).into();
            }
            _ => {}
        }
        member["guild_id"] = guild.to_string().into();
        member
    }

    /// A presence
    /// ([Discord Docs, Gateway Events > Presence Update](https://discord.com/developers/docs/events/gateway-events#presence-update)),
    /// without `guild_id` as in a guild.
    ///
    /// In a guild no status has a custom emoji. twilight-model finds the type of a GUILD_CREATE by trying, and then does
    /// not convert the emoji's id from an integer of ETF to the text that its model requires.
    pub(super) fn presence(&self, random: &mut Rng, status: &str, now_ms: u64, in_guild: bool) -> Value {
        let client: &[&str] = match random.u8(0..10) {
            _ if status == "offline" => &[],
            0..5 => &["desktop"],
            5..8 => &["mobile"],
            8 => &["web"],
            _ => &["desktop", "mobile"],
        };
        let client_status: serde_json::Map<String, Value> =
            client.iter().map(|client| ((*client).to_owned(), status.into())).collect();
        json!({
            "user": {"id": self.id.to_string()}, "status": status, "client_status": client_status,
            "activities": if status == "offline" { Vec::new() } else { activities(random, now_ms, in_guild) },
        })
    }
}

/// The hash and the article of a decoration, present in `percent` of 100 cases.
fn decoration(random: &mut Rng, percent: u32, now_ms: u64) -> Option<(String, u64)> {
    chance(random, percent).then(|| (image(random), old_snowflake(random, now_ms)))
}

/// A decoration of an avatar
/// ([Discord Docs, Users Resource > Avatar Decoration Data Object](https://discord.com/developers/docs/resources/user#avatar-decoration-data-object)).
fn decoration_object((asset, sku): &(String, u64)) -> Value {
    json!({"sku_id": sku.to_string(), "expires_at": null, "asset": asset})
}

/// A status, with about the frequencies of real users.
pub(super) fn status(random: &mut Rng) -> &'static str {
    pick(random, &["online", "online", "online", "idle", "idle", "dnd", "offline", "offline"])
}

/// The activities of a user: mostly none, otherwise a status text, a game or music.
fn activities(random: &mut Rng, now_ms: u64, in_guild: bool) -> Vec<Value> {
    let created_at = now_ms - random.u64(0..36_000_000);
    let mut activities = Vec::new();
    if chance(random, 40) {
        let mut activity = json!({
            "type": 4, "state": text::words(random, 4), "name": "Custom Status", "id": "custom",
            "created_at": created_at,
        });
        if chance(random, 40) {
            activity["emoji"] = if in_guild || random.bool() {
                json!({"name": pick(random, &text::EMOJI)})
            } else {
                let id = old_snowflake(random, now_ms).to_string();
                json!({"name": text::username(random).replace('.', "_"), "id": id, "animated": random.bool()})
            };
        }
        activities.push(activity);
    }
    match random.u8(0..100) {
        0..14 => activities.push(plain_game(random, created_at)),
        14..40 => activities.push(rich_game(random, created_at, now_ms)),
        40..55 => activities.push(music(random, created_at, now_ms)),
        55..58 => activities.push(stream(random, created_at)),
        _ => {}
    }
    activities
}

const GAMES: [&str; 10] = [
    "Counter-Strike 2",
    "Minecraft",
    "League of Legends",
    "VALORANT",
    "Genshin Impact",
    "Visual Studio Code",
    "osu!",
    "原神",
    "Pokémon™ Showdown",
    "Baldur's Gate 3",
];

/// The id of an activity: it begins with a letter.
fn activity_id(random: &mut Rng) -> String {
    format!("e{}", hex(random, 15))
}

fn plain_game(random: &mut Rng, created_at: u64) -> Value {
    json!({
        "type": 0, "timestamps": {"start": created_at}, "name": pick(random, &GAMES),
        "id": activity_id(random),
        "created_at": created_at,
    })
}

fn rich_game(random: &mut Rng, created_at: u64, now_ms: u64) -> Value {
    let mut activity = plain_game(random, created_at);
    let size = random.u8(2..11);
    activity["application_id"] = old_snowflake(random, now_ms).to_string().into();
    activity["session_id"] = hex(random, 32).into();
    activity["state"] = text::words(random, 3).into();
    activity["details"] = text::words(random, 5).into();
    activity["flags"] = 1.into();
    activity["party"] =
        json!({"size": [random.u8(1..size), size], "id": format!("party-{}", hex(random, 20))});
    activity["assets"] = json!({
        "small_text": text::title(random), "small_image": old_snowflake(random, now_ms).to_string(),
        "large_text": text::title(random),
        "large_image": format!("mp:external/{}/https/images.example.com/{}.png",
            base64(random, 43), hex(random, 8)),
    });
    if random.bool() {
        activity["buttons"] = json!(["Join", "Watch \"live\""]);
    }
    activity
}

fn music(random: &mut Rng, created_at: u64, now_ms: u64) -> Value {
    let start = now_ms - random.u64(0..200_000);
    json!({
        "type": 2, "timestamps": {"start": start, "end": start + random.u64(120_000..300_000)},
        "sync_id": format!("s{}", base64(random, 21)), "state": text::title(random),
        "session_id": hex(random, 32),
        "party": {"id": format!("spotify:{}", old_snowflake(random, now_ms))}, "name": "Spotify",
        "id": "spotify:1", "flags": 48, "details": text::title(random), "created_at": created_at,
        "assets": {"large_text": text::title(random), "large_image": format!("spotify:{}", hex(random, 40))},
    })
}

fn stream(random: &mut Rng, created_at: u64) -> Value {
    json!({
        "type": 1, "url": format!("https://www.twitch.tv/{}", text::username(random)),
        "state": pick(random, &GAMES),
        "name": "Twitch", "id": activity_id(random), "details": text::words(random, 8),
        "created_at": created_at,
        "assets": {"large_image": format!("twitch:{}", text::username(random))},
    })
}
