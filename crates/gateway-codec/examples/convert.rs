//! Converts documents between JSON and ETF: `convert --from json|etf --to json|etf`.
//!
//! Input that is compressed with zlib, gzip or zstd is recognised by its first bytes. `--compress` compresses the output.
//! With `--frames` both sides are records, each a length as u32, little-endian, and a document. Bad input ends it with
//! status 2 and a line that says where.

use flate2::write::{GzEncoder, ZlibEncoder};
use gateway_codec::{Encoding, Limits, convert, http};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: convert --from json|etf --to json|etf [--compress none|zlib|gzip|zstd]
               [--in FILE] [--out FILE] [--frames] [--ids-as-text]

  --compress     of the output; what the input is compressed with is recognised
  --frames       records of a u32 little-endian length and a document, in and out
  --ids-as-text  integers beyond 2^53 become text on their way from ETF";

fn main() -> ExitCode {
    let arguments = match Arguments::parse(lexopt::Parser::from_env()) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            say(io::stdout(), USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            say(io::stderr(), &format!("convert: {error}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            say(io::stderr(), &format!("convert: {problem}"));
            ExitCode::from(2)
        }
    }
}

fn say(mut stream: impl Write, text: &str) {
    // Nobody is left to tell if that fails.
    let _ = writeln!(stream, "{text}");
}

struct Arguments {
    from: Encoding,
    to: Encoding,
    compress: Compress,
    input: Option<PathBuf>,
    output: Option<PathBuf>,
    frames: bool,
    ids_as_text: bool,
}

#[derive(Clone, Copy)]
enum Compress {
    None,
    Zlib,
    Gzip,
    Zstd,
}

impl Arguments {
    fn parse(mut parser: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::*;
        let (mut from, mut to, mut compress) = (None, None, Compress::None);
        let (mut input, mut output, mut frames, mut ids_as_text) = (None, None, false, false);
        while let Some(argument) = parser.next()? {
            match argument {
                Long("from") => from = Some(parser.value()?.parse()?),
                Long("to") => to = Some(parser.value()?.parse()?),
                Long("compress") => compress = parser.value()?.parse_with(Compress::from_name)?,
                Long("in") => input = Some(parser.value()?.into()),
                Long("out") => output = Some(parser.value()?.into()),
                Long("frames") => frames = true,
                Long("ids-as-text") => ids_as_text = true,
                Short('h') | Long("help") => return Ok(None),
                _ => return Err(argument.unexpected()),
            }
        }
        let from = from.ok_or("--from is missing, give json or etf")?;
        let to = to.ok_or("--to is missing, give json or etf")?;
        Ok(Some(Self { from, to, compress, input, output, frames, ids_as_text }))
    }
}

impl Compress {
    fn from_name(name: &str) -> Result<Self, &'static str> {
        match name {
            "none" => Ok(Compress::None),
            "zlib" => Ok(Compress::Zlib),
            "gzip" => Ok(Compress::Gzip),
            "zstd" => Ok(Compress::Zstd),
            _ => Err("unknown compression, expected none, zlib, gzip or zstd"),
        }
    }

    fn apply(self, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Compress::None => Ok(bytes),
            Compress::Zlib => {
                let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(&bytes)?;
                encoder.finish()
            }
            Compress::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(&bytes)?;
                encoder.finish()
            }
            Compress::Zstd => zstd::bulk::compress(&bytes, 0),
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let input = read(arguments).map_err(|error| format!("cannot read the input: {error}"))?;
    let output =
        if arguments.frames { convert_frames(arguments, &input)? } else { convert_one(arguments, &input)? };
    write(arguments, &output).map_err(|error| format!("cannot write the output: {error}"))
}

fn convert_frames(arguments: &Arguments, input: &[u8]) -> Result<Vec<u8>, String> {
    let mut output = Vec::with_capacity(input.len());
    let mut rest = input;
    let mut record = 0;
    while !rest.is_empty() {
        let offset = input.len() - rest.len();
        let cut = || format!("record {record} at byte {offset} of the input is cut");
        let (length, behind) = rest.split_first_chunk().ok_or_else(cut)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (document, behind) = behind.split_at_checked(length).ok_or_else(cut)?;
        let converted = convert_one(arguments, document).map_err(|problem| {
            format!("record {record}, whose document begins at byte {}: {problem}", offset + 4)
        })?;
        let length =
            u32::try_from(converted.len()).map_err(|_| format!("record {record} becomes too long"))?;
        output.extend(length.to_le_bytes());
        output.extend(converted);
        rest = behind;
        record += 1;
    }
    Ok(output)
}

fn convert_one(arguments: &Arguments, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut options = convert::Options::default();
    options.wide_integers_as_text = arguments.ids_as_text;
    let plain = http::decode_content(bytes.to_vec(), Some(recognise(bytes)), &Limits::default())
        .map_err(|error| error.to_string())?;
    let converted = convert::convert(&plain, arguments.from, arguments.to, &options)
        .map_err(|error| error.to_string())?;
    arguments.compress.apply(converted).map_err(|error| format!("cannot compress: {error}"))
}

/// What the input is compressed with; no document begins like any of these.
fn recognise(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x1f, 0x8b, ..] => "gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [0x78, ..] => "deflate",
        _ => "identity",
    }
}

fn read(arguments: &Arguments) -> io::Result<Vec<u8>> {
    match &arguments.input {
        Some(path) => std::fs::read(path),
        None => {
            let mut input = Vec::new();
            io::stdin().lock().read_to_end(&mut input)?;
            Ok(input)
        }
    }
}

fn write(arguments: &Arguments, output: &[u8]) -> io::Result<()> {
    match &arguments.output {
        Some(path) => std::fs::write(path, output),
        None => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(output)?;
            stdout.flush()
        }
    }
}
