//! What test runners say about each test: counted by layer, and the names of those that failed.

use std::collections::BTreeMap;

use crate::process::Done;

/// The results so far.
#[derive(Default)]
pub(crate) struct Results {
    /// How many passed and how many failed, by the package or what stands for it.
    layers: BTreeMap<String, (u64, u64)>,
    /// All that has failed, in sentences.
    pub(crate) failures: Vec<String>,
}

impl Results {
    pub(crate) fn count(&mut self, layer: &str, passed: u64, failed: u64) {
        let count = self.layers.entry(layer.to_owned()).or_default();
        *count = (count.0 + passed, count.1 + failed);
    }

    /// Names a test that failed. False: it was named before.
    fn name(&mut self, layer: &str, test: &str) -> bool {
        let sentence = format!("test failed in {layer}: {test}");
        let is_new = !self.failures.contains(&sentence);
        self.failures.extend(is_new.then_some(sentence));
        is_new
    }

    /// `PASS [ 0.01s] (1/9) gateway-codec::captures every_recording`, from `cargo nextest run`.
    pub(crate) fn nextest(&mut self, line: &str) {
        let Some((_, test)) = line.split_once(") ") else { return };
        let layer = test.split([' ', ':']).next().unwrap_or(test);
        match line.split_whitespace().next().unwrap_or_default() {
            // A test that leaves a process behind passes.
            "PASS" | "LEAK" => self.count(layer, 1, 0),
            // XFAIL is a program that could not be started. The closing summary shows each once more.
            status
                if ["FAIL", "TIMEOUT", "ABORT", "LEAK-FAIL", "XFAIL"].contains(&status)
                    || status.starts_with("SIG") =>
            {
                let failed = self.name(layer, test);
                self.count(layer, 0, failed.into());
            }
            _ => {}
        }
    }

    /// `test json::walk ... FAILED` and `test result: ok. 12 passed; 0 failed; …`, from `cargo test`. Its last lines name the package.
    pub(crate) fn libtest(&mut self, layer: &str, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.count(layer, number(result, " passed"), number(result, " failed"));
        } else if let Some(test) =
            line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED"))
        {
            self.name(layer, test);
        }
    }

    /// Prints a line for each layer, and one for all. All that has failed is the error.
    pub(crate) fn finish(mut self) -> Done {
        let (mut passed, mut failed) = (0, 0);
        for (layer, count) in &self.layers {
            println!("{layer}: {} passed, {} failed", count.0, count.1);
            (passed, failed) = (passed + count.0, failed + count.1);
        }
        println!("test: {passed} passed, {failed} failed");
        if passed == 0 {
            self.failures.push("no test passed".to_owned());
        }
        if self.failures.is_empty() {
            return Ok(());
        }
        let entries =
            self.failures.iter().map(|entry| format!("\n- {}", entry.trim_end().replace('\n', "\n  ")));
        Err(format!("failed, {} in all:{}", self.failures.len(), entries.collect::<String>()).into())
    }
}

/// The number before a word, in `ok. 12 passed; 0 failed; …`.
fn number(result: &str, word: &str) -> u64 {
    let before = result.split_once(word).map_or("", |(before, _)| before);
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(results: &Results) -> Vec<(&str, (u64, u64))> {
        results.layers.iter().map(|(layer, count)| (layer.as_str(), *count)).collect()
    }

    #[test]
    fn nextest_counts_each_test_once_for_its_package() {
        let mut results = Results::default();
        for status in ["PASS", "LEAK", "SLOW"] {
            results.nextest(&format!("        {status} [   0.1s] (1/9) gateway-codec json::walk"));
        }
        for status in ["FAIL", "FAIL", "TIMEOUT", "SIGKILL", "ABORT", "XFAIL", "LEAK-FAIL"] {
            results.nextest(&format!("  {status} [ 180.0s] (2/9) gateway-sim::bin/gateway-sim {status}"));
        }
        assert_eq!(layers(&results), [("gateway-codec", (2, 0)), ("gateway-sim", (0, 6))]);
        let text = results.finish().unwrap_err().to_string();
        let first = "failed, 6 in all:\n- test failed in gateway-sim: gateway-sim::bin/gateway-sim FAIL\n";
        assert!(text.starts_with(first), "{text}");
        assert_eq!(
            Results::default().finish().unwrap_err().to_string(),
            "failed, 1 in all:\n- no test passed"
        );
    }

    #[test]
    fn cargo_test_is_counted_by_its_results() {
        let mut results = Results::default();
        for line in [
            "     Running tests/live.rs (target/debug/deps/live-01)",
            "test json::walk ... ok",
            "test src/lib.rs - (line 8) ... FAILED",
            "test result: FAILED. 12 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
        ] {
            results.libtest("documentation", line);
        }
        assert_eq!(layers(&results), [("documentation", (12, 1))]);
        assert_eq!(results.failures, ["test failed in documentation: src/lib.rs - (line 8)"]);
    }
}
