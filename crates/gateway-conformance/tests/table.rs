//! The table in memory, over messages and over bytes; and a few of its scenarios live.

use std::collections::BTreeSet;

use gateway_conformance::{Suite, table};
use gateway_tokio::TokioRuntime;

#[test]
fn every_scenario_on_a_virtual_clock() {
    let report = Suite::new().on_virtual_clock().run();
    report.assert_passed();
    assert_eq!(report.outcomes.len(), table().len());
}

#[test]
fn every_scenario_over_raw_bytes() {
    let report = Suite::new().over_raw_bytes().run();
    report.assert_passed();
    assert_eq!(report.outcomes.len(), table().len());
}

#[test]
fn some_scenarios_on_tokio() {
    let mut suite = Suite::new();
    suite.only(|name| name.starts_with("op-7"));
    suite.live("tokio", TokioRuntime, |driving| {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(driving);
    });
    suite.run().assert_passed();
}

#[test]
fn names_are_unique_and_every_scenario_names_its_rule() {
    let scenarios = table();
    let names: BTreeSet<&str> = scenarios.iter().map(|scenario| scenario.name).collect();
    assert_eq!(names.len(), scenarios.len());
    for scenario in &scenarios {
        let characters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(scenario.name.chars().all(characters), "{}", scenario.name);
        assert!(!scenario.rule.is_empty() && !scenario.variants.is_empty() && !scenario.steps.is_empty());
    }
}
