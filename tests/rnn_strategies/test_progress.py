from __future__ import annotations

import io
import subprocess
import sys

import pytest
from IPython.core.interactiveshell import InteractiveShell

from rnn_strategies.runs.progress_display import ConsoleProgress, NotebookProgress, in_notebook, show_progress
from signals.common.progress_events import ProgressEvent

EVENTS = [
    ProgressEvent("signals", "training walk-forward"),
    ProgressEvent("signals", "fold 1 of 2 <b>", 1, 2),
    ProgressEvent("signals", "fold 2 of 2", 2, 2),
    ProgressEvent("signals", "2 networks trained"),
    ProgressEvent("backtest", "2014-02-03", 1, 4),
]


class Screen:
    """Stands for the display of a notebook: what is shown now, under each handle."""

    def __init__(self):
        self.shown = {}
        self.made = 0

    def display(self, thing, *, display_id):
        assert display_id is True
        self.made += 1
        self.shown[self.made] = thing
        screen, number = self, self.made

        class Handle:
            def update(self, thing):
                screen.shown[number] = thing

        return Handle()


@pytest.fixture
def screen(monkeypatch):
    screen = Screen()
    monkeypatch.setattr("IPython.display.display", screen.display)
    return screen


@pytest.fixture
def kernel(monkeypatch):
    """Let IPython say that a kernel runs this code."""

    class Shell:
        kernel = object()

    monkeypatch.setattr("IPython.get_ipython", Shell)


def test_one_display_is_updated_in_place(screen):
    watch = NotebookProgress()
    for event in EVENTS:
        watch(event)
    assert screen.made == 1
    html = screen.shown[1]._repr_html_()
    assert html.count("<progress") == 2
    # a closing word leaves the full bar standing, and text is escaped
    assert '<progress value="2" max="2"></progress> 2/2' in html
    assert "2 networks trained" in html
    assert '<progress value="1" max="4"></progress> 1/4' in html
    assert "<b>" not in html
    assert repr(screen.shown[1]).splitlines()[0] == "[signals 2/2] 2 networks trained"


def test_a_message_is_escaped(screen):
    watch = NotebookProgress()
    watch(EVENTS[1])
    assert "fold 1 of 2 &lt;b&gt;" in screen.shown[1]._repr_html_()


def test_lines_for_a_pipe():
    stream = io.StringIO()
    watch = ConsoleProgress(stream)
    for event in EVENTS[:3]:
        watch(event)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "[signals] training walk-forward"
    assert lines[1] == "[signals 1/2] fold 1 of 2 <b>"  # nothing took long so far, and no estimate of 0 s is printed
    assert lines[2] == "[signals 2/2] fold 2 of 2"


@pytest.mark.parametrize(
    ("left", "words"), [(40.0, ", about 40 s left"), (600.0, ", about 10 min left"), (float("nan"), "")]
)
def test_time_remaining_of_an_event_is_shown(screen, left, words):
    event = ProgressEvent("signals", "fold 1 of 2", 1, 2, left)
    stream, bar = io.StringIO(), NotebookProgress()
    ConsoleProgress(stream)(event)
    bar(event)
    assert stream.getvalue() == f"[signals 1/2] fold 1 of 2{words}\n"
    assert repr(screen.shown[1]) == f"[signals 1/2] fold 1 of 2{words}"
    # the last one leaves nothing to wait for
    ConsoleProgress(stream)(ProgressEvent("signals", "fold 2 of 2", 2, 2, 0.0))
    assert stream.getvalue().endswith("[signals 2/2] fold 2 of 2\n")


class Clock:
    """Stands for the monotonic clock."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr("rnn_strategies.runs.progress_display.time.monotonic", lambda: self.now)


def shown(monkeypatch, *timed):
    """Lines that are printed for events at some seconds."""
    clock, stream = Clock(monkeypatch), io.StringIO()
    watch = ConsoleProgress(stream)
    for seconds, event in timed:
        clock.now = 100.0 + seconds
        watch(event)
    return stream.getvalue().splitlines()


def test_no_estimate_before_the_pace_is_known(monkeypatch):
    counted = [
        (0, ProgressEvent("baselines", "a", 1, 4)),
        (10, ProgressEvent("baselines", "b", 2, 4)),
        (30, ProgressEvent("baselines", "c", 3, 4)),
    ]
    assert shown(monkeypatch, *counted) == [
        "[baselines 1/4] a",  # nothing is known of how long it took
        "[baselines 2/4] b, about 20 s left",
        "[baselines 3/4] c, about 15 s left",
    ]
    begun = [(0, ProgressEvent("signals", "training")), (10, ProgressEvent("signals", "a", 1, 4))]
    assert shown(monkeypatch, *begun)[1] == "[signals 1/4] a, about 30 s left"


def test_restarted_stage_is_timed_from_its_start(monkeypatch):
    lines = shown(
        monkeypatch,
        (0, ProgressEvent("forecast", "a", 1, 3)),
        (500, ProgressEvent("forecast", "b", 3, 3)),
        (1000, ProgressEvent("forecast", "c", 1, 3)),
        (1010, ProgressEvent("forecast", "d", 2, 3)),
    )
    assert lines[2:] == ["[forecast 1/3] c", "[forecast 2/3] d, about 10 s left"]


def test_less_than_a_second_is_no_estimate(monkeypatch):
    assert shown(monkeypatch, (0, ProgressEvent("signals", "a", 1, 2, 0.3)))[0] == "[signals 1/2] a"
    assert shown(monkeypatch, (0, ProgressEvent("signals", "a", 0, 8, float("nan"))))[0] == "[signals 0/8] a"


def test_where_progress_is_shown(kernel):
    assert in_notebook()
    assert isinstance(show_progress(), NotebookProgress)


def test_a_prompt_is_no_notebook(monkeypatch):
    monkeypatch.setattr("IPython.get_ipython", lambda: object.__new__(InteractiveShell))
    assert not in_notebook()
    assert isinstance(show_progress(io.StringIO()), ConsoleProgress)
    monkeypatch.delitem(sys.modules, "IPython")
    assert not in_notebook()


def test_asking_does_not_load_ipython():
    code = (
        "import sys; from rnn_strategies.runs.progress_display import in_notebook, show_progress; show_progress();"
        "sys.exit(in_notebook() or 'IPython' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.usefixtures("kernel")
def test_a_run_in_a_notebook_shows_its_bars_unasked(screen, support, tmp_path, monkeypatch):
    from configs import write_small

    import rnn_strategies as rs

    monkeypatch.setattr(
        "rnn_strategies.pipelines.panel_run.write_report", lambda folder: (folder / "report.html").write_text("-")
    )
    made = rs.run(write_small(tmp_path / "a.toml"), out=tmp_path / "run", jobs=1)
    assert screen.made == 1
    text = repr(screen.shown[1])
    assert "[signals 8/8]" in text
    assert "[backtest" in text
    assert "Sharpe ratio" in repr(made)
