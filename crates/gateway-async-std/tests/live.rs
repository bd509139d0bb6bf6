//! The scenarios that every runtime must pass, on async-std.

#[macro_use]
#[path = "../../gateway-driver/tests/support/live.rs"]
mod live;

use gateway_async_std::AsyncStdRuntime;

impl live::Live for AsyncStdRuntime {
    fn block_on<T>(future: impl Future<Output = T>) -> T {
        async_std::task::block_on(future)
    }
}

live_tests!(AsyncStdRuntime);
