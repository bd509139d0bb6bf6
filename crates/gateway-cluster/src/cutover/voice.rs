//! The guilds in which the bot is in a voice channel.

use std::collections::BTreeSet;

use gateway_proto::codec::RawRef;
use gateway_proto::{Dispatch, Snowflake};

use crate::cutover::subject::guild_of;

/// Where the bot is in a voice channel, as far as the events of a cutover say so.
#[derive(Debug, Default)]
pub(crate) struct Voice {
    /// The bot's user, once READY has named it.
    bot: Option<Snowflake>,
    guilds: BTreeSet<Snowflake>,
}

impl Voice {
    /// Takes the bot's user from READY.
    pub(crate) fn handle_ready(&mut self, ready: &Dispatch) {
        self.bot = ready.data().get(["user", "id"]).and_then(RawRef::as_id).map(Snowflake).or(self.bot);
    }

    /// Takes what a dispatch says of the bot's voice state.
    pub(crate) fn handle_dispatch(&mut self, dispatch: &Dispatch) {
        let Some(bot) = self.bot else { return };
        let is_bot = |state: RawRef<'_>| state.get("user_id").and_then(RawRef::as_id) == Some(bot.0);
        let is_joined = |state: RawRef<'_>| state.get("channel_id").is_some_and(|channel| !channel.is_null());
        match dispatch.name() {
            "GUILD_CREATE" => {
                let states = dispatch.data().get("voice_states");
                let mut states = states.into_iter().flat_map(RawRef::elements).filter_map(Result::ok);
                if states.any(|state| is_bot(state) && is_joined(state)) {
                    self.guilds.extend(guild_of(dispatch));
                }
            }
            "VOICE_STATE_UPDATE" if is_bot(dispatch.data()) => {
                let Some(guild) = guild_of(dispatch) else { return };
                match is_joined(dispatch.data()) {
                    true => self.guilds.insert(guild),
                    false => self.guilds.remove(&guild),
                };
            }
            _ => {}
        }
    }

    /// Whether the bot is in a voice channel of this guild.
    pub(crate) fn is_in(&self, guild: Snowflake) -> bool {
        self.guilds.contains(&guild)
    }
}
