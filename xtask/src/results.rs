//! What test runners say about each test: counted by layer, and the names of those that failed.

use std::collections::BTreeMap;

use serde_json::Value;

/// The results so far.
#[derive(Default)]
pub(crate) struct Results {
    /// How many passed and how many failed, by the package or what stands for it.
    layers: BTreeMap<String, (u64, u64)>,
    /// All that has failed, in sentences.
    pub(crate) failures: Vec<String>,
    /// The package of each program that cargo has built, by the name of its file.
    programs: BTreeMap<String, String>,
    /// The package whose results come next.
    current: String,
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
        if is_new {
            self.failures.push(sentence);
        }
        is_new
    }

    /// `PASS [ 0.01s] (1/9) gateway-codec::captures every_recording`, from `cargo nextest run`.
    pub(crate) fn nextest(&mut self, line: &str) {
        let passed = match line.split_whitespace().next() {
            // A test that leaves a process behind passes.
            Some("PASS" | "LEAK") => true,
            // XFAIL is a program that could not be started.
            Some("FAIL" | "TIMEOUT" | "ABORT" | "LEAK-FAIL" | "XFAIL") => false,
            Some(status) if status.starts_with("SIG") => false,
            _ => return,
        };
        let Some((_, test)) = line.split_once(") ") else { return };
        let layer = test.split([' ', ':']).next().unwrap_or(test);
        if passed {
            self.count(layer, 1, 0);
        } else if self.name(layer, test) {
            // The closing summary shows it again.
            self.count(layer, 0, 1);
        }
    }

    /// A line of `cargo test --message-format=json-render-diagnostics`: `{"reason":"compiler-artifact",…}` for each program;
    /// then `Running tests/live.rs (target/debug/deps/live-0123)` and `test result: ok. 12 passed; 0 failed; …`. All are
    /// results of `layer`, if there is one. False: the line is for this program alone.
    pub(crate) fn libtest(&mut self, layer: Option<&str>, line: &str) -> bool {
        if line.starts_with("{\"reason\":") {
            self.artifact(line);
            return false;
        }
        let text = line.trim_start();
        let layer = layer.map_or_else(|| self.current.clone(), str::to_owned);
        if let Some((_, path)) = text.strip_prefix("Running ").and_then(|text| text.split_once(" (")) {
            let program = self.programs.get(file_name(path.trim_end_matches(')')));
            self.current = program.map_or("other", String::as_str).to_owned();
        } else if text.starts_with("Doc-tests ") {
            "documentation".clone_into(&mut self.current);
        } else if let Some(result) = text.strip_prefix("test result: ") {
            self.count(&layer, number(result, " passed"), number(result, " failed"));
        } else if let Some(test) =
            text.strip_prefix("test ").and_then(|text| text.strip_suffix(" ... FAILED"))
        {
            self.name(&layer, test);
        }
        true
    }

    /// `"package_id":"path+file:///…/crates/gateway-codec#0.1.0"`, or `…/examples#gateway-examples@0.1.0`.
    fn artifact(&mut self, line: &str) {
        let message: Value = serde_json::from_str(line).unwrap_or_default();
        let (Some(program), Some(id)) = (message["executable"].as_str(), message["package_id"].as_str())
        else {
            return;
        };
        let (address, version) = id.rsplit_once('#').unwrap_or((id, ""));
        let package = version.split_once('@').map_or_else(|| file_name(address), |(name, _)| name);
        self.programs.insert(file_name(program).to_owned(), package.to_owned());
    }

    /// A line for each layer, and one for all.
    pub(crate) fn print(&mut self) {
        let (mut passed, mut failed) = (0, 0);
        for (layer, count) in &self.layers {
            println!("{layer}: {} passed, {} failed", count.0, count.1);
            (passed, failed) = (passed + count.0, failed + count.1);
        }
        println!("test: {passed} passed, {failed} failed");
        if passed == 0 {
            self.failures.push("no test passed".to_owned());
        }
        // Even where a runner names none, the number of its failures is one.
        if failed > 0 && self.failures.is_empty() {
            self.failures.push(format!("{failed} tests, which were not named"));
        }
    }

    /// All that has failed, as the closing lines of the run.
    pub(crate) fn into_result(self) -> Result<(), String> {
        if self.failures.is_empty() {
            return Ok(());
        }
        let entries =
            self.failures.iter().map(|entry| format!("\n- {}", entry.trim_end().replace('\n', "\n  ")));
        Err(format!("failed, {} in all:{}", self.failures.len(), entries.collect::<String>()))
    }
}

/// The number before a word, in `ok. 12 passed; 0 failed; …`.
fn number(result: &str, word: &str) -> u64 {
    let before = result.split_once(word).map_or("", |(before, _)| before);
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nextest_counts_each_test_once_for_its_package() {
        let mut results = Results::default();
        results.nextest("        PASS [   0.1s] (1/9) gateway-codec json::walk");
        for _ in 0..2 {
            results.nextest("        FAIL [   0.1s] (2/9) gateway-codec::captures every_recording");
        }
        for (status, index) in ["TIMEOUT", "SIGKILL", "SIGTERM", "ABORT", "XFAIL"].into_iter().zip(3..) {
            results.nextest(&format!(
                "     {status} [ 180.0s] ({index}/9) gateway-sim::bin/gateway-sim x{index}"
            ));
        }
        results.nextest("        SLOW [> 60.0s] (8/9) xtask y");
        results.nextest("        LEAK [   0.1s] (9/9) xtask y");
        results.nextest("     Summary [   1.2s] 3 tests run: 1 passed, 2 failed");
        let layers: Vec<_> = results.layers.iter().map(|(layer, count)| (layer.as_str(), *count)).collect();
        assert_eq!(layers, [("gateway-codec", (1, 1)), ("gateway-sim", (0, 5)), ("xtask", (1, 0))]);
        assert_eq!(results.failures.len(), 6);
        let text = results.into_result().unwrap_err();
        let first =
            "failed, 6 in all:\n- test failed in gateway-codec: gateway-codec::captures every_recording\n";
        assert!(text.starts_with(first), "{text}");
    }

    /// Files of tests have the same name in several packages; the artifact shows the package.
    #[test]
    fn results_of_cargo_test_belong_to_the_package() {
        let mut results = Results::default();
        let result = "test result: FAILED. 12 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out";
        for (id, program) in
            [("crates/gateway-smol#0.1.0", "live-01"), ("examples#gateway-examples@0.1.0", "live-02")]
        {
            let artifact = format!(
                r#"{{"reason":"compiler-artifact","package_id":"path+file:///w/{id}","executable":"/w/target/debug/deps/{program}"}}"#
            );
            assert!(!results.libtest(None, &artifact));
        }
        for program in ["01", "02", "03"] {
            let running = format!("     Running tests/live.rs (target/debug/deps/live-{program})");
            assert!(results.libtest(None, &running) && results.libtest(None, result));
        }
        assert!(results.libtest(None, "   Doc-tests gateway_codec") && results.libtest(None, result));
        assert!(results.libtest(None, "test src/lib.rs - (line 8) ... FAILED"));
        assert!(results.libtest(Some("no features"), result));
        let layers: Vec<_> = results.layers.iter().map(|(layer, count)| (layer.as_str(), *count)).collect();
        let counted = ["documentation", "gateway-examples", "gateway-smol", "no features", "other"];
        assert_eq!(layers, counted.map(|layer| (layer, (12, 1))));
        assert_eq!(results.failures, ["test failed in documentation: src/lib.rs - (line 8)"]);
    }

    #[test]
    fn a_run_without_a_test_or_without_names_has_failed() {
        let mut results = Results::default();
        results.print();
        assert_eq!(results.into_result().unwrap_err(), "failed, 1 in all:\n- no test passed");
        let mut results = Results::default();
        results.count("gateway-sim", 3, 2);
        results.print();
        assert_eq!(results.into_result().unwrap_err(), "failed, 1 in all:\n- 2 tests, which were not named");
    }
}
