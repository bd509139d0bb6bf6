//! A thousand reconnects on tokio, in a separate program.
#![cfg(target_os = "linux")]

#[path = "../../gateway-driver/tests/support/soak.rs"]
mod soak;

use gateway_tokio::TokioRuntime;
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

#[test]
fn a_thousand_reconnects_leave_nothing_behind() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime
        .block_on(soak::a_thousand_reconnects_leave_nothing_behind::<TokioRuntime>(|| HEAP.current_usage()));
}
