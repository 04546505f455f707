//! Real servers against the model here: llama.cpp's and vLLM's, where variables say how to reach them.

use crate::support::{QUESTIONS, Scratch, TRACES, expect, rows};
use crate::two_samples;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the script's server; `None` where it ends before it answers, as it does on a processor that it was not built for.
fn start(script: &Path, model: &Path, port: u16) -> Option<Running> {
    let mut command = Command::new("bash");
    command.arg(script).arg(model).arg(port.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
    // It computes attention in half precision otherwise.
    command.args(["--cache-type-k", "f32", "--cache-type-v", "f32", "--flash-attn", "off"]);
    let mut server = Running(command.spawn().unwrap());
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(120) {
        if server.0.try_wait().unwrap().is_some() {
            return None;
        }
        if is_healthy(port) {
            return Some(server);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    None
}

/// Whether the server has loaded its model and run it once: it listens long before.
fn is_healthy(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut said = String::new();
    let asked = stream.write_all(b"GET /health HTTP/1.0\r\n\r\n");
    asked.and_then(|()| stream.read_to_string(&mut said)).is_ok() && said.contains(" 200 ")
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Scores options, enumerates answers and draws rollouts here and behind a server, compares them, and says what came out.
fn compare(model: &str, url: &str, tokenizer: &str, tolerance: f64) -> String {
    let scratch = Scratch::new();
    let (traces, tasks) = (scratch.file("traces.jsonl", TRACES), scratch.file("sums.jsonl", QUESTIONS));
    let there = ["--model", url, "--tokenizer", tokenizer, "--wait-for-server", "120"];
    let run = |command: &str, name: &str, engine: &[&str], input: &[&str]| {
        let out = scratch.arg(name);
        let short = ["--rollouts", "0", "--controls", "none", "--output-path", &out];
        expect(0, &[&[command][..], engine, input, &short].concat());
        rows(&out)
    };
    let input = ["--traces", &*traces];
    let (here, served) = (run("score", "a", &["--model", model], &input), run("score", "b", &there, &input));
    let largest = (here.answers.iter().zip(&served.answers))
        .inspect(|(here, served)| assert_eq!((&here.answer, here.step), (&served.answer, served.step)))
        .map(|(here, served)| (here.logprob - served.logprob).abs())
        .fold(0.0, f64::max);
    let mut said =
        format!("{} option log-probabilities, largest difference {largest:.1e} nats", here.answers.len());
    assert!(here.answers.len() > 20 && largest < tolerance, "{largest}");
    let input = [
        "--tasks",
        &*tasks,
        "--limit",
        "1",
        "--max-new-tokens",
        "16",
        "--max-nodes",
        "4",
        "--max-answer-tokens",
        "4",
    ];
    let (here, served) = (run("run", "c", &["--model", model], &input), run("run", "d", &there, &input));
    let mut n_equal = 0;
    for (ours, theirs) in here.traces.iter().zip(&served.traces).filter(|(a, b)| a.completion == b.completion)
    {
        let of = |rows: &entrace_record::rows::Rows| -> Vec<(f64, f64)> {
            let own = rows.prefixes.iter().filter(|row| row.question_id == ours.question_id);
            own.map(|row| (row.entropy_lower, row.entropy_upper)).collect()
        };
        for ((least, most), (low, high)) in of(&here).into_iter().zip(of(&served)) {
            let slack = 10.0 * tolerance;
            assert!(
                low <= most + slack && least <= high + slack,
                "[{low}, {high}] there, [{least}, {most}] here"
            );
            n_equal += 1;
        }
        assert_eq!(ours.question_id, theirs.question_id);
    }
    said += &format!("; {n_equal} certified intervals agree");
    assert!(n_equal > 0, "no greedy trace is the same here and there");
    said + "; " + &two_samples::compare(model, &there, "20")
}

#[test]
fn llama_cpp_scores_as_the_model_here() {
    let (Some(script), Some(model)) =
        (std::env::var_os("ENTRACE_LLAMA_SERVER"), std::env::var_os("ENTRACE_SMOLLM2"))
    else {
        return eprintln!(
            "skipped: ENTRACE_LLAMA_SERVER names no script that starts the server, or ENTRACE_SMOLLM2 no model"
        );
    };
    let scratch = Scratch::new();
    let whole = scratch.path("smollm2-f32.gguf");
    single_precision(Path::new(&model), &whole);
    let port = free_port();
    let Some(_server) = start(&PathBuf::from(script), &whole, port) else {
        return eprintln!("skipped: the server does not run on this machine");
    };
    let model = whole.display().to_string();
    let said = compare(&model, &format!("http://127.0.0.1:{port}/v1"), &model, 5e-3);
    eprintln!("llama.cpp: {said}");
}

#[test]
fn vllm_scores_as_the_model_here() {
    let (Ok(url), Ok(model)) = (std::env::var("ENTRACE_VLLM"), std::env::var("ENTRACE_VLLM_MODEL")) else {
        return eprintln!(
            "skipped: ENTRACE_VLLM names no server, or ENTRACE_VLLM_MODEL no folder of its model"
        );
    };
    let said = compare(&model, &url, &model, 1e-3);
    eprintln!("vLLM: {said}");
}

/// Prompts go as text there, and one draw comes at a time.
#[test]
fn llama_cpp_python_draws_as_the_model_here() {
    let (Ok(url), Ok(model)) =
        (std::env::var("ENTRACE_LLAMA_CPP_PYTHON"), std::env::var("ENTRACE_LLAMA_CPP_PYTHON_MODEL"))
    else {
        return eprintln!(
            "skipped: ENTRACE_LLAMA_CPP_PYTHON names no server, or ENTRACE_LLAMA_CPP_PYTHON_MODEL no file of its model"
        );
    };
    let scratch = Scratch::new();
    let traces = scratch.file("traces.jsonl", TRACES);
    let there = ["--model", &*url, "--tokenizer", &*model];
    let out = scratch.arg("out");
    let score = [&["score"][..], &there, &["--traces", &traces, "--output-path", &out]].concat();
    let said = expect(2, &score);
    assert!(said.contains("by text, where several tokens may be one"), "{said}");
    let said = expect(0, &[&["doctor"][..], &there].concat());
    assert!(said.contains("speaks          completions (text)"), "{said}");
    eprintln!("llama-cpp-python: {}", two_samples::compare(&model, &there, "20"));
}

/// Writes a GGUF file again with all tensors in single precision, so that both engines compute with the same numbers.
fn single_precision(source: &Path, target: &Path) {
    let bytes = std::fs::read(source).unwrap();
    let mut at = 8;
    let word = |at: &mut usize, n: usize| {
        let number =
            bytes[*at..*at + n].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        *at += n;
        number
    };
    let skip_text = |at: &mut usize| {
        let n = word(at, 8) as usize;
        *at += n;
    };
    fn skip_value(
        kind: u64,
        at: &mut usize,
        word: &dyn Fn(&mut usize, usize) -> u64,
        skip_text: &dyn Fn(&mut usize),
    ) {
        match kind {
            0 | 1 | 7 => *at += 1,
            2 | 3 => *at += 2,
            4..=6 => *at += 4,
            8 => skip_text(at),
            9 => {
                let of = word(at, 4);
                (0..word(at, 8)).for_each(|_| skip_value(of, at, word, skip_text));
            }
            _ => *at += 8,
        }
    }
    let (n_tensors, n_values) = (word(&mut at, 8), word(&mut at, 8));
    for _ in 0..n_values {
        skip_text(&mut at);
        let kind = word(&mut at, 4);
        skip_value(kind, &mut at, &word, &skip_text);
    }
    let mut out = bytes[..at].to_vec();
    let mut tensors = Vec::new();
    let mut offset = 0;
    for _ in 0..n_tensors {
        let begin = at;
        skip_text(&mut at);
        let n_dims = word(&mut at, 4);
        let n: u64 = (0..n_dims).map(|_| word(&mut at, 8)).product();
        out.extend(&bytes[begin..at]);
        tensors.push((word(&mut at, 4), word(&mut at, 8) as usize, n as usize));
        out.extend(0_u32.to_le_bytes());
        out.extend((offset as u64).to_le_bytes());
        offset += (n as usize * 4).next_multiple_of(32);
    }
    let data = at.next_multiple_of(32);
    for (kind, from, n) in tensors {
        out.resize(out.len().next_multiple_of(32), 0);
        let block = |size: usize, index: usize| &bytes[data + from + index * size..][..size];
        match kind {
            0 => out.extend(&bytes[data + from..][..n * 4]),
            3 => (0..n / 32).for_each(|index| {
                let block = block(20, index);
                let (scale, least) = (half(&block[..2]), half(&block[2..4]));
                let low = block[4..].iter().map(|byte| byte & 15);
                let values = low.chain(block[4..].iter().map(|byte| byte >> 4));
                values.for_each(|q| out.extend((scale * f32::from(q) + least).to_le_bytes()));
            }),
            8 => (0..n / 32).for_each(|index| {
                let block = block(34, index);
                let scale = half(&block[..2]);
                block[2..].iter().for_each(|&q| out.extend((scale * f32::from(q as i8)).to_le_bytes()));
            }),
            other => panic!("a tensor of type {other}, which this test does not know"),
        }
    }
    std::fs::write(target, out).unwrap();
}

/// A number in half precision.
fn half(bytes: &[u8]) -> f32 {
    let bits = u16::from_le_bytes([bytes[0], bytes[1]]);
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    let size = match exponent {
        0 => fraction * 2_f32.powi(-24),
        _ => (1.0 + fraction / 1024.0) * 2_f32.powi(exponent - 15),
    };
    if bits >> 15 == 1 { -size } else { size }
}
