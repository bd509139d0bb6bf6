//! Lengths that come from the wire, which may be as large as a pointer counts: no sum with one may wrap.

// Lengths come from the wire: no sum with one may wrap, on 32 bits either.
#![warn(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

/// A count of bytes, as wide as the pointers of some machine.
pub(crate) trait Count: Copy + Ord {
    fn checked_add(self, other: Self) -> Option<Self>;
}

impl Count for usize {
    #[inline]
    fn checked_add(self, other: Self) -> Option<Self> {
        usize::checked_add(self, other)
    }
}

/// Where `length` bytes end that begin `head` bytes after `at`. None if that is after the `end` of the input, or so far that
/// no pointer counts it.
///
/// Generic over the width of a pointer, so that a machine of 64 bits can test what one of 32 bits does.
#[inline]
pub(crate) fn end_of<C: Count>(at: C, head: C, length: C, end: C) -> Option<C> {
    let found = at.checked_add(head)?.checked_add(length)?;
    (found <= end).then_some(found)
}

/// A length or a count of 32 bits. One that no pointer counts is the greatest, which no input has.
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
    fn an_end_is_within_the_input() {
        assert_eq!(end_of(10_usize, 5, 7, 22), Some(22));
        assert_eq!(end_of(10_usize, 5, 7, 21), None);
        assert_eq!(end_of(0_usize, 0, 0, 0), Some(0));
    }

    /// On 32 bits a binary of 2^32 - 16 bytes at offset 12 would end at offset 1, and one of 2^32 - 17 at 0.
    #[test]
    fn no_length_wraps_on_any_width() {
        for at in [0, 1, 12, 100, u32::MAX - 6, u32::MAX - 5, u32::MAX] {
            for length in [u32::MAX, u32::MAX - 4, u32::MAX - 5, 0xffff_fff0, 0xffff_ffef, 1 << 31] {
                for end in [52, i32::MAX.unsigned_abs()] {
                    assert_eq!(end_of(at, 5, length, end), None, "{at} {length} {end}");
                }
            }
        }
        for at in [usize::MAX - 5, usize::MAX] {
            assert_eq!(end_of(at, 5, usize::MAX - 3, 52), None, "{at}");
        }
    }
}
