"""How a chart becomes part of a page: one look, one size, bytes that repeat, and never an empty panel."""

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
    "refuse",
    "short_number",
    "started",
    "wealth_beside",
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

# pyfolio names its colours in the code; these say what each of them means here.
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
SVG_LIMIT = 400_000  # bytes; a larger drawing is sent as pixels instead
_HALF = (6.0, 3.1)  # inches; shown at this size in two columns on a desktop, shrunk to fit a phone


class NothingToDrawError(Exception):
    """Raised by a painter whose data cannot fill a chart; the text is the reason shown in its place."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A finished figure, or the reason why there is none.

    Parameters
    ----------
    name : str
        Identifier within the page.
    title, note : str
        Heading and one sentence on how to read it.
    alt : str
        What a reader who cannot see it should know.
    uri : str or None
        `data:` URI of an SVG or PNG image; None when there is nothing to draw.
    narrow : str or None
        Another drawing of the same for phones.
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
        """Whether it wants the whole width of the page."""
        return self.width > _HALF[0] * 96 + 1


@contextmanager
def quiet_plotting() -> Iterator[None]:
    """Our look, dates drawn as dates, and the known complaints of pyfolio and seaborn kept to themselves.

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
        # a ticker in a script the font lacks shows as boxes; tables and alternative texts hold it in full
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)
        yield


def pyfolio_plotting() -> Any:
    """`pyfolio.plotting`, imported without its remark that zipline is missing (takes seconds the first time)."""
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
    """Run a painter on fresh axes and keep the image, or its reason for not drawing.

    Parameters
    ----------
    name : str
        Identifier; also part of the salt of SVG ids.
    paint : callable
        Draws on the axes it is given and returns the alternative text. It may raise `NothingToDrawError`.
    title, note : str
        Shown as text by the page, not drawn.
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
            # not made by pyplot, so nothing outlives this block and the user's backend is never touched
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
        # once is enough; savefig would lay out and draw everything a second time
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
    """Our colours for pyfolio's, upright date labels, few ticks, and the legend above the panel."""
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
        for tick in axes.xaxis.majorTicks:  # pandas has turned those it knew of
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
    """As many legend columns as fit into `width` inches; entries run down the columns."""
    for columns in range(min(len(texts), 6), 1, -1):
        rows = -(-len(texts) // columns)
        widest = [max(map(len, texts[start : start + rows])) for start in range(0, len(texts), rows)]
        if sum(0.45 + 0.082 * letters for letters in widest) < width:
            return columns
    return 1


def _recolour(artist: Any) -> None:
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

    Without it a fall that begins with the first return has no peak to be measured from.
    """
    opened = returns.index[0] - pd.offsets.BDay(1)
    return pd.concat([pd.Series([0.0], index=pd.DatetimeIndex([opened], name="date")), returns]).rename("returns")


def chart_text(text: object, *, width: int = 14) -> str:
    r"""Make outside text safe as a chart label: no TeX, no leading underscore (which hides a legend entry), short.

    >>> chart_text("A$B$"), chart_text("_X")
    ('A\\$B\\$', ' _X')
    """
    words = "".join(c for c in str(text) if c.isprintable())
    words = words if len(words) <= width else words[: width - 1] + "…"
    words = words.replace("$", r"\$")
    return f" {words}" if words.startswith("_") else words


def refuse(reason: str) -> Callable[[Axes], str | None]:
    """Return a painter that only gives a reason."""

    def paint(axes: Axes) -> str | None:
        raise NothingToDrawError(reason)

    return paint


def need_sessions(returns: pd.Series, sessions: int, what: str) -> None:
    """Refuse to draw `what` on fewer than so many sessions."""
    if len(returns) < sessions:
        raise NothingToDrawError(f"{what} needs {sessions} sessions; there are {len(returns)}")


def need_movement(returns: pd.Series) -> None:
    """Refuse to draw an account whose return is the same every day."""
    if returns.nunique() < 2:
        raise NothingToDrawError("the account's return never changed")


def wealth_of(returns: pd.Series) -> pd.Series:
    """Growth of 1, from the day before the first return."""
    return (1.0 + started(returns)).cumprod()


def wealth_beside(other: pd.Series, returns: pd.Series) -> pd.Series:
    """Wealth in something else, from what an account with these returns was worth where `other` begins."""
    before = returns.to_numpy()[returns.index < other.index[0]]
    return wealth_of(other) * float((1.0 + before).prod())


def name_lines(axes: Axes, lines: Sequence[tuple[str, str]]) -> None:
    """Name and colour the lines of the axes in the order they were drawn, and make a legend of them."""
    handles: list[Line2D] = []
    for line, (label, role) in zip(axes.lines, lines, strict=False):
        line.set(color=PALETTE[role], alpha=1.0, label=label)
        handles.append(line)
    axes.legend(handles, [label for label, _ in lines])


def short_number(value: float, _position: int | None = None) -> str:
    """Thousands and millions in short.

    >>> [short_number(v) for v in (0, 950, 1500, 2_000_000)]
    ['0', '950', '1.5k', '2M']
    """
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{unit}"
    return f"{value:g}"
