//! The codec alone, without a gateway: requests `GET /gateway/bot` for the number of shards, and decodes the answer.
//!
//! Against the simulator: `cargo run --example rest -- http://127.0.0.1:PORT/api/v10 TOKEN`.

use std::process::ExitCode;

use gateway_codec::DocumentLimits;
use gateway_codec::http::decode_body;
use gateway_examples::options::is_answered;
use serde::Deserialize;

const HELP: &str = "\
Asks GET /gateway/bot how many shards to start.

Usage: rest http://HOST:PORT/api/v10 TOKEN

  -h, --help     this text
  -V, --version  the version
";

/// The required fields of the answer
/// ([Discord Docs, Gateway > Get Gateway Bot](https://discord.com/developers/docs/events/gateway#get-gateway-bot)).
#[derive(Debug, Deserialize)]
pub(crate) struct GatewayBot {
    pub(crate) url: String,
    pub(crate) shards: u32,
    pub(crate) session_start_limit: SessionStartLimit,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SessionStartLimit {
    total: u32,
    remaining: u32,
    pub(crate) max_concurrency: u32,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]
fn main() -> ExitCode {
    if is_answered(HELP) {
        return ExitCode::SUCCESS;
    }
    let mut arguments = std::env::args().skip(1);
    let (Some(base), Some(token)) = (arguments.next(), arguments.next()) else {
        eprint!("{HELP}");
        return ExitCode::from(2);
    };
    match gateway_bot(&base, &token) {
        Ok(answer) => {
            println!("connect to {} with {} shards", answer.url, answer.shards);
            let limit = answer.session_start_limit;
            println!(
                "{} of {} session starts are left, {} at a time",
                limit.remaining, limit.total, limit.max_concurrency
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn gateway_bot(base: &str, token: &str) -> Result<GatewayBot, Box<dyn std::error::Error>> {
    let limits = DocumentLimits::default();
    let mut response = ureq::get(format!("{base}/gateway/bot"))
        .header("Authorization", format!("Bot {token}"))
        .header("User-Agent", "DiscordBot (https://docs.rs/gateway-codec, 0.1.0)")
        .header("Accept-Encoding", "zstd, gzip, deflate")
        .call()?;
    let header =
        |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (content_encoding, content_type) = (header("content-encoding"), header("content-type"));
    // The client returns the bytes unchanged: the codec decompresses them within its limits.
    let body = response.body_mut().with_config().limit(1 << 20).read_to_vec()?;
    Ok(decode_body(body, content_encoding.as_deref(), content_type.as_deref(), &limits)?.decode()?)
}
