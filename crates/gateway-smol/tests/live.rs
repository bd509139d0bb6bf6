//! The scenarios that every runtime must pass, on smol.

#[macro_use]
#[path = "../../gateway-driver/tests/support/live.rs"]
mod live;

use gateway_smol::Runtime;
use gateway_smol::SmolRuntime;

impl live::Live for SmolRuntime {
    fn block_on<T>(future: impl Future<Output = T>) -> T {
        smol::block_on(future)
    }
}

live_tests!(SmolRuntime);
#[cfg(feature = "cluster")]
live_tests!(SmolRuntime: a_spawned_shard_runs_by_itself);

/// `TCP_NODELAY`: a heartbeat does not wait for the acknowledgement of earlier bytes.
#[test]
fn small_messages_are_sent_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let no_delay = <SmolRuntime as live::Live>::block_on(async {
        let stream = SmolRuntime.connect("127.0.0.1", port).await.unwrap();
        stream.nodelay().unwrap()
    });
    assert!(no_delay);
}
