//! What test runners say about each test, line by line.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What a line told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing about a test: for the reader.
    Text,
    /// Something for this program alone.
    Quiet,
    /// Results of a package, or of its documentation.
    Results {
        /// The package, or what stands for it.
        layer: String,
        passed: u64,
        failed: u64,
        /// The test that failed, if the line names one.
        named: Option<String>,
    },
}

/// The output of `cargo nextest run`.
#[derive(Default)]
pub(crate) struct Nextest {
    tests: BTreeSet<String>,
}

impl Nextest {
    /// `PASS [ 0.01s] (1/9) gateway-codec::captures every_recording`
    pub(crate) fn read(&mut self, line: &str) -> Told {
        let passed = match line.split_whitespace().next() {
            // A test that leaves a process behind passes.
            Some("PASS" | "LEAK") => true,
            // XFAIL is a program that could not be started.
            Some("FAIL" | "TIMEOUT" | "ABORT" | "LEAK-FAIL" | "XFAIL") => false,
            Some(signal) if signal.starts_with("SIG") => false,
            _ => return Told::Text,
        };
        let Some((_, test)) = line.split_once(") ") else { return Told::Text };
        // Failures are shown again in the closing summary.
        if !self.tests.insert(test.to_owned()) {
            return Told::Text;
        }
        let layer = test.split([' ', ':']).next().unwrap_or(test).to_owned();
        let named = (!passed).then(|| test.to_owned());
        Told::Results { layer, passed: u64::from(passed), failed: u64::from(!passed), named }
    }
}

/// The output of `cargo test` with `--message-format=json-render-diagnostics`.
#[derive(Default)]
pub(crate) struct Libtest {
    /// The package of each program, by the name of its file.
    programs: BTreeMap<String, String>,
    /// Whose results come next.
    current: String,
}

impl Libtest {
    /// `{"reason":"compiler-artifact",…}` for each program; `Running tests/live.rs (target/debug/deps/live-0123)` or
    /// `Doc-tests gateway_codec`; then `test result: ok. 12 passed; 0 failed; 0 ignored; …`
    pub(crate) fn read(&mut self, line: &str) -> Told {
        if line.starts_with("{\"reason\":") {
            self.artifact(line);
            return Told::Quiet;
        }
        let text = line.trim_start();
        if text.starts_with("Doc-tests ") {
            "documentation".clone_into(&mut self.current);
        } else if let Some((_, path)) = text.strip_prefix("Running ").and_then(|text| text.split_once(" (")) {
            let file = file_name(path.trim_end_matches(')'));
            self.current = self.programs.get(file).map_or("other", String::as_str).to_owned();
        } else if let Some(result) = text.strip_prefix("test result:") {
            let (passed, failed) = (number(result, "passed"), number(result, "failed"));
            return Told::Results { layer: self.current.clone(), passed, failed, named: None };
        } else if let Some(test) =
            text.strip_prefix("test ").and_then(|text| text.strip_suffix(" ... FAILED"))
        {
            // It is counted with the results of its program.
            let named = Some(test.to_owned());
            return Told::Results { layer: self.current.clone(), passed: 0, failed: 0, named };
        }
        Told::Text
    }

    fn artifact(&mut self, line: &str) {
        let Ok(message) = serde_json::from_str::<Value>(line) else { return };
        let (Some(program), Some(package)) = (message["executable"].as_str(), message["package_id"].as_str())
        else {
            return;
        };
        self.programs.insert(file_name(program).to_owned(), package_name(package).to_owned());
    }
}

/// The number before a word, in `ok. 12 passed; 0 failed; …`.
fn number(result: &str, word: &str) -> u64 {
    let words: Vec<&str> = result.split([' ', '.', ';']).filter(|word| !word.is_empty()).collect();
    let pair = words.windows(2).find(|pair| pair[1] == word);
    pair.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// `path+file:///…/crates/gateway-codec#0.1.0` or `path+file:///…/examples#gateway-examples@0.1.0`.
fn package_name(id: &str) -> &str {
    let (address, version) = id.rsplit_once('#').unwrap_or((id, ""));
    version.split_once('@').map_or_else(|| file_name(address), |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(layer: &str, passed: u64, failed: u64) -> Told {
        Told::Results { layer: layer.to_owned(), passed, failed, named: None }
    }

    fn failure(layer: &str, failed: u64, test: &str) -> Told {
        Told::Results { layer: layer.to_owned(), passed: 0, failed, named: Some(test.to_owned()) }
    }

    #[test]
    fn nextest_counts_each_test_once_for_its_package() {
        let mut nextest = Nextest::default();
        let mut read = |line: &str| nextest.read(line);
        assert_eq!(
            read("        PASS [   0.1s] (1/9) gateway-codec json::walk"),
            results("gateway-codec", 1, 0)
        );
        let line = "        FAIL [   0.1s] (2/9) gateway-codec::captures every_recording";
        assert_eq!(read(line), failure("gateway-codec", 1, "gateway-codec::captures every_recording"));
        assert_eq!(read(line), Told::Text);
        for (status, index) in ["TIMEOUT", "SIGKILL", "SIGTERM", "ABORT", "XFAIL"].into_iter().zip(3..) {
            let test = format!("gateway-sim::bin/gateway-sim x{index}");
            let line = format!("     {status} [ 180.0s] ({index}/9) {test}");
            assert_eq!(read(&line), failure("gateway-sim", 1, &test), "{status}");
        }
        assert_eq!(read("        LEAK [   0.1s] (9/9) xtask y"), results("xtask", 1, 0));
        assert_eq!(read("     Summary [   1.2s] 3 tests run: 1 passed, 2 failed"), Told::Text);
    }

    /// Files of tests have the same name in several packages; what tells them apart is the artifact.
    #[test]
    fn results_of_cargo_test_belong_to_the_package() {
        let mut libtest = Libtest::default();
        for (folder, program) in
            [("crates/gateway-smol#0.1.0", "live-01"), ("crates/gateway-sim#0.1.0", "live-02")]
        {
            let line = format!(
                r#"{{"reason":"compiler-artifact","package_id":"path+file:///w/{folder}","executable":"/w/target/debug/deps/{program}"}}"#
            );
            assert_eq!(libtest.read(&line), Told::Quiet);
        }
        let example = r#"{"reason":"compiler-artifact","package_id":"path+file:///w/examples#gateway-examples@0.1.0","executable":"/w/target/debug/deps/bot-03"}"#;
        assert_eq!(libtest.read(example), Told::Quiet);
        assert_eq!(libtest.read(r#"{"reason":"build-finished","success":true}"#), Told::Quiet);
        let mut result = |running: &str, result| {
            assert_eq!(libtest.read(running), Told::Text);
            libtest.read(result)
        };
        let result_line = "test result: FAILED. 12 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        for (running, layer) in [
            ("     Running tests/live.rs (target/debug/deps/live-01)", "gateway-smol"),
            ("     Running tests/live.rs (target/debug/deps/live-02)", "gateway-sim"),
            ("     Running unittests src/bot.rs (target/debug/deps/bot-03)", "gateway-examples"),
            ("     Running tests/live.rs (target/debug/deps/live-04)", "other"),
            ("   Doc-tests gateway_codec", "documentation"),
        ] {
            assert_eq!(result(running, result_line), results(layer, 12, 1));
        }
    }

    #[test]
    fn tests_of_cargo_test_that_fail_are_named() {
        let mut libtest = Libtest::default();
        assert_eq!(libtest.read("   Doc-tests gateway_codec"), Told::Text);
        for test in ["a::b", "crates/gateway-codec/src/lib.rs - encode (line 12)"] {
            let line = format!("test {test} ... FAILED");
            assert_eq!(libtest.read(&line), failure("documentation", 0, test));
        }
    }

    #[test]
    fn what_tests_print_is_no_result() {
        let mut libtest = Libtest::default();
        for line in ["running 3 tests", "test a::b ... ok", "passed 3", ""] {
            assert_eq!(libtest.read(line), Told::Text, "{line}");
        }
    }
}
