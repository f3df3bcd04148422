"""The table of colours, against the registry and as people with other eyes see it."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from algorithms import registry
from harness.report.colours import FAMILIES, appearance

# What dichromats see of linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
VISION = {
    "normal": np.eye(3),
    "deuteranope": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "protanope": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
}
Floats = NDArray[np.float64]


def lightness_and_hue(colour: str, vision: str) -> Floats:
    """CIE L*a*b* under D65. [3]."""
    srgb = np.array(to_rgb(colour))
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(VISION[vision] @ linear, 0, 1)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    x, y, z = np.cbrt(to_xyz @ seen / np.array([0.9505, 1.0, 1.089]))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def distance(first: str, second: str, vision: str) -> float:
    seen = [lightness_and_hue(appearance(name).colour, vision) for name in (first, second)]
    return float(np.linalg.norm(seen[0] - seen[1]))


def test_every_method_of_ours_is_in_the_table_under_its_family() -> None:
    registered = {
        info.id: info.family
        for info in registry.algorithms().values()
        if info.distribution == "decision-flow-harness" and info.family != registry.ABLATIONS
    }
    table = {method: family for family, (_, colours) in FAMILIES.items() for method in colours}
    assert table == registered


def test_no_two_methods_have_one_colour() -> None:
    colours = [colour for _, table in FAMILIES.values() for colour in table.values()]
    assert len(set(colours)) == len(colours)


@pytest.mark.parametrize("vision", VISION)
def test_decision_flows_are_far_apart_to_every_eye(vision: str) -> None:
    assert distance("df-dir", "df-div", vision) > 50


@pytest.mark.parametrize("vision", VISION)
def test_what_cannot_be_told_apart_by_colour_is_by_marker_or_dash(vision: str) -> None:
    compared = ["df-dir", "df-div", "fql", "iql", "ifql", "td3-bc", "flow-bc", "bc", "flow-bptt"]
    compared += ["diffusion-ql", "rebrac", "cql", "dt"]
    for first, second in combinations(compared, 2):
        looks = [appearance(name) for name in (first, second)]
        alike = (looks[0].dash, looks[0].marker) == (looks[1].dash, looks[1].marker)
        assert not alike or distance(first, second, vision) > 10, (first, second)


def test_an_unknown_method_has_a_look_of_its_own_that_stays() -> None:
    look = appearance("somebodys-own")
    assert look == appearance("somebodys-own")
    assert (look.colour, look.marker) == ("#922A31", "p")
    assert appearance("somebody-elses").colour != look.colour


def test_an_ablation_looks_like_what_it_changes() -> None:
    assert appearance("df-div-kl") == appearance("df-div")
    assert appearance("df-dir-unit") == appearance("df-dir")
