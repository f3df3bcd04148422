"""The code of docs/api.md runs as it stands there, and does what the page says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.harness.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "api.md"
# What the page's own claims come to, once its code has run.
FACTS = """
import json
print(json.dumps({
    "states": found.runs["state"].tolist(),
    "scores": found.runs["score"].tolist(),
    "last": found.evaluations.query("step == 60 and action_selection == 'noise-0'").groupby(
        "seed")["normalized_score"].mean().tolist(),
    "curves": len(found.curves), "steps": curves.index.tolist(), "losses": len(losses),
    "count": means["count"].tolist(), "single": list(action.shape), "batch": list(actions.shape),
    "noise": [policy.action_selection, sampling.action_selection], "scores_played": len(scores),
    "again": [play(policy, environment, 0), returns[0]],
}))
"""


@pytest.mark.slow
@pytest.mark.timeout(1300)
@pytest.mark.usefixtures("data_home")
def test_the_pages_code_runs_from_top_to_bottom(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 6
    # Workers import the module that is run as `__main__`, which is to start nothing then.
    code = "\n".join([*blocks, FACTS])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    *printed, last = done.stdout.splitlines()
    facts = json.loads(last)
    assert facts["states"].count("done") == 4
    iql = [score for score in facts["scores"] if score == score][:2]
    np.testing.assert_allclose(facts["last"], iql)
    assert facts["steps"] == [30, 60]
    assert facts["count"] == [2, 2]
    assert facts["losses"] > 0
    assert (facts["single"], facts["batch"]) == ([2], [2, 2])
    assert facts["noise"] == ["noise-0", "noise-1"]
    assert facts["again"][0] == facts["again"][1]
    assert "holds no run" in "\n".join(printed)


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = "import sys, harness; print(*sorted({'torch', 'ray', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == []
    assert done.returncode == 0


def test_what_is_offered_is_documented() -> None:
    import harness

    page = PAGE.read_text("utf-8")
    public = {name for name in dir(harness) if not name.startswith("_")}
    assert public == {"Policy", "Results", "UserError", "load_policy", "results", "run"}
    assert "__version__" in dir(harness)
    for name in ("run", "results", "load_policy", "UserError"):
        assert callable(getattr(harness, name))
        assert f"harness.{name}" in page
    with pytest.raises(AttributeError, match="no attribute 'resuts'"):
        _ = harness.resuts  # type: ignore[attr-defined]
