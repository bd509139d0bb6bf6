//! Complete payloads that strict client models accept. Each function builds the `d` of one kind of event or object.

pub(crate) mod channels;
pub(crate) mod events;
pub(crate) mod guilds;
pub(crate) mod people;
