"""What a report needs of a suite before anything was run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.execution.plan import Plan
from harness.runs.outline import outline
from harness.suite.schema import load_suite


def test_it_is_the_plans_suite_file_without_runs_data_and_code(
    plan_of: Callable[..., Plan], tmp_path: Path
) -> None:
    scores = "task,method,protocol,score,source\ngym/hopper/medium,iql,last,1,x\n"
    (tmp_path / "mine.csv").write_text(scores)
    algorithms = {"bc": {"steps": 20}, "iql": {"sweep": {"expectile": [0.5, 0.7]}}}
    plan = plan_of(algorithms=algorithms, published={"file": "mine.csv", "protocols": ["last"]})
    path = tmp_path / "tiny.yaml"
    suite, _ = load_suite(path)
    planned = plan.suite_file("python -m harness run tiny").model_dump()
    assert planned["runs"]
    assert len(planned["published"]["scores"]) == 1
    only_code_knows = {"config": {}, "action_selection": ""}
    rows = [row | only_code_knows for row in planned["rows"]]
    expected = planned | {"rows": rows, "runs": [], "data": {}}
    assert outline(suite, path, "tiny").model_dump() == expected
