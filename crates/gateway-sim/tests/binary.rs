//! The program: its first line, its flags, its exit status.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Output, Stdio};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_gateway-sim"))
}

/// A running program that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().expect("the program runs")
}

#[test]
fn the_first_line_names_the_address() {
    let child = program()
        .args(["--listen", "127.0.0.1:0", "--token", "T", "--guilds", "1", "--rate", "0", "--seed", "3"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut running = Running(child);
    let mut line = String::new();
    BufReader::new(running.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim_end().strip_prefix("listening ").expect(&line);
    let (mut client, _) = tungstenite::connect(format!("{url}/?v=10")).expect("it listens");
    assert!(client.read().unwrap().to_text().unwrap().contains("heartbeat_interval"));
}

#[cfg(feature = "tls")]
#[test]
fn the_root_certificate_is_written_before_the_first_line() {
    let path = std::env::temp_dir().join(format!("gateway-sim-root-{}.pem", std::process::id()));
    let child = program()
        .args(["--tls", "--ca"])
        .arg(&path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut running = Running(child);
    let mut line = String::new();
    BufReader::new(running.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("listening wss://"), "{line}");
    let root = std::fs::read_to_string(&path).expect("the root");
    std::fs::remove_file(&path).expect("it can be removed");
    assert!(root.starts_with("-----BEGIN CERTIFICATE-----"));
}

#[test]
fn help_and_version() {
    let help = run(&["--help"]);
    assert!(help.status.success());
    assert_eq!(run(&["-h"]).stdout, help.stdout);
    let text = String::from_utf8(help.stdout).unwrap();
    for flag in ["--listen", "--token", "--guilds", "--rate", "--heartbeat", "--seed", "--trace", "--script"]
    {
        assert!(text.contains(flag), "{flag}");
    }
    for flag in ["--version", "-V"] {
        let version = run(&[flag]);
        assert!(version.status.success(), "{flag}");
        assert_eq!(version.stdout, concat!("gateway-sim ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
    }
}

#[test]
fn invalid_flags_exit_with_2_and_a_sentence() {
    for (arguments, sentence) in [
        (&["--fly"][..], "invalid option '--fly'"),
        (&["now"], "unexpected argument \"now\""),
        (&["--guilds", "many"], "--guilds cannot be \"many\""),
        (&["--rate", "-1"], "--rate must be a number, 0 or above"),
        (&["--heartbeat", "0"], "--heartbeat must be above 0"),
        (&["--listen", "here"], "--listen cannot be \"here\""),
        (&["--script", "/does/not/exist"], "cannot read /does/not/exist"),
        (&["--trace", "/does/not/exist/at-all"], "cannot write /does/not/exist/at-all"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let mut text = String::new();
        output.stderr.as_slice().read_to_string(&mut text).unwrap();
        assert!(text.starts_with("gateway-sim: ") && text.contains(sentence), "{arguments:?}: {text}");
        assert!(output.stdout.is_empty());
    }
}
