//! The documents of the workspace: their links and the tests that they name exist.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn is_markdown(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md")
}

/// The README of each crate, whether published or not.
fn crate_readmes() -> Vec<PathBuf> {
    files(&root().join("crates")).iter().map(|folder| folder.join("README.md")).collect()
}

fn decisions() -> Vec<PathBuf> {
    files(&root().join("docs/decisions"))
}

/// Every document for readers.
fn documents() -> Vec<PathBuf> {
    let mut documents: Vec<PathBuf> = files(&root()).into_iter().filter(|path| is_markdown(path)).collect();
    documents.extend(crate_readmes());
    documents.extend(decisions());
    documents.push(root().join("crates/gateway-bench/report/README.md"));
    documents
}

/// Targets of links and pictures, without those of the web.
fn local_links(document: &str) -> Vec<&str> {
    let inline =
        document.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let references =
        document.lines().filter(|line| line.starts_with('[')).filter_map(|line| line.split_once("]: "));
    let targets = inline.chain(references.map(|(_, target)| target));
    let files = targets.map(|target| target.split('#').next().unwrap_or_default());
    files.filter(|target| !target.is_empty() && !target.contains("://")).collect()
}

/// The texts between backticks, outside of blocks of code.
fn quoted(document: &str) -> Vec<&str> {
    document.split("```").step_by(2).flat_map(|text| text.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn every_local_link_leads_to_a_file() {
    let mut links = 0;
    for document in documents() {
        let text = read(&document);
        for target in local_links(&text) {
            let path = document.parent().unwrap().join(target);
            assert!(path.exists(), "{}: no file {target}", document.display());
            links += 1;
        }
    }
    assert!(links > 60, "{links} links were found");
}

#[test]
fn every_decision_has_its_sections_its_number_and_its_place_in_the_list() {
    let architecture = read(&root().join("ARCHITECTURE.md"));
    let pages = decisions();
    assert!(!pages.is_empty());
    for (index, page) in pages.iter().enumerate() {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with(&format!("{:03}-", index + 1)), "{name} is page {}", index + 1);
        let text = read(page);
        let sections: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(sections, ["## Context", "## Decision", "## Consequences", "## Measurement"], "{name}");
        let title = text.lines().next().unwrap().trim_start_matches("# ");
        let entry = format!("- [{title}](docs/decisions/{name})");
        assert!(architecture.lines().any(|line| line == entry), "ARCHITECTURE.md has no line {entry}");
    }
}

/// Whether a Rust file below a folder has a function with this name.
fn has_function(folder: &Path, name: &str) -> bool {
    files(folder).iter().any(|path| match path.is_dir() {
        true => has_function(path, name),
        false => {
            path.extension().is_some_and(|extension| extension == "rs")
                && read(path).contains(&format!("fn {name}("))
        }
    })
}

#[test]
fn every_test_that_a_decision_names_exists() {
    let mut named = 0;
    for page in decisions() {
        let text = read(&page);
        let mut measured = false;
        for command in quoted(&text).into_iter().filter(|quoted| quoted.starts_with("cargo ")) {
            measured = true;
            let Some(arguments) = command.strip_prefix("cargo test -p ") else { continue };
            let words: Vec<&str> = arguments.split(' ').collect();
            let test = words.last().unwrap().rsplit("::").next().unwrap();
            let folder = if words.contains(&"--lib") { "src" } else { "tests" };
            let folder = root().join("crates").join(words[0]).join(folder);
            assert!(has_function(&folder, test), "{}: no test {test}", page.display());
            named += 1;
        }
        assert!(measured, "{} names no command", page.display());
    }
    assert!(named > 40, "{named} tests are named");
}

#[test]
fn every_file_on_the_path_of_a_frame_exists() {
    let architecture = read(&root().join("ARCHITECTURE.md"));
    let files: Vec<&str> = quoted(&architecture)
        .into_iter()
        .filter(|quoted| quoted.starts_with("gateway-") && quoted.ends_with(".rs"))
        .collect();
    assert!(files.len() > 15, "{} files are named", files.len());
    for file in files {
        assert!(root().join("crates").join(file).is_file(), "no file {file}");
    }
}
