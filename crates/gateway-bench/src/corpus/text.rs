//! Texts of messages: words in several scripts, emoji, links, and characters that must be escaped.

use fastrand::Rng;

use super::draw::{around, chance, hex, pick, skewed};

/// The frequent words of a language, the most frequent first, and how they are joined.
struct Language {
    words: &'static [&'static str],
    space: &'static str,
    stop: &'static str,
    /// The percentage of messages in this language.
    share: u32,
}

const LANGUAGES: [Language; 8] = [
    Language {
        words: &[
            "the",
            "I",
            "you",
            "to",
            "it",
            "a",
            "and",
            "is",
            "that",
            "in",
            "of",
            "just",
            "for",
            "like",
            "not",
            "this",
            "do",
            "so",
            "what",
            "it's",
            "but",
            "have",
            "on",
            "can",
            "don't",
            "be",
            "with",
            "my",
            "lol",
            "yeah",
            "if",
            "get",
            "one",
            "are",
            "think",
            "know",
            "was",
            "now",
            "out",
            "up",
            "time",
            "there",
            "people",
            "see",
            "would",
            "good",
            "really",
            "game",
            "server",
            "someone",
            "anyone",
            "update",
            "tomorrow",
            "stream",
            "channel",
            "question",
            "download",
            "version",
            "because",
            "probably",
            "screenshot",
            "weekend",
            "match",
            "build",
            "through",
            "problem",
            "settings",
            "actually",
            "playing",
            "together",
            "everything",
            "guess",
            "ping",
            "moderator",
            "announcement",
            "thanks",
            "please",
            "later",
            "yesterday",
            "working",
            "patch",
            "ranked",
            "keyboard",
            "controller",
            "coffee",
            "birthday",
            "spoiler",
            "tournament",
            "\"quoted\"",
            "and/or",
            "café",
        ],
        space: " ",
        stop: ".",
        share: 64,
    },
    Language {
        words: &[
            "que",
            "de",
            "no",
            "a",
            "la",
            "el",
            "y",
            "es",
            "en",
            "lo",
            "un",
            "por",
            "qué",
            "me",
            "una",
            "te",
            "con",
            "para",
            "mañana",
            "está",
            "jajaja",
            "servidor",
            "también",
            "según",
            "¿alguien?",
            "corazón",
            "niño",
        ],
        space: " ",
        stop: " !",
        share: 9,
    },
    Language {
        words: &[
            "ich",
            "das",
            "die",
            "ist",
            "nicht",
            "und",
            "der",
            "du",
            "es",
            "zu",
            "wir",
            "mal",
            "auch",
            "schon",
            "für",
            "über",
            "könnte",
            "heute",
            "größer",
            "Straße",
            "Änderung",
            "natürlich",
            "Wochenende",
            "spielen",
        ],
        space: " ",
        stop: ".",
        share: 6,
    },
    Language {
        words: &[
            "и",
            "в",
            "не",
            "я",
            "на",
            "что",
            "ты",
            "это",
            "как",
            "а",
            "у",
            "но",
            "все",
            "так",
            "он",
            "ну",
            "уже",
            "привет",
            "сегодня",
            "играть",
            "сервер",
            "спасибо",
            "завтра",
            "обновление",
            "почему",
        ],
        space: " ",
        stop: ")",
        share: 7,
    },
    Language {
        words: &[
            "これ",
            "は",
            "です",
            "の",
            "に",
            "を",
            "今日",
            "ありがとう",
            "みんな",
            "ゲーム",
            "楽しい",
            "配信",
            "明日",
            "ちょっと",
            "待って",
            "草",
            "新しい",
            "更新",
            "お疲れ様",
            "日本語",
            "画像",
            "すごい",
        ],
        space: "",
        stop: "。",
        share: 6,
    },
    Language {
        words: &[
            "오늘",
            "진짜",
            "ㅋㅋㅋ",
            "게임",
            "나도",
            "감사합니다",
            "내일",
            "같이",
            "서버",
            "업데이트",
            "그래",
            "왜",
        ],
        space: " ",
        stop: "~",
        share: 3,
    },
    Language {
        words: &[
            "في",
            "من",
            "على",
            "يا",
            "شكرا",
            "اليوم",
            "اللعبة",
            "مرحبا",
            "غدا",
            "السيرفر",
            "والله",
            "هذا",
        ],
        space: " ",
        stop: "؟",
        share: 3,
    },
    Language {
        words: &["है", "में", "और", "नहीं", "क्या", "भाई", "आज", "खेल", "धन्यवाद", "अच्छा", "कल", "सर्वर"],
        space: " ",
        stop: "।",
        share: 2,
    },
];

/// Emoji of one code point, of several, and with modifiers.
pub(super) const EMOJI: [&str; 24] = [
    "😂",
    "❤️",
    "🔥",
    "👍",
    "😭",
    "🙏",
    "😍",
    "🎉",
    "👀",
    "💀",
    "✅",
    "❌",
    "🤔",
    "😎",
    "👋🏽",
    "🏳️‍🌈",
    "👨‍👩‍👧‍👦",
    "🇪🇺",
    "1️⃣",
    "⭐",
    "🥲",
    "🫡",
    "🐈‍⬛",
    "💜",
];

/// Texts with backslashes, quotes, line breaks and other characters that need an escape.
const SPECIAL: [&str; 8] = [
    "¯\\_(ツ)_/¯",
    "```rust\nfn main() {\n\tprintln!(\"{}\", \"hello\\n\");\n}\n```",
    "C:\\Users\\me\\Desktop\\log.txt",
    "> quoted line\n",
    "**bold** and ||spoiler||",
    "{\"op\":1,\"d\":null}",
    "`std::string s = \"\\\\\";`",
    "line one\nline two\n\nline four",
];

/// Words of one language, about `mean` of them, at least one.
pub(super) fn words(random: &mut Rng, mean: usize) -> String {
    let language = language(random);
    let mut text = String::new();
    for index in 0..around(random, mean).max(1) {
        if index > 0 {
            if random.u8(0..12) == 0 {
                text.push_str(language.stop);
            }
            text.push_str(language.space);
        }
        text.push_str(language.words[skewed(random, language.words.len())]);
    }
    text
}

/// A name of one to three words for a channel, a role or a guild.
pub(super) fn title(random: &mut Rng) -> String {
    let language = language(random);
    let words: Vec<&str> = (0..random.usize(1..4)).map(|_| pick(random, language.words)).collect();
    let name = words.join(" ");
    if chance(random, 20) { format!("{} {name}", pick(random, &EMOJI)) } else { name }
}

/// The name of a text channel: lower case, without spaces.
pub(super) fn channel_name(random: &mut Rng) -> String {
    let name = title(random).to_lowercase().replace([' ', '"', '/', '\''], "-");
    if chance(random, 25) { format!("{}│{name}", pick(random, &EMOJI)) } else { name }
}

/// A unique-looking user name of ASCII letters, digits, `_` and `.`.
pub(super) fn username(random: &mut Rng) -> String {
    const PARTS: [&str; 24] = [
        "al", "ra", "mo", "vex", "shadow", "pixel", "ki", "lu", "na", "zen", "fox", "night", "dr", "mar",
        "to", "ly", "ghost", "sky", "be", "rin", "ash", "jo", "wolf", "er",
    ];
    let mut name: String = (0..random.usize(2..4)).map(|_| pick(random, &PARTS)).collect();
    if chance(random, 25) {
        name.push(if random.bool() { '_' } else { '.' });
    }
    if chance(random, 60) {
        name.push_str(&random.u32(0..10_000).to_string());
    }
    name
}

/// A display name: any text, sometimes decorated.
pub(super) fn display_name(random: &mut Rng, username: &str) -> String {
    match random.u8(0..10) {
        0 => format!("{} {username}", pick(random, &EMOJI)),
        1 => title(random),
        2 => format!("꧁ {username} ꧂"),
        3 => format!("{username} \"{}\"", pick(random, LANGUAGES[0].words)),
        _ => username.trim_end_matches(|last: char| !last.is_alphabetic()).to_uppercase(),
    }
}

/// The content of a message: about 80 bytes on average, in a few cases more than a thousand.
pub(super) fn content(random: &mut Rng) -> String {
    let mut text = match random.u8(0..100) {
        0..5 => (0..random.usize(1..6)).map(|_| pick(random, &EMOJI)).collect(),
        5..70 => words(random, 7),
        70..95 => words(random, 16),
        95..98 => words(random, 45),
        _ => words(random, 150),
    };
    if chance(random, 14) {
        text.push(' ');
        text.push_str(pick(random, &EMOJI));
    }
    if chance(random, 6) {
        text.push(' ');
        text.push_str(pick(random, &SPECIAL));
    }
    if chance(random, 5) {
        text.push(' ');
        text.push_str(&link(random));
    }
    text
}

/// The URL of a page.
pub(super) fn link(random: &mut Rng) -> String {
    const PAGES: [&str; 5] = [
        "https://www.youtube.com/watch?v=",
        "https://tenor.com/view/reaction-gif-",
        "https://example.com/articles/2026/",
        "https://github.com/example/project/pull/",
        "https://open.spotify.com/track/",
    ];
    format!("{}{}", pick(random, &PAGES), hex(random, 11))
}

fn language(random: &mut Rng) -> &'static Language {
    let mut draw = random.u32(0..LANGUAGES.iter().map(|language| language.share).sum());
    for language in &LANGUAGES {
        if draw < language.share {
            return language;
        }
        draw -= language.share;
    }
    &LANGUAGES[0]
}
