//! What the program brings along for shells and for `man`, checked by those of them that are here.

use crate::support::{Scratch, expect, said};
use std::path::Path;
use std::process::Command;

/// The commands, from the program's own help.
fn commands() -> Vec<String> {
    let help = expect(0, &["--help"]);
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().map(String::from));
    names.filter(|name| !name.is_empty()).collect()
}

/// Runs a program that checks a file, and gives back what it complains of; nothing where the program is not here.
fn complaints(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).env("LC_ALL", "C.UTF-8").output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(if output.status.success() { said } else { format!("{}\n{said}", output.status) })
}

#[test]
fn completions_know_every_command() {
    let scratch = Scratch::new();
    let commands = commands();
    assert!(commands.len() > 12, "{commands:?}");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = expect(0, &["completions", shell]);
        for name in &commands {
            assert!(script.contains(name.as_str()), "{shell}: {name}");
        }
        assert!(script.contains("--output-path") || script.contains("-l output-path"), "{shell}");
        let file = scratch.file(shell, &script);
        if let "bash" | "zsh" | "fish" = shell {
            match complaints(shell, &["-n", &file]) {
                Some(said) => assert_eq!(said, "", "{shell}"),
                None => println!("{shell} is not here to read its script"),
            }
        }
    }
}

#[test]
fn bash_completes_flags() {
    let scratch = Scratch::new();
    let script = scratch.file("entrace.bash", &expect(0, &["completions", "bash"]));
    let asked = format!(
        "source '{script}'; COMP_WORDS=(entrace run --max-n); COMP_CWORD=2; _entrace entrace --max-n run; echo \"${{COMPREPLY[@]}}\""
    );
    let Ok(output) = Command::new("bash").args(["-c", &asked]).output() else {
        println!("skipped: there is no bash here");
        return;
    };
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "--max-nodes --max-new-tokens");
}

/// `.github/archive` packs what `cargo binstall` looks for.
#[cfg(unix)]
#[test]
fn release_archives_have_the_shape_that_is_announced() {
    let scratch = Scratch::new();
    let (version, target) = ("1.2.3", "x86_64-unknown-linux-gnu");
    // The program itself is large; what is packed may as well call it.
    let called = format!("#!/bin/sh\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_entrace"));
    let program = scratch.file("entrace", &called);
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(&program).parent().unwrap();
    let status = Command::new(here.join("../../.github/archive"))
        .args([folder.as_os_str(), version.as_ref(), target.as_ref(), scratch.arg("dist").as_ref()])
        .status();
    assert!(status.unwrap().success());

    let manifest: toml::Table = std::fs::read_to_string(here.join("Cargo.toml")).unwrap().parse().unwrap();
    let announced = |key: &str| {
        let template = manifest["package"]["metadata"]["binstall"][key].as_str().unwrap();
        let names = [
            ("{ version }", version),
            ("{ target }", target),
            ("{ bin }", "entrace"),
            ("{ binary-ext }", ""),
        ];
        names.iter().fold(template.to_string(), |text, (name, value)| text.replace(name, value))
    };
    let url = announced("pkg-url");
    let archive = scratch.path("dist").join(url.rsplit('/').next().unwrap());
    let listing = Command::new("tar").arg("-tzf").arg(&archive).output().unwrap();
    assert!(listing.status.success(), "{archive:?}: {}", said(&listing));
    let listing = String::from_utf8(listing.stdout).unwrap();
    let files: Vec<&str> = listing.lines().collect();
    let root = format!("entrace-{version}-{target}");
    for name in ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "completions/_entrace", "man/entrace-run.1"] {
        assert!(files.contains(&format!("{root}/{name}").as_str()), "{name} in\n{listing}");
    }
    assert!(files.contains(&announced("bin-dir").as_str()), "{listing}");
}

#[test]
fn every_command_has_a_manual_page() {
    let scratch = Scratch::new();
    let folder = scratch.arg("man");
    assert!(expect(0, &["man", &folder]).trim().ends_with("entrace.1"));
    let mut expected: Vec<String> = commands().iter().map(|name| format!("entrace-{name}.1")).collect();
    expected.retain(|name| name != "entrace-help.1");
    expected.extend(
        ["", "-train-mle", "-train-sft", "-train-rl", "-train-recipe"].map(|name| format!("entrace{name}.1")),
    );
    expected.sort();
    let mut pages: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    assert_eq!(pages, expected);
    for name in &pages {
        let path = scratch.path("man").join(name).display().to_string();
        let page = std::fs::read_to_string(&path).unwrap();
        for section in [".TH ", ".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS", ".SH \"EXIT STATUS\""] {
            assert!(page.contains(section), "{name}: {section}");
        }
        assert_eq!(complaints("man", &["--warnings", "-l", &path]).unwrap_or_default(), "", "{name}");
        if let Some(said) = complaints("mandoc", &["-T", "lint", "-W", "warning", &path]) {
            // Dates would change with every build.
            let others: Vec<&str> = said.lines().filter(|line| !line.contains("missing date")).collect();
            assert!(others.iter().all(|line| line.starts_with("exit status")), "{name}: {said}");
        }
    }
    let run = std::fs::read_to_string(scratch.path("man").join("entrace-run.1")).unwrap();
    assert!(run.contains(r"\-\-max\-nodes") && run.contains(r"\\nThe answer is"), "{run}");
    assert_eq!(std::fs::read_to_string(scratch.path("man").join("entrace.1")).unwrap(), expect(0, &["man"]));
}
