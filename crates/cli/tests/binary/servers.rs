//! Models behind servers: the same numbers as here, shards that make up a run whatever kills them, and a key that nobody sees.

use crate::support::{QUESTIONS, Scratch, TRACES, command, expect, rows, said};
use crate::two_samples;
use entrace_backend::{Branch, Error, NextRequest, ScoreTree, Text};
use entrace_decide::recorded::RecordedTrace;
use entrace_decide::replay::{Values, replay};
use entrace_decide::rule::Condition;
use entrace_decide::{Rule, TaskTraces};
use entrace_decoder::{LanguageModel, Options};
use entrace_measure::TokenId;
use entrace_remote::scripted::{Behaviour, Mischief, Oracle, Server, Speaks};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

const TABLES: [&str; 5] =
    ["traces.parquet", "prefixes.parquet", "answers.parquet", "tokens.parquet", "signals.parquet"];

/// The tiny model as a server has it.
struct Tiny(LanguageModel);

impl Oracle for Tiny {
    fn vocab_size(&self) -> usize {
        self.0.info().vocab_size
    }

    fn next(&self, tokens: &[TokenId]) -> Result<Vec<f64>, Error> {
        let all: Vec<TokenId> = (0..self.vocab_size() as TokenId).collect();
        let next = Some(NextRequest { gather: all.into(), ..NextRequest::default() });
        let root = Branch { tokens: tokens.to_vec(), next, ..Branch::default() };
        let score = self.0.session()?.extend(&[root])?.remove(0);
        Ok(score.next.unwrap().gather.into_iter().map(|logprob| logprob.unwrap().exp()).collect())
    }

    fn encode(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        self.0.encode_plain(text)
    }

    fn decode(&self, tokens: &[TokenId]) -> String {
        Text::decode(&self.0, tokens).text
    }

    fn stop_tokens(&self) -> Vec<TokenId> {
        Text::stop_tokens(&self.0).to_vec()
    }

    fn context_length(&self) -> usize {
        self.0.info().context_length
    }
}

/// Starts a server that has the tiny model in a folder.
pub(crate) fn serve(model: &str, behaviour: Behaviour) -> Server {
    let now = jiff::civil::date(2026, 11, 29).at(12, 0, 0, 0);
    let tiny = LanguageModel::open("tiny", Path::new(model), Options::default(), now).unwrap();
    Server::start(Arc::new(Tiny(tiny)), behaviour)
}

fn questions(n: usize) -> String {
    (0..n).map(|copy| QUESTIONS.replace(r#""id": ""#, &format!(r#""id": "{copy}-"#))).collect()
}

/// What makes runs of the tiny model short, the same here and behind a server.
const SHORT: [&str; 8] =
    ["--max-new-tokens", "20", "--max-nodes", "6", "--rollouts", "0", "--max-answer-tokens", "3"];

fn args<'a>(command: &'a str, model: &'a [&'a str], input: &'a [&'a str], out: &'a str) -> Vec<&'a str> {
    [&[command][..], model, input, &SHORT, &["--output-path", out]].concat()
}

fn assert_equal_tables(a: &str, b: &str) {
    for table in TABLES {
        let read = |dir: &str| std::fs::read(Path::new(dir).join(table)).unwrap();
        assert!(read(a) == read(b), "{table} differs");
    }
}

#[test]
fn options_are_scored_as_here() {
    let scratch = Scratch::new();
    let (model, traces) = (scratch.model(), scratch.file("traces.jsonl", TRACES));
    let here = scratch.arg("here");
    let input = ["--traces", &traces, "--batch-size", "2"];
    expect(0, &args("score", &["--model", &model], &input, &here));
    let here = rows(&here);
    for speaks in [Speaks::Vllm, Speaks::Sglang, Speaks::LlamaServer] {
        let server = serve(&model, Behaviour::new(speaks));
        let (url, out) = (server.url(), scratch.arg(&format!("{speaks:?}")));
        expect(0, &args("score", &["--model", &url, "--tokenizer", &model], &input, &out));
        let there = rows(&out);
        assert_eq!(here.answers.len(), there.answers.len());
        for (here, there) in here.answers.iter().zip(&there.answers) {
            assert_eq!((&here.answer, here.step), (&there.answer, there.step));
            assert!(
                (here.prob - there.prob).abs() < 1e-4,
                "{speaks:?}: {} here, {} there",
                here.prob,
                there.prob
            );
        }
    }
}

#[test]
fn intervals_of_open_answers_hold_what_is_measured_here() {
    let scratch = Scratch::new();
    let (model, tasks) = (scratch.model(), scratch.file("sums.jsonl", &questions(2)));
    let (here, there) = (scratch.arg("here"), scratch.arg("there"));
    let input = ["--tasks", &tasks];
    expect(0, &args("run", &["--model", &model], &input, &here));
    let server = serve(&model, Behaviour::new(Speaks::Vllm));
    let url = server.url();
    expect(0, &args("run", &["--model", &url, "--tokenizer", &model], &input, &there));
    let (here, there) = (rows(&here), rows(&there));
    assert_eq!(here.traces.len(), there.traces.len());
    for (here, there) in here.traces.iter().zip(&there.traces) {
        assert_eq!(here.completion, there.completion, "greedy traces are those of the model");
    }
    assert_eq!(here.prefixes.len(), there.prefixes.len());
    let mut n_checked = 0;
    for (here, there) in here.prefixes.iter().zip(&there.prefixes) {
        // What is certified there bounds the same quantity as what is certified here.
        let (low, high) = (there.entropy_lower, there.entropy_upper);
        let (least, most) = (here.entropy_lower, here.entropy_upper);
        assert!(low <= most + 1e-3 && least <= high + 1e-3, "[{low}, {high}] there, [{least}, {most}] here");
        n_checked += 1;
    }
    assert!(n_checked > 10, "{n_checked} prefixes");
    let manifest = std::fs::read_to_string(scratch.path("there").join("manifest.json")).unwrap();
    assert!(manifest.contains(r#""speaks": "vllm""#) && manifest.contains(&url), "{manifest}");
}

/// The model that comes with the program, as a folder.
fn sprout(scratch: &Scratch) -> String {
    let (folder, source) =
        (scratch.path("sprout"), Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/sprout"));
    std::fs::create_dir(&folder).unwrap();
    for entry in std::fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        std::fs::copy(
            &path,
            folder.join(if name == "sft.safetensors" { "model.safetensors".as_ref() } else { name }),
        )
        .unwrap();
    }
    folder.display().to_string()
}

#[test]
fn rollouts_are_drawn_as_here() {
    let scratch = Scratch::new();
    let model = sprout(&scratch);
    let server = serve(&model, Behaviour::new(Speaks::Vllm));
    let url = server.url();
    println!("{}", two_samples::compare(&model, &["--model", &url, "--tokenizer", &model], "36"));
}

#[test]
fn shards_make_up_the_run() {
    let scratch = Scratch::new();
    let (model, tasks) = (scratch.model(), scratch.file("sums.jsonl", &questions(3)));
    let server = serve(&model, Behaviour::new(Speaks::Sglang));
    let url = server.url();
    let engine = ["--model", &url, "--tokenizer", &model];
    let input = ["--tasks", &tasks, "--batch-size", "2", "--controls", "swapped,shuffled"];
    let (whole, shards) = (scratch.arg("whole"), scratch.arg("shards"));
    expect(0, &args("run", &engine, &input, &whole));
    for shard in ["2/3", "0/3"] {
        let input = [&input[..], &["--shard", shard]].concat();
        let said = expect(0, &args("run", &engine, &input, &shards));
        assert!(said.contains("is complete"), "{said}");
    }
    let said = expect(1, &["merge", &shards, "--check"]);
    assert_eq!(said.trim(), "1");
    assert!(expect(2, &["merge", &shards]).contains("of 3 shards, 1 are missing or unfinished: 1"));
    let third = [&input[..], &["--shard", "/3"]].concat();
    let array =
        command(&args("run", &engine, &third, &shards)).env("SLURM_ARRAY_TASK_ID", "1").output().unwrap();
    assert!(array.status.success(), "{}", crate::support::said(&array));
    assert_eq!(expect(0, &["merge", &shards, "--check"]), "");
    expect(0, &["merge", &shards]);
    assert_equal_tables(&whole, &shards);
    // What does not belong together is refused.
    let other = scratch.arg("other");
    let input = [&input[..], &["--shard", "1/3", "--epsilon", "0.2"]].concat();
    expect(0, &args("run", &engine, &input, &other));
    let both = [format!("{shards}/shard-0-of-3"), format!("{other}/shard-1-of-3")];
    let said = expect(2, &["merge", &both[0], &both[1], "--output-path", &scratch.arg("mixed")]);
    assert!(said.contains("differ in enumerate_epsilon: 0.01 and 0.2"), "{said}");
    let twice = expect(2, &["merge", &both[0], &both[0], "--output-path", &scratch.arg("mixed")]);
    assert!(twice.contains("are both shard 0 of 3"), "{twice}");
}

#[test]
fn shards_of_imported_traces_make_up_the_run() {
    let scratch = Scratch::new();
    let (model, traces) = (scratch.model(), scratch.file("traces.jsonl", TRACES));
    let (whole, shards) = (scratch.arg("whole"), scratch.arg("shards"));
    let input = ["--traces", &traces, "--batch-size", "1"];
    expect(0, &args("score", &["--model", &model], &input, &whole));
    for shard in ["0/2", "1/2"] {
        let input = [&input[..], &["--shard", shard]].concat();
        expect(0, &args("score", &["--model", &model], &input, &shards));
    }
    expect(0, &["merge", &shards]);
    assert_equal_tables(&whole, &shards);
}

#[test]
fn a_sharded_run_survives_twenty_kills() {
    let scratch = Scratch::new();
    let (model, tasks) = (scratch.model(), scratch.file("sums.jsonl", &questions(2)));
    let server =
        serve(&model, Behaviour { latency: Duration::from_millis(4), ..Behaviour::new(Speaks::Vllm) });
    let url = server.url();
    let engine = ["--model", &url, "--tokenizer", &model];
    let input = ["--tasks", &tasks, "--batch-size", "1"];
    let (whole, shards) = (scratch.arg("whole"), scratch.arg("shards"));
    let began = std::time::Instant::now();
    expect(0, &args("run", &engine, &input, &whole));
    let took = began.elapsed();
    let mut moment = 12345_u64;
    for shard in ["0/2", "1/2"] {
        let input = [&input[..], &["--shard", shard]].concat();
        let args = args("run", &engine, &input, &shards);
        for _ in 0..10 {
            // Anywhere between the first connection and the middle of the work.
            moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let share = (moment >> 40) as f64 / (1 << 24) as f64;
            let mut child = command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(took.mul_f64(0.05 + 0.5 * share));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        expect(0, &args);
    }
    expect(0, &["merge", &shards]);
    assert_equal_tables(&whole, &shards);
}

#[test]
fn what_a_server_cannot_do_is_refused_before_any_work() {
    let scratch = Scratch::new();
    let (model, traces) = (scratch.model(), scratch.file("traces.jsonl", TRACES));
    let tasks = scratch.file("sums.jsonl", QUESTIONS);
    let server = serve(&model, Behaviour::new(Speaks::Completions(true)));
    let url = server.url();
    let engine = ["--model", &url, "--tokenizer", &model];
    let out = scratch.arg("refused");
    let said = expect(2, &args("score", &engine, &["--traces", &traces], &out));
    assert!(
        said.contains("by text, where several tokens may be one") && said.contains("llama.cpp's server"),
        "{said}"
    );
    assert!(!Path::new(&out).exists(), "nothing was begun");
    let rollouts = ["--tasks", &tasks, "--estimator", "rollout", "--samples", "2", "--temperature", "1"];
    let out = scratch.arg("rollouts");
    let run = [&["run"][..], &engine, &rollouts, &["--max-new-tokens", "10", "--output-path", &out]].concat();
    expect(0, &run);
    assert_eq!(rows(&out).traces.len(), 4);
    let chat = serve(&model, Behaviour::new(Speaks::Chat));
    let url = chat.url();
    for engine in [&["--model", &*url, "--tokenizer", &*model][..], &["--model", &url]] {
        let said = expect(2, &args("run", engine, &["--tasks", &tasks], &scratch.arg("chat")));
        assert!(said.contains("gives traces and no more") && said.contains("estimator none"), "{said}");
    }
    assert!(!scratch.path("chat").exists());
}

#[test]
fn a_server_that_only_chats_writes_traces_that_another_model_scores() {
    let scratch = Scratch::new();
    let (model, tasks) = (scratch.model(), scratch.file("sums.jsonl", QUESTIONS));
    let server = serve(&model, Behaviour::new(Speaks::Chat));
    let (url, out) = (server.url(), scratch.arg("chat"));
    // No tokenizer is needed, nor to be had.
    let input = ["--tasks", &*tasks, "--estimator", "none", "--repeats", "2", "--temperature", "1"];
    let run =
        [&["run", "--model", &*url], &input[..], &["--max-new-tokens", "20", "--output-path", &out]].concat();
    let said = expect(0, &run);
    assert!(said.contains("belief cannot be measured there") && said.contains("traces.parquet"), "{said}");
    let written = rows(&out);
    assert_eq!((written.traces.len(), written.prefixes.len(), written.tokens.len()), (8, 0, 0));
    for row in &written.traces {
        assert!(row.completion.starts_with("<think>\nSo.\n</think>\n\n"), "{}", row.completion);
        assert_eq!(row.outcome.name(), "skipped");
        assert!(row.reason.as_deref().unwrap().contains("was not measured"), "{:?}", row.reason);
        assert!(row.n_trace_tokens > 0 && row.n_prompt_tokens > 0 && row.answer.is_some());
    }
    assert!(expect(0, &run).contains("complete already"));
    let traces = scratch.path("chat").join("traces.parquet").display().to_string();
    let scored = scratch.arg("scored");
    expect(0, &args("score", &["--model", &model], &["--traces", &traces, "--controls", "none"], &scored));
    let scored = rows(&scored);
    let identity = |row: &entrace_record::rows::TraceRow| (row.question_id.to_string(), row.sample);
    let known: std::collections::BTreeSet<_> = written.traces.iter().map(identity).collect();
    assert_eq!(scored.traces.iter().map(identity).collect::<std::collections::BTreeSet<_>>(), known);
    for row in &scored.traces {
        assert_eq!(row.outcome.name(), "measured", "{:?}", row.reason);
        // The other model is asked through its own template, and what is measured is the thought.
        assert!(row.prompt.contains("<|im_start|>user"), "{}", row.prompt);
        assert!(row.completion.starts_with("<think>"));
    }
    let more = ["--signals", "p_true"];
    let refused = expect(2, &[&run[..], &more].concat());
    assert!(refused.contains("measures nothing, and signals are measured"), "{refused}");
    let refused = expect(2, &["score", "--model", &model, "--traces", &traces, "--estimator", "none"]);
    assert!(refused.contains("nothing else to do with existing traces"), "{refused}");
    assert!(expect(1, &["doctor", "--model", &url]).contains("speaks          chat"));
}

#[test]
fn replies_of_a_chat_are_resumed_and_divided_as_every_run_is() {
    let scratch = Scratch::new();
    let (model, tasks) = (scratch.model(), scratch.file("sums.jsonl", &questions(2)));
    let server =
        serve(&model, Behaviour { latency: Duration::from_millis(30), ..Behaviour::new(Speaks::Chat) });
    // As hosted reasoning models do, it knows another name of the limit.
    server.misbehave(|seen| {
        let has_old_name = seen.body.get("max_tokens").is_some() && seen.path.ends_with("/chat/completions");
        has_old_name.then(|| Mischief::Status(400, vec![], "use max_completion_tokens".into()))
    });
    let url = server.url();
    let engine = ["--model", &*url];
    let input = ["--tasks", &*tasks, "--estimator", "none", "--batch-size", "1"];
    let (whole, shards) = (scratch.arg("whole"), scratch.arg("shards"));
    expect(0, &args("run", &engine, &input, &whole));
    for shard in ["0/3", "1/3", "2/3"] {
        let input = [&input[..], &["--shard", shard]].concat();
        let args = args("run", &engine, &input, &shards);
        for moment in [40, 90, 140] {
            let mut child = command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(moment));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        expect(0, &args);
    }
    expect(0, &["merge", &shards]);
    assert_equal_tables(&whole, &shards);
}

#[test]
fn traces_are_written_by_a_model_here_and_not_measured_where_that_is_asked_for() {
    let scratch = Scratch::new();
    let (model, tasks) = (scratch.model(), scratch.file("sums.jsonl", QUESTIONS));
    let (written, measured) = (scratch.arg("written"), scratch.arg("measured"));
    let input = ["--tasks", &*tasks];
    expect(0, &args("run", &["--model", &model], &[&input[..], &["--estimator", "none"]].concat(), &written));
    expect(0, &args("run", &["--model", &model], &input, &measured));
    let (written, measured) = (rows(&written), rows(&measured));
    assert!(written.prefixes.is_empty() && written.answers.is_empty());
    assert_eq!(written.tokens, measured.tokens);
    for (written, measured) in written.traces.iter().zip(&measured.traces) {
        assert_eq!((&written.completion, &written.answer), (&measured.completion, &measured.answer));
        assert_eq!(written.outcome.name(), "skipped");
    }
}

/// What docs/scaling.md says that a trace costs, against what a server counts: requests, and tokens that were not in its prefix cache.
#[test]
fn a_trace_costs_what_is_documented() {
    const DRAWS: usize = 4;
    const NODES: usize = 5;
    let scratch = Scratch::new();
    let model = scratch.model();
    let listed = scratch.file("listed.jsonl", TRACES);
    let open: String = QUESTIONS
        .lines()
        .map(|line| line.replace('}', r#", "trace": "There is one.\\nThen 4 more.\\nThat is it."}"#) + "\n")
        .collect();
    let open = scratch.file("open.jsonl", &open);
    let server = serve(&model, Behaviour::new(Speaks::Vllm));
    let url = server.url();
    let engine = ["--model", &*url, "--tokenizer", &*model];
    // What the probe takes is counted apart.
    server.forget();
    expect(0, &[&["doctor"][..], &engine].concat());
    let probe = server.counted();
    let now = jiff::civil::date(2026, 11, 29).at(12, 0, 0, 0);
    let here = LanguageModel::open("tiny", Path::new(&model), Options::default(), now).unwrap();
    let cue = here.encode_plain("\nThe answer is").unwrap().len();
    for estimator in ["choices", "enumerate", "sample", "rollout"] {
        let (traces, out) = (if estimator == "choices" { &listed } else { &open }, scratch.arg(estimator));
        let (draws, nodes) = (DRAWS.to_string(), NODES.to_string());
        let how =
            ["--estimator", estimator, "--samples", &draws, "--max-nodes", &nodes, "--temperature", "1"];
        let short = [
            "--controls",
            "none",
            "--max-new-tokens",
            "6",
            "--max-answer-tokens",
            "3",
            "--output-path",
            &out,
        ];
        server.forget();
        let rollouts: &[&str] = if estimator == "rollout" { &[] } else { &["--rollouts", "0"] };
        expect(0, &[&["score"][..], &engine, &["--traces", traces], &how, &short, rollouts].concat());
        let counted = server.counted();
        let rows = rows(&out);
        let n_requests = counted.requests["/v1/completions"] - probe.requests["/v1/completions"];
        let prefilled = counted.prefilled_tokens - probe.prefilled_tokens;
        let n_sequences = counted.sequences - probe.sequences;
        let (n_traces, n_prefixes) = (rows.traces.len(), rows.prefixes.len());
        let whole: usize =
            rows.traces.iter().map(|row| (row.n_prompt_tokens + row.n_trace_tokens) as usize).sum();
        let cue = if estimator == "rollout" { 0 } else { cue };
        let block = entrace_remote::scripted::BLOCK;
        let mut most = whole + n_prefixes * (cue + block);
        match estimator {
            "choices" => assert_eq!(n_requests, n_traces, "{counted:?}"),
            // How many rounds a search takes is not known before; each node runs a block at most.
            "enumerate" => most += block * n_sequences,
            _ => assert_eq!(n_requests, n_prefixes, "{estimator}: {counted:?}"),
        }
        println!(
            "{estimator}: {n_traces} traces, {n_prefixes} prefixes, {n_requests} requests, {prefilled} tokens run of {}, at most {most}",
            counted.prompt_tokens
        );
        assert!(prefilled <= most, "{estimator}: {prefilled} tokens, at most {most}");
    }
}

#[test]
fn doctor_says_what_a_server_can_do() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let server = serve(&model, Behaviour { name: model.clone(), ..Behaviour::new(Speaks::Vllm) });
    // The server says where its model came from, which is here too.
    let said = expect(0, &["doctor", "--model", &server.url()]);
    for line in [
        "speaks          vllm",
        "listed tokens   20",
        "chosen tokens   up to 128",
        "raw             yes",
        "draws differ    yes",
    ] {
        assert!(said.contains(line), "{said}");
    }
    let gone = expect(3, &["doctor", "--model", "http://127.0.0.1:9/v1", "--tokenizer", &model]);
    assert!(gone.contains("--wait-for-server"), "{gone}");
    let password = expect(2, &["doctor", "--model", "http://me:hunter22@127.0.0.1:9/v1"]);
    assert!(!password.contains("hunter22"), "{password}");
    let unnamed = serve(&model, Behaviour::new(Speaks::Completions(true)));
    assert!(expect(2, &["doctor", "--model", &unnamed.url()]).contains("--tokenizer"));
}

#[test]
fn the_key_is_nowhere() {
    const KEY: &str = "sk-0123456789abcdef";
    let scratch = Scratch::new();
    let (model, tasks) = (scratch.model(), scratch.file("sums.jsonl", QUESTIONS));
    let server = serve(&model, Behaviour { key: Some(KEY.into()), ..Behaviour::new(Speaks::Vllm) });
    let (url, out) = (server.url(), scratch.arg("run"));
    let engine = ["--model", &*url, "--tokenizer", &*model];
    let input = ["--tasks", &*tasks];
    let run = |key: &str, more: &[&str]| {
        let args = [&args("run", &engine, &input, &out)[..], more].concat();
        command(&args).env("OPENAI_API_KEY", key).env("ORG", "hidden-organisation").output().unwrap()
    };
    let refused = run("sk-wrong-but-secret", &[]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(
        said(&refused).contains("OPENAI_API_KEY") && !said(&refused).contains("wrong-but"),
        "{}",
        said(&refused)
    );
    let literal = run(KEY, &["--header", "X-Api-Key: visible-to-all"]);
    assert!(
        said(&literal).contains("$VARIABLE") && !said(&literal).contains("visible-to-all"),
        "{}",
        said(&literal)
    );
    let done = run(KEY, &["--header", "X-Organisation-Key: $ORG"]);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let mut all: Vec<(PathBuf, Vec<u8>)> = vec![("printed".into(), [done.stdout, done.stderr].concat())];
    let mut folders = vec![scratch.path("run")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path)
            } else {
                all.push((path.clone(), std::fs::read(path).unwrap()))
            }
        }
    }
    assert!(all.len() > 8);
    for (path, bytes) in all {
        for secret in ["0123456789abcdef", "hidden-organisation"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} in {}", path.display());
        }
    }
}

#[test]
fn a_base_url_and_a_name_are_a_server_too() {
    let scratch = Scratch::new();
    let model = scratch.model();
    let server = serve(&model, Behaviour { name: "org/tiny".into(), ..Behaviour::new(Speaks::LlamaServer) });
    let url = server.url();
    let flags = ["doctor", "--model", "org/tiny", "--tokenizer", &model];
    expect(0, &[&flags[..], &["--base-url", &url]].concat());
    let by_variable = command(&flags).env("OPENAI_BASE_URL", &url).output().unwrap();
    assert!(said(&by_variable).contains("speaks          llama-server"), "{}", said(&by_variable));
    let other = expect(2, &["doctor", "--model", "other", "--base-url", &url, "--tokenizer", &model]);
    assert!(other.contains("serves org/tiny, not other"), "{other}");
    // A model that is here is not asked for elsewhere.
    let here = command(&["doctor", "--model", &model])
        .env("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
        .output()
        .unwrap();
    assert!(here.status.success() && said(&here).contains("architecture"), "{}", said(&here));
}

#[test]
fn traces_of_a_server_are_stopped_as_a_replay_would_stop_them() {
    let scratch = Scratch::new();
    let question = |id: usize| {
        format!(
            r#"{{"id": "{id}", "question": "Is {id} even?", "choices": ["yes", "no", "never"], "target": "A"}}"#
        )
    };
    let questions: Vec<String> = (0..9).map(question).collect();
    let (model, tasks) = (scratch.model(), scratch.file("even.jsonl", &questions.join("\n")));
    let server = serve(&model, Behaviour::new(Speaks::Vllm));
    let url = server.url();
    let model = ["--model", &url, "--tokenizer", &model];
    let (whole, stopped) = (scratch.arg("whole"), scratch.arg("stopped"));
    let input = ["--tasks", &tasks, "--segment", "tokens:4", "--controls", "none"];
    expect(0, &args("run", &model, &input, &whole));
    let reader = entrace_record::RunReader::open(Path::new(&whole)).unwrap();
    let task = TaskTraces::read(&reader, None).unwrap();
    let early = |trace: &RecordedTrace| trace.prefixes[..trace.n_early()].to_vec();
    let mut probs: Vec<f64> = task.traces.iter().flat_map(early).map(|prefix| prefix.leader_prob).collect();
    probs.sort_by(f64::total_cmp);
    let text = format!("leader_prob > {}", probs[probs.len() * 3 / 4]);
    let rule = Rule { stop: Some(Condition::parse(&text).unwrap()), give_up: None };
    let input = [&input[..4], &["--stop-when", &text]].concat();
    expect(0, &args("run", &model, &input, &stopped));
    let rows = rows(&stopped);
    let mut n_stopped = 0;
    for trace in &task.traces {
        let values = rule.stop.as_ref().unwrap().signal.values(trace);
        let ending = replay(&rule, trace, Values { stop: &values, give_up: &[] });
        let row = rows.traces.iter().find(|row| row.question_id == trace.question_id).unwrap();
        assert_eq!(row.n_trace_tokens, ending.n_tokens, "{}", trace.question_id);
        let is_stopped = row.stop_reason.as_deref() == Some("rule");
        assert_eq!(is_stopped, ending.act.name() == "stop", "{}", trace.question_id);
        n_stopped += usize::from(is_stopped);
    }
    assert!(n_stopped > 0);
    let text = expect(
        2,
        &args("run", &model, &[&input[..4], &["--stop-when", "mean_token_entropy < 1"]].concat(), &stopped),
    );
    assert!(text.contains("token entropies, which servers do not tell"), "{text}");
}
