"""The digest of a method's code: what changes it, what does not, and which files are in it."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from algorithms import registry
from algorithms.source import canonical_code, code_digest

REPOSITORY = Path(__file__).resolve().parents[2]

LOSS = '''
"""A method."""
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

@dataclass
class Settings:
    """Its settings."""

    width: int = 2  # of a layer
    """Said twice."""

def loss(q: "Tensor", *, weight: float = 0.5) -> "Tensor":
    """Squared."""
    scale: float = 3.0
    if weight < 0:
        raise ValueError(f"weight {weight:.{2}f} is " "below 0")
    return scale * weight * (q - 1) ** 2
'''
SAME = {
    "comments": LOSS.replace("  # of a layer", "  # of every hidden layer"),
    "docstrings": LOSS.replace('    """Squared."""\n', '    """The squared error."""\n    ...\n'),
    "formatting": LOSS.replace(
        "scale * weight * (q - 1) ** 2", "(\n  scale*weight * ((q-1)**2)\n)"
    ),
    "quotes": LOSS.replace(
        '"weight {weight:.{2}f} is " "below 0"', "'weight {weight:.{2}f} is below 0'"
    ),
    "annotations": LOSS.replace('q: "Tensor"', "q").replace(' -> "Tensor"', " -> object"),
    "an annotated variable": LOSS.replace("scale: float = 3.0", "scale = 3.0"),
    "the type of a field": LOSS.replace("width: int", "width: float"),
    "imports for types": LOSS.replace("from torch import Tensor", "from numpy import array"),
}
OTHER = {
    "a sign": LOSS.replace("(q - 1)", "(q + 1)"),
    "a number": LOSS.replace("scale: float = 3.0", "scale: float = 3"),
    "a default": LOSS.replace("weight: float = 0.5", "weight: float = 0.6"),
    "an order": LOSS.replace("scale * weight", "weight * scale"),
    "a field": LOSS.replace("width: int = 2", "width = 2"),
    "a text": LOSS.replace("below 0", "below zero"),
    "a format": LOSS.replace(".{2}f", ".{3}f"),
    "an import": LOSS.replace("import dataclass\n", "import field as dataclass\n"),
    "a level": LOSS.replace("    return scale", "        return scale"),
}


def canonical(text: str) -> str:
    return canonical_code(ast.parse(text))


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_words_and_layout_are_left_out(text: str) -> None:
    assert text != LOSS
    assert canonical(text) == canonical(LOSS)


@pytest.mark.parametrize("text", OTHER.values(), ids=OTHER)
def test_everything_that_computes_counts(text: str) -> None:
    assert text != LOSS
    assert canonical(text) != canonical(LOSS)


def test_the_spelling_is_the_same_in_every_version_of_python() -> None:
    text = """
class A(B):
    x: int

def f(a, *b, c=1j, **d):
    return {**d, 1: f"é{a!r:>{c}}" "x"}
"""
    assert canonical(text) == (
        "(ClassDef name='A' bases=[(Name id='B')]"
        " body=[(AnnAssign target=(Name id='x') simple=1)])\n"
        "(FunctionDef name='f' args=(arguments args=[(arg arg='a')] vararg=(arg arg='b')"
        " kwonlyargs=[(arg arg='c')] kw_defaults=[(Constant value=1j)] kwarg=(arg arg='d'))"
        " body=[(Return value=(Dict keys=[None (Constant value=1)] values=[(Name id='d')"
        " (JoinedStr values=['\\xe9' (FormattedValue value=(Name id='a') conversion=114"
        " format_spec=(JoinedStr values=['>' (FormattedValue value=(Name id='c')"
        " conversion=-1)])) 'x'])]))])"
    )


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A third party's package that cannot be imported, so that whoever tries fails."""
    folder = tmp_path / "their_package"
    (folder / "parts").mkdir(parents=True)
    files = {
        "__init__.py": "from their_package.losses import loss\nimport no_such_module\n",
        "method.py": "import torch\nfrom baselines.iql import IQL\nfrom . import losses\n"
        "from .parts.nets import width as wide\nimport their_package.direct\n",
        "losses.py": "def loss(q): return q\ndef late():\n    from their_package import plans\n",
        "direct.py": "",
        "plans.py": "",
        "parts/__init__.py": "",
        "parts/nets.py": "width = 3\n",
        "unused.py": "x = 1\n",
        "through.py": "from their_package import loss\nfrom their_package import missing\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return folder


@pytest.mark.parametrize(
    "name", ["method.py", "losses.py", "direct.py", "plans.py", "parts/nets.py"]
)
def test_all_that_a_package_imports_of_itself_counts(package: Path, name: str) -> None:
    before = code_digest("their_package.method")
    file = package / name
    text = file.read_text()
    file.write_text(text + "more = 1\n")
    assert code_digest("their_package.method") != before
    file.write_text(text + "# more\n")
    assert code_digest("their_package.method") == before


def test_what_it_does_not_import_does_not_count(package: Path) -> None:
    before = code_digest("their_package.method")
    (package / "unused.py").write_text("x = 2\n")
    (package / "__init__.py").write_text("x = 2\n")
    assert code_digest("their_package.method") == before


def test_a_name_that_the_package_hands_on_is_followed(package: Path) -> None:
    before = code_digest("their_package.through")
    (package / "losses.py").write_text("def loss(q): return -q\n")
    assert code_digest("their_package.through") != before


def test_a_module_beside_it_counts_but_not_where_packages_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, counts in (("mine", True), ("site-packages", False)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"method_{len(name)}.py").write_text(f"import nets_{len(name)}, random, numpy\n")
        nets = folder / f"nets_{len(name)}.py"
        nets.write_text("width = 3\n")
        monkeypatch.syspath_prepend(folder)
        before = code_digest(f"method_{len(name)}")
        nets.write_text("width = 4\n")
        assert (code_digest(f"method_{len(name)}") != before) == counts


def test_a_module_that_is_not_there_is_an_error(package: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"their_package\.nowhere"):
        code_digest("their_package.nowhere")


def digests_in(folder: Path) -> dict[str, str]:
    """The digest of every method of ours, whose code is in `folder`, and of a third party's."""
    program = (
        "import json, sys\n"
        "from algorithms.registry import algorithms\n"
        "from algorithms.source import code_digest\n"
        "modules = {a.id: a.target.partition(':')[0] for a in algorithms().values()}\n"
        "modules['theirs'] = 'theirs'\n"
        "print(json.dumps({name: code_digest(module) for name, module in modules.items()}))\n"
        "assert not {'torch', 'baselines', 'algorithms.engine'} & sys.modules.keys()\n"
    )
    command = [sys.executable, "-c", program]
    printed = subprocess.run(command, cwd=folder, env={}, capture_output=True, check=True).stdout
    found: dict[str, str] = json.loads(printed)
    return found


def test_a_change_reaches_the_methods_made_of_that_code(tmp_path: Path) -> None:
    for name in ("algorithms", "baselines"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    (tmp_path / "theirs.py").write_text(
        "from baselines.iql import IQL\nfrom algorithms.decision_flow import decision_flow\n"
    )
    before = digests_in(tmp_path)
    decision_flows = {name for name in before if name.startswith("df-")}
    for changed, expected in {
        "algorithms/decision_flow/flow_mdp.py": {*decision_flows, "theirs"},
        "algorithms/decision_flow/ablations.py": decision_flows - {"df-dir", "df-div"},
        "baselines/iql.py": {"iql", "theirs"},
        "baselines/fql.py": {"fql", "floq"},
        "algorithms/blocks/critics.py": set(),  # shared: the engine's version stands for it
        "algorithms/networks.py": set(),
    }.items():
        file = tmp_path / changed
        text = file.read_text()
        file.write_text(text + "\nMORE = 1\n")
        after = digests_in(tmp_path)
        assert {name for name in before if before[name] != after[name]} == expected, changed
        file.write_text(text)


def test_our_methods_have_digests_of_their_own() -> None:
    modules = {info.target.partition(":")[0] for info in registry.algorithms().values()}
    assert len({code_digest(module) for module in modules}) == len(modules)
