//! `GET /gateway/bot` on any runtime.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use gateway_proto::Token;
use gateway_proto::api::{GatewayBotError, GatewayBotRequest};
use gateway_proto::identify::GatewayBot;

use crate::budget::Budget;
use crate::dial::Dialer;
use crate::stream::BoxedStream;
use crate::timer::Timer;
use crate::{DriverConfig, Runtime};

/// The time limit for the whole request, from the name look-up to the last byte of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes of one read.
const READ_BYTES: usize = 4 << 10;

/// Requests `GET /gateway/bot`: the URL to connect to, the recommended number of shards, and the limit of session starts.
///
/// Opens the connection as a shard does, with [`DriverConfig::tls`] and [`DriverConfig::connector`]. `api_url` is
/// [`DEFAULT_API_URL`](gateway_proto::api::DEFAULT_API_URL), or the base URL of a proxy or a simulator, `https://` or
/// `http://`, with or without a path. Redirects are not followed. At most 64 KiB of an answer are read.
///
/// The request is not retried: the caller decides whether to wait. Dropping the future closes the connection.
///
/// # Errors
///
/// If the token is invalid, the bot is rate limited (with the time to wait), the API cannot be reached or does not answer
/// within 10 s, or the answer is not the expected one. An error contains neither the token nor the host.
///
/// ```
/// use gateway_driver::proto::api::{DEFAULT_API_URL, GatewayBotError};
/// use gateway_driver::proto::{ShardConfig, Token};
/// use gateway_driver::{DriverConfig, Runtime, gateway_bot};
///
/// async fn ask<R: Runtime>(runtime: &R, token: &Token) -> Result<u32, GatewayBotError> {
///     let bot = gateway_bot(runtime, &DriverConfig::default(), DEFAULT_API_URL, token).await?;
///     println!("{} shards, {} session starts left", bot.shards, bot.session_start_limit.remaining);
///     Ok(bot.shards)
/// }
/// ```
///
/// See [Discord Docs, Gateway > Get Gateway Bot](https://discord.com/developers/docs/events/gateway#get-gateway-bot).
pub async fn gateway_bot<R: Runtime>(
    runtime: &R,
    driver: &DriverConfig,
    api_url: &str,
    token: &Token,
) -> Result<GatewayBot, GatewayBotError> {
    let deadline = runtime.now() + PATIENCE;
    let mut timer = Timer::new(runtime.clone());
    let mut answer = pin!(ask(Dialer::new(runtime.clone(), driver), GatewayBotRequest::new(api_url, token)?));
    poll_fn(|context| match answer.as_mut().poll(context) {
        Poll::Pending => timer.poll_until(deadline, context).map(|()| Err(GatewayBotError::TimedOut)),
        answered => answered,
    })
    .await
}

async fn ask<R: Runtime>(
    dialer: Dialer<R>,
    mut request: GatewayBotRequest,
) -> Result<GatewayBot, GatewayBotError> {
    let dialed = dialer.dial(request.url().clone()).await;
    let mut stream = dialed.map_err(|error| request.connect_failed(error))?;
    let mut written = 0;
    poll_fn(|context| poll_write_all(&mut stream, request.request(), &mut written, context))
        .await
        .map_err(|error| request.failed(&error))?;
    let mut buffer = [0; READ_BYTES];
    let mut budget = Budget::default();
    loop {
        let read = poll_fn(|context| {
            // A server that sends without a pause must not delay the timeout.
            let polled = match budget.poll_step(context) {
                Poll::Ready(()) => Pin::new(&mut stream).poll_read(context, &mut buffer),
                Poll::Pending => Poll::Pending,
            };
            if polled.is_pending() {
                budget.renew();
            }
            polled
        });
        match read.await.map_err(|error| request.failed(&error))? {
            0 => return request.finish(),
            count => {
                if let Some(answer) = request.push(&buffer[..count]) {
                    return answer;
                }
            }
        }
    }
}

fn poll_write_all(
    stream: &mut BoxedStream,
    bytes: &[u8],
    written: &mut usize,
    context: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while *written < bytes.len() {
        match ready!(Pin::new(&mut *stream).poll_write(context, &bytes[*written..]))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => *written += count,
        }
    }
    Pin::new(stream).poll_flush(context)
}
