"""Drawing of report charts: common style and size, reproducible bytes, and a reason instead of an empty panel."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import pandas as pd
from cycler import cycler
from matplotlib import colors, dates, ticker
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

__all__ = [
    "PALETTE",
    "PERCENT",
    "Chart",
    "NothingToDrawError",
    "chart_text",
    "draw",
    "name_lines",
    "need_movement",
    "need_sessions",
    "pyfolio_plotting",
    "quiet_plotting",
    "rebased_wealth",
    "refuse",
    "short_number",
    "started",
    "wealth_of",
]

PALETTE = {
    "ink": "#1c2733",
    "muted": "#66717d",
    "grid": "#e3e7eb",
    "strategy": "#1f4e79",
    "benchmark": "#7d8792",
    "universe": "#c9791a",
    "gain": "#2f7d62",
    "loss": "#b2433b",
    "light": "#9db8d2",
    "accent": "#7a5195",
    "overlap": "#a3816f",  # gain and loss at half strength on top of each other
}

# pyfolio's fixed colours and the palette entries that replace them.
_MEANING = {
    "forestgreen": "strategy",
    "steelblue": "strategy",
    "limegreen": "strategy",
    "orangered": "universe",
    "gray": "benchmark",
    "grey": "benchmark",
    "black": "ink",
    "green": "gain",
    "g": "gain",
    "red": "loss",
    "r": "loss",
    "salmon": "loss",
    "darkgoldenrod": "overlap",
    "mediumblue": "strategy",
    "tomato": "universe",
    "firebrick": "loss",
}
_RECOLOUR = {colors.to_hex(name): PALETTE[role] for name, role in _MEANING.items()}

_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 10.0,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10.0,
    "xtick.labelsize": 10.0,
    "ytick.labelsize": 10.0,
    "legend.fontsize": 9.5,
    "text.color": PALETTE["ink"],
    "axes.labelcolor": PALETTE["muted"],
    "xtick.color": PALETTE["muted"],
    "ytick.color": PALETTE["muted"],
    "axes.edgecolor": "#b8c0c8",
    "axes.linewidth": 0.8,
    "axes.facecolor": "white",
    "figure.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": PALETTE["grid"],
    "grid.linewidth": 0.8,
    "axes.prop_cycle": cycler(
        color=[
            *(PALETTE[name] for name in ("strategy", "universe", "gain", "loss", "accent", "benchmark")),
            *("#3f8fae", "#d8a23b", "#8c6d5a", "#5b6abf"),
        ]
    ),
    "lines.linewidth": 1.5,
    "axes.formatter.useoffset": False,
    "figure.dpi": 96,
    "savefig.dpi": 96,
    "path.simplify": True,
    "svg.fonttype": "path",
    "svg.hashsalt": "rnn-strategies",
}

PERCENT = ticker.PercentFormatter(1.0, decimals=None)
SVG_LIMIT = 400_000  # bytes; a larger drawing is embedded as PNG instead
_HALF = (6.0, 3.1)  # inches; shown at this size in two columns on a desktop, shrunk to fit a phone


class NothingToDrawError(Exception):
    """Raised by a paint function without enough data for a chart; the text is the reason shown in its place."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn chart, or the reason why it was not drawn.

    Parameters
    ----------
    name : str
        Identifier within the page.
    title, note : str
        Heading, and a description of what is plotted.
    alt : str
        Alternative text for screen readers.
    uri : str or None
        `data:` URI of an SVG or PNG image; None when the chart was not drawn.
    narrow : str or None
        `data:` URI of a narrower drawing for phones.
    width, height : int
        Natural size in CSS pixels.
    reason : str or None
        Why `uri` is None.
    """

    name: str
    title: str
    note: str
    alt: str
    uri: str | None
    narrow: str | None
    width: int
    height: int
    reason: str | None

    @property
    def wide(self) -> bool:
        """Whether the chart takes the whole width of the page."""
        return self.width > _HALF[0] * 96 + 1


@contextmanager
def quiet_plotting() -> Iterator[None]:
    """Context with the report style, matplotlib dates, and known warnings of pyfolio and seaborn suppressed.

    pandas would draw a gap-free business-day index as periods, which leaves pyfolio's filled panels blank:
    `x_compat` keeps matplotlib's own dates.
    """
    with (
        mpl.rc_context(_STYLE),
        pd.plotting.plot_params.use("x_compat", True),
        warnings.catch_warnings(),
    ):
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning, UserWarning):
            warnings.filterwarnings("ignore", category=category, module=r"(pyfolio|seaborn)(\.|$)")
        # tickers in scripts that the font lacks are drawn as boxes; tables and alternative texts hold them in full
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)
        yield


def pyfolio_plotting() -> Any:
    """Import `pyfolio.plotting` without its warning that zipline is missing; the first import takes seconds."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message='Module "zipline.assets" not found', category=UserWarning)
        from pyfolio import plotting
    return plotting


def draw(
    name: str,
    paint: Callable[[Axes], str | None],
    *,
    title: str,
    note: str,
    size: tuple[float, float] = _HALF,
    narrow: tuple[float, float] | None = None,
) -> Chart:
    """Run a paint function on new axes and return the image, or the reason for not drawing it.

    Parameters
    ----------
    name : str
        Identifier; also part of the salt of SVG ids.
    paint : callable
        Draws on the given axes and returns the alternative text. It may raise `NothingToDrawError`.
    title, note : str
        Shown as text by the page, outside the image.
    size : tuple of float
        Inches, at 96 CSS pixels an inch.
    narrow : tuple of float, optional
        Size of a second drawing for phones.

    Returns
    -------
    Chart
    """
    uris: list[str] = []
    alt = title
    for inches in (size, narrow):
        if inches is None:
            continue
        with quiet_plotting():
            # created without pyplot, so no global state remains and the user's backend is unchanged
            figure = Figure(figsize=inches, layout="constrained")
            FigureCanvasAgg(figure)
            axes = figure.subplots()
            try:
                alt = paint(axes) or title
            except NothingToDrawError as reason:
                return Chart(name, title, note, title, None, None, 0, 0, str(reason))
            for each in figure.axes:
                _tidy(each)
            uris.append(_encode(figure))
    width, height = (round(96 * inch) for inch in size)
    return Chart(name, title, note, alt, uris[0], uris[1] if len(uris) > 1 else None, width, height, None)


def _encode(figure: Figure) -> str:
    layout = figure.get_layout_engine()
    if layout is not None:
        # savefig would execute the layout a second time
        layout.execute(figure)
        figure.set_layout_engine(None)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    kind = "svg+xml"
    if buffer.tell() > SVG_LIMIT:
        buffer, kind = io.BytesIO(), "png"
        figure.savefig(buffer, format="png", dpi=192, metadata={"Software": None})
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _tidy(axes: Axes) -> None:
    """Apply the palette, upright date labels and few ticks, and move the legend above the panel."""
    axes.set_title("")
    for artist in axes.findobj(lambda a: isinstance(a, Line2D | Patch | PolyCollection)):
        _recolour(artist)
    for line in axes.lines:
        line.set_linewidth(min(max(line.get_linewidth(), 0.7), 1.7))
    if isinstance(axes.xaxis.get_major_locator(), dates.DateLocator):
        locator = dates.AutoDateLocator(minticks=3, maxticks=8)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, show_offset=False))
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.set_xlabel("")
        axes.tick_params(axis="x", labelrotation=0)
        for tick in axes.xaxis.majorTicks:  # pandas rotates existing labels
            tick.label1.set(rotation=0, ha="center")
        first, last = axes.dataLim.intervalx
        if last > first:
            axes.set_xlim(first - 0.01 * (last - first), last + 0.01 * (last - first))
    for axis in (axes.xaxis, axes.yaxis):
        if isinstance(axis.get_major_locator(), ticker.AutoLocator):
            axis.set_major_locator(ticker.MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
        _respell(axis)
    legend = axes.get_legend()
    if legend is not None:
        handles = [handle for handle in legend.legend_handles if handle is not None]
        texts = [text.get_text() for text in legend.get_texts()]
        for handle in handles:
            _recolour(handle)
        legend.remove()
        figure = axes.get_figure(root=True)
        if figure is not None:
            figure.legend(
                handles, texts, loc="outside upper left", frameon=False, ncols=_columns(texts, figure.get_figwidth()),
                handlelength=1.4, columnspacing=1.2, handletextpad=0.5, borderpad=0.1, borderaxespad=0.1,
            )  # fmt: skip


def _respell(axis: Any) -> None:
    """Replace pyfolio's number formats, which write a hyphen for a minus, by matplotlib's."""
    formatter = axis.get_major_formatter()
    function = getattr(formatter, "func", None)
    name = getattr(getattr(function, "func", function), "__name__", "")
    if name == "two_dec_places":
        axis.set_major_formatter(ticker.ScalarFormatter(useOffset=False))
    elif name == "percentage":
        axis.set_major_formatter(ticker.PercentFormatter(100.0))


def _columns(texts: Sequence[str], width: float) -> int:
    """Return the number of legend columns that fit into `width` inches; entries run down the columns."""
    for columns in range(min(len(texts), 6), 1, -1):
        rows = -(-len(texts) // columns)
        widest = [max(map(len, texts[start : start + rows])) for start in range(0, len(texts), rows)]
        if sum(0.45 + 0.082 * letters for letters in widest) < width:
            return columns
    return 1


def _recolour(artist: Any) -> None:
    """Replace a colour of pyfolio by its palette colour."""
    if isinstance(artist, Line2D):
        artist.set_color(_RECOLOUR.get(colors.to_hex(artist.get_color()), artist.get_color()))
        return
    if not isinstance(artist, PolyCollection | Patch):
        return
    faces = artist.get_facecolor()
    face = (faces[0] if len(faces) else None) if isinstance(artist, PolyCollection) else faces
    new = _RECOLOUR.get(colors.to_hex(face)) if face is not None else None
    if new and face is not None:
        artist.set_facecolor(colors.to_rgba(new, face[3]))
        artist.set_edgecolor("none")


def started(returns: pd.Series) -> pd.Series:
    """Prepend the day on which the account was opened, with return 0.

    Without it, a drawdown that begins with the first return would have no peak.
    """
    opened = returns.index[0] - pd.offsets.BDay(1)
    return pd.concat([pd.Series([0.0], index=pd.DatetimeIndex([opened], name="date")), returns]).rename("returns")


def chart_text(text: object, *, width: int = 14) -> str:
    r"""Escape and shorten text for a chart label: no TeX, no leading underscore (which hides a legend entry).

    >>> chart_text("A$B$"), chart_text("_X")
    ('A\\$B\\$', ' _X')
    """
    words = "".join(c for c in str(text) if c.isprintable())
    words = words if len(words) <= width else words[: width - 1] + "…"
    words = words.replace("$", r"\$")
    return f" {words}" if words.startswith("_") else words


def refuse(reason: str) -> Callable[[Axes], str | None]:
    """Return a paint function that raises `NothingToDrawError` with the reason."""

    def paint(axes: Axes) -> str | None:
        raise NothingToDrawError(reason)

    return paint


def need_sessions(returns: pd.Series, sessions: int, what: str) -> None:
    """Raise `NothingToDrawError` when there are fewer returns than `sessions`."""
    if len(returns) < sessions:
        raise NothingToDrawError(f"{what} needs {sessions} sessions; there are {len(returns)}")


def need_movement(returns: pd.Series) -> None:
    """Raise `NothingToDrawError` when all returns are equal."""
    if returns.nunique() < 2:
        raise NothingToDrawError("the account's return never changed")


def wealth_of(returns: pd.Series) -> pd.Series:
    """Wealth of 1 invested on the business day before the first return."""
    return (1.0 + started(returns)).cumprod()


def rebased_wealth(other: pd.Series, returns: pd.Series) -> pd.Series:
    """Wealth of `other`, which starts at the wealth of an account with `returns` where `other` begins."""
    before = returns.to_numpy()[returns.index < other.index[0]]
    return wealth_of(other) * float((1.0 + before).prod())


def name_lines(axes: Axes, lines: Sequence[tuple[str, str]]) -> None:
    """Label and colour the lines of the axes in drawing order, and add a legend."""
    handles: list[Line2D] = []
    for line, (label, role) in zip(axes.lines, lines, strict=False):
        line.set(color=PALETTE[role], alpha=1.0, label=label)
        handles.append(line)
    axes.legend(handles, [label for label, _ in lines])


def short_number(value: float, _position: int | None = None) -> str:
    """Format a number with a suffix for thousands (k), millions (M) or billions (G).

    >>> [short_number(v) for v in (0, 950, 1500, 2_000_000)]
    ['0', '950', '1.5k', '2M']
    """
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{unit}"
    return f"{value:g}"
