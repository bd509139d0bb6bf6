//! Packs every crate that is published, and compiles each as a registry would hand it out.
//!
//! `cargo package` can compile its tarballs too, but it unpacks them into cargo's home once for each version: the next run
//! compiles against the sources of the first.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::{self, Done, cargo, line, metadata, root};

/// Texts that every package must contain.
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

pub(crate) fn run() -> Done {
    let metadata = metadata("--all-features")?;
    let all: Vec<&Value> = metadata["packages"].as_array().into_iter().flatten().collect();
    let is_member = |package: &&&Value| package["source"].is_null();
    // `publish = false` is an empty list of registries.
    let is_published = |package: &&&Value| package["publish"].as_array().is_none_or(|to| !to.is_empty());
    let mut packages = Vec::new();
    for package in all.iter().filter(is_member).filter(is_published) {
        packages.push((built_with(package, &all)?, *package));
    }
    if packages.is_empty() {
        return Err("package: no crate here is published".into());
    }
    // Each behind those that it is built with.
    packages.sort_by_key(|(built_with, _)| {
        built_with.iter().filter(|package| package["source"].is_null()).count()
    });
    check_rust_versions(&packages)?;
    let packages: Vec<&Value> = packages.into_iter().map(|(_, package)| package).collect();
    let target = Path::new(text(&metadata, "target_directory"));
    let mut pack = cargo("package --quiet --no-verify --allow-dirty --target-dir");
    pack.arg(target).args(packages.iter().flat_map(|package| ["--package", text(package, "name")]));
    process::run(&mut pack)?;
    let packed = target.join("package");
    let sources = packed.join("sources");
    unpack(&packages, &packed, &sources)?;
    for name in packages.iter().map(|package| text(package, "name")) {
        for licence in LICENCES {
            let [own, packed] = [root(), sources.join(name)].map(|folder| fs::read(folder.join(licence)));
            if packed.is_err() || own? != packed? {
                return Err(format!("package: {name} does not contain {licence}").into());
            }
        }
        let mut check = cargo("check --quiet --package");
        process::run(check.current_dir(&sources).args([name, "--target-dir"]).arg(target))?;
        println!("package: {name} compiles from its tarball");
    }
    Ok(())
}

/// All packages that a package is built with, including itself, for any features and target. Dependencies of its tests alone are
/// left out.
fn built_with<'a>(package: &Value, all: &[&'a Value]) -> Done<Vec<&'a Value>> {
    let mut tree = cargo("tree --quiet --all-features --target all --edges no-dev --prefix none --package");
    let output = tree.arg(text(package, "name")).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("`{}` failed: {}", line(&tree), output.status).into());
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    // `serde v1.0.229 (proc-macro)`
    let names: Vec<Option<(&str, &str)>> = printed.lines().map(|line| line.split_once(" v")).collect();
    let is_printed = |package: &&&Value| {
        let (name, version) = (text(package, "name"), text(package, "version"));
        names.iter().flatten().any(|(found, rest)| *found == name && rest.split(' ').next() == Some(version))
    };
    Ok(all.iter().filter(is_printed).copied().collect())
}

/// No crate is built with one that needs a newer compiler.
fn check_rust_versions(packages: &[(Vec<&Value>, &Value)]) -> Done {
    let mut wrong = Vec::new();
    for (built_with, package) in packages {
        let (name, own) = (text(package, "name"), text(package, "rust_version"));
        if own.is_empty() {
            wrong.push(format!("package: {name} has no rust-version"));
            continue;
        }
        for newer in built_with.iter().filter(|needed| numbers(text(needed, "rust_version")) > numbers(own)) {
            let (needed, version) = (text(newer, "name"), text(newer, "rust_version"));
            wrong.push(format!("package: {name} has the rust-version {own}, but {needed} needs {version}"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// Unpacks the tarballs into a workspace whose crates find each other in place of a registry.
fn unpack(packages: &[&Value], packed: &Path, sources: &Path) -> Done {
    if sources.exists() {
        fs::remove_dir_all(sources)?;
    }
    fs::create_dir_all(sources)?;
    let (mut members, mut patches) = (String::new(), String::new());
    for package in packages {
        let (name, version) = (text(package, "name"), text(package, "version"));
        // With the time of now: cargo takes the time in a tarball, which is always the same, for that of the last change.
        let mut tar = Command::new("tar");
        tar.arg("-xmzf").arg(packed.join(format!("{name}-{version}.crate"))).arg("-C").arg(sources);
        process::run(&mut tar)?;
        fs::rename(sources.join(format!("{name}-{version}")), sources.join(name))?;
        members += &format!("\"{name}\", ");
        patches += &format!("{name} = {{ path = \"{name}\" }}\n");
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
    // In the profiles of this workspace, what is compiled already need not be compiled again.
    let profiles = manifest.find("\n[profile.").map_or("", |at| &manifest[at..]);
    let workspace = format!(
        "[workspace]\nresolver = \"3\"\nmembers = [{members}]\n\n[patch.crates-io]\n{patches}{profiles}"
    );
    fs::write(sources.join("Cargo.toml"), workspace)?;
    fs::copy(root().join("Cargo.lock"), sources.join("Cargo.lock"))?;
    Ok(())
}

/// `1.89` or `1.89.1` as numbers.
fn numbers(version: &str) -> [u32; 3] {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
