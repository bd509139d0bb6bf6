//! Transcripts in memory, and the checks on each.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use gateway_proto::transcript::{Replay, Step};

/// A transcript being written. Clones write to the same one.
#[derive(Clone, Default)]
pub(crate) struct Pages(Arc<Mutex<Vec<u8>>>);

impl Pages {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).expect("a transcript is text")
    }

    /// Replays it. The outputs must be the same, and it must contain no secret.
    pub(crate) fn check(&self, start: Instant, secrets: &[&str]) -> Vec<Step> {
        let text = self.text();
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} is in the transcript");
        }
        let steps: Vec<Step> = Replay::new(text.as_bytes(), start)
            .unwrap()
            .map(|step| step.expect("every line is replayed"))
            .collect();
        assert_eq!(steps.len() + 1, text.lines().count());
        let differs = steps.iter().position(Step::differs);
        if let Some(at) = differs {
            let before: String =
                steps[at.saturating_sub(20)..=at].iter().map(|step| format!("{step}\n")).collect();
            panic!("the replay differs:\n{before}");
        }
        steps
    }
}

impl Write for Pages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
