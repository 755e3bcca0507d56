"""No false alarms of the audit: random valid configurations pass every check."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest
import tomli_w

from rnn_strategies.audit.audit import audit_run
from signals.dataset.labels import LABELS
from signals.features import FEATURES


def drawn(seed):
    """Tables of a random configuration."""
    rng = np.random.default_rng(seed)

    def one(*choices):
        return choices[int(rng.integers(len(choices)))]

    per_ticker = [feature.usage for feature in FEATURES.values() if not feature.shared and "252" not in feature.usage]
    dates = [feature.usage for feature in FEATURES.values() if feature.kind == "date"]
    suffix = one("", " minus market")
    inputs = ["return", *(f"{name}{suffix}" for name in rng.choice(per_ticker, 3, replace=False)), one(*dates)]
    frequency = one("weekly", "weekly", "daily", "monthly")
    lookback = {"weekly": 8, "daily": 15, "monthly": 4}[frequency]
    allocation = one(
        {"allocation": "TopK", "k": int(rng.integers(3, 12))},
        {"allocation": "LongShortQuantile", "quantile": 0.2},
        {"allocation": "ScoreWeighted"},
    )
    return {
        "prices": {
            "seed": int(rng.integers(1000)),
            "listing_fraction": float(rng.uniform(0, 0.3)),
            "delisting_fraction": float(rng.uniform(0.1, 0.3)),
            "missing_rate": float(rng.uniform(0, 0.02)),
        },
        "features": {"frequency": frequency, "inputs": inputs},
        "labels": {
            "kind": one(*LABELS),
            "horizon": int(one(1, 1, 2) if frequency == "monthly" else one(1, 3, 6)),
            "price_basis": one("open_to_open", "close_to_close"),
            "estimation_window": 8,
        },
        "model": {"lookback": lookback, "min_steps": one(lookback, lookback - 1)},
        "training": {"refit_on_validation": one(False, True), "seeds": [0, 1][: int(rng.integers(1, 3))]},
        "walk_forward": {
            "train": one("expanding", "2Y"),
            "validation": "9M" if frequency == "monthly" else "6M",
            "test": one("6M", "1Y"),
            "retrain_every": one("6M", "never"),
        },
        "strategy": allocation,
        "broker": {"borrow_rate": 0.01, "delist_haircut": one(0.0, 0.3)},
        "universe": {"max_tickers": int(rng.integers(15, 35)), "min_price": float(one(0.0, 2.0))},
    }


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_clean_pipeline_passes_all_checks(support, tmp_path, seed):
    from configs import write_small

    path = write_small(tmp_path / "c.toml")
    settings = tomllib.loads(path.read_text())
    for name, changes in drawn(seed).items():
        kept = {} if name == "strategy" else settings.get(name, {})
        settings[name] = kept | changes
    path.write_text(tomli_w.dumps(settings))
    found = audit_run(path, skip=["sensitivity"], cutoffs=2, jobs=1)
    assert [(v.check, v.finding) for v in found.verdicts if v.status == "failed"] == []
    assert found.verdict("look-ahead").status == "passed"
