//! Packs every crate that is published, and compiles each as a registry would hand it out.
//!
//! `cargo package` can compile its tarballs too, but it unpacks them into cargo's home once for each version: the next run
//! compiles against the sources of the first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::process::{self, cargo, metadata, root};

/// Texts that every package must contain.
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// The packages of `cargo metadata` by their ids, and the ids of what each is built with: dependencies of its tests alone are
/// left out.
struct Graph<'a> {
    packages: BTreeMap<&'a str, &'a Value>,
    dependencies: BTreeMap<&'a str, Vec<&'a str>>,
}

pub(crate) fn run() -> Result<(), String> {
    let metadata = metadata(&["--all-features"])?;
    let graph = Graph::of(&metadata);
    let crates = graph.published(&metadata);
    if crates.is_empty() {
        return Err("package: no crate here is published".to_owned());
    }
    graph.check_rust_versions(&crates)?;
    let names: Vec<&str> = crates.iter().map(|id| text(graph.packages[id], "name")).collect();
    let target = Path::new(text(&metadata, "target_directory"));
    let pack = ["package", "--quiet", "--no-verify", "--allow-dirty", "--target-dir"];
    process::run(cargo()?.args(pack).arg(target).args(names.iter().flat_map(|name| ["--package", name])))?;
    let packed = target.join("package");
    let sources = packed.join("sources");
    unpack(&graph, &crates, &packed, &sources).map_err(|error| format!("package: {error}"))?;
    for name in names {
        check_licences(&sources.join(name))
            .map_err(|text| format!("package: {name} does not contain {text}"))?;
        let mut check = cargo()?;
        check.current_dir(&sources).args(["check", "--quiet", "--package", name, "--target-dir"]).arg(target);
        process::run(&mut check)?;
        println!("package: {name} compiles from its tarball");
    }
    Ok(())
}

impl<'a> Graph<'a> {
    fn of(metadata: &'a Value) -> Self {
        let packages = list(metadata, "packages").map(|package| (text(package, "id"), package)).collect();
        let is_built = |dependency: &&Value| list(dependency, "dep_kinds").any(|kind| kind["kind"] != "dev");
        let built =
            |node| list(node, "deps").filter(is_built).map(|dependency| text(dependency, "pkg")).collect();
        let nodes = list(&metadata["resolve"], "nodes");
        Self { packages, dependencies: nodes.map(|node| (text(node, "id"), built(node))).collect() }
    }

    /// The crates of the workspace that may be published, each behind those that it is built with.
    fn published(&self, metadata: &'a Value) -> Vec<&'a str> {
        let members = list(metadata, "workspace_members").filter_map(Value::as_str);
        // `publish = false` is an empty list of registries.
        let mut crates: Vec<&str> = members
            .filter(|id| self.packages[id]["publish"].as_array().is_none_or(|to| !to.is_empty()))
            .collect();
        let all = crates.clone();
        crates.sort_by_cached_key(|id| {
            let behind = self.built_with(id);
            all.iter().filter(|id| behind.contains(*id)).count()
        });
        crates
    }

    /// All that a package is built with, itself included.
    fn built_with(&self, id: &'a str) -> BTreeSet<&'a str> {
        let (mut found, mut next) = (BTreeSet::new(), vec![id]);
        while let Some(id) = next.pop() {
            if found.insert(id) {
                next.extend(self.dependencies.get(id).into_iter().flatten());
            }
        }
        found
    }

    /// No crate is built with one that needs a newer compiler, whatever the features and the machine.
    fn check_rust_versions(&self, crates: &[&'a str]) -> Result<(), String> {
        let mut wrong = Vec::new();
        for id in crates {
            let package = self.packages[id];
            let name = text(package, "name");
            let Some(own) = rust_version(package) else {
                wrong.push(format!("package: {name} has no rust-version"));
                continue;
            };
            let built_with = self.built_with(id).into_iter().map(|id| self.packages[id]);
            for newer in built_with.filter(|needed| rust_version(needed).is_some_and(|version| version > own))
            {
                let (needed, version) = (text(newer, "name"), text(newer, "rust_version"));
                let own = text(package, "rust_version");
                wrong.push(format!(
                    "package: {name} has the rust-version {own}, but {needed} needs {version}"
                ));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }
}

/// Unpacks the tarballs into a workspace whose crates find each other in place of a registry.
fn unpack(graph: &Graph<'_>, crates: &[&str], packed: &Path, sources: &Path) -> Result<(), String> {
    let sentence = |error: std::io::Error| error.to_string();
    if sources.exists() {
        fs::remove_dir_all(sources).map_err(sentence)?;
    }
    fs::create_dir_all(sources).map_err(sentence)?;
    let (mut members, mut patches) = (String::new(), String::new());
    for package in crates.iter().map(|id| graph.packages[id]) {
        let (name, version) = (text(package, "name"), text(package, "version"));
        // With the time of now: cargo takes the time in a tarball, which is always the same, for that of the last change.
        let mut tar = Command::new("tar");
        tar.arg("-xmzf").arg(packed.join(format!("{name}-{version}.crate"))).arg("-C").arg(sources);
        process::run(&mut tar)?;
        fs::rename(sources.join(format!("{name}-{version}")), sources.join(name)).map_err(sentence)?;
        let _ = write!(members, "\"{name}\", ");
        let _ = writeln!(patches, "{name} = {{ path = \"{name}\" }}");
    }
    let root = root()?;
    let manifest = fs::read_to_string(root.join("Cargo.toml")).map_err(sentence)?;
    // In the profiles of this workspace, what is compiled already need not be compiled again.
    let profiles = manifest.find("\n[profile.").map_or("", |at| &manifest[at..]);
    let workspace = format!(
        "[workspace]\nresolver = \"3\"\nmembers = [{members}]\n\n[patch.crates-io]\n{patches}{profiles}"
    );
    fs::write(sources.join("Cargo.toml"), workspace).map_err(sentence)?;
    fs::copy(root.join("Cargo.lock"), sources.join("Cargo.lock")).map(drop).map_err(sentence)
}

/// The licence that a package does not contain word for word.
fn check_licences(package: &Path) -> Result<(), String> {
    let root = root()?;
    let is_same = |name: &&str| matches!((fs::read(root.join(name)), fs::read(package.join(name))), (Ok(a), Ok(b)) if a == b);
    LICENCES.iter().find(|name| !is_same(name)).map_or(Ok(()), |name| Err((*name).to_owned()))
}

/// `1.89` or `1.89.1` as numbers.
fn rust_version(package: &Value) -> Option<[u32; 3]> {
    let mut numbers = package["rust_version"].as_str()?.split('.').map(|number| number.parse().unwrap_or(0));
    Some(std::array::from_fn(|_| numbers.next().unwrap_or(0)))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}
