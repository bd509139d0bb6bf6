//! A thousand reconnects on async-std, in a separate program.
#![cfg(target_os = "linux")]

#[path = "../../gateway-driver/tests/support/soak.rs"]
mod soak;

use gateway_async_std::AsyncStdRuntime;
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

#[test]
fn a_thousand_reconnects_leave_nothing_behind() {
    gateway_async_std::async_std::task::block_on(soak::a_thousand_reconnects_leave_nothing_behind::<
        AsyncStdRuntime,
    >(|| HEAP.current_usage()));
}
