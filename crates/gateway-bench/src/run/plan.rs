//! The heats: in each of them contenders do the same work in turn.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use gateway_codec::{Compression, Encoding};
use serde_json::Value;

use super::child::{Needs, Programs, Script, Serving, instructions_of, json_of, json_or_skip, number};
use super::results::Row;
use super::traffic::frames;
use crate::client;
use crate::decode;
use crate::mode::Mode;

/// The amount of traffic and the number of repetitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// The number of small events.
    pub events: usize,
    /// The number of GUILD_CREATEs before them.
    pub guilds: usize,
    /// The number of rounds, in each of which every contender runs once.
    pub rounds: usize,
    /// The numbers of shards for growth, and for memory after READY.
    pub shards: &'static [u32],
    /// The numbers of shards for memory after the guilds. Each shard receives all guilds.
    pub guild_shards: &'static [u32],
    /// The number of decoding passes of a contender in a round; the fastest counts.
    pub passes: u32,
    /// Whether to count instructions under valgrind instead of time, for decoding only.
    pub instructions: bool,
}

impl Sizes {
    /// The sizes of the report.
    pub const FULL: Self = Self {
        events: 200_000,
        guilds: 48,
        rounds: 5,
        shards: &[1, 10, 100, 1000],
        guild_shards: &[1, 100, 1000],
        passes: 2,
        instructions: false,
    };
    /// Enough to check that everything works.
    pub const QUICK: Self = Self {
        events: 1_000,
        guilds: 1,
        rounds: 1,
        shards: &[4],
        guild_shards: &[2],
        passes: 1,
        ..Self::FULL
    };
    /// Sizes for counting instructions, which takes some minutes.
    pub const INSTRUCTIONS: Self =
        Self { events: 10_000, guilds: 1, rounds: 1, instructions: true, ..Self::FULL };
}

/// A job in a mode, and its contenders.
#[derive(Debug, Clone)]
pub struct Heat {
    /// The job.
    pub job: String,
    /// Our mode.
    pub mode: Mode,
    contenders: Vec<Contender>,
}

#[derive(Debug, Clone)]
struct Contender {
    /// The name in tables and keys.
    label: String,
    work: Work,
}

#[derive(Debug, Clone)]
enum Work {
    /// A run of the program `decode`.
    Decode { job: decode::Job, who: decode::Who, mode: Mode, streams: u32 },
    /// A whole client against a server.
    Client { job: client::Job, who: client::Who, mode: Mode, tls: bool, scale: Scale },
    /// A whole client in another language.
    Script { script: Script, job: client::Job, mode: Mode },
}

/// The number of shards, and what they receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    /// One shard receives all events.
    One,
    /// This many shards share the events.
    Shards(u32),
    /// This many shards receive READY only.
    Ready(u32),
    /// This many shards receive READY and the guilds.
    Guilds(u32),
    /// This many shards receive READY and send a heartbeat every second, for this many seconds.
    Beating(u32, u64),
}

/// All heats in the order of the report.
pub(super) fn heats(sizes: Sizes, programs: &Programs) -> Vec<Heat> {
    let mut heats = Vec::new();
    for job in decode::Job::ALL {
        heats.extend(Mode::ALL.map(|mode| decoding(job, mode, 1)));
    }
    if sizes.instructions {
        heats.retain(|heat| !heat.contenders.is_empty());
        return heats;
    }
    let streams = [Compression::ZlibStream, Compression::ZstdStream];
    let most = sizes.shards.iter().copied().max().unwrap_or(1);
    heats
        .extend(streams.map(|compression| {
            decoding(decode::Job::Envelope, Mode::new(Encoding::Json, compression), most)
        }));
    for job in [client::Job::Raw, client::Job::SmallBot, client::Job::Typed] {
        heats.extend(Mode::ALL.map(|mode| whole(job, mode, false, programs)));
    }
    let over_tls = Mode::ALL.map(|mode| whole(client::Job::Raw, mode, true, programs));
    heats.extend(over_tls.into_iter().filter(|heat| heat.mode.encoding == Encoding::Json));
    for mode in Mode::ALL {
        for &shards in sizes.shards {
            heats.push(scaled("idle-ready", mode, client::Job::Idle, Scale::Ready(shards)));
        }
        for &shards in sizes.guild_shards {
            heats.push(scaled("idle-guilds", mode, client::Job::Idle, Scale::Guilds(shards)));
        }
    }
    let plain = Mode::new(Encoding::Json, Compression::None);
    let beating = sizes.shards.get(sizes.shards.len() / 2).map_or(1, |shards| *shards);
    heats.push(scaled("idle-cpu", plain, client::Job::Idle, Scale::Beating(beating, 10)));
    for mode in Mode::ALL.into_iter().filter(|mode| mode.encoding == Encoding::Json) {
        for &shards in sizes.shards {
            heats.push(scaled("growth", mode, client::Job::Growth, Scale::Shards(shards)));
        }
    }
    heats.retain(|heat| !heat.contenders.is_empty());
    heats
}

/// The modes of twilight and serenity that correspond to ours: JSON, and no stream compression for serenity.
fn of_peers(mode: Mode) -> (Mode, Mode) {
    let twilight = Mode::new(Encoding::Json, mode.compression);
    let serenity = match mode.compression {
        Compression::None => Compression::None,
        _ => Compression::Payload,
    };
    (twilight, Mode::new(Encoding::Json, serenity))
}

fn decoding(job: decode::Job, mode: Mode, streams: u32) -> Heat {
    use decode::Who;
    let (twilight, serenity) = of_peers(mode);
    let entries = [
        (Who::Ours, mode),
        (Who::Twilight, twilight),
        (Who::TwilightAll, twilight),
        (Who::Serenity, serenity),
        (Who::Erltf, mode),
        (Who::Bound, mode),
    ];
    let does = |who, mode| decode::contender(job, who, mode).is_some();
    let contenders = entries.into_iter().filter(|(who, mode)| does(*who, *mode)).map(|(who, mode)| {
        Contender { label: who.to_string(), work: Work::Decode { job, who, mode, streams } }
    });
    let name = if streams == 1 { job.to_string() } else { format!("{job}-of-{streams}") };
    Heat { job: name, mode, contenders: contenders.collect() }
}

fn whole(job: client::Job, mode: Mode, tls: bool, programs: &Programs) -> Heat {
    let mut contenders = clients(job, mode, tls, Scale::One);
    let scripts = [
        ("python", "discord_gateway_client.py", Needs::Module("discord_gateway")),
        ("discord.py", "discord_py.py", Needs::Module("discord")),
        ("discordjs", "discordjs_ws.mjs", Needs::Package("@discordjs/ws")),
    ];
    for (label, file, needs) in scripts {
        let is_json = mode.encoding == Encoding::Json;
        let speaks = match label {
            "discord.py" => is_json && mode.compression == Compression::ZstdStream,
            "discordjs" => is_json && mode.compression != Compression::Payload,
            _ => matches!(mode.compression, Compression::None | Compression::ZlibStream),
        };
        let script = Script { file, needs };
        if speaks && !tls && job != client::Job::Typed && programs.script(script).is_some() {
            contenders.push(Contender { label: label.to_owned(), work: Work::Script { script, job, mode } });
        }
    }
    let tls = if tls { "-tls" } else { "" };
    Heat { job: format!("end-to-end-{job}{tls}"), mode, contenders }
}

fn scaled(name: &str, mode: Mode, job: client::Job, scale: Scale) -> Heat {
    let mut contenders = clients(job, mode, false, scale);
    // Our runtimes use the same memory, so one stands for all.
    contenders.retain(|contender| matches!(contender.label.as_str(), "ours" | "twilight"));
    let shards = match scale {
        Scale::One => 1,
        Scale::Shards(shards) | Scale::Ready(shards) | Scale::Guilds(shards) | Scale::Beating(shards, _) => {
            shards
        }
    };
    Heat { job: format!("{name}-{shards}"), mode, contenders }
}

fn clients(job: client::Job, mode: Mode, tls: bool, scale: Scale) -> Vec<Contender> {
    use client::Who;
    let (twilight, serenity) = of_peers(mode);
    let speaks = |who: Who| match who {
        Who::Twilight => (mode.compression != Compression::Payload).then_some(twilight),
        Who::Serenity => (!tls && scale == Scale::One && job != client::Job::Raw).then_some(serenity),
        Who::Blocking => (scale == Scale::One).then_some(mode),
        Who::Bound => {
            let is_bound = !tls && scale == Scale::One && job == client::Job::Raw;
            let has_bound = mode.encoding == Encoding::Json && mode.compression != Compression::Payload;
            (is_bound && has_bound).then_some(mode)
        }
        _ => Some(mode),
    };
    let entries = Who::ALL.into_iter().filter_map(|who| Some((who, speaks(who)?)));
    let peers = cfg!(feature = "peers");
    let entries = entries.filter(|(who, _)| peers || !matches!(who, Who::Twilight | Who::Serenity));
    let entries = entries.filter(|_| peers || job != client::Job::Typed);
    let contenders = entries.map(|(who, mode)| Contender {
        label: if who == Who::Tokio { "ours".to_owned() } else { who.to_string() },
        work: Work::Client { job, who, mode, tls, scale },
    });
    contenders.collect()
}

impl Heat {
    /// `JOB/MODE`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.job, self.mode)
    }

    /// Runs every contender once in every round.
    pub(super) fn run(
        &self,
        programs: &Programs,
        folder: &Path,
        sizes: Sizes,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Vec<Row>, String> {
        let mut measured: Vec<BTreeMap<String, Vec<f64>>> = vec![BTreeMap::new(); self.contenders.len()];
        let mut seen: Vec<Option<Value>> = vec![None; self.contenders.len()];
        let rounds = if self.is_steady() { 1 } else { sizes.rounds };
        for round in 0..rounds {
            for (index, contender) in self.contenders.iter().enumerate() {
                tell(&format!("round {} of {rounds}: {}", round + 1, contender.label));
                let Some(said) = contender.run(programs, folder, sizes)? else {
                    tell(&format!("{} lacks what it needs", contender.label));
                    continue;
                };
                for (metric, value) in contender.metrics(&said)? {
                    measured[index].entry(metric.to_owned()).or_default().push(value);
                }
                seen[index] = Some(contender.seen(&said));
            }
        }
        self.check(&seen)?;
        for (index, contender) in self.contenders.iter().enumerate() {
            if let Work::Decode { job, who, mode, streams: 1 } = contender.work
                && who != decode::Who::Bound
            {
                let mut command = decode_command(programs, "allocations", folder, sizes, (job, who, mode))?;
                let said = json_of(&mut command)?;
                for (metric, field) in [("allocations", "allocations"), ("allocated bytes", "bytes")] {
                    measured[index].entry(metric.to_owned()).or_default().push(number(&said, field)?);
                }
            }
        }
        let rows = self
            .contenders
            .iter()
            .zip(measured)
            // A contender whose dependency is missing has no values.
            .filter(|(_, values)| !values.is_empty())
            .map(|(contender, values)| Row { who: contender.label.clone(), values });
        Ok(rows.collect())
    }

    /// Whether one round suffices. Memory after the guilds varies between rounds, unless there are many shards.
    fn is_steady(&self) -> bool {
        self.contenders.iter().all(|contender| match contender.work {
            Work::Client { scale: Scale::Guilds(shards), .. } => shards >= 1000,
            Work::Client { scale: Scale::Ready(_) | Scale::Beating(..), .. } => true,
            _ => false,
        })
    }

    /// Checks that all contenders that did the same work received the same events.
    fn check(&self, seen: &[Option<Value>]) -> Result<(), String> {
        let mut first: Option<(&str, &Value)> = None;
        for (contender, seen) in self.contenders.iter().zip(seen) {
            let Some(seen) = seen.as_ref().filter(|seen| !seen.is_null()) else { continue };
            match first {
                None => first = Some((&contender.label, seen)),
                Some((_, other)) if other == seen => {}
                Some((label, other)) => {
                    return Err(format!(
                        "{}: {} has seen {seen}, and {label} has seen {other}",
                        self.name(),
                        contender.label
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Contender {
    /// The output of the contender. `None` if its dependency is missing.
    fn run(&self, programs: &Programs, folder: &Path, mut sizes: Sizes) -> Result<Option<Value>, String> {
        if let Work::Client { scale: Scale::Shards(_), .. } = self.work {
            // A thousand shards would spend most of the time on guilds.
            sizes.guilds = 1;
        }
        match self.work {
            Work::Decode { job, who, mode, streams } => {
                if streams > 1 {
                    // Each stream decodes all messages.
                    (sizes.guilds, sizes.events) = (1, sizes.events.min(1000));
                }
                let mut command = decode_command(programs, "decode", folder, sizes, (job, who, mode))?;
                command.args(["--streams", &streams.to_string()]);
                if !sizes.instructions {
                    return json_of(command.args(["--passes", &sizes.passes.to_string()])).map(Some);
                }
                let count = instructions_of(&command)?;
                let mut said = json_of(command.args(["--passes", "1"]))?;
                said["instructions"] = (count / number(&said, "messages")?).into();
                Ok(Some(said))
            }
            Work::Client { job, who, mode, tls, scale } => {
                let root = folder.join("root.pem");
                let mut serve = serve_command(programs, folder, sizes, mode, scale)?;
                if tls {
                    serve.arg("--tls").arg(&root);
                }
                let server = Serving::start(&mut serve)?;
                let url = match tls {
                    true => format!("wss://localhost:{}", server.port),
                    false => format!("ws://127.0.0.1:{}", server.port),
                };
                let mut client = programs.client(who, mode);
                client.args([
                    "--who",
                    &who.to_string(),
                    "--job",
                    &job.to_string(),
                    "--mode",
                    &mode.to_string(),
                ]);
                client.args(["--url", &url]);
                if tls {
                    client.arg("--ca").arg(&root).env("SSL_CERT_FILE", &root);
                }
                json_of(client.args(scale.client_arguments(sizes))).map(Some)
            }
            Work::Script { script, job, mode } => {
                let server = Serving::start(&mut serve_command(programs, folder, sizes, mode, Scale::One)?)?;
                let Some(mut command) = programs.script(script) else { return Ok(None) };
                command.args(["--job", &job.to_string(), "--mode", &mode.to_string()]);
                command.args(["--url", &format!("ws://127.0.0.1:{}", server.port)]);
                json_or_skip(command.args(Scale::One.client_arguments(sizes)))
            }
        }
    }

    /// The figures in a contender's output. Ratios are computed of the first.
    fn metrics(&self, said: &Value) -> Result<Vec<(&'static str, f64)>, String> {
        let field = |name| number(said, name);
        Ok(match &self.work {
            Work::Decode { .. } if !said["instructions"].is_null() => {
                vec![("instructions a message", field("instructions")?)]
            }
            Work::Decode { .. } => vec![("ns a message", field("ns")?)],
            Work::Client { scale: Scale::Ready(_) | Scale::Guilds(_), .. } => {
                vec![
                    ("KiB a shard", field("bytes_per_shard")? / 1024.0),
                    ("peak KiB", field("peak_bytes")? / 1024.0),
                ]
            }
            Work::Client { scale: Scale::Beating(shards, seconds), .. } => {
                // One heartbeat per second here; one in 41.25 s with the real gateway.
                let beats = f64::from(*shards) * *seconds as f64;
                vec![("CPU ms a shard-hour", field("cpu_seconds")? / beats * 3600.0 / 41.25 * 1e3)]
            }
            Work::Client { .. } | Work::Script { .. } => {
                let events = field("events")?;
                vec![
                    ("CPU us an event", field("cpu_seconds")? / events * 1e6),
                    ("wall us an event", field("wall_seconds")? / events * 1e6),
                    ("peak KiB", field("peak_bytes")? / 1024.0),
                ]
            }
        })
    }

    /// The part of the output that must be equal for all contenders.
    fn seen(&self, said: &Value) -> Value {
        match &self.work {
            Work::Decode { .. } => said["messages"].clone(),
            Work::Client { scale: Scale::One, .. } | Work::Script { .. } => said["events"].clone(),
            Work::Client { .. } => Value::Null,
        }
    }
}

impl Scale {
    fn client_arguments(self, sizes: Sizes) -> Vec<String> {
        let (guilds, events, shards, seconds) = match self {
            Self::One => (sizes.guilds, sizes.events, 1, 0),
            Self::Shards(shards) => (sizes.guilds, events_for(sizes, shards), shards, 0),
            Self::Ready(shards) => (0, 0, shards, 0),
            Self::Guilds(shards) => (sizes.guilds, 0, shards, 0),
            Self::Beating(shards, seconds) => (0, 0, shards, seconds),
        };
        let mut arguments = Vec::new();
        for (name, value) in [
            ("--guilds", guilds),
            ("--events", events),
            ("--shards", shards as usize),
            ("--seconds", seconds as usize),
        ] {
            if value > 0 {
                arguments.extend([name.to_owned(), value.to_string()]);
            }
        }
        arguments
    }
}

/// The same number of events for each shard.
fn events_for(sizes: Sizes, shards: u32) -> usize {
    sizes.events / shards as usize * shards as usize
}

fn decode_command(
    programs: &Programs,
    name: &str,
    folder: &Path,
    sizes: Sizes,
    (job, who, mode): (decode::Job, decode::Who, Mode),
) -> Result<Command, String> {
    let mut command = programs.program(name);
    command.args(["--job", &job.to_string(), "--who", &who.to_string(), "--mode", &mode.to_string()]);
    command.arg("--frames").arg(frames(folder, sizes, mode)?);
    Ok(command)
}

fn serve_command(
    programs: &Programs,
    folder: &Path,
    sizes: Sizes,
    mode: Mode,
    scale: Scale,
) -> Result<Command, String> {
    let mut serve = programs.program("serve");
    serve.arg("--frames").arg(format!("{mode}={}", frames(folder, sizes, mode)?.display()));
    serve.args(["--guilds", &sizes.guilds.to_string()]);
    if mode.compression == Compression::Payload {
        serve.arg("--payload");
    }
    match scale {
        Scale::One => serve.args(["--events", &sizes.events.to_string()]),
        Scale::Shards(shards) => {
            let events = events_for(sizes, shards).to_string();
            serve.args(["--shards", &shards.to_string(), "--burst", "50", "--events", &events])
        }
        Scale::Ready(shards) => serve.args(["--ready-only", "--shards", &shards.to_string()]),
        Scale::Guilds(shards) => serve.args(["--guilds-only", "--shards", &shards.to_string()]),
        Scale::Beating(shards, _) => {
            serve.args(["--ready-only", "--heartbeat", "1000", "--shards", &shards.to_string()])
        }
    };
    Ok(serve)
}
