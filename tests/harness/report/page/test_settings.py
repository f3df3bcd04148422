from __future__ import annotations

from harness.report.page.settings import SettingDifference, differences
from harness.runs.suite_file import RowInfo


def rows(**methods: str) -> list[RowInfo]:
    about = {"title": "", "paper": "", "family": "", "config": {}}
    return [RowInfo(label=label, base=label, id=id_, **about) for label, id_ in methods.items()]


def test_a_setting_unlike_that_of_most_rows_is_told_with_what_most_have() -> None:
    of = {"a": {"width": "256"}, "b": {"width": "256"}, "c": {"width": "512", "own": "1"}}
    found = [differences(label, rows(a="x", b="y", c="z"), of) for label in of]
    assert found == [[], [], [SettingDifference("width", "512", "256")]]


def test_a_swept_setting_is_told_of_every_variant() -> None:
    of = {f"a-{rho}": {"rho": rho, "width": "256"} for rho in ("1", "3", "10")}
    found = differences("a-3", rows(**dict.fromkeys(of, "a")), of)
    assert found == [SettingDifference("rho", "3", "")]


def test_two_methods_that_call_different_things_alike_are_not_compared() -> None:
    of = {"fql": {"alpha": "1.0"}, "td3-bc": {"alpha": "2.5"}}
    assert differences("fql", rows(fql="fql", **{"td3-bc": "td3-bc"}), of) == []
