//! Builds the programs to compare, and finds the interpreters for those in other languages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Node, Programs};

/// Other clients, each in a program without any other client: the feature, and the name of the program. twilight's
/// compression is selected at compile time.
const CLIENTS: [(&str, &str); 4] = [
    ("serenity", "serenity"),
    ("twilight", "twilight-plain"),
    ("twilight-zlib", "twilight-zlib"),
    ("twilight-zstd", "twilight-zstd"),
];
/// Programs with our clients, and for measurements.
const PROGRAMS: [&str; 4] = ["client", "decode", "allocations", "serve"];

/// The folders of this crate and of its programs.
#[derive(Debug)]
pub struct Place {
    /// `crates/gateway-bench`, in the workspace in which cargo was called.
    sources: PathBuf,
    /// The folder of cargo's programs for this profile.
    built: PathBuf,
    /// `target/bench`.
    kept: PathBuf,
}

impl Place {
    /// Finds the folders.
    ///
    /// # Errors
    ///
    /// If the program was not started by `cargo run`.
    pub fn find() -> Result<Self, String> {
        let sources = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("start it as `cargo xtask bench`")?;
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let built = program.parent().unwrap_or(Path::new(".")).to_owned();
        let kept = built.with_file_name("bench");
        Ok(Self { sources: sources.into(), built, kept })
    }

    /// The folder for frames, which are kept between runs.
    pub fn frames(&self) -> PathBuf {
        self.kept.join("frames")
    }

    /// The folder of the committed report.
    pub fn report(&self) -> PathBuf {
        self.sources.join("report")
    }

    /// The built programs.
    pub fn programs(&self) -> Programs {
        let folder = self.kept.join(self.built.file_name().unwrap_or_default());
        Programs { folder, scripts: self.sources.join("peers"), python: self.python(), node: self.node() }
    }

    /// Builds every contender in the profile of this program.
    ///
    /// # Errors
    ///
    /// If a program does not compile, or cannot be copied.
    pub fn build(&self) -> Result<(), String> {
        let folder = self.programs().folder;
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for (features, name) in CLIENTS {
            self.cargo_build(&["--no-default-features", "--features", features], &["client"])?;
            self.copy("client", &folder.join(name))?;
        }
        self.cargo_build(&["--features", "peers"], &PROGRAMS)?;
        PROGRAMS.iter().try_for_each(|name| self.copy(name, &folder.join(name)))
    }

    fn cargo_build(&self, features: &[&str], programs: &[&str]) -> Result<(), String> {
        // Cargo's folder for the profile `dev` has another name.
        let profile = self.built.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.sources).args(["build", "--quiet", "--profile"]);
        command.arg(profile.replace("debug", "dev")).args(features);
        match command.args(programs.iter().flat_map(|name| ["--bin", name])).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("cargo build of {}: {status}", programs.join(", "))),
            Err(error) => Err(format!("cargo could not be started: {error}")),
        }
    }

    /// Copies a program to another name, since the next build of it has other features.
    fn copy(&self, name: &str, to: &Path) -> Result<(), String> {
        let from = self.built.join(name);
        fs::copy(&from, to).map(drop).map_err(|error| format!("{}: {error}", from.display()))
    }

    /// A Python that may have the contenders in Python: that of the virtual environment in `target/bench`, otherwise the
    /// system's.
    fn python(&self) -> Option<PathBuf> {
        let own = self.kept.join("python/bin/python");
        if own.exists() {
            return Some(own);
        }
        runs("python3").then(|| PathBuf::from("python3"))
    }

    /// Node, if the packages of the contenders in JavaScript are in `target/bench`.
    fn node(&self) -> Option<Node> {
        let packages = self.kept.join("node");
        let is_complete = packages.join("node_modules/@discordjs/ws").exists() && runs("node");
        is_complete.then(|| Node { program: "node".into(), packages })
    }

    /// A sentence with the processor, the compiler and the versions of the other clients.
    pub fn machine(&self) -> String {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let model = model.map_or("an unknown processor", |(_, name)| name);
        let compiler = Command::new("rustc").arg("--version").output().ok();
        let compiler = compiler.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let lock = fs::read_to_string(self.sources.join("../../Cargo.lock")).unwrap_or_default();
        let version = |name: &str| {
            let head = format!("name = \"{name}\"\nversion = \"");
            let rest = lock.split_once(&head).map_or("", |(_, rest)| rest);
            rest.split('"').next().unwrap_or_default().to_owned()
        };
        format!(
            "{cores} cores of {model}; {}; twilight-gateway {}, twilight-model {}, serenity {}, erltf {}.",
            compiler.unwrap_or_default(),
            version("twilight-gateway"),
            version("twilight-model"),
            version("serenity"),
            version("erltf"),
        )
    }
}

/// Whether this program exists and prints its version.
fn runs(program: &str) -> bool {
    let status = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
