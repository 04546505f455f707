//! What the page is told, of made-up runs.

use super::*;
use crate::made_up;

fn run(n: usize, seed: u64) -> (tempfile::TempDir, PathBuf) {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join(format!("run-{seed}"));
    made_up::run(&dir, n, seed);
    (scratch, dir)
}

fn answer(view: &View, address: &str) -> Value {
    view.answer(address).unwrap().unwrap_or_else(|| panic!("nothing has {address}"))
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["rows"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

fn numbers(answer: &Value, column: &str) -> Vec<Option<f64>> {
    let at = answer["columns"].as_array().unwrap().iter().position(|name| name == column).unwrap();
    answer["rows"].as_array().unwrap().iter().map(|row| row["values"][at].as_f64()).collect()
}

#[test]
fn lists_are_filtered_and_sorted() {
    let (_scratch, dir) = run(300, 1);
    let view = View::open(&[dir]).unwrap();
    assert_eq!(view.wait(), [None]);
    let all = answer(&view, "rows?run=0&n=1000");
    assert_eq!((all["total"].as_u64(), all["found"].as_u64(), ids(&all).len()), (Some(300), Some(300), 300));
    let right = answer(&view, "rows?run=0&verdict=right")["found"].as_u64().unwrap();
    let wrong = answer(&view, "rows?run=0&verdict=wrong")["found"].as_u64().unwrap();
    assert!(right > 100 && wrong > 50 && right + wrong == 300, "{right} {wrong}");
    assert_eq!(answer(&view, "rows?run=0&locked=yes")["found"], right);
    let sorted = numbers(&answer(&view, "rows?run=0&sort=-gain&n=300"), "gain");
    assert!(sorted.windows(2).all(|pair| pair[0] >= pair[1]), "{sorted:?}");
    let few = answer(&view, "rows?run=0&verdict=wrong&min=token_entropy:1.2&max=token_entropy:1.3&n=500");
    assert!(numbers(&few, "token_entropy").iter().all(|value| (1.2..=1.3).contains(&value.unwrap())));
    let igor = answer(&view, "rows?run=0&text=iGOR%20has&n=500");
    assert_eq!(igor["found"], 60);
    assert!(ids(&igor).contains(&"q000002"));
    let window = answer(&view, "rows?run=0&sort=-question&from=10&n=3&at=289");
    assert_eq!((ids(&window), &window["position"]), (vec!["q000289", "q000288", "q000287"], &json!(10)));
}

#[test]
fn a_trace_has_its_text_curves_and_answers() {
    let (_scratch, dir) = run(40, 1);
    let view = View::unread(&[dir]).unwrap();
    let found = answer(&view, "trace?run=0&task=sums&id=q000007&sample=0");
    let trace = &found["trace"];
    let text: String = trace["steps"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|step| step["tokens"].as_array().unwrap())
        .map(|token| token.as_str().unwrap())
        .collect();
    assert!(text.starts_with("Igor has 10 marbles to begin with.\n"), "{text}");
    let curves = trace["curves"].as_array().unwrap();
    let names: Vec<&str> = curves.iter().map(|curve| curve["control"].as_str().unwrap()).collect();
    assert_eq!(names, ["none", "swapped"]);
    let first = &curves[0]["points"][0];
    assert_eq!(first["step"], 0);
    assert!(first["answers"].as_array().unwrap().len() >= 3);
    assert!(first["lower"].as_f64() < first["entropy"].as_f64());
    assert_eq!((&trace["rest"], &trace["number"]), (&json!(""), &json!(7)));
    assert!(view.answer("trace?run=0&task=sums&id=q9&sample=0").unwrap().is_none());
    assert!(view.answer("trace?run=0&number=40").unwrap().is_none());
}

#[test]
fn two_runs_are_set_side_by_side_by_question() {
    let ((_a, one), (_b, two)) = (run(200, 1), run(200, 2));
    let view = View::open(&[one, two]).unwrap();
    view.wait();
    assert_eq!(view.n_traces(), 400);
    let differs = answer(&view, "rows?run=0&other=1&change=differs&n=500");
    let better = answer(&view, "rows?run=0&other=1&change=better&n=500");
    let worse = answer(&view, "rows?run=0&other=1&change=worse&n=500");
    let n = |answer: &Value| answer["found"].as_u64().unwrap();
    assert!(n(&better) > 20 && n(&better) + n(&worse) == n(&differs));
    for row in better["rows"].as_array().unwrap() {
        assert_eq!((&row["correct"], &row["other"]["correct"]), (&json!(false), &json!(true)));
    }
}

#[test]
fn requests_without_sense_say_what_was_expected() {
    let (_scratch, dir) = run(3, 1);
    let view = View::unread(&[dir]).unwrap();
    let problem = |address: &str| view.answer(address).unwrap_err().to_string();
    assert!(problem("rows?run=1").contains("there is no run 1"));
    assert!(problem("rows").contains("no run is named"));
    assert!(problem("rows?run=0&verdict=maybe").contains("expected one of right, wrong, none"));
    assert!(problem("rows?run=0&sort=-nothing").contains("no column \"nothing\""));
    assert!(problem("rows?run=0&task=x").contains("no task \"x\""));
    assert!(problem("trace?run=0&task=sums").contains("no id is named"));
    assert!(view.answer("secrets").unwrap().is_none());
}

#[test]
fn damage_is_told_and_ends_nothing() {
    let (_scratch, dir) = run(50, 1);
    let tokens = dir.join("tokens.parquet");
    let mut bytes = std::fs::read(&tokens).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle..middle + 40].fill(0xff);
    std::fs::write(&tokens, bytes).unwrap();
    let view = View::open(std::slice::from_ref(&dir)).unwrap();
    let problem = view.wait().remove(0).unwrap();
    assert!(problem.contains("tokens.parquet"), "{problem}");
    assert_eq!(answer(&view, "rows?run=0")["found"], 50);
    assert_eq!(view.state()["runs"][0]["progress"]["problem"], problem);
    assert!(crate::export(&view).unwrap_err().to_string().contains("tokens.parquet"));
    std::fs::remove_file(&tokens).unwrap();
    assert!(View::open(&[dir]).is_err());
}

#[test]
fn an_export_has_all_traces_and_no_more_than_it_can() {
    let (_scratch, dir) = run(30, 1);
    let view = View::unread(&[dir]).unwrap();
    let page = crate::export(&view).unwrap();
    let (_, data) = page.split_once("id=\"data\">").unwrap();
    let (data, _) = data.split_once("</script>").unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["traces"][0].as_array().unwrap().len(), 30);
    // The same as the server tells.
    let served = answer(&view, "trace?run=0&task=sums&id=q000011&sample=0");
    assert_eq!(data["traces"][0][11], served);
    assert!(page.contains("Content-Security-Policy") && page.contains("script-src 'sha256-"));
    let (_scratch, dir) = run(crate::MOST_TRACES + 1, 1);
    let refused = crate::export(&View::unread(&[dir]).unwrap()).unwrap_err().to_string();
    assert!(refused.contains("at most 5000 traces, and there are 5001"), "{refused}");
}

#[test]
fn texts_without_end_are_cut() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("run");
    made_up::endless_run(&dir);
    let view = View::unread(&[dir]).unwrap();
    let text = answer(&view, "trace?run=0&number=0").to_string();
    assert!(text.len() < 8 << 20 && text.contains("more characters"), "{} bytes", text.len());
    assert!(answer(&view, "rows?run=0").to_string().len() < 4_000);
}

#[test]
fn folders_of_one_name_are_told_apart() {
    let dirs = ["a/run", "b/run", "c"].map(PathBuf::from);
    assert_eq!(names(&dirs), ["run", "run (2)", "c"]);
}

#[test]
fn hostile_texts_stay_texts() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("run");
    made_up::hostile_run(&dir);
    let view = View::unread(&[dir]).unwrap();
    let page = crate::export(&view).unwrap();
    // The data and the script, and nothing that a text began.
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script>").count(), 2);
    for text in made_up::HOSTILE {
        assert!(!text.contains('<') || !page.contains(text), "{text}");
    }
    let found = answer(&view, "rows?run=0");
    for (number, id) in ids(&found).into_iter().enumerate() {
        let name = percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC);
        let trace = answer(&view, &format!("trace?run=0&task=sums&id={name}&sample=0"));
        assert_eq!(trace["trace"]["number"], number);
        assert_eq!(trace["trace"]["steps"][0]["tokens"][0], made_up::HOSTILE[number]);
    }
}
