"""How figures look: one colour and line per row of the comparison, saved without dates."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.typing import RcKeyType
from PIL import Image

from harness.files import write_bytes
from harness.report.comparison import Comparison

EMPHASISED_FAMILY = "decision flow"
PNG_DPI = 200
MAX_NAMED = 16  # lines that a reader can tell apart: two patterns of each colour
NAMED_OF_MANY = 8  # beyond that only so many keep a colour; the others are context

# Okabe and Ito (2008): distinct under the common colour-vision deficiencies. Their yellow is
# invisible on white; a violet and a dark grey take its place.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5B4B9A", "#4D4D4D")
DASHES: tuple[Any, ...] = ("solid", (0, (4, 1.5)))
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
class Line:
    """How one algorithm is drawn, wherever it is drawn."""

    colour: str
    dash: Any
    width: float
    emphasised: bool = False

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


CONTEXT = Line(colour="#BBBBBB", dash="solid", width=0.8)


def lines(comparison: Comparison) -> dict[str, Line]:
    """One line per label, in order of drawing: context first, emphasised methods last, on top.

    Emphasised methods come first in the choice of colours and are thicker. In a suite of many
    algorithms only these and the best others have a colour.
    """
    emphasised = {row.label for row in comparison.suite.rows if row.family == EMPHASISED_FAMILY}
    order = sorted(comparison.labels, key=lambda label: label not in emphasised)
    if len(order) > MAX_NAMED:
        ranked = by_score(comparison)
        order = sorted(ranked, key=lambda label: label not in emphasised)[:NAMED_OF_MANY]
    styles = {label: CONTEXT for label in comparison.labels if label not in order}
    for index, label in reversed(list(enumerate(order))):
        styles[label] = Line(
            colour=COLOURS[index % len(COLOURS)],
            dash=DASHES[index // len(COLOURS)],
            width=2.2 if label in emphasised else 1.2,
            emphasised=label in emphasised,
        )
    return styles


def by_score(comparison: Comparison) -> list[str]:
    """Labels by their mean over the tasks they have a score on, best first; ties in suite order."""
    return comparison.ranked(comparison.tasks)


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
    figure.savefig(drawn, format="png", dpi=PNG_DPI)
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
