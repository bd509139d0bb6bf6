//! A runtime whose type is forgotten, so that the scenarios are compiled once for all runtimes.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use gateway_driver::Runtime;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

trait Erased: Send + Sync {
    fn connect(&self, host: String, port: u16) -> Boxed<io::Result<Box<dyn ByteStream>>>;
    fn sleep_until(&self, deadline: Instant) -> Boxed<()>;
    fn now(&self) -> Instant;
    fn wall_clock(&self) -> Option<Duration>;
}

impl<R: Runtime> Erased for R {
    fn connect(&self, host: String, port: u16) -> Boxed<io::Result<Box<dyn ByteStream>>> {
        let runtime = self.clone();
        Box::pin(async move {
            let stream = Runtime::connect(&runtime, &host, port).await?;
            Ok(Box::new(stream) as Box<dyn ByteStream>)
        })
    }

    fn sleep_until(&self, deadline: Instant) -> Boxed<()> {
        Box::pin(Runtime::sleep_until(self, deadline))
    }

    fn now(&self) -> Instant {
        Runtime::now(self)
    }

    fn wall_clock(&self) -> Option<Duration> {
        Runtime::wall_clock(self)
    }
}

#[derive(Clone)]
pub(crate) struct AnyRuntime(Arc<dyn Erased>);

impl AnyRuntime {
    pub(crate) fn new(runtime: impl Runtime) -> Self {
        Self(Arc::new(runtime))
    }
}

impl Runtime for AnyRuntime {
    type Stream = Box<dyn ByteStream>;

    fn connect(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Self::Stream>> + Send {
        self.0.connect(host.to_owned(), port)
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        self.0.sleep_until(deadline)
    }

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn wall_clock(&self) -> Option<Duration> {
        self.0.wall_clock()
    }
}
