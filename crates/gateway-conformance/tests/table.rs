//! The table in memory, over messages and over bytes; and a few of its scenarios live.

use std::collections::BTreeSet;

use gateway_conformance::{Suite, cluster_table, table};
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
    let clusters = cluster_table();
    let of_clusters = clusters.iter().map(|scenario| (scenario.name, scenario.rule));
    let all: Vec<(&str, &str)> =
        scenarios.iter().map(|scenario| (scenario.name, scenario.rule)).chain(of_clusters).collect();
    let names: BTreeSet<&str> = all.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), all.len());
    let characters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    for (name, rule) in all {
        assert!(name.chars().all(characters) && !rule.is_empty(), "{name}");
    }
    for scenario in &scenarios {
        assert!(!scenario.variants.is_empty() && !scenario.steps.is_empty());
    }
}
