"""Import of scores into a run folder, and export of the scores of a run folder to files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rnn_strategies.config.panel_config import load_config
from rnn_strategies.pipelines.panel_run import Run
from rnn_strategies.pipelines.run_config import open_run
from rnn_strategies.runs.workspace import Home
from signals.common.errors import InputError
from signals.common.progress_events import ProgressCallback
from signals.common.storage import read_parquet
from signals.scores.score_files import write_scores

__all__ = ["DEFAULT_CONFIG", "export_scores", "import_scores"]

DEFAULT_CONFIG = Path("rnn-strategies.toml")


def import_scores(
    scores: Path | str,
    *,
    out: Path | str | None = None,
    config: Path | str | None = None,
    overrides: Sequence[str] = (),
    on_uncovered: str | None = None,
    home: Home | None = None,
    on_progress: ProgressCallback | None = None,
) -> Run:
    """Create a run folder from a file of scores that another program computed.

    Parameters
    ----------
    scores : Path or str
        CSV or Parquet file with the columns `date, ticker, score`; see `read_scores`.
    out : Path or str, optional
        Run folder; `runs/<name>` by default.
    config : Path or str, optional
        Configuration with `[prices]`, `[strategy]` and `[broker]`; tables that configure the computation of scores
        (`[model]` and the like) are ignored. By default that of an existing `out`, or `rnn-strategies.toml`.
    overrides : sequence of str
        Settings as `"table.key=value"`, which replace those of the file.
    on_uncovered : {"raise", "drop"}, optional
        Treatment of scores whose ticker or date the prices do not hold: an error, or dropped with a warning in the
        report. By default as `on_uncovered` in `[signals]` of the configuration, and an error where that is not set.
    home, on_progress
        As in `run`.

    Returns
    -------
    Run
        Run folder with signals and labels. `compute_backtest()` and `write_report()` are the next stages, or `run` on
        its folder.

    Raises
    ------
    InputError
        For scores that are not as `read_scores` expects, dates that are no sessions, or a folder that holds another
        run.
    """
    path = Path(scores)
    if not path.is_file():
        raise InputError(f"expected a file of scores {path}; found none; correct the path")
    treatment = {} if on_uncovered is None else {"on_uncovered": on_uncovered}
    settings = load_config(_config_path(config, out), overrides, imported={"path": str(path), **treatment})
    imported_run = open_run(settings, out=out, home=home, on_progress=on_progress)
    with imported_run.locked():
        imported_run.compute_signals()
    return imported_run


def export_scores(run: Path | str, out: Path | str, *, format: str | None = None, force: bool = False) -> Path:
    """Write the scores of a run folder for other programs.

    Parameters
    ----------
    run : Path or str
        Run folder.
    out : Path or str
        File to write, with the suffix `.csv` or `.parquet`.
    format : str, optional
        As in `write_scores`.
    force : bool
        Whether an existing file is overwritten; False by default.

    Raises
    ------
    InputError
        When the folder has no scores, the file exists, or the format does not match the suffix of the file.
    """
    run, out = Path(run), Path(out)
    if not (run / "signals.parquet").is_file():
        raise InputError(f"expected a run folder with scores; found no signals.parquet in {run}; name another folder")
    if out.exists() and not force:
        raise InputError(f"expected no file at {out}; found one; choose another name or add --force")
    return write_scores(read_parquet(run / "signals.parquet", index=["date", "ticker"]), out, format=format)


def _config_path(config: Path | str | None, out: Path | str | None) -> Path:
    """Path of the configuration: `config` if given, else that of the run folder, else the one that `init` writes."""
    if config is not None:
        return Path(config)
    for candidate in ([Path(out) / "config.toml"] if out is not None else []) + [DEFAULT_CONFIG]:
        if candidate.is_file():
            return candidate
    raise InputError(
        f"expected a configuration with prices, strategy and costs; found neither --config nor {DEFAULT_CONFIG}; write "
        "one with `rnn-strategies init --preset imported`"
    )
