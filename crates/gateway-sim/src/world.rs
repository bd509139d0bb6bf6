//! The users and guilds of the simulation: their ids are computed, not stored.

use std::collections::BTreeMap;

use serde_json::Value;

/// Milliseconds from 1970 to the first second of 2015, Discord's epoch
/// ([Discord Docs, Reference > Snowflakes](https://discord.com/developers/docs/reference#snowflakes)).
const DISCORD_EPOCH_MS: u64 = 1_420_070_400_000;
/// The time of the first guild's creation, in milliseconds of Discord's epoch.
const FIRST_GUILD_MS: u64 = 300_000_000_000;
/// The time of the first account's creation, in milliseconds of Discord's epoch.
const FIRST_USER_MS: u64 = 100_000_000_000;

/// The id of the bot's user, which is also the id of its application.
pub(crate) const BOT_ID: u64 = 81_384_788_765_712_384;

/// The numbers of guilds and members, and the time.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) guilds: u32,
    pub(crate) members: u32,
    /// The current time in milliseconds since 1970.
    pub(crate) unix_time_ms: u64,
    next_id: u64,
    /// The bot's voice state in each guild in which it is in a voice channel.
    bot_voice: BTreeMap<u32, Value>,
}

impl World {
    pub(crate) fn new(guilds: u32, members: u32, unix_time_ms: u64) -> Self {
        Self { guilds, members: members.max(2), unix_time_ms, next_id: 0, bot_voice: BTreeMap::new() }
    }

    /// A new id for the current time. Ids increase.
    pub(crate) fn snowflake(&mut self) -> u64 {
        self.next_id += 1;
        (self.unix_time_ms.saturating_sub(DISCORD_EPOCH_MS) << 22) | (self.next_id & 0x3f_ffff)
    }

    /// The bot's voice state in a guild, without the guild's id. `None` if it is in no voice channel there.
    pub(crate) fn bot_voice(&self, guild: u32) -> Option<&Value> {
        self.bot_voice.get(&guild)
    }

    /// Stores the state of a VOICE_STATE_UPDATE of the bot.
    pub(crate) fn set_bot_voice(&mut self, guild: u32, mut state: Value) {
        if let Some(fields) = state.as_object_mut() {
            fields.remove("guild_id");
        }
        match state["channel_id"].is_null() {
            true => self.bot_voice.remove(&guild),
            false => self.bot_voice.insert(guild, state),
        };
    }

    /// The current time as ISO 8601 with an offset.
    pub(crate) fn timestamp(&self) -> String {
        iso8601(self.unix_time_ms)
    }

    /// The guilds of a shard, as numbers for [`guild_id`].
    pub(crate) fn guilds_of(&self, shard: (u32, u32)) -> impl Iterator<Item = u32> + use<> {
        let (id, count) = shard;
        (0..self.guilds).filter(move |guild| shard_of(guild_id(*guild), count) == id)
    }

    /// The number of guilds of a shard, without listing them.
    pub(crate) fn guild_count(&self, shard: (u32, u32)) -> u32 {
        let (id, count) = (shard.0, shard.1.max(1));
        let first = shard_of(guild_id(0), count);
        let offset = (u64::from(id) + u64::from(count) - u64::from(first)) % u64::from(count);
        let guilds = u64::from(self.guilds);
        if offset >= guilds {
            return 0;
        }
        u32::try_from((guilds - offset - 1) / u64::from(count) + 1).unwrap_or(u32::MAX)
    }

    /// The number of the guild with this id.
    pub(crate) fn guild_number(&self, id: u64) -> Option<u32> {
        let number = u32::try_from((id >> 22).checked_sub(FIRST_GUILD_MS)?).ok()?;
        (number < self.guilds && guild_id(number) == id).then_some(number)
    }
}

/// The shard of `count` that serves a guild
/// ([Discord Docs, Gateway > Sharding](https://discord.com/developers/docs/events/gateway#sharding)).
pub(crate) fn shard_of(guild_id: u64, count: u32) -> u32 {
    // Less than `count`, so it fits.
    ((guild_id >> 22) % u64::from(count.max(1))) as u32
}

/// The id of a guild of the bot, counted from 0: guilds 0 up to [`Config::guilds`](crate::Config::guilds) exist.
pub fn guild_id(guild: u32) -> u64 {
    (FIRST_GUILD_MS + u64::from(guild)) << 22
}

/// The id of the `index`th channel (0 category, 1 text, 2 voice, 3 thread) of a guild.
pub(crate) fn channel_id(guild: u32, index: u64) -> u64 {
    guild_id(guild) + 1 + index
}

/// The id of the `index`th role of a guild; role 0 is @everyone and has the guild's id.
pub(crate) fn role_id(guild: u32, index: u64) -> u64 {
    if index == 0 { guild_id(guild) } else { guild_id(guild) + 100 + index }
}

/// The id of the `index`th member of a guild; member 0 owns it, member 1 is the bot.
pub(crate) fn member_id(guild: u32, index: u32) -> u64 {
    if index == 1 { BOT_ID } else { ((FIRST_USER_MS + u64::from(guild)) << 22) + u64::from(index) }
}

/// The number of the member with this id, if it is one of the `members` of the guild.
pub(crate) fn member_number(guild: u32, members: u32, id: u64) -> Option<u32> {
    if id == BOT_ID {
        return Some(1);
    }
    let index = u32::try_from(id.checked_sub((FIRST_USER_MS + u64::from(guild)) << 22)?).ok()?;
    (index < members && index != 1).then_some(index)
}

/// Formats milliseconds since 1970 as the gateway does: ISO 8601 with microseconds and offset, such as
/// `2026-12-31T23:59:59.999000+00:00`
/// ([Discord Docs, Reference > ISO8601 Date/Time](https://discord.com/developers/docs/reference#iso8601-datetime)).
pub fn iso8601(unix_ms: u64) -> String {
    let (days, ms_of_day) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute) = (ms_of_day / 3_600_000, ms_of_day / 60_000 % 60);
    let (second, ms) = (ms_of_day / 1000 % 60, ms_of_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}000+00:00")
}

/// The year, month and day of a number of days since 1970, computed from 1 March of the year 0.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        assert_eq!(iso8601(0), "1970-01-01T00:00:00.000000+00:00");
        assert_eq!(iso8601(951_782_400_123), "2000-02-29T00:00:00.123000+00:00");
        assert_eq!(iso8601(1_798_761_599_999), "2026-12-31T23:59:59.999000+00:00");
    }

    #[test]
    fn the_count_of_guilds_agrees_with_the_list() {
        for guilds in [0, 1, 2, 7, 64] {
            let world = World::new(guilds, 2, 0);
            for count in [1, 2, 3, 16, 100] {
                for id in 0..count {
                    let listed = world.guilds_of((id, count)).count();
                    assert_eq!(listed as u32, world.guild_count((id, count)), "{guilds} {id}/{count}");
                }
            }
        }
    }

    #[test]
    fn guilds_and_members_are_found_by_their_ids() {
        let world = World::new(5, 4, 0);
        for guild in 0..5 {
            assert_eq!(world.guild_number(guild_id(guild)), Some(guild));
            for member in 0..4 {
                assert_eq!(member_number(guild, 4, member_id(guild, member)), Some(member));
            }
            assert_eq!(member_number(guild, 4, member_id(guild, 4)), None);
        }
        assert_eq!(world.guild_number(guild_id(5)), None);
        assert_eq!(world.guild_number(1), None);
    }
}
