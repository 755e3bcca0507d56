"""Small configurations for tests: the whole job in seconds."""

from __future__ import annotations

from pathlib import Path

SMALL = """
name = "small"
[prices]
source = "simulated"
seed = 3
n_tickers = 40
start = "2012-01-01"
end = "2015-12-31"
[universe]
min_price = 1.0
min_history = 60
[model]
lookback = 8
units = [4, 3]
ticker_embedding_dim = 2
dense_units = 4
[training]
trainer = "linear_trainer:LinearTrainer"
seeds = [0, 1]
batch_size = 512
epochs = 1
[walk_forward]
test_start = "2014-01-01"
validation = "13W"
test = "6M"
[strategy]
allocation = "TopK"
k = 8
[broker]
cash = 1_000_000
commission = 0.001
slippage = 0.0005
"""


def write_tiny(path: Path) -> Path:
    """Write the small configuration with fewer tickers and sessions and one seed: a run takes a second."""
    return write_small(
        path,
        n_tickers="n_tickers = 10",
        end='end = "2015-06-30"',
        min_history="min_history = 40",
        seeds="seeds = [0]",
        test='test = "1Y"',
        k="k = 3",
    )


def write_small(path: Path, **changes: str) -> Path:
    """Write the small configuration with lines replaced: `k="k = 9"` replaces the line that starts with `k =`."""
    lines = SMALL.splitlines()
    for key, line in changes.items():
        found = [i for i, old in enumerate(lines) if old.split("=")[0].strip() == key]
        assert found, key
        lines[found[0]] = line
    path.write_text("\n".join(lines) + "\n")
    return path
