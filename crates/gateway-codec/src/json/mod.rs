//! JSON over serde, and readers of JSON that build no values.

mod bounds;
mod engine;
pub(crate) mod find;
pub(crate) mod place;
pub(crate) mod scan;
mod walk;

#[cfg(feature = "simd-json")]
pub(crate) use engine::simd_value;
pub(crate) use engine::value_from_slice;
pub use engine::{
    Engine, from_mut_slice, from_mut_slice_with, from_slice, from_slice_with, to_vec, to_writer,
};
pub use walk::{Walk, check_structure, walk};
pub(crate) use walk::{end_before_entries, quoted_id, text, unescape, walk_value};
