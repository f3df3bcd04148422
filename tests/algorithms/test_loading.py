"""What a registry entry that cannot be used is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from algorithms import registry
from algorithms.errors import AlgorithmError
from tests.algorithms.planted import ID, MODULE, Package


def told() -> AlgorithmError:
    """The error of loading the method."""
    with pytest.raises(AlgorithmError) as found:
        registry.load(ID)
    assert "\n" not in str(found.value)
    return found.value


def test_a_whole_method_loads(package: Package) -> None:
    assert registry.load(ID).__module__ == MODULE


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (
            "planted_methd:Planted",
            "the algorithm 'planted' = planted_methd:Planted of package 'planted': there is no "
            "module 'planted_methd'. Did you mean 'planted_method'?",
        ),
        (
            "baselines.td3bc:TD3BC",
            "there is no module 'baselines.td3bc'. Did you mean 'baselines.td3_bc'?",
        ),
        ("planted_method:Plantd", "planted_method has no 'Plantd'. Did you mean 'Planted'?"),
        ("planted_method:MLP", "it is no subclass of algorithms.base.Algorithm"),
        ("planted_method:np", "it is no subclass of algorithms.base.Algorithm"),
        ("planted_method", "write it as package.module:Class"),
    ],
)
def test_an_entry_point_that_names_nothing_usable(
    package: Package, target: str, sentence: str
) -> None:
    package.point_to(target)
    error = told()
    assert sentence in error.sentence
    assert error.where == ""


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "import random",
            "import planted_nothing",
            "it needs the package 'planted_nothing', which",
        ),
        (
            "import random",
            "import planted_method.nets",
            "there is no module 'planted_method.nets'",
        ),
        (
            "import random",
            "import torch._not_there",  # torch is installed, so installing it is no advice
            "it fails with ModuleNotFoundError: No module named 'torch._not_there'",
        ),
        (
            "import random",
            "raise ImportError('a.so: failed to map segment from shared object: not permitted')",
            "it fails with ImportError: a.so: failed to map",
        ),
        ("import random", "raise RuntimeError('no GPU')", "it fails with RuntimeError: no GPU"),
        (
            "class Settings(Config):",
            "class Settings(Confg):",
            "it fails with NameError: name 'Confg' is not defined. Did you mean 'Config'?",
        ),
        (
            "class Settings(Config):",
            "class Settings(Config)",
            "it fails with SyntaxError: expected ':'",
        ),
        (
            "from algorithms.networks import MLP",
            "from algorithms.networks import MLPs",
            "ImportError: cannot import name 'MLPs' from 'algorithms.networks'",
        ),
    ],
)
def test_a_module_that_fails_to_import_is_told_with_its_line(
    package: Package, old: str, new: str, sentence: str
) -> None:
    package.write((old, new))
    error = told()
    assert sentence in error.sentence
    assert error.where == package.line(new)


@pytest.mark.parametrize(
    "words",
    [
        "raise MemoryError",
        "raise ImportError('a.so: failed to map segment from shared object')",
        "raise RuntimeError('DefaultCPUAllocator: not enough memory: can\\'t allocate memory')",
    ],
)
def test_too_little_memory_is_no_mistake_of_the_method(package: Package, words: str) -> None:
    package.write(("import random", words))
    with pytest.raises(Exception, match=r"memory|segment|^$") as found:
        registry.load(ID)
    assert not isinstance(found.value, AlgorithmError)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("    Config = Settings\n", "", "it has no config; write `Config = …` in the class"),
        ("Config = Settings", "Config = dict", "its Config is no subclass"),
        ("def act(", "def acts(", "it does not define act"),
        ("def create(", "def make(", "it does not define create"),
    ],
)
def test_a_class_that_is_not_complete(package: Package, old: str, new: str, sentence: str) -> None:
    package.write((old, new))
    assert sentence in told().sentence


def test_an_action_selection_that_is_none_is_told_with_its_line(package: Package) -> None:
    selection = 'action_selection = "mean"'
    package.write(("    Config = Settings", f"    Config = Settings\n    {selection}"))
    error = told()
    assert "its action_selection 'mean' is no action selection; write noise-" in error.sentence
    assert error.where == package.line(selection)


def test_a_folder_that_is_taken_for_the_module_is_named(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside" / "plain").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path / "beside")
    package.point_to("plain:Plain")
    error = told()
    assert (
        f"takes the folder {tmp_path / 'beside' / 'plain'} for the module plain" in error.sentence
    )
