"""Nothing that we load can run code: no pickle is read and no text run, by no package of ours."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("algorithms", "baselines", "harness")
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
READERS = {"read_pickle", "to_pickle"}
RUNNERS = {"eval", "exec", "os.system", "os.popen", "subprocess.getoutput", "pty.spawn"}


def offences(source: str) -> Iterator[str]:
    """Every place of a file that could load a pickle, or run text as code or in a shell."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            modules = names if isinstance(node, ast.Import) else [node.module or "", *names]
            if found := {name.partition(".")[0] for name in modules} & (MODULES | READERS):
                yield f"line {node.lineno}: imports {', '.join(found)}"
        if isinstance(node, ast.Attribute) and node.attr in READERS:
            yield f"line {node.lineno}: {node.attr}"
        if isinstance(node, ast.Call):
            yield from unsafe_call(node)


def unsafe_call(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name in RUNNERS or given.get("shell", "False") != "False":
        yield f"line {call.lineno}: {name} runs text"
    if given.get("allow_pickle", "False") != "False":
        yield f"line {call.lineno}: {name} allows pickles"
    if name in ("np.load", "numpy.load") and given.get("allow_pickle") != "False":
        yield f"line {call.lineno}: {name} without allow_pickle=False"
    if name == "torch.load" and given.get("weights_only") != "True":
        yield f"line {call.lineno}: torch.load without weights_only=True"
    if name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load"):
        yield f"line {call.lineno}: {name} can make any object"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_pickle_is_loaded_and_no_text_run(package: str) -> None:
    files = sorted((REPOSITORY / package).rglob("*.py"))
    assert files
    found = {
        str(path.relative_to(REPOSITORY)): places
        for path in files
        if (places := list(offences(path.read_text())))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "from joblib import load",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.lib.format.read_array(file, allow_pickle=allowed)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "pd.read_pickle(path)",
        "from pandas import read_pickle",
        "yaml.load(text, Loader)",
        "eval(text)",
        "exec(text)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_what_could_is_noticed(source: str) -> None:
    assert len(list(offences(source))) >= 1


def test_what_cannot_is_let_pass() -> None:
    calls = ("np.load(p, allow_pickle=False)", "torch.load(p, weights_only=True)")
    source = "\n".join([*calls, "yaml.safe_load(t)", "model.eval()", "subprocess.run(words)"])
    assert list(offences(source)) == []
