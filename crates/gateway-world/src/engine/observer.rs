//! Who sees what happens in an engine.

use gateway_sim::ConnectionId;

use super::client_id::ClientId;
use crate::observation::Observation;
use crate::time::Time;

/// Is shown everything that happens in an [`Engine`](super::Engine), by the client that it happens to and, where there is one,
/// the gateway's name of its connection.
pub trait Observer {
    /// Something happens. A client that was removed may still have messages on their way.
    fn observe(
        &mut self,
        at: Time,
        client: ClientId,
        connection: Option<ConnectionId>,
        what: &Observation<'_>,
    );
}

/// Nothing is of interest.
impl Observer for () {
    fn observe(&mut self, _: Time, _: ClientId, _: Option<ConnectionId>, _: &Observation<'_>) {}
}
