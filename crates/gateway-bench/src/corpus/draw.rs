//! Draws from a seeded generator without logarithms and powers, so that every machine draws the same values.

use fastrand::Rng;

/// True in `percent` of 100 cases.
pub(super) fn chance(random: &mut Rng, percent: u32) -> bool {
    random.u32(0..100) < percent
}

/// One of the items, all equally likely.
pub(super) fn pick<'a, T: ?Sized>(random: &mut Rng, items: &[&'a T]) -> &'a T {
    items[random.usize(0..items.len())]
}

/// A number below `length`; small numbers are much more likely, since a few users write most messages.
pub(super) fn skewed(random: &mut Rng, length: usize) -> usize {
    let place = random.f64();
    ((place * place * place * length as f64) as usize).min(length.saturating_sub(1))
}

/// A length with the mean `mean` and the maximum of four times that; short ones are the most likely.
pub(super) fn around(random: &mut Rng, mean: usize) -> usize {
    (random.f64() * random.f64() * 4.0 * mean as f64 + 0.5) as usize
}

/// `length` lower-case hexadecimal digits.
pub(super) fn hex(random: &mut Rng, length: usize) -> String {
    text_of(random, length, b"0123456789abcdef")
}

/// `length` characters of the URL-safe base64 alphabet.
pub(super) fn base64(random: &mut Rng, length: usize) -> String {
    text_of(random, length, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
}

fn text_of(random: &mut Rng, length: usize, alphabet: &[u8]) -> String {
    (0..length).map(|_| char::from(alphabet[random.usize(0..alphabet.len())])).collect()
}

/// The hash of an image as in Discord's names: animated ones begin with `a_`.
pub(super) fn image(random: &mut Rng) -> String {
    let hash = hex(random, 32);
    if chance(random, 15) { format!("a_{hash}") } else { hash }
}

/// The hash of an image, present in `percent` of 100 cases.
pub(super) fn maybe_image(random: &mut Rng, percent: u32) -> Option<String> {
    chance(random, percent).then(|| image(random))
}
