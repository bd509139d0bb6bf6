//! The questions on the report's first page, and their figures.

use super::results::{Measured, Results};

/// Ratios this close to 1 count as equal.
pub(super) const NOISE: f64 = 0.02;

/// Other clients, by their names in the results.
pub(super) const PEERS: [&str; 6] =
    ["twilight", "twilight-all", "serenity", "discordjs", "python", "discord.py"];

/// One question, with one chart.
#[derive(Debug)]
pub(super) struct Question {
    /// The name of the chart's file, without `.svg`.
    pub(super) file: &'static str,
    /// The question.
    pub(super) title: &'static str,
    /// How it was measured.
    pub(super) method: &'static str,
    figure: &'static Figure,
    /// A description of the comparison, if it is not the cost in the tables.
    beside_the_tables: Option<&'static str>,
    /// The name of our client in the chart.
    ours: &'static str,
    /// The contenders of the chart, by their names in the results.
    contenders: &'static [&'static str],
    /// The groups of the chart: title, job and mode.
    heats: &'static [(&'static str, &'static str, &'static str)],
}

/// A measured figure, and the unit in which a chart shows it.
#[derive(Debug)]
struct Figure {
    /// The name in the results.
    name: &'static str,
    unit: &'static str,
    /// The factor from the measured value to the charted one.
    scale: f64,
}

const NS_AN_EVENT: Figure =
    Figure { name: "CPU us an event", unit: "ns of processor time an event", scale: 1e3 };
const NS_A_MESSAGE: Figure = Figure { name: "ns a message", unit: "ns a message", scale: 1.0 };
const KIB_A_SHARD: Figure = Figure { name: "KiB a shard", unit: "KiB a shard", scale: 1.0 };
const PEAK: Figure = Figure { name: "peak KiB", unit: "MiB of a process, at most", scale: 1.0 / 1024.0 };

const TOKIO: &str = "gateway-tokio";

/// All questions. The page orders them by answer, the worst for our client first.
pub(super) const QUESTIONS: [Question; 11] = [
    Question {
        file: "clients",
        title: "What does an event cost a whole bot?",
        method: "One shard over loopback reads three fields of every MESSAGE_CREATE.",
        figure: &NS_AN_EVENT,
        beside_the_tables: None,
        ours: TOKIO,
        contenders: &["ours", "twilight", "discordjs", "serenity", "python"],
        heats: &[
            ("JSON", "end-to-end-small-bot", "json-plain"),
            ("JSON, zlib-stream", "end-to-end-small-bot", "json-zlib"),
            ("JSON, zstd-stream", "end-to-end-small-bot", "json-zstd"),
        ],
    },
    Question {
        file: "undecoded",
        title: "What does an event cost that is passed on undecoded?",
        method: "One shard over loopback hands out each event without decoding it. @discordjs/ws and discord-gateway decode \
                 all the same. The lower bound reads, finds the messages and inflates or copies them.",
        figure: &NS_AN_EVENT,
        beside_the_tables: None,
        ours: TOKIO,
        contenders: &["bound", "ours", "twilight", "discordjs", "python"],
        heats: &[
            ("JSON", "end-to-end-raw", "json-plain"),
            ("JSON, zlib-stream", "end-to-end-raw", "json-zlib"),
            ("JSON, zstd-stream", "end-to-end-raw", "json-zstd"),
        ],
    },
    Question {
        file: "etf",
        title: "Is ETF worth it?",
        method: "One shard over loopback reads three fields of every MESSAGE_CREATE in ETF. twilight has no ETF and speaks JSON with the same \
                 compression.",
        figure: &NS_AN_EVENT,
        beside_the_tables: None,
        ours: TOKIO,
        contenders: &["ours", "twilight"],
        heats: &[
            ("ETF", "end-to-end-small-bot", "etf-plain"),
            ("ETF, zlib-stream", "end-to-end-small-bot", "etf-zlib"),
            ("ETF, zstd-stream", "end-to-end-small-bot", "etf-zstd"),
        ],
    },
    Question {
        file: "typed",
        title: "What does a fully decoded event cost?",
        method: "One shard over loopback decodes every event: ours and twilight into the types of twilight-model, serenity \
                 into its own.",
        figure: &NS_AN_EVENT,
        beside_the_tables: None,
        ours: TOKIO,
        contenders: &["ours", "twilight", "serenity"],
        heats: &[
            ("JSON", "end-to-end-typed", "json-plain"),
            ("JSON, zlib-stream", "end-to-end-typed", "json-zlib"),
            ("JSON, zstd-stream", "end-to-end-typed", "json-zstd"),
        ],
    },
    Question {
        file: "decoding",
        title: "What does decoding cost, without a socket?",
        method: "Three fields of every MESSAGE_CREATE. twilight decodes MESSAGE_CREATE alone, or every event.",
        figure: &NS_A_MESSAGE,
        beside_the_tables: None,
        ours: "gateway-codec",
        contenders: &["ours", "twilight", "twilight-all", "serenity"],
        heats: &[
            ("JSON", "small-bot", "json-plain"),
            ("JSON, zlib-stream", "small-bot", "json-zlib"),
            ("JSON, zstd-stream", "small-bot", "json-zstd"),
        ],
    },
    Question {
        file: "shards",
        title: "What does an event cost with many shards?",
        method: "The same number of undecoded events, spread over the shards of one thread.",
        figure: &NS_AN_EVENT,
        beside_the_tables: None,
        ours: TOKIO,
        contenders: &["ours", "twilight"],
        heats: &[
            ("JSON, 1 shard", "growth-1", "json-plain"),
            ("JSON, 1000 shards", "growth-1000", "json-plain"),
            ("JSON, zlib-stream, 1 shard", "growth-1", "json-zlib"),
            ("JSON, zlib-stream, 1000 shards", "growth-1000", "json-zlib"),
            ("JSON, zstd-stream, 1 shard", "growth-1", "json-zstd"),
            ("JSON, zstd-stream, 1000 shards", "growth-1000", "json-zstd"),
        ],
    },
    Question {
        file: "memory-ready",
        title: "How much memory does an idle shard keep after READY?",
        method: "1000 shards in one process, before any guild.",
        figure: &KIB_A_SHARD,
        beside_the_tables: None,
        ours: TOKIO,
        contenders: &["ours", "twilight"],
        heats: &[
            ("JSON", "idle-ready-1000", "json-plain"),
            ("JSON, zlib-stream", "idle-ready-1000", "json-zlib"),
            ("JSON, zstd-stream", "idle-ready-1000", "json-zstd"),
        ],
    },
    Question {
        file: "memory-guilds",
        title: "How much memory does an idle shard keep after its guilds?",
        method: "100 and 1000 shards in one process, after 48 guilds each. What a process keeps is what glibc's heap does not \
                 give back, and differs from run to run.",
        figure: &KIB_A_SHARD,
        beside_the_tables: None,
        ours: TOKIO,
        contenders: &["ours", "twilight"],
        heats: &[
            ("JSON, 100 shards", "idle-guilds-100", "json-plain"),
            ("JSON, 1000 shards", "idle-guilds-1000", "json-plain"),
            ("JSON, zlib-stream, 100 shards", "idle-guilds-100", "json-zlib"),
            ("JSON, zlib-stream, 1000 shards", "idle-guilds-1000", "json-zlib"),
            ("JSON, zstd-stream, 100 shards", "idle-guilds-100", "json-zstd"),
            ("JSON, zstd-stream, 1000 shards", "idle-guilds-1000", "json-zstd"),
        ],
    },
    Question {
        file: "peak",
        title: "How much memory does a bot with one shard need at most?",
        method: "One shard over loopback reads three fields of every MESSAGE_CREATE; runtime and program are included. Ours reads ahead into a buffer of \
                 512 KiB a thread, and our contender has three runtimes compiled in.",
        figure: &PEAK,
        beside_the_tables: Some("peak memory of a bot with one shard"),
        ours: TOKIO,
        contenders: &["ours", "twilight", "serenity", "discordjs", "python"],
        heats: &[
            ("JSON", "end-to-end-small-bot", "json-plain"),
            ("JSON, zlib-stream", "end-to-end-small-bot", "json-zlib"),
            ("JSON, zstd-stream", "end-to-end-small-bot", "json-zstd"),
        ],
    },
    Question {
        file: "idle-peak",
        title: "How much memory does a process with one idle shard need at most?",
        method: "One shard after READY, before any guild; runtime and program are included.",
        figure: &PEAK,
        beside_the_tables: Some("peak memory of an idle process with one shard"),
        ours: TOKIO,
        contenders: &["ours", "twilight"],
        heats: &[
            ("JSON", "idle-ready-1", "json-plain"),
            ("JSON, zlib-stream", "idle-ready-1", "json-zlib"),
            ("JSON, zstd-stream", "idle-ready-1", "json-zstd"),
        ],
    },
    Question {
        file: "runtimes",
        title: "Does the runtime matter?",
        method: "One shard over loopback reads three fields of every MESSAGE_CREATE, on each of our runtimes, and on a blocking socket \
                 without one.",
        figure: &NS_AN_EVENT,
        beside_the_tables: None,
        ours: TOKIO,
        contenders: &["ours", "smol", "async-std", "blocking"],
        heats: &[
            ("JSON", "end-to-end-small-bot", "json-plain"),
            ("JSON, zlib-stream", "end-to-end-small-bot", "json-zlib"),
            ("JSON, zstd-stream", "end-to-end-small-bot", "json-zstd"),
        ],
    },
];

/// A question and its figures.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) question: &'static Question,
    pub(super) groups: Vec<Group>,
}

/// The values of the contenders in one heat.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) title: &'static str,
    mode: &'static str,
    pub(super) bars: Vec<Bar>,
}

/// The value of one contender.
#[derive(Debug)]
pub(super) struct Bar {
    /// The name in the results.
    pub(super) who: &'static str,
    /// The name for readers.
    pub(super) name: String,
    /// In the unit of the question. `None` if it was not measured, usually because the contender has no such mode.
    pub(super) value: Option<f64>,
}

impl Answer {
    /// The figures for a question. `None` if our client has none of them.
    fn of(question: &'static Question, results: &Results) -> Option<Self> {
        let groups: Vec<Group> = question
            .heats
            .iter()
            .filter_map(|(title, job, mode)| {
                let heat = results.heats.iter().find(|heat| heat.job == *job && heat.mode == *mode)?;
                let bars = question.contenders.iter().map(|who| question.bar(who, heat));
                let group = Group { title, mode, bars: bars.collect() };
                group.ours().is_some().then_some(group)
            })
            .collect();
        (!groups.is_empty()).then_some(Self { question, groups })
    }

    /// The lowest ratio of another client.
    fn worst(&self) -> f64 {
        let ratios = self.groups.iter().flat_map(Group::ratios);
        let peers = ratios.filter(|(bar, _)| PEERS.contains(&bar.who));
        peers.map(|(_, ratio)| ratio).fold(f64::INFINITY, f64::min)
    }

    /// The unit of all values.
    pub(super) fn unit(&self) -> &'static str {
        self.question.figure.unit
    }
}

impl Group {
    fn ours(&self) -> Option<f64> {
        self.bars.iter().find(|bar| bar.who == "ours")?.value
    }

    /// Every other contender with a value, and that value divided by ours.
    pub(super) fn ratios(&self) -> impl Iterator<Item = (&Bar, f64)> {
        let ours = self.ours().filter(|ours| *ours > 0.0);
        let others = self.bars.iter().filter(|bar| bar.who != "ours");
        others.filter_map(move |bar| Some((bar, bar.value? / ours?)))
    }
}

impl Question {
    fn bar(&self, who: &'static str, heat: &Measured) -> Bar {
        let row = heat.rows.iter().find(|row| row.who == who);
        let value = row.and_then(|row| row.median(self.figure.name)).map(|value| value * self.figure.scale);
        let name = match who {
            "ours" => self.ours.to_owned(),
            who => client_name(who, &heat.mode),
        };
        Bar { who, name, value }
    }
}

/// A contender's name for readers, with its mode if that is not the heat's.
pub(super) fn client_name(who: &str, mode: &str) -> String {
    let name = match who {
        "bound" => "lower bound",
        "twilight" if mode.starts_with("etf") => "twilight (in JSON)",
        "twilight-all" => "twilight (every event)",
        "serenity" if !mode.ends_with("plain") => "serenity (payload compression)",
        "discordjs" => "@discordjs/ws",
        "python" => "discord-gateway (Python)",
        "smol" => "gateway-smol",
        "async-std" => "gateway-async-std",
        "blocking" => "raw::Connection (blocking)",
        other => other,
    };
    name.to_owned()
}

/// All answers with figures, the worst for our client first.
pub(super) fn answers(results: &Results) -> Vec<Answer> {
    let mut answers: Vec<Answer> =
        QUESTIONS.iter().filter_map(|question| Answer::of(question, results)).collect();
    answers.sort_by(|a, b| a.worst().total_cmp(&b.worst()));
    answers
}

/// A comparison in which our client costs more.
#[derive(Debug)]
pub(super) struct Loss {
    /// The compared cost.
    pub(super) what: String,
    /// The other client.
    pub(super) client: String,
    /// The other client's cost divided by ours, below 1.
    pub(super) ratio: f64,
}

/// The comparison of our client with other clients: each cost in the tables, and each memory peak on the first page.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// The worst first.
    pub(super) losses: Vec<Loss>,
    pub(super) draws: usize,
    pub(super) wins: usize,
}

/// Compares our client with other clients.
pub(super) fn compare(results: &Results) -> Comparison {
    let mut comparison = Comparison::default();
    for heat in &results.heats {
        for (who, ratio) in heat.ratios() {
            let what = format!("{}, {}", job_in_words(&heat.job), mode_in_words(&heat.mode));
            comparison.add(&who, &heat.mode, what, ratio);
        }
    }
    for answer in answers(results) {
        let Some(what) = answer.question.beside_the_tables else { continue };
        for group in &answer.groups {
            for (bar, ratio) in group.ratios() {
                comparison.add(bar.who, group.mode, format!("{what}, {}", group.title), ratio);
            }
        }
    }
    comparison.losses.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
    comparison
}

impl Comparison {
    fn add(&mut self, who: &str, mode: &str, what: String, ratio: f64) {
        if !PEERS.contains(&who) {
            return;
        }
        if (ratio - 1.0).abs() <= NOISE {
            self.draws += 1;
        } else if ratio > 1.0 {
            self.wins += 1;
        } else {
            self.losses.push(Loss { what, client: client_name(who, mode), ratio });
        }
    }
}

/// A job as part of a sentence.
fn job_in_words(job: &str) -> String {
    let shards = job.rsplit('-').next().filter(|shards| shards.parse::<u32>().is_ok());
    let work = match job.trim_end_matches(|end: char| end.is_ascii_digit()).trim_end_matches('-') {
        "envelope" => "reading envelopes",
        "envelope-of" => "reading envelopes of many streams by turns",
        "small-bot" => "decoding three fields",
        "typed" => "decoding every event",
        "machine" => "the state machine",
        "end-to-end-raw" => "an undecoded event",
        "end-to-end-raw-tls" => "an undecoded event over TLS",
        "end-to-end-small-bot" => "three fields of an event",
        "end-to-end-typed" => "a fully decoded event",
        "idle-ready" => "memory of a shard after READY",
        "idle-guilds" => "memory of a shard after its guilds",
        "idle-cpu" => "processor time of an idle shard",
        "growth" => "an undecoded event",
        other => other,
    };
    match shards {
        Some("1") => format!("{work}, 1 shard"),
        Some(shards) => format!("{work}, {shards} shards"),
        None => work.to_owned(),
    }
}

fn mode_in_words(mode: &str) -> String {
    let (encoding, compression) = mode.split_once('-').unwrap_or((mode, "plain"));
    let encoding = encoding.to_uppercase();
    match compression {
        "plain" => encoding,
        "payload" => format!("{encoding}, payload compression"),
        stream => format!("{encoding}, {stream}-stream"),
    }
}

/// The ratio of another contender's cost to ours, in words.
pub(super) fn in_words(ratio: f64) -> String {
    match ratio {
        ratio if (ratio - 1.0).abs() <= NOISE => "the same".to_owned(),
        ratio if ratio < 1.0 => format!("{:.0} % less", (1.0 - ratio) * 100.0),
        ratio if ratio < 1.5 => format!("{:.0} % more", (ratio - 1.0) * 100.0),
        ratio if ratio < 9.95 => format!("{ratio:.1} times as much"),
        ratio => format!("{ratio:.0} times as much"),
    }
}
