//! The small events that follow the guilds: their mix, and the builders of the short ones.

use fastrand::Rng;
use serde_json::{Value, json};

use super::draw::{chance, skewed};
use super::guilds::{self, Guild};
use super::people;
use super::time::Clock;
use super::{interactions, messages};

/// The percentage of each kind of event.
pub const MIX: [(&str, usize); 8] = [
    ("MESSAGE_CREATE", 24),
    ("PRESENCE_UPDATE", 36),
    ("TYPING_START", 12),
    ("GUILD_MEMBER_UPDATE", 8),
    ("MESSAGE_REACTION_ADD", 7),
    ("VOICE_STATE_UPDATE", 5),
    ("MESSAGE_UPDATE", 5),
    ("INTERACTION_CREATE", 3),
];

/// The names of 100 events in a random order. Each kind has exactly its share of a hundred.
pub(super) fn hundred(random: &mut Rng) -> Vec<&'static str> {
    let mut names: Vec<_> = MIX.iter().flat_map(|(name, share)| std::iter::repeat_n(*name, *share)).collect();
    random.shuffle(&mut names);
    names
}

/// The `d` of an event of this name in a guild.
pub(super) fn build(
    name: &str,
    guild: &mut Guild,
    random: &mut Rng,
    clock: &mut Clock,
    application: u64,
) -> Value {
    match name {
        "MESSAGE_CREATE" => messages::create(guild, random, clock, application),
        "MESSAGE_UPDATE" => messages::update(guild, random, clock),
        "INTERACTION_CREATE" => interactions::create(guild, random, clock, application),
        "PRESENCE_UPDATE" => presence_update(guild, random, clock),
        "TYPING_START" => typing_start(guild, random, clock),
        "GUILD_MEMBER_UPDATE" => {
            let person = &guild.people[guild.anyone(random)];
            person.member_update(random, guild.id, clock.now_ms)
        }
        "MESSAGE_REACTION_ADD" => reaction_add(guild, random, clock),
        _ => voice_state_update(guild, random),
    }
}

fn presence_update(guild: &Guild, random: &mut Rng, clock: &Clock) -> Value {
    let person = &guild.people[guild.anyone(random)];
    let status = people::status(random);
    let mut presence = person.presence(random, status, clock.now_ms, false);
    presence["guild_id"] = guild.id.to_string().into();
    presence
}

fn typing_start(guild: &Guild, random: &mut Rng, clock: &Clock) -> Value {
    let person = &guild.people[guild.anyone(random)];
    let channel = &guild.channels[guild.text_channel(random)];
    json!({
        "user_id": person.id.to_string(), "timestamp": clock.now_ms / 1000, "member": person.member(),
        "channel_id": channel.id.to_string(), "guild_id": guild.id.to_string(),
    })
}

fn reaction_add(guild: &Guild, random: &mut Rng, clock: &mut Clock) -> Value {
    let person = &guild.people[guild.anyone(random)];
    let (message, channel, author) = match guild.recent.len() {
        0 => (clock.snowflake(random), guild.text_channel(random), guild.anyone(random)),
        length => {
            let recent = &guild.recent[length - 1 - skewed(random, length)];
            (recent.id, recent.channel, recent.author)
        }
    };
    let burst = chance(random, 3);
    let mut reaction = json!({
        "user_id": person.id.to_string(), "type": u8::from(burst), "message_id": message.to_string(),
        "message_author_id": guild.people[author].id.to_string(), "member": person.member(),
        "emoji": guild.reaction_emoji(random), "channel_id": guild.channels[channel].id.to_string(),
        "burst": burst,
        "guild_id": guild.id.to_string(),
    });
    if burst {
        reaction["burst_colors"] = json!(["#ff5e00", "#ffcc4d"]);
    }
    reaction
}

fn voice_state_update(guild: &Guild, random: &mut Rng) -> Value {
    let person = &guild.people[guild.anyone(random)];
    let channel = chance(random, 75).then(|| guild.channels[guild.voice_channel(random)].id);
    let mut state = guilds::voice_state(random, person, channel, false);
    state["member"] = person.member();
    state["guild_id"] = guild.id.to_string().into();
    state
}
