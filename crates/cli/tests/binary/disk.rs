//! Disks that are full or closed: said with a hint, with exit code 3, and nothing that was measured is lost.

use crate::support::{QUESTIONS, Scratch, expect, rows};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of so many bytes in memory, for as long as this lives. Takes root on Linux.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: PathBuf, n_bytes: usize) -> Option<Self> {
        std::fs::create_dir(&folder).unwrap();
        let size = format!("size={n_bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&folder).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

fn run<'a>(model: &'a str, tasks: &'a str, out: &'a str) -> Vec<&'a str> {
    let shared = ["run", "--model", model, "--tasks", tasks, "--output-path", out];
    [&shared[..], &["--max-new-tokens", "60", "--max-nodes", "8", "--batch-size", "2"]].concat()
}

#[test]
fn a_run_on_a_full_disk_goes_on_when_there_is_space() {
    let scratch = Scratch::new();
    const SIZE: usize = 8 << 20;
    let Some(disk) = SmallDisk::mount(scratch.path("disk"), SIZE) else {
        println!("skipped: a small file system cannot be mounted here");
        return;
    };
    let (model, tasks) = (scratch.model(), scratch.file("sums.jsonl", QUESTIONS));
    let out = disk.0.join("out").display().to_string();
    let ballast = disk.0.join("ballast");
    // What is left holds the manifest, and no part.
    std::fs::write(&ballast, vec![0; SIZE - 24 * 1024]).unwrap();
    let said = expect(3, &run(&model, &tasks, &out));
    assert!(said.contains("free some space and run the same command again"), "{said}");
    assert!(Path::new(&out).join("manifest.json").exists() && !Path::new(&out).join("parts/00000").exists());
    // The same again once a part has been written: that part stays.
    std::fs::write(&ballast, vec![0; SIZE - 56 * 1024]).unwrap();
    expect(3, &run(&model, &tasks, &out));
    assert!(Path::new(&out).join("parts/00000").exists());
    std::fs::remove_file(&ballast).unwrap();
    let said = expect(0, &run(&model, &tasks, &out));
    assert!(said.contains("were measured before"), "{said}");
    assert_eq!(rows(&out).traces.len(), 4);
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_said_to() {
    let scratch = Scratch::new();
    let (model, tasks) = (scratch.model(), scratch.file("sums.jsonl", QUESTIONS));
    // Not even root creates folders here.
    let said = expect(3, &run(&model, &tasks, "/proc/entrace/out"));
    assert!(said.contains("/proc/entrace"), "{said}");
    let said = expect(3, &run(&model, &tasks, "/dev/null/out"));
    assert!(said.contains("/dev/null"), "{said}");
}
