//! Resuming, finishing, refusing and being killed, on small runs.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;
use crate::example;
use crate::reader::RunReader;

const N_PARTS: usize = 4;

fn open(dir: &Path) -> (RunWriter, Found) {
    RunWriter::open(dir, &example::manifest()).unwrap()
}

fn refusal(dir: &Path, manifest: &Manifest) -> String {
    RunWriter::open(dir, manifest).map(|(_, found)| panic!("{found:?}")).unwrap_err().to_string()
}

fn parts(indices: impl IntoIterator<Item = usize>) -> Found {
    Found::Resumed { finished_parts: indices.into_iter().collect() }
}

fn now() -> Timestamp {
    Timestamp::new(1_775_554_200, 0).unwrap()
}

fn finish(writer: &mut RunWriter) {
    writer.finish(N_PARTS, now(), 2.0).unwrap();
}

/// The bytes of every file in a folder, but for the manifest, whose times differ.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = file::names(dir).unwrap().into_iter().filter(|name| name != MANIFEST_FILE);
    names.map(|name| (name.clone(), fs::read(dir.join(name)).unwrap())).collect()
}

/// What a run without interruption leaves.
fn uninterrupted() -> BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, found) = open(dir.path());
    assert_eq!(found, Found::Nothing);
    (0..N_PARTS).for_each(|index| writer.write_part(index, &example::rows(index)).unwrap());
    finish(&mut writer);
    drop(writer);
    contents(dir.path())
}

fn copy_parts(from: &Path, to: &Path) {
    for part in file::names(from).unwrap() {
        fs::create_dir_all(to.join(&part)).unwrap();
        for name in file::names(&from.join(&part)).unwrap() {
            fs::copy(from.join(&part).join(&name), to.join(&part).join(&name)).unwrap();
        }
    }
}

#[test]
fn a_finished_run_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(dir.path());
    for index in [2, 0, 3, 1] {
        writer.write_part(index, &example::rows(index)).unwrap();
    }
    let unfinished = RunReader::open(dir.path()).unwrap();
    assert!(!unfinished.is_complete());
    let so_far = unfinished.traces().unwrap();
    finish(&mut writer);

    let reader = RunReader::open(dir.path()).unwrap();
    assert!(reader.is_complete());
    assert_eq!(reader.manifest().finished_at.as_deref(), Some("2026-04-07T09:30:00Z"));
    let all: Vec<Rows> = (0..N_PARTS).map(example::rows).collect();
    let traces: Vec<_> = all.iter().flat_map(|rows| rows.traces.clone()).collect();
    assert_eq!(reader.traces().unwrap(), traces);
    assert_eq!(so_far, traces);
    assert_eq!(
        reader.prefixes().unwrap(),
        all.iter().flat_map(|rows| rows.prefixes.clone()).collect::<Vec<_>>()
    );
    assert_eq!(
        reader.answers().unwrap(),
        all.iter().flat_map(|rows| rows.answers.clone()).collect::<Vec<_>>()
    );
    assert_eq!(reader.tokens().unwrap(), all.iter().flat_map(|rows| rows.tokens.clone()).collect::<Vec<_>>());
    assert_eq!(
        reader.signals().unwrap(),
        all.iter().flat_map(|rows| rows.signals.clone()).collect::<Vec<_>>()
    );
}

#[test]
fn an_interrupted_run_has_the_same_bytes_as_one_that_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(dir.path());
    writer.write_part(2, &example::rows(2)).unwrap();
    writer.write_part(0, &example::rows(0)).unwrap();
    writer.add_elapsed(3.0).unwrap();
    drop(writer);

    let later = Manifest { started_at: "2026-04-08T00:00:00Z".to_owned(), ..example::manifest() };
    let (mut writer, found) = RunWriter::open(dir.path(), &later).unwrap();
    assert_eq!(found, parts([0, 2]));
    writer.write_part(1, &example::rows(1)).unwrap();
    writer.write_part(3, &example::rows(3)).unwrap();
    finish(&mut writer);
    assert_eq!(writer.manifest().started_at, example::manifest().started_at);
    assert_eq!(format!("{:?}", writer.manifest().elapsed_secs), "5.0");
    drop(writer);
    assert_eq!(contents(dir.path()), uninterrupted());
    assert_eq!(open(dir.path()).1, Found::Complete);
}

#[test]
fn a_run_names_all_that_it_was_computed_with() {
    let dir = tempfile::tempdir().unwrap();
    let on = |kernels: &[&str]| Manifest {
        kernels: kernels.iter().map(ToString::to_string).collect(),
        ..example::manifest()
    };
    drop(RunWriter::open(dir.path(), &on(&["AVX2"])).unwrap());
    let (mut writer, _) = RunWriter::open(dir.path(), &on(&["AVX-512"])).unwrap();
    writer.finish(0, now(), 2.0).unwrap();
    drop(writer);
    let (writer, found) = RunWriter::open(dir.path(), &on(&["portable loops"])).unwrap();
    assert_eq!(found, Found::Complete);
    assert_eq!(writer.manifest().kernels, on(&["AVX-512", "AVX2"]).kernels);
    assert_eq!(RunReader::open(dir.path()).unwrap().manifest().kernels, on(&["AVX-512", "AVX2"]).kernels);
}

#[test]
fn what_a_killed_writer_left_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (writer, _) = open(dir.path());
    writer.write_part(0, &example::rows(0)).unwrap();
    drop(writer);
    let half = dir.path().join("parts/.00001.entrace-tmp");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("traces.parquet"), "PAR1").unwrap();
    fs::write(dir.path().join(".traces.parquet.entrace-tmp"), "PAR1").unwrap();
    fs::write(dir.path().join(".manifest.json.entrace-tmp"), "{").unwrap();
    fs::write(dir.path().join(crate::lock::LOCK_FILE), "1").unwrap();

    assert_eq!(RunReader::open(dir.path()).unwrap().traces().unwrap(), example::rows(0).traces);
    let (mut writer, found) = open(dir.path());
    assert_eq!(found, parts([0]));
    (1..N_PARTS).for_each(|index| writer.write_part(index, &example::rows(index)).unwrap());
    finish(&mut writer);
    drop(writer);
    assert_eq!(contents(dir.path()), uninterrupted());
}

#[test]
fn a_run_that_was_killed_before_its_manifest_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".manifest.json.entrace-tmp"), "{").unwrap();
    assert_eq!(open(dir.path()).1, Found::Nothing);
}

#[test]
fn finishing_can_be_repeated_after_each_of_its_steps() {
    let (dir, aside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut writer, _) = open(dir.path());
    (0..N_PARTS).for_each(|index| writer.write_part(index, &example::rows(index)).unwrap());
    copy_parts(&dir.path().join(PARTS), aside.path());
    finish(&mut writer);
    drop(writer);

    // Killed after some of the tables.
    copy_parts(aside.path(), &dir.path().join(PARTS));
    example::manifest().save(dir.path()).unwrap();
    fs::remove_file(dir.path().join("answers.parquet")).unwrap();
    fs::write(dir.path().join(".answers.parquet.entrace-tmp"), "PAR1").unwrap();
    assert_eq!(RunReader::open(dir.path()).unwrap().traces().unwrap().len(), 2 * N_PARTS);
    let (mut writer, found) = open(dir.path());
    assert_eq!(found, parts(0..N_PARTS));
    finish(&mut writer);
    drop(writer);
    assert_eq!(contents(dir.path()), uninterrupted());

    // Killed after the manifest, while parts were being removed.
    copy_parts(aside.path(), &dir.path().join(PARTS));
    fs::remove_dir_all(dir.path().join("parts/00002")).unwrap();
    assert_eq!(RunReader::open(dir.path()).unwrap().traces().unwrap().len(), 2 * N_PARTS);
    let (mut writer, found) = open(dir.path());
    assert_eq!(found, Found::Complete);
    finish(&mut writer);
    drop(writer);
    assert_eq!(contents(dir.path()), uninterrupted());
}

#[test]
fn a_run_is_not_finished_without_all_its_parts() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(dir.path());
    writer.write_part(0, &example::rows(0)).unwrap();
    let message = writer.finish(2, now(), 0.0).unwrap_err().to_string();
    assert!(message.contains("part 1 is missing"), "{message}");
    assert!(!RunReader::open(dir.path()).unwrap().is_complete());
}

#[test]
fn a_part_is_written_once_and_before_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(dir.path());
    writer.write_part(0, &example::rows(0)).unwrap();
    assert!(matches!(writer.write_part(0, &Rows::default()), Err(Error::PartExists { index: 0, .. })));
    writer.finish(1, now(), 0.0).unwrap();
    assert!(matches!(writer.write_part(1, &Rows::default()), Err(Error::Finished { .. })));
}

#[test]
fn a_run_without_questions_has_empty_tables() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(dir.path());
    writer.finish(0, now(), 0.0).unwrap();
    assert_eq!(RunReader::open(dir.path()).unwrap().traces().unwrap(), []);
}

#[test]
fn other_settings_are_refused_with_each_difference() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let mut other = example::manifest();
    other.settings.seed = 2;
    other.settings.model.dtype = "bf16".to_owned();
    let message = refusal(dir.path(), &other);
    for part in ["model.dtype: recorded \"f32\", now \"bf16\"", "seed: recorded 1, now 2"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(open(dir.path()).1, parts([]));
}

#[test]
fn a_newer_format_is_never_touched() {
    for version in ["1.99", "2.0"] {
        let dir = tempfile::tempdir().unwrap();
        let newer = Manifest { format_version: version.to_owned(), ..example::manifest() };
        newer.save(dir.path()).unwrap();
        fs::write(dir.path().join("traces.parquet"), "new").unwrap();
        let before = fs::read(dir.path().join(MANIFEST_FILE)).unwrap();
        let message = refusal(dir.path(), &example::manifest());
        assert!(
            message.contains("manifest.json") && message.contains(&format!("version {version}")),
            "{message}"
        );
        RunWriter::overwrite(dir.path(), &example::manifest()).unwrap_err();
        assert_eq!(fs::read(dir.path().join(MANIFEST_FILE)).unwrap(), before);
        assert_eq!(fs::read(dir.path().join("traces.parquet")).unwrap(), b"new");
    }
}

#[test]
fn a_minor_version_is_read_and_a_major_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let save = |version: &str| {
        Manifest { format_version: version.to_owned(), ..example::manifest() }.save(dir.path()).unwrap();
    };
    save("1.9");
    RunReader::open(dir.path()).unwrap();
    for version in ["2.0", "0.9"] {
        save(version);
        let message = RunReader::open(dir.path()).unwrap_err().to_string();
        assert!(message.contains(&format!("version {version}")), "{message}");
    }
}

#[test]
fn a_manifest_that_is_none_is_refused_by_all() {
    let dir = tempfile::tempdir().unwrap();
    let message = RunReader::open(dir.path()).unwrap_err().to_string();
    assert!(message.contains("manifest.json is missing"), "{message}");
    for (text, problem) in [
        ("{", "EOF while parsing"),
        ("{}", "states no format_version"),
        ("{\"name\": \"an extension\"}", "states no format_version"),
        ("{\"format_version\": \"new\"}", "format_version is \"new\""),
        ("{\"format_version\": \"1.0\"}", "missing field"),
    ] {
        fs::write(dir.path().join(MANIFEST_FILE), text).unwrap();
        let errors = [
            RunReader::open(dir.path()).unwrap_err().to_string(),
            refusal(dir.path(), &example::manifest()),
            RunWriter::overwrite(dir.path(), &example::manifest()).unwrap_err().to_string(),
        ];
        for message in errors {
            assert!(message.contains("manifest.json") && message.contains(problem), "{message}");
        }
        assert_eq!(fs::read_to_string(dir.path().join(MANIFEST_FILE)).unwrap(), text);
    }
}

#[test]
fn a_folder_of_someone_else_is_refused_where_files_are_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    fs::write(dir.path().join("report.html"), "mine").unwrap();
    fs::write(dir.path().join("tokens.parquet"), "mine").unwrap();
    let message = refusal(dir.path(), &example::manifest());
    assert!(message.contains("report.html, tokens.parquet in it would be overwritten"), "{message}");
    RunWriter::overwrite(dir.path(), &example::manifest()).unwrap_err();
    assert_eq!(contents(dir.path()).len(), 3);

    fs::remove_file(dir.path().join("report.html")).unwrap();
    fs::remove_file(dir.path().join("tokens.parquet")).unwrap();
    assert_eq!(open(dir.path()).1, Found::Nothing);
    assert!(dir.path().join("notes.txt").exists());
}

#[test]
fn overwriting_removes_the_run_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(dir.path());
    writer.write_part(0, &example::rows(0)).unwrap();
    writer.finish(1, now(), 0.0).unwrap();
    replace_outputs(&mut writer, &["results_1.json"]);
    writer.write_file("report.html", b"old").unwrap();
    writer.write_file("figures/entropy.svg", b"old").unwrap();
    drop(writer);
    for name in ["notes.txt", "results_0.json", "samples_sums_0.jsonl"] {
        fs::write(dir.path().join(name), "mine").unwrap();
    }
    let mut other = example::manifest();
    other.settings.seed = 2;
    let writer = RunWriter::overwrite(dir.path(), &other).unwrap();
    assert_eq!(writer.manifest().settings.seed, 2);
    drop(writer);
    let left = ["manifest.json", "notes.txt", "parts", "results_0.json", "samples_sums_0.jsonl"];
    assert_eq!(file::names(dir.path()).unwrap(), left);
    assert_eq!(RunWriter::open(dir.path(), &other).unwrap().1, parts([]));
}

fn replace_outputs(writer: &mut RunWriter, names: &[&str]) -> Vec<PathBuf> {
    let begun = names.iter().map(|name| {
        let mut output = writer.begin_output(name).unwrap();
        output.file.write(b"{}").unwrap();
        output
    });
    let outputs = begun.collect();
    writer.replace_outputs(outputs).unwrap()
}

#[test]
fn an_output_that_is_not_finished_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let (writer, _) = open(dir.path());
    drop(writer.begin_output("results_1.json").unwrap());
    assert!(writer.begin_output("../results_1.json").is_err());
    assert!(file::names(dir.path()).unwrap().iter().all(|name| !name.contains("results_1")));
}

#[test]
fn outputs_take_the_place_of_earlier_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(dir.path());
    fs::write(dir.path().join("results_0.json"), "mine").unwrap();
    replace_outputs(&mut writer, &["results_1.json", "samples_a_1.jsonl"]);
    drop(writer);
    let (mut writer, _) = open(dir.path());
    let paths = replace_outputs(&mut writer, &["results_2.json", "samples_a_1.jsonl"]);
    assert_eq!(paths, ["results_2.json", "samples_a_1.jsonl"].map(|name| dir.path().join(name)));
    let names = file::names(dir.path()).unwrap();
    let outputs: Vec<&String> = names.iter().filter(|name| name.contains('_')).collect();
    assert_eq!(outputs, ["results_0.json", "results_2.json", "samples_a_1.jsonl"]);
}

#[test]
fn outputs_that_are_folders_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(dir.path());
    replace_outputs(&mut writer, &["results_1.json"]);
    let path = dir.path().join("results_1.json");
    fs::remove_file(&path).unwrap();
    fs::create_dir_all(path.join("mine")).unwrap();
    replace_outputs(&mut writer, &["results_2.json"]);
    drop(writer);
    RunWriter::overwrite(dir.path(), &example::manifest()).unwrap();
    assert!(path.join("mine").exists());
}

#[cfg(unix)]
#[test]
fn nothing_is_written_or_removed_through_a_link() {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join(".a.1.entrace-tmp");
    fs::write(&victim, "precious").unwrap();
    for name in [PARTS, FIGURES] {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()));
        file::remove(&dir.path().join(name)).unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join(name)).unwrap();
        let message = refusal(dir.path(), &example::manifest());
        assert!(message.contains("is a link"), "{message}");
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
    }
    let dir = tempfile::tempdir().unwrap();
    let (writer, _) = open(dir.path());
    std::os::unix::fs::symlink(outside.path(), dir.path().join(FIGURES)).unwrap();
    assert!(matches!(writer.write_file("figures/a.svg", b""), Err(Error::Link { .. })));
    drop(writer);
    RunWriter::overwrite(dir.path(), &example::manifest()).unwrap();
    assert_eq!(file::names(outside.path()).unwrap(), [".a.1.entrace-tmp"]);
}

/// Any bit of any table that flips is noticed, in a finished run and in a part.
#[test]
fn flipped_bits_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(dir.path());
    (0..2).for_each(|index| writer.write_part(index, &example::rows(index)).unwrap());
    let flip = |path: &Path, at: usize| {
        let mut bytes = fs::read(path).unwrap();
        let at = at * (bytes.len() - 1) / 40;
        bytes[at] ^= 1 << (at % 8);
        fs::write(path, &bytes).unwrap();
    };
    for table in TABLES {
        let path = parts::folder(dir.path(), 1).join(file_name(table));
        flip(&path, 20);
        for message in [
            RunReader::open(dir.path()).unwrap_err().to_string(),
            writer.finish(2, now(), 0.0).unwrap_err().to_string(),
        ] {
            assert!(message.contains(&file_name(table)) && message.contains("hashes.json"), "{message}");
        }
        flip(&path, 20);
    }
    writer.finish(2, now(), 0.0).unwrap();
    let path = dir.path().join("prefixes.parquet");
    for at in 0..=40 {
        flip(&path, at);
        let message = RunReader::open(dir.path()).unwrap_err().to_string();
        assert!(message.contains("prefixes.parquet"), "{message}");
        flip(&path, at);
    }
    assert_eq!(
        RunReader::open(dir.path()).unwrap().prefixes().unwrap().len(),
        2 * example::rows(0).prefixes.len()
    );
}

#[test]
fn parts_without_hashes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (writer, _) = open(dir.path());
    writer.write_part(0, &example::rows(0)).unwrap();
    fs::remove_file(dir.path().join("parts/00000/hashes.json")).unwrap();
    let message = RunReader::open(dir.path()).unwrap_err().to_string();
    assert!(message.contains("hashes.json: it is missing"), "{message}");
}

#[test]
fn two_writers_of_one_folder_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (writer, _) = open(dir.path());
    let message = refusal(dir.path(), &example::manifest());
    assert!(message.contains(&format!("another process (number {})", std::process::id())), "{message}");
    drop(writer);
    open(dir.path());
}

#[test]
fn files_stay_in_the_folder_and_off_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let (writer, _) = open(dir.path());
    let path = writer.write_file("figures/a.svg", b"<svg/>").unwrap();
    assert_eq!(fs::read(path).unwrap(), b"<svg/>");
    for name in
        ["", "../a", "/a", "a/../../b", ".lock", "manifest.json", "parts/x", "traces.parquet", "a/", "./a"]
    {
        let written = writer.write_file(name, b"");
        assert!(matches!(written, Err(Error::BadName { .. })), "{name:?}: {written:?}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let message = refusal(&dir.path().join("file/run"), &example::manifest());
    assert!(message.contains("file/run") && message.contains("found a file"), "{message}");
}

/// A part that cannot be written leaves nothing behind, and the run goes on once it can.
#[test]
fn a_failed_part_leaves_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let (writer, _) = open(dir.path());
    writer.write_part(0, &example::rows(0)).unwrap();
    let (parts, aside) = (dir.path().join(PARTS), dir.path().join("aside"));
    fs::rename(&parts, &aside).unwrap();
    let message = writer.write_part(1, &example::rows(1)).unwrap_err().to_string();
    assert!(message.contains("00001"), "{message}");
    fs::rename(&aside, &parts).unwrap();
    writer.write_part(1, &example::rows(1)).unwrap();
    assert_eq!(parts::list(dir.path()).unwrap(), BTreeSet::from([0, 1]));
}

#[test]
fn damaged_tables_of_a_finished_run_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(dir.path());
    writer.finish(0, now(), 0.0).unwrap();
    let path = dir.path().join("prefixes.parquet");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    let message = RunReader::open(dir.path()).unwrap_err().to_string();
    assert!(message.contains("prefixes.parquet: the file is cut off"), "{message}");
    fs::remove_file(&path).unwrap();
    let message = RunReader::open(dir.path()).unwrap_err().to_string();
    assert!(message.contains("prefixes.parquet is missing"), "{message}");
}

// Being killed.

const CHILD_DIR: &str = "ENTRACE_TEST_CHILD_DIR";

/// Not a test of its own: what the process does that the next test kills.
#[test]
fn child_that_writes_until_killed() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        let (writer, _) = open(Path::new(&dir));
        (0..10_000).for_each(|index| writer.write_part(index, &example::rows(index)).unwrap());
    }
}

#[test]
fn a_killed_process_leaves_whole_parts_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer::tests::child_that_writes_until_killed"])
        .env(CHILD_DIR, dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while parts::list(dir.path()).unwrap().len() < 3 {
        assert_eq!(child.try_wait().unwrap(), None, "the child ended by itself");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let (mut writer, Found::Resumed { finished_parts }) = open(dir.path()) else { panic!("not resumed") };
    let n_parts = finished_parts.len();
    assert_eq!(finished_parts, (0..n_parts).collect());
    assert_eq!(RunReader::open(dir.path()).unwrap().tokens().unwrap().len(), 3 * n_parts);
    writer.finish(n_parts, now(), 0.0).unwrap();
}

// The frozen run.

/// A run as format 1.0 wrote it, kept for good: it lacks the columns that came later. `ENTRACE_FREEZE=1` writes it anew, which only a new
/// major version may need.
#[test]
fn a_run_of_format_1_0_is_read() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frozen/1.0");
    if std::env::var_os("ENTRACE_FREEZE").is_some() {
        let mut writer = RunWriter::overwrite(&dir, &example::manifest()).unwrap();
        (0..2).for_each(|index| writer.write_part(index, &example::rows(index)).unwrap());
        writer.finish(2, now(), 1.5).unwrap();
    }
    let reader = RunReader::open(&dir).unwrap();
    let expected = Manifest {
        format_version: "1.0".to_owned(),
        finished_at: Some("2026-04-07T09:30:00Z".to_owned()),
        elapsed_secs: 1.5,
        ..example::manifest()
    };
    assert_eq!(reader.manifest(), &expected);
    let rows = [example::rows(0), example::rows(1)];
    let traces: Vec<_> = rows.iter().flat_map(|r| r.traces.clone()).collect();
    let prefixes: Vec<_> = rows.iter().flat_map(|r| r.prefixes.clone()).collect();
    let as_before = |row: &AnswerRow| AnswerRow { estimator: None, ..row.clone() };
    let answers: Vec<_> = rows.iter().flat_map(|r| r.answers.iter().map(as_before)).collect();
    let tokens: Vec<_> = rows.iter().flat_map(|r| r.tokens.clone()).collect();
    assert_eq!(reader.traces().unwrap(), traces);
    assert_eq!(reader.prefixes().unwrap(), prefixes);
    assert_eq!(reader.answers().unwrap(), answers);
    assert_eq!(reader.tokens().unwrap(), tokens);
    let signals: Vec<_> = rows.iter().flat_map(|r| r.signals.clone()).collect();
    assert_eq!(reader.signals().unwrap(), signals);
}
