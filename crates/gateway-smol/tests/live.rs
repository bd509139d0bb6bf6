//! The scenarios that every runtime must pass, on smol.

#[macro_use]
#[path = "../../gateway-driver/tests/support/live.rs"]
mod live;

use gateway_smol::SmolRuntime;

impl live::Live for SmolRuntime {
    fn block_on<T>(future: impl Future<Output = T>) -> T {
        smol::block_on(future)
    }
}

live_tests!(SmolRuntime);
