"""One colour, line pattern and marker per method, the same in every suite and on every page.

Families share a range of hues and a marker: they can be told apart in grey print too. Colours were
chosen by farthest points in OKLab, seen with normal, deuteranope and protanope vision (Machado et
al. 2009), the methods that papers compare most often first.
"""

from __future__ import annotations

import colorsys
import hashlib
from dataclasses import dataclass
from typing import Any

SOLID, DASHED = "solid", (0, (4, 1.5))
DASHES: tuple[Any, ...] = (SOLID, DASHED, (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
MARKERS = ("o", "D", "s", "^", "v", "P", "X", "p")

# By family, in the order in which line patterns are given. Vermilion and blue are of Okabe and Ito
# (2008); where the two lie on each other, the one shows through the gaps of the other.
FAMILIES: dict[str, tuple[str, dict[str, str]]] = {
    "decision flow": ("o", {"df-dir": "#D55E00", "df-div": "#0072B2"}),
    "flow": (
        "s",
        {
            "fql": "#1BC8BA",
            "ifql": "#3C5E04",
            "flow-bc": "#4A7554",
            "flow-bptt": "#68C769",
            "floq": "#93BA92",
            "mean-flow": "#034742",
            "q-flow": "#3A5D39",
            "fawac": "#23ADAB",
            "fbrac": "#3C9467",
            "dfql": "#057A6A",
            "qipo": "#56AD7E",
        },
    ),
    "diffusion": (
        "^",
        {
            "diffusion-ql": "#D3A808",
            "diffusion-bc": "#9C9C69",
            "idql": "#D5830F",
            "edp": "#848451",
            "dac": "#593300",
            "bdpo": "#866302",
            "qgpo": "#9A7D22",
            "srpo": "#6D6C3B",
            "dtql": "#AC9840",
            "cac": "#CFA856",
            "sfbc": "#B2B27E",
            "diffuser": "#565524",
            "dd": "#AE7102",
        },
    ),
    "value-based": (
        "v",
        {
            "iql": "#740133",
            "td3-bc": "#3A248B",
            "cql": "#A23B84",
            "rebrac": "#796EDA",
            "edac": "#5939A1",
            "sac-n": "#822477",
            "sac": "#9393C2",
            "awac": "#5D0F73",
            "xql": "#7B5699",
            "sql": "#A6A1FE",
            "onestep": "#4D478C",
            "crr": "#6356BF",
            "mcq": "#967297",
            "cal-ql": "#7A76BF",
            "bcq": "#9087F6",
            "plas": "#FB7FAF",
        },
    ),
    "sequence": ("X", {"dt": "#02A5E4", "tt": "#0B425C", "qdt": "#128FA9", "qt": "#51BDE1"}),
    "imitation": ("P", {"bc": "#837F80", "bc-10": "#565152", "rvs": "#9C9798"}),
}
OTHER_MARKER = "p"


@dataclass(frozen=True)
class Appearance:
    """How a method is drawn: `colour` is #RRGGBB, `dash` and `marker` are matplotlib's."""

    colour: str
    dash: Any
    marker: str


def look_of(method: str) -> str:
    """The method whose look one has: an ablation (`df-div-kl`) has its original's."""
    return next((m for m in FAMILIES["decision flow"][1] if method.startswith(f"{m}-")), method)


def appearance(method: str) -> Appearance:
    """The look of a method by its id; one that is not in the table has a stable look of its own."""
    method = look_of(method)
    for marker, colours in FAMILIES.values():
        if method in colours:
            place = list(colours).index(method)
            return Appearance(colours[method], DASHES[place % len(DASHES)], marker)
    digest = hashlib.sha256(method.encode()).digest()
    hue = (0.93 + 0.1 * digest[0] / 256) % 1  # reds, which no family has
    parts = colorsys.hls_to_rgb(hue, 0.3 + 0.35 * digest[1] / 256, 0.55)
    colour = "#" + "".join(f"{round(255 * part):02X}" for part in parts)
    return Appearance(colour, DASHES[digest[2] % len(DASHES)], OTHER_MARKER)
