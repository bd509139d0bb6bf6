//! The bots with their own sockets against the simulator: each has the same output and the same end as the tokio bot.

#[allow(dead_code, reason = "the program's main is not called here")]
#[path = "../../examples/blocking_bot.rs"]
mod blocking_bot;
#[allow(dead_code, reason = "the program's main is not called here")]
#[path = "../../examples/memory.rs"]
mod memory;
#[allow(dead_code, reason = "the program's main is not called here")]
#[path = "../../examples/poll_bot.rs"]
mod poll_bot;
#[allow(dead_code, reason = "the program's main is not called here")]
#[path = "../../examples/threads_bot.rs"]
mod threads_bot;

mod connections;
#[path = "../shared/formats.rs"]
mod formats;
mod hostile_servers;
mod output;
mod sessions;
mod support;
