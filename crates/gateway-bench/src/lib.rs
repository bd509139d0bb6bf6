#![doc = include_str!("../README.md")]

pub mod corpus;
pub mod decode;
pub mod frames;
