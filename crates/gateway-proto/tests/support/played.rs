//! Transcripts in memory, and what must hold of each.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use gateway_proto::transcript::{Replay, Step};

/// A transcript that is being written. Clones write to the same one.
#[derive(Clone, Default)]
pub(crate) struct Pages(Arc<Mutex<Vec<u8>>>);

impl Pages {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).expect("a transcript is text")
    }

    /// Plays it. The shard must say what it said, and no secret may be in it.
    pub(crate) fn check(&self, start: Instant, secrets: &[&str]) -> Vec<Step> {
        let text = self.text();
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} is in the transcript");
        }
        let steps: Vec<Step> = Replay::new(text.as_bytes(), start)
            .unwrap()
            .map(|step| step.expect("every line is played"))
            .collect();
        assert_eq!(steps.len() + 1, text.lines().count());
        let differs = steps.iter().position(Step::differs);
        if let Some(at) = differs {
            let before: String =
                steps[at.saturating_sub(20)..=at].iter().map(|step| format!("{step}\n")).collect();
            panic!("the replay says something else:\n{before}");
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
