//! Reference values of scipy, scikit-learn, statsmodels and numpy, written by `goldens/stats/generate.py`.
//!
//! Tolerance: 1e-9 relative, plus 1e-12 for quantities that are zero up to rounding. Tails and quantiles of the
//! distributions are held to 1e-10 relative, since everything else rests on them.

use std::path::Path;

use entrace_stats::auroc::{FEWEST_CLUSTERS, auroc, compare, standard_error};
use entrace_stats::calibration::binning::Binning;
use entrace_stats::calibration::brier::decompose;
use entrace_stats::calibration::isotonic::Isotonic;
use entrace_stats::calibration::platt::Platt;
use entrace_stats::calibration::reliability;
use entrace_stats::distribution::{normal_cdf, normal_quantile, normal_sf, t_cdf, t_quantile, t_sf};
use entrace_stats::interval::wilson;
use entrace_stats::logistic::{Features, Logistic};
use entrace_stats::multiplicity::holm;
use entrace_stats::power::{Plan, clusters_needed};
use entrace_stats::ranking::{aurc, average_precision, prediction_rejection_ratio, risk_coverage};
use entrace_stats::risk::Bound;
use entrace_stats::trend::{PageMethod, page};
use entrace_stats::{Clusters, Level, summary};
use serde_json::Value;

fn cases(name: &str) -> Vec<Value> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/stats/out").join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("a list of cases")
}

fn number(case: &Value, key: &str) -> f64 {
    case[key].as_f64().unwrap_or_else(|| panic!("{key} is a number"))
}

fn count(case: &Value, key: &str) -> usize {
    case[key].as_u64().unwrap_or_else(|| panic!("{key} is a count")) as usize
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn numbers(case: &Value, key: &str) -> Vec<f64> {
    list(&case[key]).iter().map(|item| item.as_f64().expect("a number")).collect()
}

fn labels(case: &Value) -> Vec<bool> {
    list(&case["labels"]).iter().map(|item| item.as_bool().expect("a label")).collect()
}

#[track_caller]
fn close(found: f64, expected: f64) {
    within(found, expected, 1e-9, 1e-12);
}

#[track_caller]
fn within(found: f64, expected: f64, relative: f64, absolute: f64) {
    let error = (found - expected).abs();
    assert!(error <= relative * expected.abs() + absolute, "{found} is not {expected} (off by {error:e})");
}

#[track_caller]
fn all_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).for_each(|(found, expected)| close(*found, *expected));
}

#[test]
fn distributions_match_scipy() {
    for case in cases("distributions") {
        match case["kind"].as_str() {
            Some("normal") => {
                let found = normal_quantile(number(&case, "p")).unwrap();
                within(found, number(&case, "quantile"), 1e-10, 1e-15);
            }
            Some("t") => {
                let found = t_quantile(number(&case, "p"), number(&case, "dof")).unwrap();
                within(found, number(&case, "quantile"), 1e-10, 1e-15);
            }
            Some("normal_tail") => {
                within(normal_cdf(number(&case, "x")), number(&case, "cdf"), 1e-10, 0.0);
                within(normal_sf(number(&case, "x")), number(&case, "sf"), 1e-10, 0.0);
            }
            _ => {
                let (x, dof) = (number(&case, "x"), number(&case, "dof"));
                within(t_cdf(x, dof), number(&case, "cdf"), 1e-10, 0.0);
                within(t_sf(x, dof), number(&case, "sf"), 1e-10, 0.0);
            }
        }
    }
}

#[test]
fn wilson_matches_statsmodels() {
    for case in cases("wilson") {
        let level = Level::new(number(&case, "level")).unwrap();
        let found = wilson(count(&case, "successes"), count(&case, "trials"), level).unwrap();
        close(found.low, number(&case, "low"));
        close(found.high, number(&case, "high"));
    }
}

#[test]
fn summaries_match_numpy() {
    for case in cases("summary") {
        let values = numbers(&case, "values");
        close(summary::mean(&values).unwrap(), number(&case, "mean"));
        assert_eq!(summary::variance(&values).is_ok(), case["variance"].is_f64());
        if let Ok(variance) = summary::variance(&values) {
            close(variance, number(&case, "variance"));
        }
        for (i, q) in numbers(&case, "levels").into_iter().enumerate() {
            close(summary::quantile(&values, q).unwrap(), numbers(&case, "quantiles")[i]);
        }
    }
}

#[test]
fn areas_and_their_variances_match() {
    for case in cases("auroc") {
        let (scores, other, labels) = (numbers(&case, "scores"), numbers(&case, "other"), labels(&case));
        close(auroc(&scores, &labels).unwrap().value, number(&case, "auroc"));
        close(auroc(&other, &labels).unwrap().value, number(&case, "other_auroc"));
        let rows = Clusters::singletons(labels.len());
        close(standard_error(&scores, &labels, &rows).unwrap().powi(2), number(&case, "delong_variance"));
        let clusters =
            Clusters::of(&numbers(&case, "clusters").iter().map(|&id| id as u64).collect::<Vec<_>>());
        let grouped = standard_error(&scores, &labels, &clusters).unwrap();
        close(grouped.powi(2), number(&case, "clustered_variance"));
        let n_positive = labels.iter().filter(|&&label| label).count();
        if n_positive.min(labels.len() - n_positive) >= FEWEST_CLUSTERS {
            let difference = compare(&scores, &other, &labels, &rows, Level::P95).unwrap().difference;
            close(difference.standard_error.powi(2), number(&case, "difference_variance"));
        }
    }
}

#[test]
fn rankings_match() {
    for case in cases("ranking") {
        let (scores, labels) = (numbers(&case, "scores"), labels(&case));
        let (quality, losses) = (numbers(&case, "quality"), numbers(&case, "losses"));
        close(average_precision(&scores, &labels).unwrap(), number(&case, "average_precision"));
        all_close(&risk_coverage(&scores, &losses).unwrap(), &numbers(&case, "risks"));
        let area = aurc(&scores, &losses).unwrap();
        close(area.aurc, number(&case, "aurc"));
        close(area.oracle, number(&case, "oracle_aurc"));
        close(prediction_rejection_ratio(&scores, &quality, 1.0).unwrap(), number(&case, "prr"));
        close(prediction_rejection_ratio(&scores, &quality, 0.5).unwrap(), number(&case, "prr_half"));
    }
}

#[test]
fn calibration_measures_match() {
    for case in cases("calibration") {
        let (probs, labels) = (numbers(&case, "probs"), labels(&case));
        let n_bins = count(&case, "n_bins");
        let by_width = case["binning"] == "width";
        let binning = if by_width { Binning::EqualWidth(n_bins) } else { Binning::EqualMass(n_bins) };
        let ece = reliability::expected_calibration_error(&probs, &labels, binning).unwrap();
        close(ece, number(&case, "ece"));
        let parts = decompose(&probs, &labels, binning).unwrap();
        close(parts.brier, number(&case, "brier"));
        close(parts.reliability, number(&case, "reliability"));
        close(parts.resolution, number(&case, "resolution"));
        close(parts.uncertainty, number(&case, "uncertainty"));
        close(parts.within_variance, number(&case, "within_variance"));
        close(parts.within_covariance, number(&case, "within_covariance"));
        let table = reliability::table(&probs, &labels, binning, Level::P95).unwrap();
        assert_eq!(table.len(), list(&case["bins"]).len());
        for (bin, expected) in table.iter().zip(list(&case["bins"])) {
            assert_eq!(bin.n, count(expected, "n"));
            close(bin.mean_prob, number(expected, "mean_prob"));
            close(bin.observed_rate, number(expected, "observed_rate"));
            close(bin.interval.low, number(expected, "low"));
            close(bin.interval.high, number(expected, "high"));
        }
    }
}

#[test]
fn calibrators_match() {
    for case in cases("calibrators") {
        let (scores, values, labels) = (numbers(&case, "scores"), numbers(&case, "values"), labels(&case));
        let places = numbers(&case, "places");
        let predict = |fit: &Isotonic| places.iter().map(|&x| fit.predict(x)).collect::<Vec<f64>>();
        let by_label = Isotonic::calibrate(&scores, &labels).unwrap();
        all_close(&predict(&by_label), &numbers(&case, "isotonic_labels"));
        let by_value = Isotonic::fit(&scores, &values).unwrap();
        all_close(&predict(&by_value), &numbers(&case, "isotonic_values"));
        let platt = Platt::fit(&scores, &labels).unwrap();
        close(platt.slope, number(&case, "slope"));
        close(platt.intercept, number(&case, "intercept"));
    }
}

#[test]
fn logistic_regression_matches_scikit_learn() {
    for case in cases("logistic") {
        let features = Features::new(count(&case, "n_features"), numbers(&case, "features")).unwrap();
        let model = Logistic::fit(&features, &labels(&case), number(&case, "lambda")).unwrap();
        let probs: Vec<f64> = features.rows().map(|row| model.probability(row)).collect();
        all_close(&probs, &numbers(&case, "probs"));
        all_close(model.weights(), &numbers(&case, "weights"));
    }
}

#[test]
fn page_matches_scipy_and_enumeration() {
    for case in cases("page") {
        let blocks: Vec<Vec<f64>> = list(&case["blocks"])
            .iter()
            .map(|block| list(block).iter().map(|x| x.as_f64().unwrap()).collect())
            .collect();
        let test = page(&blocks).unwrap();
        let expected = if case["method"] == "exact" { PageMethod::Exact } else { PageMethod::Normal };
        assert_eq!(test.method, expected);
        close(test.statistic, number(&case, "statistic"));
        close(test.p_value, number(&case, "p_value"));
    }
}

#[test]
fn holm_matches_statsmodels() {
    for case in cases("holm") {
        all_close(&holm(&numbers(&case, "p_values")).unwrap(), &numbers(&case, "adjusted"));
    }
}

#[test]
fn planned_clusters_are_near_the_exact_number() {
    for case in cases("power") {
        let plan = Plan {
            mean: number(&case, "effect"),
            standard_deviation: 1.0,
            threshold: 0.0,
            alpha: number(&case, "alpha"),
            power: number(&case, "power"),
        };
        // The exact number uses the noncentral t distribution; the plan adds two central quantiles.
        let (found, exact) = (clusters_needed(&plan).unwrap(), count(&case, "clusters"));
        assert!(found.abs_diff(exact) <= 1, "{found} planned, {exact} needed");
    }
}

#[test]
fn bounds_of_risks_match_scipy_and_the_definitions() {
    for case in cases("risk") {
        let losses = numbers(&case, "losses");
        let (epsilon, delta) = (number(&case, "epsilon"), number(&case, "delta"));
        let p_value = |bound: Bound| bound.p_value(&losses, epsilon, delta);
        close(p_value(Bound::HoeffdingBentkus).unwrap(), number(&case, "hoeffding_bentkus"));
        close(p_value(Bound::Betting).unwrap(), number(&case, "betting"));
        within(Bound::Betting.upper(&losses, delta).unwrap(), number(&case, "betting_upper"), 1e-9, 1e-11);
        match case["binomial"].as_f64() {
            Some(expected) => {
                close(p_value(Bound::Binomial).unwrap(), expected);
                let upper = Bound::Binomial.upper(&losses, delta).unwrap();
                within(upper, number(&case, "binomial_upper"), 1e-9, 1e-11);
            }
            None => assert!(p_value(Bound::Binomial).is_err()),
        }
    }
}
