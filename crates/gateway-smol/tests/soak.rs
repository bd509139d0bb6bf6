//! A thousand reconnects on smol, in a separate program.
#![cfg(target_os = "linux")]

#[path = "../../gateway-driver/tests/support/soak.rs"]
mod soak;

use gateway_smol::SmolRuntime;
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

#[test]
fn a_thousand_reconnects_leave_nothing_behind() {
    smol::block_on(soak::a_thousand_reconnects_leave_nothing_behind::<SmolRuntime>(|| HEAP.current_usage()));
}
