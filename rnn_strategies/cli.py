"""The command line. Nothing heavy is imported before a command is known, so that `--help` answers at once."""

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

# Options of all commands: accepted behind a command, too.
GLOBAL_OPTIONS = ("--debug", "--quiet", "-q", "--verbose", "-v")

app = typer.Typer(
    name="rnn-strategies",
    help="Walk-forward recurrent networks, traded in backtrader, judged by pyfolio.",
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Target = Annotated[Path, typer.Argument(help="A configuration file or a run folder.", show_default=False)]
Out = Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/<name>")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Change a setting; may be repeated.")
]
Revised = Annotated[
    bool,
    typer.Option("--accept-revisions", help="Replace bars that Yahoo has revised since first seen, and retrain."),
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Training processes.", show_default="one per core")]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rnn-strategies {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="One line per progress event, with the seconds since the start.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress: results and errors only.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
) -> None:
    """Walk-forward recurrent networks, traded in backtrader, judged by pyfolio."""
    if quiet and verbose:
        raise InputError("expected --quiet or --verbose; found both; leave one out")
    _State.debug, _State.quiet, _State.verbose = debug, quiet, verbose
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


class _State:
    debug = quiet = verbose = False


def _progress() -> ProgressCallback:
    """Return what shows progress on standard error, as `--quiet` and `--verbose` say."""
    from rnn_strategies.runs.progress_display import show_progress
    from signals.common.progress_events import ignore_progress

    return ignore_progress if _State.quiet else show_progress(sys.stderr, verbose=_State.verbose)


def _preset_names() -> list[str]:
    """Names that a shell completes `--preset` with."""
    from rnn_strategies.config.presets import FORECAST_PRESETS, PRESETS

    return [*PRESETS, *FORECAST_PRESETS]


@app.command()
def init(
    path: Annotated[Path | None, typer.Argument(help="File to write.", show_default="rnn-strategies.toml")] = None,
    preset: Annotated[
        str,
        typer.Option(
            help="demo (simulated prices), us-weekly (600 US stocks), us-wide (all of a file of closes), imported "
            "(scores of your own), seasonal (simulated series), or a system of the literature: published-* or "
            "improved-* "
            "with stacked, univariate, multivariate.",
            autocompletion=_preset_names,
        ),
    ] = "demo",
    example: Annotated[
        str | None, typer.Option(help="A notebook instead: backtest_from_scratch or own_cerebro.", show_default=False)
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Folder with the price files of the preset.", show_default="$RNN_STRATEGIES_DATA")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a commented configuration, or an example notebook."""
    if example is not None:
        from rnn_strategies.examples import write_example

        typer.echo(write_example(example, path, force=force))
        return
    from rnn_strategies.config.presets import write_preset

    path = path or Path("rnn-strategies.toml")
    write_preset(path, preset=preset, data=data, force=force)
    then = f"import SCORES --config {path} --out RUN" if preset == "imported" else f"run {path}"
    typer.echo(f"{path}\nRun it with: rnn-strategies {then}")


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="A configuration file or a run folder.", show_default=False)],
    out: Out = None,
    overrides: Overrides = None,
    jobs: Jobs = None,
    accept_revisions: Revised = False,
) -> None:
    """Run all stages of any configuration: signals, backtest, report, or forecasts of series; resumes what is done."""
    from rnn_strategies.config.toml_files import is_of_series

    if is_of_series(config):
        if accept_revisions:
            raise InputError("expected --accept-revisions with [prices] from Yahoo; found [series]; leave it out")
        forecast(config, out, overrides, jobs)
        return
    made = _open(config, out, overrides, jobs, accept_revisions=accept_revisions)
    with made.locked():
        made.all_stages()
    _conclude(made)


@app.command()
def signals(
    target: Target, out: Out = None, overrides: Overrides = None, jobs: Jobs = None, accept_revisions: Revised = False
) -> None:
    """Train walk-forward and write the out-of-sample signals."""
    made = _open(target, out, overrides, jobs, accept_revisions=accept_revisions)
    with made.locked():
        made.compute_signals()
    typer.echo(made.folder / "signals.parquet")


@app.command()
def backtest(target: Target, out: Out = None, overrides: Overrides = None) -> None:
    """Trade the signals of a run folder."""
    made = _open(target, out, overrides, None)
    with made.locked():
        made.compute_backtest()
    typer.echo(made.folder / "metrics.json")


@app.command()
def report(target: Target, out: Out = None, overrides: Overrides = None) -> None:
    """Write the tear sheet of a run folder."""
    made = _open(target, out, overrides, None)
    with made.locked():
        made.write_report()
    typer.echo(made.report)


@app.command()
def forecast(
    config: Annotated[Path, typer.Argument(help="A configuration file with [series], or its folder.")],
    out: Out = None,
    overrides: Overrides = None,
    jobs: Jobs = None,
) -> None:
    """Forecast series walk-forward, beside baselines; resumes what is done."""
    from rnn_strategies.pipelines.forecast_run import forecast as work

    made = work(config, out=out, overrides=overrides or (), jobs=jobs, on_progress=_progress())
    typer.echo(f"{made.table}\n{made.folder}")


@app.command("import")
def import_(
    scores: Annotated[Path, typer.Argument(help="CSV or Parquet: date, ticker, score.", show_default=False)],
    out: Out = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Prices, strategy and costs.", show_default="RUN/config.toml or rnn-strategies.toml"),
    ] = None,
    on_uncovered: Annotated[
        str | None,
        typer.Option(
            help="Scores that the prices do not cover: raise or drop.", show_default="as in the configuration, or raise"
        ),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Make a run folder of somebody else's scores."""
    from rnn_strategies.pipelines.score_import import import_scores

    made = import_scores(
        scores,
        out=out,
        config=config,
        overrides=overrides or (),
        on_uncovered=on_uncovered,
        on_progress=_progress(),
    )
    typer.echo(f"{made.folder / 'signals.parquet'}\nGo on with: rnn-strategies run {made.folder}")


@app.command()
def export(
    target: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    out: Annotated[Path, typer.Option(help="File to write, ending in .csv or .parquet.", show_default=False)],
    format: Annotated[
        str | None, typer.Option(help="csv, parquet, alphalens or qlib.", show_default="what FILE ends in")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write the scores of a run folder for other programs."""
    from rnn_strategies.pipelines.score_import import export_scores

    typer.echo(export_scores(target, out, format=format, force=force))


@app.command()
def audit(
    target: Target,
    only: Annotated[list[str] | None, typer.Option(help="Only this check; may be repeated.")] = None,
    skip: Annotated[list[str] | None, typer.Option(help="Leave this check out; may be repeated.")] = None,
    cutoffs: Annotated[int, typer.Option(min=0, help="Random days after which the future is replaced.")] = 3,
    json: Annotated[Path | None, typer.Option(help="Also write the verdicts as JSON.", show_default=False)] = None,
    overrides: Overrides = None,
    jobs: Jobs = None,
) -> None:
    """Show that a result can be trusted, check by check; exit 1 when one fails."""
    from rnn_strategies.audit.audit import audit_run

    told = _progress()
    found = audit_run(
        target,
        overrides=overrides or (),
        only=only or (),
        skip=skip or (),
        cutoffs=cutoffs,
        jobs=jobs,
        on_progress=told,
    )
    typer.echo(found.text())
    if json is not None:
        found.save(json)
    if not found.passed:
        raise typer.Exit(1)


@app.command()
def verify(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.", metavar="RUN...", show_default=False)],
) -> None:
    """Recompute every figure of finished runs from their files; exit 1 when one differs. Nothing is written."""
    from rnn_strategies.verify.verify import verify_run

    told = _progress()
    passed = True
    for folder in runs:
        found = verify_run(folder, on_progress=told)
        typer.echo(found.text())
        passed = passed and found.passed
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
        typer.Option(help="Only this system; may be repeated.", show_default="all of them"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for tables and runs.", show_default="runs/reproduce")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Networks a fold.", show_default="what each system says")
    ] = None,
    jobs: Jobs = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch missing files where they can be had: S&P 500, FRED.")
    ] = False,
) -> None:
    """Run the published systems on real data, each beside its baselines."""
    from rnn_strategies.reproduce.systems import reproduce_systems

    where = Path("runs/reproduce") if out is None else out

    def show(report: Report) -> None:
        typer.echo(f"{report.markdown()}\n{where / report.system}.md\n{where / report.system}.json\n")

    told = _progress()
    reproduce_systems(
        data, only=only or (), out=where, seeds=seeds, jobs=jobs, download=download, on_progress=told, each=show
    )
    typer.echo(f"{(where / 'summary.md').read_text(encoding='utf-8')}\n{where / 'summary.md'}")


@app.command()
def doctor() -> None:
    """Show versions, backend, GPU, cores and caches."""
    from rnn_strategies.doctor import diagnose

    for name, finding in diagnose():
        typer.echo(f"{name:<24} {finding}")


def _open(
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
        on_progress=_progress(),
        accept_revisions=accept_revisions,
    )


def _conclude(made: Run) -> None:
    figures = made.metrics
    beside = [("strategy", ""), ("benchmark", "benchmark_"), ("equal-weight universe", "universe_")]
    for name, prefix in beside:
        annual, sharpe = figures.get(f"{prefix}annual_return"), figures.get(f"{prefix}sharpe_ratio")
        if annual is not None:
            ratio = "n/a" if sharpe is None else f"{sharpe:.2f}"
            typer.echo(f"{name:<24} annual return {annual:+.2%}, Sharpe ratio {ratio}")
    typer.echo(made.report)


def _global_options_first(arguments: list[str]) -> list[str]:
    """Put options of all commands before the command, where the parser expects them.

    >>> _global_options_first(["run", "my.toml", "-q"])
    ['-q', 'run', 'my.toml']
    """
    return [one for one in arguments if one in GLOBAL_OPTIONS] + [one for one in arguments if one not in GLOBAL_OPTIONS]


def main() -> None:
    """Run the command line; errors are one line on stderr and an exit code."""
    try:
        code = app(_global_options_first(sys.argv[1:]), standalone_mode=False)
    except RnnStrategiesError as error:
        _fail(error, str(error), error.exit_code)
    except Exception as error:
        if hasattr(error, "format_message"):  # a mistake in the command line itself
            option = str(getattr(error, "option_name", ""))
            former = now_called(COMMAND_LINE_OPTIONS, option)
            text = f"No such option: {option}; {former}" if former else error.format_message()
            _fail(error, f"{text} (see rnn-strategies --help)", 2)
        if isinstance(error, MemoryError):
            _fail(error, "expected enough memory for these settings; found too little; use fewer tickers or years", 2)
        _fail(
            error,
            f"{type(error).__name__}: {error}; repeat with --debug to see where: in code of your own, mend it there; "
            "otherwise please report it",
            1,
        )
    if code == INTERRUPTED:  # typer turns Ctrl-C into this
        _fail(None, "stopped; finished work is kept, run the same command again to go on", INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(error: BaseException | None, message: str, code: int) -> None:
    if _State.debug and error is not None:
        import traceback

        traceback.print_exception(error)
    print("rnn-strategies: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(code)
