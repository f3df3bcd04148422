"""Every number of every config has a range, and nothing outside it is accepted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pydantic
import pytest

from algorithms.registry import load, resolve_config
from tests.algorithms.small import every_algorithm

algorithms = pytest.mark.parametrize("algorithm_id", every_algorithm())
OUTSIDE = {"minimum": -1, "exclusiveMinimum": 0, "maximum": 1, "exclusiveMaximum": 0}  # to add


def numbers(algorithm_id: str) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """A field, the JSON schema of its numbers, and whether it is a list of them."""
    for field, schema in load(algorithm_id).Config.model_json_schema()["properties"].items():
        for branch in schema.get("anyOf", [schema]):
            number = branch.get("items", branch)
            if number.get("type") in {"integer", "number"}:
                yield field, number, "items" in branch


@algorithms
def test_a_number_outside_its_range_is_refused(algorithm_id: str) -> None:
    for field, number, in_list in numbers(algorithm_id):
        limits = [limit for limit in OUTSIDE if limit in number]
        assert limits, f"{field} may be any number"
        outside = [number[limit] + OUTSIDE[limit] for limit in limits]
        outside += [math.inf, math.nan] if number["type"] == "number" else []
        for value in outside:
            with pytest.raises(pydantic.ValidationError, match=rf"\n{field}\b"):
                resolve_config(algorithm_id, {field: [value] if in_list else value})


@algorithms
def test_rates_shares_and_widths_have_the_ranges_of_their_kind(algorithm_id: str) -> None:
    fields = {field: number for field, number, _ in numbers(algorithm_id)}
    for field, number in fields.items():
        limits = {limit: number[limit] for limit in OUTSIDE if limit in number}
        if field.endswith("learning_rate"):
            assert limits == {"exclusiveMinimum": 0, "exclusiveMaximum": 1}, field
        if field == "tau" or field.endswith("ema"):
            assert limits == {"exclusiveMinimum": 0, "maximum": 1}, field
        if field.endswith("share"):
            assert limits["exclusiveMaximum"] == 1, field
        if field == "critics":  # of one alone the networks drop the axis that is reduced over
            assert limits == {"minimum": 2}, field
        if field in {"hidden_dims", "batch_size"} or field.endswith("steps"):
            channels = field == "hidden_dims" and limits == {"minimum": 8}  # they come in eights
            assert channels or limits == {"minimum": 1}, field


def test_a_network_has_a_hidden_layer() -> None:
    with pytest.raises(pydantic.ValidationError, match="hidden_dims"):
        resolve_config("bc", {"hidden_dims": []})
