"""Writes the reference values of the statistics crate.

Run from the repository root:  python goldens/stats/generate.py
Versions are pinned in goldens/requirements.txt. Every number comes from scipy, scikit-learn or statsmodels, or, where they
have no such function, from a direct numpy transcription of the definition (slow loops, no shared code with the crate).
Each file holds a list of cases: inputs beside expected outputs.
"""

import itertools
import json
import math
from pathlib import Path

import numpy as np
from scipy import optimize, special, stats
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint

OUT = Path(__file__).parent / "out"
RNG = np.random.default_rng(20260405)


def plain(value):
    """numpy values as JSON values."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value)
    return value


def write(name, cases):
    OUT.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(plain(case), allow_nan=False) for case in cases)
    (OUT / f"{name}.json").write_text(f"[\n{lines}\n]\n")


def labelled(n, tied, strength=1.0):
    """Scores in [0, 1] and labels that they predict; both labels occur at least twice."""
    while True:
        latent = RNG.normal(size=n)
        labels = strength * latent + RNG.normal(size=n) > 0
        scores = 1 / (1 + np.exp(-latent))
        if tied:
            scores = np.round(scores, 1)
        if 2 <= labels.sum() <= n - 2:
            return scores, labels


SAMPLES = [labelled(n, tied) for n, tied in [(6, False), (12, True), (40, False), (100, True), (300, False)]]


def distributions():
    for p in [1e-12, 1e-6, 0.001, 0.025, 0.2, 0.5, 0.7, 0.975, 0.9999]:
        yield {"kind": "normal", "p": p, "quantile": stats.norm.ppf(p)}
        for dof in [1, 2, 5, 19, 39, 99, 1000, 100000]:
            yield {"kind": "t", "p": p, "dof": dof, "quantile": stats.t.ppf(p, dof)}
    for x in [-8.0, -3.0, -1.0, -0.1, 0.0, 0.3, 1.5, 2.5, 2.9, 6.0, 20.0]:
        yield {"kind": "normal_tail", "x": x, "cdf": stats.norm.cdf(x), "sf": stats.norm.sf(x)}
        for dof in [1, 2.5, 10, 200, 100000]:
            yield {"kind": "t_tail", "x": x, "dof": dof, "cdf": stats.t.cdf(x, dof), "sf": stats.t.sf(x, dof)}


def wilson():
    for successes, trials in [(0, 1), (1, 1), (0, 10), (3, 10), (50, 100), (999, 1000)]:
        for level in [0.8, 0.95, 0.99]:
            low, high = proportion_confint(successes, trials, alpha=1 - level, method="wilson")
            yield {"successes": successes, "trials": trials, "level": level, "low": low, "high": high}


def summary():
    for n in [1, 2, 5, 30]:
        values = RNG.normal(size=n) * 3 + 1
        levels = [0.0, 0.025, 0.3, 0.5, 0.9, 1.0]
        yield {
            "values": values,
            "mean": values.mean(),
            "variance": values.var(ddof=1) if n > 1 else None,
            "levels": levels,
            "quantiles": np.quantile(values, levels),
        }


def beats(x, y):
    return 1.0 if x > y else 0.5 if x == y else 0.0


def components(scores, labels):
    """V10 of the positive rows and V01 of the negative rows, pair by pair."""
    positive, negative = scores[labels], scores[~labels]
    v10 = np.array([np.mean([beats(x, y) for y in negative]) for x in positive])
    v01 = np.array([np.mean([beats(x, y) for x in positive]) for y in negative])
    return v10, v01


def obuchowski(scores, labels, clusters):
    """Variance of the area for clustered rows, after Obuchowski 1997."""
    v10, v01 = components(scores, labels)
    m, n = len(v10), len(v01)
    area = v10.mean()
    ids = sorted(set(clusters))
    ten = {c: v10[clusters[labels] == c] for c in ids}
    one = {c: v01[clusters[~labels] == c] for c in ids}
    i10 = sum(len(ten[c]) > 0 for c in ids)
    i01 = sum(len(one[c]) > 0 for c in ids)
    s10 = i10 / ((i10 - 1) * m) * sum((ten[c].sum() - len(ten[c]) * area) ** 2 for c in ids)
    s01 = i01 / ((i01 - 1) * n) * sum((one[c].sum() - len(one[c]) * area) ** 2 for c in ids)
    s11 = len(ids) / (len(ids) - 1) * sum(
        (ten[c].sum() - len(ten[c]) * area) * (one[c].sum() - len(one[c]) * area) for c in ids
    )
    return s10 / m + s01 / n + 2 * s11 / (m * n)


def auroc():
    for scores, labels in SAMPLES:
        other = np.round(scores + 0.3 * RNG.normal(size=len(scores)), 1)
        v10, v01 = components(scores, labels)
        w10, w01 = components(other, labels)
        m, n = len(v10), len(v01)
        ten, one = np.cov(v10, w10), np.cov(v01, w01)
        covariance = ten / m + one / n
        variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
        clusters = RNG.integers(0, max(3, len(scores) // 3), size=len(scores))
        while len(set(clusters[labels])) < 2 or len(set(clusters[~labels])) < 2:
            clusters = RNG.integers(0, max(3, len(scores) // 3), size=len(scores))
        yield {
            "scores": scores,
            "labels": labels,
            "other": other,
            "clusters": clusters,
            "auroc": roc_auc_score(labels, scores),
            "delong_variance": covariance[0, 0],
            "other_auroc": roc_auc_score(labels, other),
            "difference_variance": variance,
            "clustered_variance": obuchowski(scores, labels, clusters),
        }


def expected_curve(confidence, values):
    """Mean value of the i most confident rows, in expectation over the order of tied rows."""
    cumulative, before = [], 0.0
    for level in sorted(set(confidence), reverse=True):
        group = values[confidence == level]
        cumulative += [before + (i + 1) * group.mean() for i in range(len(group))]
        before += group.sum()
    return np.array(cumulative) / np.arange(1, len(values) + 1)


def enumerated_curve(confidence, values):
    """The same by going through all orders of the rows that respect the confidence."""
    curves = []
    for order in itertools.permutations(range(len(values))):
        if all(confidence[a] >= confidence[b] for a, b in itertools.pairwise(order)):
            curves.append(np.cumsum(values[list(order)]) / np.arange(1, len(values) + 1))
    return np.mean(curves, axis=0)


def rejection_ratio(confidence, quality, max_rejection):
    """Prediction-rejection ratio: areas under the mean quality of the kept rows, as in lm-polygraph."""
    n = len(quality)
    points = int(max_rejection * n)
    area = np.mean(expected_curve(confidence, quality)[n - points:])
    oracle = np.mean(expected_curve(quality, quality)[n - points:])
    return (area - quality.mean()) / (oracle - quality.mean())


def ranking():
    small = (np.array([0.5, 0.5, 0.9, 0.1, 0.5, 0.1]), np.array([True, False, True, False, True, False]))
    for scores, labels in [small, *SAMPLES]:
        quality = np.where(labels, 1.0, np.round(RNG.uniform(0, 0.6, size=len(labels)), 2))
        losses = 1 - quality
        curve = expected_curve(scores, losses)
        if len(scores) == 6:
            assert np.allclose(curve, enumerated_curve(scores, losses))
        yield {
            "scores": scores,
            "labels": labels,
            "quality": quality,
            "losses": losses,
            "average_precision": average_precision_score(labels, scores),
            "risks": curve,
            "aurc": curve.mean(),
            "oracle_aurc": expected_curve(-losses, losses).mean(),
            "prr": rejection_ratio(scores, quality, 1.0),
            "prr_half": rejection_ratio(scores, quality, 0.5),
        }


def groups(probs, binning, n_bins):
    """Bin number of each row."""
    if binning == "width":
        edges = np.arange(1, n_bins) / n_bins
        return np.searchsorted(edges, probs, side="left")
    below = np.array([(probs < p).sum() for p in probs])
    upto = np.array([(probs <= p).sum() for p in probs])
    return n_bins * (below + upto) // (2 * len(probs))


def calibration():
    for probs, labels in SAMPLES:
        outcome = labels.astype(float)
        for binning, n_bins in [("width", 10), ("width", 7), ("mass", 5), ("mass", 10)]:
            bins = groups(probs, binning, n_bins)
            masks = [bins == b for b in sorted(set(bins))]
            share = np.array([mask.mean() for mask in masks])
            prob = np.array([probs[mask].mean() for mask in masks])
            rate = np.array([outcome[mask].mean() for mask in masks])
            center, truth = np.zeros(len(probs)), np.zeros(len(probs))
            for mask, f, o in zip(masks, prob, rate):
                center[mask], truth[mask] = f, o
            yield {
                "probs": probs,
                "labels": labels,
                "binning": binning,
                "n_bins": n_bins,
                "ece": np.sum(share * abs(prob - rate)),
                "brier": brier_score_loss(labels, probs),
                "reliability": np.sum(share * (prob - rate) ** 2),
                "resolution": np.sum(share * (rate - outcome.mean()) ** 2),
                "uncertainty": outcome.var(),
                "within_variance": np.mean((probs - center) ** 2),
                "within_covariance": 2 * np.mean((probs - center) * (outcome - truth)),
                "bins": [
                    {"n": mask.sum(), "mean_prob": f, "observed_rate": o,
                     "low": proportion_confint(outcome[mask].sum(), mask.sum(), method="wilson")[0],
                     "high": proportion_confint(outcome[mask].sum(), mask.sum(), method="wilson")[1]}
                    for mask, f, o in zip(masks, prob, rate)
                ],
            }


def platt(scores, labels):
    """Platt's fit by a general minimiser on the standardised score, polished by Newton steps to rounding."""
    m, n = labels.sum(), (~labels).sum()
    targets = np.where(labels, (m + 1) / (m + 2), 1 / (n + 2))
    center, scale = scores.mean(), scores.std()
    design = np.column_stack([(scores - center) / scale, np.ones(len(scores))])

    def loss(beta):
        z = design @ beta
        return np.sum(np.logaddexp(0, z) - targets * z)

    beta = optimize.minimize(loss, np.zeros(2), method="BFGS").x
    for _ in range(20):
        p = 1 / (1 + np.exp(-design @ beta))
        hessian = design.T @ (design * (p * (1 - p))[:, None])
        beta = beta - np.linalg.solve(hessian, design.T @ (p - targets))
    return beta[0] / scale, beta[1] - beta[0] * center / scale


def calibrators():
    for scores, labels in SAMPLES:
        values = scores + 0.5 * RNG.normal(size=len(scores))
        places = np.linspace(-0.1, 1.1, 25)
        by_label = IsotonicRegression(out_of_bounds="clip").fit(scores, labels.astype(float))
        by_value = IsotonicRegression(out_of_bounds="clip").fit(scores, values)
        slope, intercept = platt(scores, labels)
        yield {
            "scores": scores,
            "labels": labels,
            "values": values,
            "places": places,
            "isotonic_labels": by_label.predict(places),
            "isotonic_values": by_value.predict(places),
            "slope": slope,
            "intercept": intercept,
        }


def logistic():
    for n, k, penalty in [(20, 1, 1.0), (60, 3, 0.1), (200, 5, 10.0), (30, 8, 1.0)]:
        features = RNG.normal(size=(n, k)) * RNG.uniform(0.1, 20, size=k) + RNG.normal(size=k)
        scaled = (features - features.mean(0)) / features.std(0)
        labels = scaled @ RNG.normal(size=k) + RNG.normal(size=n) > 0.3
        model = LogisticRegression(C=1 / penalty, solver="newton-cholesky", tol=1e-13, max_iter=1000)
        model.fit(scaled, labels)
        yield {
            "n_features": k,
            "features": features.ravel(),
            "labels": labels,
            "lambda": penalty,
            "probs": model.predict_proba(scaled)[:, 1],
            "weights": model.coef_[0] / features.std(0),
        }


def exhaustive_page(blocks, statistic):
    """P(L >= statistic) over all orders within blocks, conditional on ties."""
    k = len(blocks[0])
    positions = np.arange(1, k + 1)
    sums = [0.0]
    for block in blocks:
        ranks = stats.rankdata(block)
        own = [float(positions @ np.array(order)) for order in itertools.permutations(ranks)]
        sums = [a + b for a in sums for b in own]
    return np.mean(np.array(sums) >= statistic - 1e-9)


def page():
    for n, k, slope in [(3, 4, 0.5), (10, 5, 0.3), (12, 8, 0.1), (18, 6, 0.1)]:
        blocks = RNG.normal(size=(n, k)) + slope * np.arange(k)
        result = stats.page_trend_test(blocks, method="exact")
        yield {"blocks": blocks, "method": "exact", "statistic": result.statistic, "p_value": result.pvalue}
    for n, k, slope in [(21, 5, 0.1), (40, 20, 0.02), (200, 11, 0.0)]:
        blocks = RNG.normal(size=(n, k)) + slope * np.arange(k)
        result = stats.page_trend_test(blocks, method="asymptotic")
        yield {"blocks": blocks, "method": "normal", "statistic": result.statistic, "p_value": result.pvalue}
    for n, k in [(3, 4), (2, 5)]:
        blocks = RNG.integers(0, 3, size=(n, k)).astype(float)
        statistic = stats.page_trend_test(blocks).statistic
        p_value = exhaustive_page(blocks, statistic)
        yield {"blocks": blocks, "method": "exact", "statistic": statistic, "p_value": p_value}
    blocks = RNG.integers(0, 4, size=(30, 6)).astype(float)
    k = 6
    ranks = np.array([stats.rankdata(block) for block in blocks])
    statistic = float(np.sum(ranks @ np.arange(1, k + 1)))
    variance = np.sum((np.arange(1, k + 1) - 3.5) ** 2) * np.sum((ranks - 3.5) ** 2) / (k - 1)
    p_value = stats.norm.sf((statistic - 30 * k * 3.5**2) / math.sqrt(variance))
    yield {"blocks": blocks, "method": "normal", "statistic": statistic, "p_value": p_value}


def holm():
    for p in [[0.01, 0.04, 0.03, 0.005], [0.5, 0.5, 0.9], [0.0, 1.0, 0.2], list(RNG.uniform(size=20) ** 3)]:
        yield {"p_values": p, "adjusted": multipletests(p, method="holm")[1]}


def power():
    for effect, alpha, level in itertools.product([0.1, 0.2, 0.5, 0.8], [0.05, 0.01], [0.8, 0.95]):
        n = TTestPower().solve_power(effect, alpha=alpha, power=level, alternative="larger")
        yield {"effect": effect, "alpha": alpha, "power": level, "clusters": math.ceil(n)}


def hoeffding_bentkus(losses, epsilon):
    n, mean = len(losses), np.mean(losses)

    def kl(a, b):
        return special.rel_entr(a, b) + special.rel_entr(1 - a, 1 - b)

    hoeffding = math.exp(-n * kl(min(mean, epsilon), epsilon))
    return min(1.0, hoeffding, math.e * stats.binom.cdf(math.ceil(round(n * mean, 9)), n, epsilon))


def betting(losses, epsilon, delta):
    """The smallest value of 1/wealth along the losses, each estimate written out as a sum."""
    n, wealth, smallest = len(losses), 1.0, 1.0
    means = [(0.5 + sum(losses[: i + 1])) / (i + 2) for i in range(n)]
    for i in range(n):
        spread = (0.25 + sum((losses[j] - means[j]) ** 2 for j in range(i))) / (i + 1)
        nu = min(1.0, math.sqrt(2 * math.log(1 / delta) / (n * spread)))
        wealth *= 1 - nu * (losses[i] - epsilon)
        smallest = min(smallest, 1 / wealth)
    return smallest


def risk():
    rng = np.random.default_rng(20261129)
    for n, rate, binary in [(1, 0.0, True), (20, 0.1, True), (150, 0.05, True), (400, 0.2, True), (60, 0.1, False), (300, 0.3, False)]:
        losses = (rng.uniform(size=n) < rate).astype(float)
        if not binary:
            losses = losses * np.round(rng.uniform(size=n), 3)
        for epsilon, delta in [(0.05, 0.1), (0.1, 0.1), (0.3, 0.05)]:
            def upper(p_value):
                if p_value(1 - 1e-12) > delta:
                    return 1.0
                return optimize.brentq(lambda e: p_value(e) - delta, max(losses.mean(), 1e-12), 1 - 1e-12, xtol=1e-13)

            yield {
                "losses": losses,
                "epsilon": epsilon,
                "delta": delta,
                "binomial": stats.binom.cdf(losses.sum(), n, epsilon) if binary else None,
                "binomial_upper": stats.beta.ppf(1 - delta, losses.sum() + 1, n - losses.sum()) if binary else None,
                "hoeffding_bentkus": hoeffding_bentkus(losses, epsilon),
                "betting": betting(losses, epsilon, delta),
                "betting_upper": upper(lambda e: betting(losses, e, delta)),
            }


for make in [distributions, wilson, summary, auroc, ranking, calibration, calibrators, logistic, page, holm, power, risk]:
    write(make.__name__, make())
