//! The bots of many shards against a simulated gateway: what their last line promises.

use std::path::PathBuf;
use std::process::Command;

/// Runs an example to its end. Returns the last line, without the name in front of it, as pairs.
fn last_line(name: &str, flags: &[&str]) -> Vec<(String, u64)> {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("a test lies in deps");
    let program: PathBuf = folder.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let output = Command::new(program).args(flags).output().expect("the example is built with the tests");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}{errors}");
    let line = text.lines().last().expect("it prints something");
    let (_, pairs) = line.split_once(": ").expect("the line begins with a name");
    pairs
        .split(' ')
        .map(|pair| {
            let (name, value) = pair.split_once('=').expect(pair);
            (name.to_owned(), value.parse().expect(pair))
        })
        .collect()
}

fn value(pairs: &[(String, u64)], name: &str) -> u64 {
    pairs.iter().find(|pair| pair.0 == name).unwrap_or_else(|| panic!("{name} is missing")).1
}

#[test]
fn a_reshard_a_rolling_restart_and_a_new_process_lose_nothing() {
    let pairs = last_line("cluster_bot", &["--demo"]);
    let names: Vec<&str> = pairs.iter().map(|pair| &*pair.0).collect();
    assert_eq!(names, ["shards", "events", "lost", "duplicated", "unmatched", "identifies"]);
    let value = |name| value(&pairs, name);
    assert_eq!((value("shards"), value("lost"), value("identifies")), (32, 0, 48));
    assert!(value("events") > 1000, "{pairs:?}");
    assert!(value("duplicated") == 0 || value("unmatched") > 0, "{pairs:?}");
}

#[test]
fn workers_that_crash_lose_nothing_and_handle_nothing_twice() {
    let pairs = last_line("workers_bot", &[]);
    let value = |name| value(&pairs, name);
    assert_eq!((value("lost"), value("handled_twice"), value("crashes"), value("identifies")), (0, 0, 3, 4));
    assert!(value("delivered_again") > 0, "a crash leaves something to be delivered again: {pairs:?}");
}
