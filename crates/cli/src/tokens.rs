//! `entrace tokens`: log-probability and entropy of every token of a text.
//!
//! For each token: number, text, log-probability given what precedes it, entropy of the distribution it was drawn from, in nats (as
//! JSON also its top-2 margin, top-k confidence and divergence from the even distribution); with `--layers` that entropy as each layer's logit lens reads it, embeddings first. Of the first token nothing is known: null. With
//! `--token-ids` the model may lack a tokenizer; texts are null then.

use crate::args::TokensArgs;
use crate::exit::{Exit, InSetUp, SetUp};
use anyhow::Result;
use entrace_backend::{Branch, LayerRequest, ReadLayers, ScoreTree, Sharpness, Text, TokenScores};
use entrace_decoder::{Decoder, LanguageModel};
use serde_json::{Value, json};
use std::io::Write;

/// A model with its text side, or without.
enum Opened {
    Language(Box<LanguageModel>),
    Decoder(Box<Decoder>),
}

impl Opened {
    fn decoder(&self) -> &Decoder {
        match self {
            Self::Language(model) => model.decoder(),
            Self::Decoder(decoder) => decoder,
        }
    }

    fn text(&self) -> Option<&LanguageModel> {
        match self {
            Self::Language(model) => Some(model),
            Self::Decoder(_) => None,
        }
    }
}

/// Everything that is printed of one token.
struct Line {
    token_id: u32,
    text: Option<String>,
    logprob: Option<f64>,
    sharpness: Option<Sharpness>,
    layers: Vec<Option<f64>>,
}

pub(crate) fn tokens(args: &TokensArgs) -> Result<Exit> {
    let model = open(args)?;
    let token_ids = match (&args.text, model.text()) {
        (Some(text), Some(model)) => model.encode_prompt(text).in_set_up()?.token_ids,
        _ => args.token_ids.clone(),
    };
    if token_ids.is_empty() {
        return Err(SetUp("there are no tokens: the text is empty".into()).into());
    }
    let lines = score(&model, &token_ids, args.layers)?;
    let mut out = crate::terminal::stdout();
    if args.json {
        print_json(&mut out, &model, &lines, args.layers)?
    } else {
        print_table(&mut out, &lines)?
    }
    Ok(Exit::success())
}

fn open(args: &TokensArgs) -> Result<Opened> {
    if args.text.is_some() {
        return Ok(Opened::Language(Box::new(crate::model::open(&args.model, false)?.0)));
    }
    match crate::model::open(&args.model, false) {
        Ok((model, _)) => Ok(Opened::Language(Box::new(model))),
        Err(error) if crate::model::could_not_be_fetched(&error) => Err(error),
        Err(_) => Ok(Opened::Decoder(Box::new(crate::model::open_decoder(&args.model)?))),
    }
}

fn score(model: &Opened, token_ids: &[u32], layers: bool) -> Result<Vec<Line>> {
    let decoder = model.decoder();
    let root = Branch { tokens: token_ids.to_vec(), token_scores: TokenScores::Full, ..Branch::default() };
    let scored = decoder.session()?.extend(&[root]).in_set_up()?.remove(0);
    let request = LayerRequest { tokens: 0..token_ids.len(), lens: layers, ..LayerRequest::default() };
    let lens = if layers { decoder.read_layers(token_ids, &request)?.lens_entropy } else { Vec::new() };
    let lines = token_ids.iter().enumerate().map(|(index, &token_id)| Line {
        token_id,
        text: model.text().map(|model| model.token_text(token_id)),
        logprob: scored.token_logprobs[index],
        sharpness: scored.token_sharpness[index],
        layers: lens.iter().map(|layer| layer[index]).collect(),
    });
    Ok(lines.collect())
}

fn print_json(out: &mut impl Write, model: &Opened, lines: &[Line], layers: bool) -> Result<()> {
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
    let document = json!({
        "model": model.decoder().info().name, "unit": "nats", "tokens": tokens.collect::<Vec<Value>>(),
    });
    writeln!(out, "{}", serde_json::to_string_pretty(&document)?)?;
    Ok(())
}

fn print_table(out: &mut impl Write, lines: &[Line]) -> Result<()> {
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
