//! Lengths from the wire, which may be as large as a `usize`.

// Lengths come from the wire: no sum with one may wrap, on 32 bits either.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

/// A count of bytes, of the pointer width of some machine.
pub(crate) trait Count: Copy + Ord {
    fn checked_add(self, other: Self) -> Option<Self>;
}

impl Count for usize {
    #[inline]
    fn checked_add(self, other: Self) -> Option<Self> {
        usize::checked_add(self, other)
    }
}

/// The sum of `head` and the `length` that it names, in bytes. `None` if it overflows or exceeds `left`.
///
/// Generic over the pointer width, so that a test on 64 bits covers 32 bits.
#[inline]
pub(crate) fn whole<C: Count>(head: C, length: C, left: C) -> Option<C> {
    let whole = head.checked_add(length)?;
    (whole <= left).then_some(whole)
}

/// A length or a count of 32 bits as a `usize`. Where it does not fit it saturates, which is more than any input has.
#[inline]
pub(crate) fn of_u32(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Count for u32 {
        fn checked_add(self, other: Self) -> Option<Self> {
            u32::checked_add(self, other)
        }
    }

    #[test]
    fn what_is_whole_is_there() {
        assert_eq!(whole(5_usize, 7, 12), Some(12));
        assert_eq!(whole(5_usize, 7, 11), None);
        assert_eq!(whole(0_usize, 0, 0), Some(0));
    }

    /// On 32 bits the head plus 2^32 - 4 would wrap to 1.
    #[test]
    fn no_length_wraps_on_any_width() {
        for length in [u32::MAX, u32::MAX - 3, u32::MAX - 4, u32::MAX - 5, 0xffff_fff0, 1 << 31] {
            for left in [0, 1, 52, i32::MAX.unsigned_abs()] {
                assert_eq!(whole(5, length, left), None, "{length} {left}");
            }
        }
        for length in [usize::MAX, usize::MAX - 3, usize::MAX - 4] {
            assert_eq!(whole(5, length, 52), None, "{length}");
        }
    }
}
