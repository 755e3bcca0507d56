"""Command line of rnn-strategies.

Heavy libraries are imported inside the commands, so that `--help` and usage errors need no backend.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnn_strategies.runs.version import __version__
from signals.common.errors import InputError, RnnStrategiesError
from signals.common.former_names import COMMAND_LINE_OPTIONS, now_called

if TYPE_CHECKING:
    from rnn_strategies.pipelines.panel_run import Run
    from rnn_strategies.reproduce.report import Report
    from signals.common.progress_events import ProgressCallback

__all__ = ["app", "main"]

INTERRUPTED = 130

# Options of all commands, which are accepted before and after the name of the command.
GLOBAL_OPTIONS = ("--debug", "--quiet", "-q", "--verbose", "-v")

app = typer.Typer(
    name="rnn-strategies",
    help="Train recurrent networks walk-forward, backtest their signals in backtrader, evaluate them with pyfolio.",
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Target = Annotated[Path, typer.Argument(help="Configuration file (TOML) or run folder.", show_default=False)]
Out = Annotated[Path | None, typer.Option(help="Run folder to write.", show_default="runs/<name>")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="TABLE.KEY=VALUE",
        help="Override a setting of the configuration, the value as TOML; may be repeated.",
    ),
]
AcceptRevisions = Annotated[
    bool,
    typer.Option(
        "--accept-revisions",
        help="Replace stored bars that Yahoo has revised since they were downloaded, and retrain.",
    ),
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Number of training processes.", show_default="one per core")]


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"rnn-strategies {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Print one line per progress event, with the seconds since the command started."
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only, no progress.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")] = False,
) -> None:
    """Train recurrent networks walk-forward, backtest their signals in backtrader, evaluate them with pyfolio."""
    if quiet and verbose:
        raise InputError("expected --quiet or --verbose; found both; remove one of them")
    _GlobalOptions.debug, _GlobalOptions.quiet, _GlobalOptions.verbose = debug, quiet, verbose
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


class _GlobalOptions:
    """Values of the options of all commands."""

    debug = quiet = verbose = False


def _progress_callback() -> ProgressCallback:
    """Return the callback that prints progress to standard error, following `--quiet` and `--verbose`."""
    from rnn_strategies.runs.progress_display import show_progress
    from signals.common.progress_events import ignore_progress

    return ignore_progress if _GlobalOptions.quiet else show_progress(sys.stderr, verbose=_GlobalOptions.verbose)


def _preset_names() -> list[str]:
    """Names of presets for the shell completion of `--preset`."""
    from rnn_strategies.config.presets import FORECAST_PRESETS, PRESETS

    return [*PRESETS, *FORECAST_PRESETS]


@app.command()
def init(
    path: Annotated[Path | None, typer.Argument(help="File to write.", show_default="rnn-strategies.toml")] = None,
    preset: Annotated[
        str,
        typer.Option(
            help="Preset to write: demo (simulated prices), us-weekly (the 600 most traded US stocks), us-wide (all US "
            "stocks of a file of closes), imported (scores from a file), seasonal (simulated monthly series); systems "
            "of the literature: published-stacked, published-univariate, published-multivariate; changed versions of "
            "them: improved-stacked, improved-univariate, improved-univariate-return, improved-multivariate.",
            autocompletion=_preset_names,
        ),
    ] = "demo",
    example: Annotated[
        str | None,
        typer.Option(
            help="Write a notebook instead of a configuration: backtest_from_scratch or own_cerebro.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Folder with the data files that the preset reads.",
            show_default="$RNN_STRATEGIES_DATA, or ../shared/data",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a preset configuration or an example notebook."""
    if example is not None:
        from rnn_strategies.examples import write_example

        typer.echo(write_example(example, path, force=force))
        return
    from rnn_strategies.config.presets import write_preset

    path = path or Path("rnn-strategies.toml")
    write_preset(path, preset=preset, data=data, force=force)
    next_command = f"import SCORES --config {path} --out RUN" if preset == "imported" else f"run {path}"
    typer.echo(f"{path}\nRun it with: rnn-strategies {next_command}")


@app.command()
def run(
    config: Target,
    out: Out = None,
    overrides: Overrides = None,
    jobs: Jobs = None,
    accept_revisions: AcceptRevisions = False,
) -> None:
    """Run all stages of a configuration.

    The stages are signals, backtest and report, or forecasts for a configuration with a table [series]. Finished work
    is reused, so an interrupted run resumes where it stopped.
    """
    from rnn_strategies.config.toml_files import is_of_series

    if is_of_series(config):
        if accept_revisions:
            raise InputError("expected --accept-revisions with [prices] from Yahoo; found [series]; remove it")
        forecast(config, out, overrides, jobs)
        return
    panel_run = _open_run(config, out, overrides, jobs, accept_revisions=accept_revisions)
    with panel_run.locked():
        panel_run.all_stages()
    _print_results(panel_run)


@app.command()
def signals(
    target: Target,
    out: Out = None,
    overrides: Overrides = None,
    jobs: Jobs = None,
    accept_revisions: AcceptRevisions = False,
) -> None:
    """Train walk-forward and write the signals.

    The out-of-sample scores are written to signals.parquet in the run folder.
    """
    panel_run = _open_run(target, out, overrides, jobs, accept_revisions=accept_revisions)
    with panel_run.locked():
        panel_run.compute_signals()
    typer.echo(panel_run.folder / "signals.parquet")


@app.command()
def backtest(target: Target, out: Out = None, overrides: Overrides = None) -> None:
    """Backtest the signals of a run folder.

    Returns, positions, orders and metrics are written to the run folder.
    """
    panel_run = _open_run(target, out, overrides, None)
    with panel_run.locked():
        panel_run.compute_backtest()
    typer.echo(panel_run.folder / "metrics.json")


@app.command()
def report(target: Target, out: Out = None, overrides: Overrides = None) -> None:
    """Write the HTML report of a run folder.

    The report has the tear sheet, tables and warnings in one file, report.html.
    """
    panel_run = _open_run(target, out, overrides, None)
    with panel_run.locked():
        panel_run.write_report()
    typer.echo(panel_run.report)


@app.command()
def forecast(
    config: Annotated[
        Path, typer.Argument(help="Configuration file with a table [series], or run folder of one.", show_default=False)
    ],
    out: Out = None,
    overrides: Overrides = None,
    jobs: Jobs = None,
) -> None:
    """Forecast series and compare with baselines.

    Networks are trained walk-forward on the series of a configuration with a table [series]. Finished work is
    reused, so an interrupted run resumes where it stopped.
    """
    from rnn_strategies.pipelines.forecast_run import forecast as run_forecast

    forecast_run = run_forecast(config, out=out, overrides=overrides or (), jobs=jobs, on_progress=_progress_callback())
    typer.echo(f"{forecast_run.table}\n{forecast_run.folder}")


@app.command("import")
def import_(
    scores: Annotated[
        Path,
        typer.Argument(help="CSV or Parquet file with the columns date, ticker and score.", show_default=False),
    ],
    out: Out = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Configuration file with the prices, the strategy and the costs.",
            show_default="RUN/config.toml or rnn-strategies.toml",
        ),
    ] = None,
    on_uncovered: Annotated[
        str | None,
        typer.Option(
            help="Treatment of scores whose date or ticker the prices do not hold: raise (an error) or drop.",
            show_default="as in the configuration, or raise",
        ),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Create a run folder from a file of scores.

    The scores were computed by another program; no model is trained.
    """
    from rnn_strategies.pipelines.score_import import import_scores

    imported_run = import_scores(
        scores,
        out=out,
        config=config,
        overrides=overrides or (),
        on_uncovered=on_uncovered,
        on_progress=_progress_callback(),
    )
    typer.echo(f"{imported_run.folder / 'signals.parquet'}\nNext command: rnn-strategies run {imported_run.folder}")


@app.command()
def export(
    target: Annotated[Path, typer.Argument(help="Run folder.", show_default=False)],
    out: Annotated[Path, typer.Option(help="File to write, with the suffix .csv or .parquet.", show_default=False)],
    format: Annotated[
        str | None,
        typer.Option(
            help="Layout of the scores: csv, parquet, alphalens or qlib.", show_default="by the suffix of the file"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write scores to a file for other programs."""
    from rnn_strategies.pipelines.score_import import export_scores

    typer.echo(export_scores(target, out, format=format, force=force))


@app.command()
def audit(
    target: Target,
    only: Annotated[
        list[str] | None, typer.Option(help="Name of a check to run, instead of all of them; may be repeated.")
    ] = None,
    skip: Annotated[list[str] | None, typer.Option(help="Name of a check to skip; may be repeated.")] = None,
    cutoffs: Annotated[
        int,
        typer.Option(min=0, help="Number of random days after which the look-ahead check replaces all input data."),
    ] = 3,
    json: Annotated[
        Path | None, typer.Option(help="File to which the results are also written, as JSON.", show_default=False)
    ] = None,
    overrides: Overrides = None,
    jobs: Jobs = None,
) -> None:
    """Check a result for look-ahead and other bias.

    Checks of folds, price adjustments, look-ahead, warm-up, delisted tickers, baselines, survivorship bias and
    sensitivity. The exit code is 1 when a check fails.
    """
    from rnn_strategies.audit.audit import audit_run

    result = audit_run(
        target,
        overrides=overrides or (),
        only=only or (),
        skip=skip or (),
        cutoffs=cutoffs,
        jobs=jobs,
        on_progress=_progress_callback(),
    )
    typer.echo(result.text())
    if json is not None:
        result.save(json)
    if not result.passed:
        raise typer.Exit(1)


@app.command()
def verify(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.", metavar="RUN...", show_default=False)],
) -> None:
    """Recompute every figure of finished runs.

    The figures are compared with the files of the runs; nothing is written. The exit code is 1 when one differs.
    """
    from rnn_strategies.verify.verify import verify_run

    on_progress = _progress_callback()
    passed = True
    for folder in runs:
        result = verify_run(folder, on_progress=on_progress)
        typer.echo(result.text())
        passed = passed and result.passed
    if not passed:
        raise typer.Exit(1)


@app.command()
def reproduce(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the data files.", show_default="none: simulated systems only"),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Name of a system to run; may be repeated.", show_default="all systems"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to which tables and runs are written.", show_default="runs/reproduce")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of networks per fold.", show_default="as each system defines")
    ] = None,
    jobs: Jobs = None,
    download: Annotated[
        bool,
        typer.Option("--download", help="Download missing files that are freely available (S&P 500 and FRED series)."),
    ] = False,
) -> None:
    """Run published systems on real data.

    Each system is compared with its published figures and with baselines; tables are written as Markdown and JSON.
    """
    from rnn_strategies.reproduce.systems import reproduce_systems

    folder = Path("runs/reproduce") if out is None else out

    def show(report: Report) -> None:
        typer.echo(f"{report.markdown()}\n{folder / report.system}.md\n{folder / report.system}.json\n")

    reproduce_systems(
        data,
        only=only or (),
        out=folder,
        seeds=seeds,
        jobs=jobs,
        download=download,
        on_progress=_progress_callback(),
        each=show,
    )
    typer.echo(f"{(folder / 'summary.md').read_text(encoding='utf-8')}\n{folder / 'summary.md'}")


@app.command()
def doctor() -> None:
    """Show versions, backend, hardware and caches."""
    from rnn_strategies.doctor import diagnose

    for name, finding in diagnose():
        typer.echo(f"{name:<24} {finding}")


def _open_run(
    target: Path,
    out: Path | None,
    overrides: list[str] | None,
    jobs: int | None,
    *,
    accept_revisions: bool = False,
) -> Run:
    from rnn_strategies.pipelines.run_config import open_run

    return open_run(
        target,
        out=out,
        overrides=overrides or (),
        jobs=jobs,
        on_progress=_progress_callback(),
        accept_revisions=accept_revisions,
    )


def _print_results(panel_run: Run) -> None:
    """Print annual return and Sharpe ratio of the strategy and of what it is compared with, then the report's path."""
    metrics = panel_run.metrics
    return_series = [("strategy", ""), ("benchmark", "benchmark_"), ("equal-weight universe", "universe_")]
    for name, prefix in return_series:
        annual, sharpe = metrics.get(f"{prefix}annual_return"), metrics.get(f"{prefix}sharpe_ratio")
        if annual is not None:
            ratio = "n/a" if sharpe is None else f"{sharpe:.2f}"
            typer.echo(f"{name:<24} annual return {annual:+.2%}, Sharpe ratio {ratio}")
    typer.echo(panel_run.report)


def _global_options_first(arguments: list[str]) -> list[str]:
    """Put options of all commands before the command, where the parser expects them.

    >>> _global_options_first(["run", "my.toml", "-q"])
    ['-q', 'run', 'my.toml']
    """
    first = [argument for argument in arguments if argument in GLOBAL_OPTIONS]
    return first + [argument for argument in arguments if argument not in GLOBAL_OPTIONS]


def main() -> None:
    """Run the command line; an error prints one line to standard error and sets the exit code."""
    try:
        code = app(_global_options_first(sys.argv[1:]), standalone_mode=False)
    except RnnStrategiesError as error:
        _fail(error, str(error), error.exit_code)
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error of the command line itself
            option = str(getattr(error, "option_name", ""))
            former = now_called(COMMAND_LINE_OPTIONS, option)
            text = f"No such option: {option}; {former}" if former else error.format_message()
            _fail(error, f"{text} (see rnn-strategies --help)", 2)
        if isinstance(error, MemoryError):
            _fail(error, "expected enough memory for these settings; found too little; use fewer tickers or years", 2)
        _fail(
            error,
            f"{type(error).__name__}: {error}; repeat the command with --debug to see the traceback; if it ends in "
            "your own code, correct it there; otherwise please report it",
            1,
        )
    if code == INTERRUPTED:  # typer returns this after Ctrl-C
        _fail(None, "stopped; finished work is kept; run the same command again to resume", INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(error: BaseException | None, message: str, code: int) -> None:
    if _GlobalOptions.debug and error is not None:
        import traceback

        traceback.print_exception(error)
    print("rnn-strategies: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(code)
