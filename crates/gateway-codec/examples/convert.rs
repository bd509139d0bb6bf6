//! Converts documents between JSON and ETF: `convert --from json|etf --to json|etf`.
//!
//! Input in zlib, gzip or zstd is recognised by its first bytes. `--compress` compresses the output. With `--frames` input and
//! output are records: a length of 32 bits in little-endian order, then a document. Each record is written before the next
//! one is read. Bad input ends the program with status 2 and a line with the position. The output before it may have been
//! written; with `--frames` it has been.

use flate2::write::{GzEncoder, ZlibEncoder};
use gateway_codec::{DocumentLimits, Encoding, convert, http, is_zlib, json};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: convert --from json|etf --to json|etf [--compress none|zlib|gzip|zstd]
               [--in FILE] [--out FILE] [--frames] [--ids-as-text]

  --compress     of the output; what the input is compressed with is recognised
  --frames       records of a u32 little-endian length and a document, in and out
  --ids-as-text  integers beyond 2^53 become text on their way from ETF
  -h, --help     this text
  -V, --version  the version";

const VERSION: &str = concat!("convert ", env!("CARGO_PKG_VERSION"));

fn main() -> ExitCode {
    let arguments = match Arguments::parse(lexopt::Parser::from_env()) {
        Ok(Asked::Run(arguments)) => arguments,
        Ok(Asked::Text(text)) => {
            say(io::stdout(), text);
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
    // There is no other stream to report a failure to.
    let _ = writeln!(stream, "{text}");
}

/// The request of a command line.
enum Asked {
    Run(Arguments),
    /// Print this text.
    Text(&'static str),
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
    fn parse(mut parser: lexopt::Parser) -> Result<Asked, lexopt::Error> {
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
                Short('h') | Long("help") => return Ok(Asked::Text(USAGE)),
                Short('V') | Long("version") => return Ok(Asked::Text(VERSION)),
                _ => return Err(argument.unexpected()),
            }
        }
        let from = from.ok_or("--from is missing, give json or etf")?;
        let to = to.ok_or("--to is missing, give json or etf")?;
        Ok(Asked::Run(Self { from, to, compress, input, output, frames, ids_as_text }))
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
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let input: Box<dyn Read> = match &arguments.input {
        Some(path) => Box::new(File::open(path).map_err(|error| reading(&error))?),
        None => Box::new(io::stdin().lock()),
    };
    let output: Box<dyn Write> = match &arguments.output {
        Some(path) => Box::new(File::create(path).map_err(|error| writing(&error))?),
        None => Box::new(io::stdout().lock()),
    };
    let (mut input, mut output) = (BufReader::new(input), BufWriter::new(output));
    if arguments.frames {
        return convert_frames(arguments, &mut input, &mut output);
    }
    let mut document = Vec::new();
    // One byte more than the limit, so that the converter rejects a longer input.
    let allowed = DocumentLimits::default().input as u64 + 1;
    input.take(allowed).read_to_end(&mut document).map_err(|error| reading(&error))?;
    convert_one(arguments, &document, &mut output)?;
    output.flush().map_err(|error| writing(&error))
}

fn convert_frames(
    arguments: &Arguments,
    input: &mut impl Read,
    output: &mut impl Write,
) -> Result<(), String> {
    let (mut offset, mut document, mut converted) = (0, Vec::new(), Vec::new());
    for record in 0_u64.. {
        let cut = || format!("record {record} at byte {offset} of the input is cut");
        let mut length = [0; 4];
        match read_up_to(input, &mut length).map_err(|error| reading(&error))? {
            0 => break,
            4 => {}
            _ => return Err(cut()),
        }
        let length = u64::from(u32::from_le_bytes(length));
        let place =
            |problem| format!("record {record}, whose document begins at byte {}: {problem}", offset + 4);
        if length > DocumentLimits::default().input as u64 {
            return Err(place("the document is too long".to_owned()));
        }
        document.clear();
        input.take(length).read_to_end(&mut document).map_err(|error| reading(&error))?;
        if (document.len() as u64) < length {
            return Err(cut());
        }
        converted.clear();
        convert_one(arguments, &document, &mut converted).map_err(place)?;
        let converted_length =
            u32::try_from(converted.len()).map_err(|_| format!("record {record} becomes too long"))?;
        output
            .write_all(&converted_length.to_le_bytes())
            .and_then(|()| output.write_all(&converted))
            .and_then(|()| output.flush())
            .map_err(|error| writing(&error))?;
        offset += 4 + length;
    }
    Ok(())
}

/// Fills the buffer unless the input ends. Returns the number of bytes read.
fn read_up_to(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn convert_one(arguments: &Arguments, bytes: &[u8], mut writer: impl Write) -> Result<(), String> {
    let mut options = convert::Options::default();
    options.wide_integers_as_text = arguments.ids_as_text;
    let plain = http::decode_content(bytes.to_vec(), Some(recognise(bytes, arguments.from)), &options.limits)
        .map_err(|error| error.to_string())?;
    let into = |writer: &mut dyn Write| {
        convert::convert_to(&plain, arguments.from, arguments.to, &options, writer)
            .map_err(|error| error.io_error().map_or_else(|| error.to_string(), writing))
    };
    match arguments.compress {
        Compress::None => into(&mut writer),
        Compress::Zlib => {
            let mut encoder = ZlibEncoder::new(writer, flate2::Compression::default());
            into(&mut encoder)?;
            encoder.finish().map(drop).map_err(|error| writing(&error))
        }
        Compress::Gzip => {
            let mut encoder = GzEncoder::new(writer, flate2::Compression::default());
            into(&mut encoder)?;
            encoder.finish().map(drop).map_err(|error| writing(&error))
        }
        Compress::Zstd => {
            let mut encoder = zstd::stream::Encoder::new(writer, 0).map_err(|error| writing(&error))?;
            into(&mut encoder)?;
            encoder.finish().map(drop).map_err(|error| writing(&error))
        }
    }
}

fn reading(error: &io::Error) -> String {
    format!("cannot read the input: {error}")
}

fn writing(error: &io::Error) -> String {
    format!("cannot write the output: {error}")
}

/// The compression of the input. Of all documents only a number in JSON can begin like a compressed input, as `80` does.
fn recognise(bytes: &[u8], encoding: Encoding) -> &'static str {
    match bytes {
        [0x1f, 0x8b, ..] => "gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        _ if !is_zlib(bytes) => "identity",
        _ if encoding == Encoding::Json && json::check_structure(bytes).is_ok() => "identity",
        _ => "deflate",
    }
}
