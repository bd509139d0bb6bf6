//! Time and memory of this process, from the system.

use std::fs;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A sample of processor time and memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) wall: Instant,
    /// Processor time of all threads, user and system.
    pub(super) cpu: Duration,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// Resident memory without files (RssAnon).
    pub(super) anonymous: u64,
    /// Peak resident memory (VmHWM).
    pub(super) peak: u64,
}

impl Sample {
    pub(super) fn now() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        // Neither is negative on this clock.
        let cpu = Duration::new(cpu.tv_sec.unsigned_abs(), u32::try_from(cpu.tv_nsec).unwrap_or(0));
        Self { wall: Instant::now(), cpu }
    }
}

impl Memory {
    /// See proc_pid_status(5).
    pub(super) fn now() -> Result<Self, String> {
        let status = fs::read_to_string("/proc/self/status")
            .map_err(|error| format!("memory is measured on Linux only: {error}"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        match (field("RssAnon"), field("VmHWM")) {
            (Some(anonymous), Some(peak)) => Ok(Self { anonymous: anonymous << 10, peak: peak << 10 }),
            _ => Err("/proc/self/status has no RssAnon or no VmHWM".to_owned()),
        }
    }
}
