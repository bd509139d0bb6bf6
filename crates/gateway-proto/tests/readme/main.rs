//! The run loop of README.md drives a shard.

#![allow(clippy::disallowed_methods, reason = "a test has to begin its virtual clock somewhere")]

use gateway_proto::Intents;

// The text of README.md, word for word: see `the_readme_shows_this_loop`.
include!("run_loop.rs");

/// A server for a short session, and a virtual clock.
struct Script {
    now: Instant,
    /// In reverse order.
    messages: Vec<&'static str>,
    sent: Vec<Message>,
    closing: bool,
}

impl Platform for Script {
    fn now(&self) -> Instant {
        self.now
    }

    fn connect(&mut self, _: &GatewayUrl) -> Result<(), ConnectError> {
        Ok(())
    }

    fn send(&mut self, message: Message) {
        self.sent.push(message);
    }

    fn close(&mut self, frame: CloseFrame) {
        self.closing = frame.code == 4000;
    }

    fn disconnect(&mut self) {}

    fn wait(&mut self, until: Instant) -> Option<Result<Message, Closed>> {
        if until <= self.now {
            return None;
        }
        if self.closing {
            return Some(Err(Closed::Eof));
        }
        if self.messages.is_empty() {
            self.now = until;
        }
        self.messages.pop().map(|text| Ok(Message::Text(text.as_bytes().into())))
    }
}

#[test]
fn the_loop_drives_a_shard_from_hello_to_a_resumable_end() {
    let mut config = ShardConfig::new("token", Intents::GUILD_MESSAGES);
    (config.seed, config.compression) = (Some(1), gateway_proto::Compression::None);
    let mut script = Script {
        now: Instant::now(),
        messages: vec![
            r#"{"t":"MESSAGE_CREATE","s":2,"op":0,"d":{}}"#,
            r#"{"t":"READY","s":1,"op":0,"d":{"session_id":"x","resume_gateway_url":"wss://x"}}"#,
            r#"{"t":null,"s":null,"op":10,"d":{"heartbeat_interval":41250}}"#,
        ],
        sent: Vec::new(),
        closing: false,
    };
    let stopped = run(config, &mut script).unwrap();
    assert_eq!(stopped, StopReason::Shutdown(Shutdown::Resumable));
    assert_eq!(script.sent.len(), 1, "Identify");
}

#[test]
fn the_readme_shows_this_loop() {
    let readme = include_str!("../../README.md");
    assert!(readme.contains(concat!("```\n", include_str!("run_loop.rs"), "```")));
}
