"""How figures look: one colour and line per row of the comparison, saved without dates."""

from __future__ import annotations

import io
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.typing import RcKeyType
from PIL import Image

from harness.files import write_bytes
from harness.report.colours import DASHES, MARKERS, SOLID, appearance, look_of
from harness.report.comparison import Comparison

EMPHASISED_FAMILY = "decision flow"
PNG_DPI = 200
MAX_NAMED = 16  # lines that a reader can tell apart
NAMED_OF_MANY = 8  # beyond that only so many keep a colour; the others are context
RANGE = (-0.4, 0.5)  # of lightness, over the variants of a method: towards black and white

SETTINGS: dict[RcKeyType, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs on every machine
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.edgecolor": "#444444",
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # embedded TrueType: text stays text
}


@dataclass(frozen=True)
class LineStyle:
    """How one algorithm is drawn, wherever it is drawn."""

    colour: str
    dash: Any
    width: float
    emphasised: bool = False
    marker: str = "o"

    @property
    def tint(self) -> tuple[float, float, float]:
        """The colour of areas: full for emphasised methods, lighter but opaque for others."""
        strength = 1.0 if self.emphasised else 0.6
        red, green, blue = (strength * part + 1 - strength for part in to_rgb(self.colour))
        return red, green, blue


@dataclass(frozen=True)
class Drawing:
    """A figure of the report: its title, what it shows in words, and its files (PNG and PDF)."""

    title: str
    caption: str
    files: tuple[Path, ...]


CONTEXT = LineStyle(colour="#C4C4C4", dash="solid", width=0.7)


def lines(comparison: Comparison) -> dict[str, LineStyle]:
    """One line per label, in order of drawing: context first, emphasised methods last, on top.

    Of those, broken lines are above solid ones: where two lie on each other, both are seen. In a
    suite of many rows only the emphasised and the best of the others have a colour.
    """
    every = all_lines(comparison)
    named = list(every) if len(every) <= MAX_NAMED else by_score(comparison)
    order = sorted(named, key=lambda label: not every[label].emphasised)
    if len(order) > MAX_NAMED:
        order = order[:NAMED_OF_MANY]
    order.sort(key=lambda label: (not every[label].emphasised, every[label].dash == SOLID))
    styles = {label: CONTEXT for label in comparison.labels if label not in order}
    return styles | {label: every[label] for label in reversed(order)}


def all_lines(comparison: Comparison) -> dict[str, LineStyle]:
    """One line of its own per label, in the suite's order: for where names stand beside them."""
    emphasised = {row.label for row in comparison.suite.rows if row.family == EMPHASISED_FAMILY}
    return method_lines({row.label: row.id for row in comparison.suite.rows}, emphasised)


def method_lines(
    methods: Mapping[str, str], emphasised: Collection[str] = ()
) -> dict[str, LineStyle]:
    """One line per name, by the id of the method it is of, in the order given.

    Names of one method have its hue, from dark to light, and differ in dash and marker. A name that
    is the method's id is drawn as the method is everywhere.
    """
    members: dict[str, list[str]] = {}
    for name, method in methods.items():
        members.setdefault(look_of(method), []).append(name)
    styles = {}
    for method, names in members.items():
        variants = [name for name in names if name != method]
        shades = np.linspace(*RANGE, len(variants)) if len(names) > 1 else np.zeros(len(variants))
        numbered = enumerate(shades.tolist(), start=len(names) - len(variants))
        found = dict(zip(variants, numbered, strict=True))
        for name in names:
            styles[name] = _line(method, *found.get(name, (0, 0.0)), name in emphasised)
    return {name: styles[name] for name in methods}


def _line(method: str, variant: int, shade: float, emphasised: bool) -> LineStyle:
    """The line of a method's variant: `shade` moves its colour towards black (-1) or white (1)."""
    look = appearance(method)
    red, green, blue = (
        part + shade * (1 - part) if shade > 0 else part * (1 + shade)
        for part in to_rgb(look.colour)
    )
    dash, marker = DASHES.index(look.dash), MARKERS.index(look.marker)
    return LineStyle(
        colour=to_hex((red, green, blue)),
        dash=DASHES[(dash + variant) % len(DASHES)],
        width=2.2 if emphasised else 1.2,
        emphasised=emphasised,
        marker=MARKERS[(marker + variant) % len(MARKERS)],
    )


def by_score(comparison: Comparison) -> list[str]:
    """Labels as `Comparison.ranked` has them on all tasks."""
    return comparison.ranked(comparison.tasks)


def handle(name: str, line: LineStyle, marker: bool = False) -> Line2D:
    """A line of a legend; with its marker where the figure has markers."""
    return Line2D(
        [],
        [],
        color=line.colour,
        linestyle=line.dash,
        linewidth=line.width,
        marker=line.marker if marker else None,
        markersize=4,
        label=name,
    )


def legend_columns(legend: Sequence[Line2D], width: float) -> int:
    """How many names stand side by side in `width` inches, bold ones too."""
    longest = max(len(str(handle.get_label())) for handle in legend)
    return max(1, min(len(legend), int(width / (0.55 + 0.068 * longest))))


def legend_below(figure: Figure, legend: Sequence[Line2D]) -> Legend:
    """A legend under a figure, which grows so that a long one takes nothing from its panels."""
    columns = legend_columns(legend, figure.get_figwidth())
    rows = math.ceil(len(legend) / columns)
    figure.set_figheight(figure.get_figheight() + 0.17 * max(0, rows - 2))
    handles = list(legend)
    return figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, handlelength=2.4
    )


def styled() -> Any:
    """Context in which figures are made and saved; nothing outside it changes."""
    return rc_context(SETTINGS)


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write `<stem>.png`, of 256 colours, and `<stem>.pdf`; equal figures give equal bytes.

    Charts need no more colours, and are a third of the size: results are meant to be committed.
    """
    png, pdf = stem.with_suffix(".png"), stem.with_suffix(".pdf")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=PNG_DPI, pil_kwargs={"compress_level": 0})
    pixels = Image.open(drawn).convert("RGB")
    few = pixels.quantize(256, dither=Image.Dither.NONE)
    written = io.BytesIO()
    few.save(written, "PNG", dpi=(PNG_DPI, PNG_DPI), optimize=True)
    write_bytes(png, written.getvalue())
    undated = {"CreationDate": None, "Creator": None, "Producer": None}
    paged = io.BytesIO()
    figure.savefig(paged, format="pdf", metadata=undated)
    write_bytes(pdf, paged.getvalue())
    return [png, pdf]
