//! What a registry shows of the crates that are published: their manifests and READMEs.

use std::path::Path;
use std::process::Command;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use serde_json::Value;

/// The packages of the workspace that may be published.
fn published() -> Vec<Value> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let output = cargo.args(["metadata", "--no-deps", "--format-version", "1"]).output().expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo describes the workspace");
    let packages = metadata["packages"].as_array().expect("a workspace has packages");
    let published: Vec<Value> =
        packages.iter().filter(|package| package["publish"].is_null()).cloned().collect();
    assert!(published.len() > 5, "{}", published.len());
    published
}

#[test]
fn every_crate_has_its_metadata() {
    let mut descriptions = Vec::new();
    for package in published() {
        let name = package["name"].as_str().unwrap();
        assert_eq!(package["documentation"], format!("https://docs.rs/{name}"), "{name}");
        assert_eq!(package["metadata"]["docs"]["rs"]["all-features"], true, "{name}");
        assert_eq!(package["license"], "MIT OR Apache-2.0", "{name}");
        let keywords = package["keywords"].as_array().unwrap();
        assert!(keywords.len() == 5 && package["readme"].is_string(), "{name}");
        let own = [&package["keywords"], &package["categories"], &package["description"]];
        descriptions.push(own.map(ToString::to_string));
    }
    let crates = descriptions.len();
    descriptions.sort();
    descriptions.dedup_by_key(|[keywords, ..]| keywords.clone());
    assert_eq!(descriptions.len(), crates, "two crates have the same keywords");
}

#[test]
fn every_readme_reads_well_without_rustdoc() {
    for package in published() {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        let readme = std::fs::read_to_string(manifest.with_file_name("README.md")).unwrap();
        assert_eq!(faults(&readme), [""; 0], "{}", package["name"]);
    }
}

/// The links into docs.rs lead to items that are there.
#[test]
fn every_link_to_an_item_has_one() {
    let mut links = 0;
    for package in published() {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        let readme = std::fs::read_to_string(manifest.with_file_name("README.md")).unwrap();
        for address in readme.split("https://docs.rs/").skip(1) {
            let address = address.split([')', '\n', ' ']).next().unwrap();
            let Some((name, path)) = address.split_once("/latest/") else { continue };
            links += 1;
            let mut sources = Vec::new();
            read_sources(&manifest.parent().unwrap().with_file_name(name).join("src"), &mut sources);
            for declaration in declarations(path) {
                let is_there = sources.iter().any(|source| source.contains(&declaration));
                assert!(is_there, "{}: {address} needs `{declaration}`", package["name"]);
            }
        }
    }
    assert!(links > 0, "no link was found");
}

/// `gateway_codec/etf/struct.Walk.html#method.rest` is declared by `pub mod etf;`, `pub struct Walk` and `pub fn rest`.
fn declarations(path: &str) -> Vec<String> {
    let (page, anchor) = path.split_once('#').unwrap_or((path, ""));
    let mut found = Vec::new();
    for part in page.split('/').skip(1).filter(|part| !part.is_empty() && *part != "index.html") {
        found.push(match part.split('.').collect::<Vec<_>>().as_slice() {
            [kind, name, "html"] => format!("pub {kind} {name}"),
            _ => format!("pub mod {part};"),
        });
    }
    found.extend(anchor.split_once('.').map(|(kind, name)| match kind {
        "structfield" => format!("pub {name}:"),
        _ => format!("pub fn {name}("),
    }));
    found
}

fn read_sources(folder: &Path, sources: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_sources(&path, sources);
        } else {
            sources.push(std::fs::read_to_string(path).unwrap_or_default());
        }
    }
}

/// What only rustdoc understands, and links that a registry cannot follow.
fn faults(readme: &str) -> Vec<String> {
    let mut undefined = Vec::new();
    let mut note = |link: pulldown_cmark::BrokenLink<'_>| {
        undefined.push(format!("no address for [{}]", link.reference));
        None
    };
    let (mut faults, mut is_rust) = (Vec::new(), false);
    for event in Parser::new_with_broken_link_callback(readme, Options::ENABLE_TABLES, Some(&mut note)) {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => is_rust = is_tested(&kind),
            Event::End(TagEnd::CodeBlock) => is_rust = false,
            Event::Text(code) if is_rust => {
                let hidden = code.lines().filter(|line| line.trim() == "#" || line.trim().starts_with("# "));
                faults.extend(hidden.map(|line| format!("shown by a registry: {line}")));
            }
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. })
                if !dest_url.starts_with("https://") && !dest_url.starts_with('#') =>
            {
                faults.push(format!("leads nowhere in a registry: {dest_url}"));
            }
            _ => {}
        }
    }
    faults.extend(undefined);
    faults
}

/// Whether rustdoc takes a block for Rust: its attributes are not languages.
fn is_tested(kind: &CodeBlockKind<'_>) -> bool {
    let CodeBlockKind::Fenced(info) = kind else { return true };
    let mut words = info.split([',', ' ']).filter(|word| !word.is_empty());
    words.all(|word| matches!(word, "rust" | "no_run" | "ignore" | "should_panic" | "compile_fail"))
}

#[test]
fn unreadable_links_and_lines_are_found() {
    let readme = "# Title\n[`Shard`] and `[`not`]` and [docs](https://docs.rs) and [below](#title), [x](src/lib.rs)\n\n\
                  ```no_run\nfine();\n    # hidden();\n#[attribute]\n#\n```\n```sh\n# a comment\n```\n";
    let found = [
        "leads nowhere in a registry: src/lib.rs",
        "shown by a registry:     # hidden();",
        "shown by a registry: #",
    ];
    assert_eq!(faults(readme), [found.as_slice(), &["no address for [`Shard`]"]].concat());
}
