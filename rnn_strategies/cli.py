"""The command line. Nothing heavy is imported before a command is known, so that `--help` answers at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from signals.errors import RnnStrategiesError

if TYPE_CHECKING:
    from rnn_strategies.pipeline import Run

__all__ = ["app", "main"]

INTERRUPTED = 130

app = typer.Typer(
    name="rnn-strategies",
    help="Walk-forward recurrent networks, traded in backtrader, judged by pyfolio.",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Target = Annotated[Path, typer.Argument(help="A configuration file or a run folder.", show_default=False)]
Out = Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/<name>")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Change a setting; may be repeated.")
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Training processes.", show_default="one per core")]


@app.callback()
def _options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
) -> None:
    """Walk-forward recurrent networks, traded in backtrader, judged by pyfolio."""
    _State.debug = debug
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


class _State:
    debug = False


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="File to write.")] = Path("rnn-strategies.toml"),
    preset: Annotated[str, typer.Option(help="demo (simulated prices) or us-weekly (600 US stocks).")] = "demo",
    data: Annotated[
        str | None, typer.Option(help="Folder with the price files of the preset.", show_default="$RNN_STRATEGIES_DATA")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a commented configuration."""
    from rnn_strategies.presets import write_preset

    write_preset(path, preset=preset, data=data, force=force)
    typer.echo(f"{path}\nRun it with: rnn-strategies run {path}")


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="A configuration file or a run folder.", show_default=False)],
    out: Out = None,
    overrides: Overrides = None,
    jobs: Jobs = None,
) -> None:
    """Prices, signals, backtest and report; resumes what is done."""
    made = _open(config, out, overrides, jobs)
    with made.locked():
        made.all_stages()
    _conclude(made)


@app.command()
def signals(target: Target, out: Out = None, overrides: Overrides = None, jobs: Jobs = None) -> None:
    """Train walk-forward and write the out-of-sample signals."""
    made = _open(target, out, overrides, jobs)
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
def doctor() -> None:
    """Show versions, backend, GPU, cores and caches."""
    from rnn_strategies.doctor import diagnose

    for name, finding in diagnose():
        typer.echo(f"{name:<24} {finding}")


def _open(target: Path, out: Path | None, overrides: list[str] | None, jobs: int | None) -> Run:
    from rnn_strategies.pipeline import open_run
    from rnn_strategies.progress import ConsoleProgress

    return open_run(target, out=out, overrides=overrides or (), jobs=jobs, listener=ConsoleProgress(sys.stderr))


def _conclude(made: Run) -> None:
    figures = made.metrics
    beside = [("strategy", ""), ("benchmark", "benchmark_"), ("equal-weight universe", "universe_")]
    for name, prefix in beside:
        annual, sharpe = figures.get(f"{prefix}annual_return"), figures.get(f"{prefix}sharpe_ratio")
        if annual is not None:
            ratio = "n/a" if sharpe is None else f"{sharpe:.2f}"
            typer.echo(f"{name:<24} annual return {annual:+.2%}, Sharpe ratio {ratio}")
    typer.echo(made.report)


def main() -> None:
    """Run the command line; errors are one line on stderr and an exit code."""
    try:
        code = app(standalone_mode=False)
    except RnnStrategiesError as error:
        _fail(error, str(error), error.exit_code)
    except Exception as error:
        if hasattr(error, "format_message"):  # a mistake in the command line itself
            _fail(error, f"{error.format_message()} (see rnn-strategies --help)", 2)
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
