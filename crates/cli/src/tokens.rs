//! `entrace tokens`: log-probability and entropy of every token of a text.
//!
//! For each token: number, text, log-probability given what precedes it, entropy of the distribution it was drawn from, in nats (as
//! JSON also its top-2 margin, top-k confidence and divergence from the even distribution); with `--layers` that entropy as each layer's logit
//! lens reads it, embeddings first. Of the first token nothing is known: null. With `--token-ids` the model may lack a tokenizer; texts are
//! null then.

use crate::console::Console;
use crate::exit::Exit;
use anyhow::Result;
use entrace_flags::{SetUp, TokensArgs};
use entrace_study::tokens::{Opened, TokenLine};
use serde_json::{Value, json};
use std::io::Write;

pub(crate) fn tokens(args: &TokensArgs) -> Result<Exit> {
    let model = Opened::open(&args.model.options(), args.text.is_some(), &Console::new(false))?;
    let of_text = args.text.as_deref().map(|text| model.tokens(text)).transpose()?.flatten();
    let token_ids = of_text.unwrap_or_else(|| args.token_ids.clone());
    if token_ids.is_empty() {
        return Err(SetUp("there are no tokens: the text is empty".into()).into());
    }
    let lines = model.score(&token_ids, args.layers)?;
    let mut out = crate::terminal::stdout();
    if args.json {
        print_json(&mut out, &model.decoder().info().name, &lines, args.layers)?
    } else {
        print_table(&mut out, &lines)?
    }
    Ok(Exit::success())
}

fn print_json(out: &mut impl Write, model: &str, lines: &[TokenLine], layers: bool) -> Result<()> {
    let tokens = lines.iter().enumerate().map(|(index, line)| {
        let mut token = json!({
            "index": index, "token_id": line.token_id, "text": line.text, "logprob": line.logprob,
            "token_entropy": line.sharpness.and_then(|s| s.entropy), "top2_margin": line.sharpness.and_then(|s| s.top2_margin),
            "topk_confidence": line.sharpness.and_then(|s| s.topk_confidence),
            "uniform_divergence": line.sharpness.and_then(|s| s.uniform_divergence),
        });
        if layers {
            token["layers"] = json!(line.layers);
        }
        token
    });
    let document = json!({"model": model, "unit": "nats", "tokens": tokens.collect::<Vec<Value>>()});
    writeln!(out, "{}", serde_json::to_string_pretty(&document)?)?;
    Ok(())
}

fn print_table(out: &mut impl Write, lines: &[TokenLine]) -> Result<()> {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_string(), |v| format!("{v:.4}"));
    let layers = if lines[0].layers.is_empty() { "" } else { "  lens entropy per layer" };
    writeln!(out, "{:>6} {:>8} {:>10} {:>8}  text{layers}", "index", "token", "logprob", "entropy")?;
    for (index, line) in lines.iter().enumerate() {
        let text = line.text.as_ref().map_or_else(|| "-".to_string(), |text| format!("{text:?}"));
        let lens: Vec<String> =
            line.layers.iter().map(|&v| v.map_or("-".to_string(), |v| format!("{v:.2}"))).collect();
        let lens = if lens.is_empty() { String::new() } else { format!("  {}", lens.join(" ")) };
        let (logprob, entropy) = (number(line.logprob), number(line.sharpness.and_then(|s| s.entropy)));
        writeln!(out, "{index:>6} {:>8} {logprob:>10} {entropy:>8}  {text}{lens}", line.token_id)?;
    }
    writeln!(out, "nats; the first token is drawn from nothing")?;
    Ok(())
}
