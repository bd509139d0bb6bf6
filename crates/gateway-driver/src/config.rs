//! The configuration of the driver.

use std::fmt;
use std::sync::Arc;

use gateway_proto::config::ConfigError;
use rustls::ClientConfig;

use crate::TranscriptWriter;
use crate::gate::IdentifyGate;
use crate::store::SessionKeeper;
use crate::stream::Connector;
use crate::tls::TlsError;

/// The configuration of the driver. The default suits one shard on the internet.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct DriverConfig {
    /// The TLS configuration. `None`: one for all shards of the process, made from the features that are compiled in (see
    /// [`TlsSettings`](crate::tls::TlsSettings)). `ws://` needs none.
    pub tls: Option<Arc<ClientConfig>>,
    /// Opens connections in place of the runtime, for instance through a proxy.
    pub connector: Option<Arc<dyn Connector>>,
    /// The gate that grants permits to identify. Shards of one bot share one gate. `None`: the shard has its own.
    pub identify_gate: Option<Arc<dyn IdentifyGate>>,
    /// Stores the shard's session for the next process. Shards may share one. `None`: sessions are not stored.
    pub session_keeper: Option<Arc<SessionKeeper>>,
    /// The writer for a transcript of the shard, without secrets, which can be replayed ([`gateway_proto::transcript`]). For one
    /// shard only. `None`: no transcript.
    pub transcript: Option<TranscriptWriter>,
}

/// Why a shard cannot be built.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// A field of the configuration cannot be used.
    Config(ConfigError),
    /// The URL requires TLS, and there is no TLS configuration.
    Tls(TlsError),
}

impl fmt::Debug for DriverConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverConfig")
            .field("tls", &self.tls.is_some())
            .field("connector", &self.connector.is_some())
            .field("identify_gate", &self.identify_gate.is_some())
            .field("session_keeper", &self.session_keeper)
            .field("transcript", &self.transcript)
            .finish()
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
        }
    }
}

/// The text is that of the inner error, so there is no `source`.
impl std::error::Error for BuildError {}

impl From<ConfigError> for BuildError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<TlsError> for BuildError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}
