//! The scenarios that every runtime must pass, on tokio.

#[macro_use]
#[path = "../../gateway-driver/tests/support/live.rs"]
mod live;

use gateway_tokio::TokioRuntime;

impl live::Live for TokioRuntime {
    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }
}

live_tests!(TokioRuntime);
