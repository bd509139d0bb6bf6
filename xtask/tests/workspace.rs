//! The tasks work in the workspace that cargo was called in, not in the one that xtask was compiled in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A workspace in a folder of its own, removed at the end.
struct Workspace(PathBuf);

impl Workspace {
    /// With one crate of this name, which needs no other.
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        fs::create_dir_all(root.join("xtask")).unwrap();
        fs::create_dir_all(root.join("src")).unwrap();
        let workspace = Self(root);
        workspace.write("Cargo.toml", &manifest(name, "rust-version = \"1.85\""));
        workspace.write("src/lib.rs", "");
        workspace.write("LICENSE-MIT", "MIT");
        workspace.write("LICENSE-APACHE", "Apache");
        workspace
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.0.join(path), text).unwrap();
    }

    /// As `cargo xtask` starts it here. Other clones may use the target folder too.
    fn xtask(&self, arguments: &[&str], target: &Path) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(arguments)
            .env("CARGO_MANIFEST_DIR", self.0.join("xtask"))
            .env("CARGO_TARGET_DIR", target);
        command.env("CARGO_NET_OFFLINE", "true").output().expect("the program runs")
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn manifest(name: &str, line: &str) -> String {
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\nlicense = \"MIT\"\n\
         description = \"a test\"\n{line}\n\n[workspace]\n"
    )
}

fn printed(output: &Output) -> String {
    String::from_utf8([&*output.stdout, &*output.stderr].concat()).unwrap()
}

#[test]
fn two_clones_that_share_a_target_folder_each_get_their_own() {
    let clones = [Workspace::new("clone-one"), Workspace::new("clone-two")];
    let target = clones[0].0.join("target");
    for (clone, name) in clones.iter().zip(["clone-one", "clone-two"]) {
        let output = clone.xtask(&["package"], &target);
        let text = printed(&output);
        assert!(output.status.success(), "{text}");
        assert_eq!(text, format!("package: {name} compiles from its tarball\n"));
    }
}

#[test]
fn a_package_that_cannot_be_published_is_named() {
    let workspace = Workspace::new("unfit");
    let target = workspace.0.join("target");
    // What is built of the crate as it was must not stand in for what it becomes.
    assert!(workspace.xtask(&["package"], &target).status.success());
    let fails_with = |sentence: &str| {
        let output = workspace.xtask(&["package"], &target);
        let text = printed(&output);
        assert!(!output.status.success() && text.contains(sentence), "{text}");
    };
    workspace.write("Cargo.toml", &manifest("unfit", "rust-version = \"1.85\"\nexclude = [\"LICENSE-MIT\"]"));
    fails_with("unfit does not contain LICENSE-MIT");
    workspace.write("Cargo.toml", &manifest("unfit", "publish = false"));
    fails_with("no crate here is published");
    workspace.write("Cargo.toml", &manifest("unfit", ""));
    fails_with("unfit has no rust-version");
    fs::create_dir_all(workspace.0.join("new/src")).unwrap();
    workspace.write("new/src/lib.rs", "");
    let newer =
        "[package]\nname = \"new\"\nversion = \"0.1.0\"\nrust-version = \"1.86.1\"\npublish = false\n";
    workspace.write("new/Cargo.toml", newer);
    let line = "rust-version = \"1.86\"\ndependencies.new = { path = \"new\", version = \"0.1.0\" }";
    workspace
        .write("Cargo.toml", &manifest("unfit", line).replace("dependencies.new", "[dependencies]\nnew"));
    fails_with("unfit has the rust-version 1.86, but new needs 1.86.1");
    // What the tarball leaves out is missing, though it is there in the workspace.
    let line = "rust-version = \"1.85\"\nexclude = [\"src/part.rs\"]";
    workspace.write("Cargo.toml", &manifest("unfit", line));
    workspace.write("src/lib.rs", "mod part;");
    workspace.write("src/part.rs", "");
    fails_with("file not found for module `part`");
}
