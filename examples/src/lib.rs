//! Shared by the example programs: their flags, their output, and the bot itself.

pub mod bot;
pub mod keeping;
pub mod options;
pub mod raw;
pub mod report;

pub use options::Options;
pub use report::Report;

/// Compiles the bot in the README of the workspace as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
