//! The scenarios that every runtime must pass, on tokio.

#[macro_use]
#[path = "../../gateway-driver/tests/support/live.rs"]
mod live;

use gateway_tokio::Runtime;
use gateway_tokio::TokioRuntime;

impl live::Live for TokioRuntime {
    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }
}

live_tests!(TokioRuntime);
live_tests!(TokioRuntime: a_spawned_shard_runs_by_itself);

/// `TCP_NODELAY`: a heartbeat does not wait for the acknowledgement of earlier bytes.
#[test]
fn small_messages_are_sent_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let no_delay = <TokioRuntime as live::Live>::block_on(async {
        let stream = TokioRuntime.connect("127.0.0.1", port).await.unwrap();
        stream.get_ref().nodelay().unwrap()
    });
    assert!(no_delay);
}
