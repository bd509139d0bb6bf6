//! What the example programs share: their flags, what they print, and the bot itself.

pub mod bot;
pub mod keeping;
pub mod options;
pub mod raw;
pub mod report;

pub use options::Options;
pub use report::Report;

/// The bot in the README of the workspace is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
