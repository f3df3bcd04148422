"""What `harness new` writes works as it is, and is what its page shows."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from algorithms.contract import CHECKS, COMPILED, Subject, run_check
from harness.errors import UserError
from harness.new import TEMPLATE, new_method
from tests.algorithms.planted import ID, MODULE, Package, installed
from tests.harness.conftest import REPOSITORY, CommandLine


def pip_install(folder: Path, site: Path) -> None:
    """As a user would, but with what is installed here and into a folder of the test's."""
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    command = [sys.executable, "-m", "pip", "install", *options, "--target", site, folder]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_the_package_installs_keeps_the_contract_and_trains(
    harness: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = harness("new", "calm-cloning", "--into", tmp_path)
    folder, site = tmp_path / "calm-cloning", tmp_path / "site"
    assert f"Next: pip install -e {folder} && harness check calm-cloning" in printed
    pip_install(folder, site)
    path = os.pathsep.join([str(REPOSITORY), str(site)])
    monkeypatch.setenv("PYTHONPATH", path)
    assert '"id": "calm-cloning"' in harness("list", "algorithms", "--json")
    checked = harness("check", "calm-cloning", "--no-compile")
    states = [line.split()[0] for line in checked.splitlines()]
    assert states == ["ok"] * 16 + ["calm-cloning"], checked
    assert "runs: 4 done" in harness("run", folder / "suite.yaml", "--smoke", "--executor", "local")
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    own = subprocess.run(tests, cwd=folder, capture_output=True, text=True)
    assert own.returncode == 0, own.stdout

    method = folder / "src" / "calm_cloning.py"
    frozen, leaking = (
        f"value = nets.{critic}(batch.observations, own)" for critic in ("frozen.critic", "critic")
    )
    code = method.read_text().replace(frozen, leaking)
    (site / method.name).write_text(code)
    checked = harness("check", "calm-cloning", "--no-compile", "--no-ladder", code=1)
    [line] = [number for number, text in enumerate(code.splitlines(), 1) if leaking in text]
    assert f"calm_cloning.py:{line}\n" in checked


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    yield from installed(tmp_path / "site", monkeypatch)


def test_its_method_keeps_the_contract(package: Package, tmp_path: Path) -> None:
    new_method("calm-cloning", tmp_path)
    method = tmp_path / "calm-cloning" / "src" / "calm_cloning.py"
    package.point_to(f"{MODULE}:CalmCloning")
    package.write(source=method.read_text())
    subject = Subject(ID)
    checks = [check for check in CHECKS if check is not COMPILED]
    assert [str(found) for check in checks for found in run_check(check, subject)] == []


def test_the_page_shows_the_very_file() -> None:
    method = (TEMPLATE / "src" / "my_method.py").read_text()
    code = method[method.index("class MyMethodConfig") :]
    assert f"```python\n{code}```\n" in (REPOSITORY / "docs" / "new_method.md").read_text()
    own = [line for line in code.splitlines() if line.strip() and '"""' not in line]
    assert len(own) <= 50


def test_a_package_has_its_name_everywhere(tmp_path: Path) -> None:
    files = new_method("calm-cloning-2", tmp_path)
    assert {str(path.relative_to(tmp_path / "calm-cloning-2")) for path in files} == {
        "pyproject.toml",
        "src/calm_cloning_2.py",
        "suite.yaml",
        "tests/test_calm_cloning_2.py",
    }
    for name in ("my-method", "my_method", "MyMethod", "My method"):
        assert all(name not in path.read_text() for path in files)
    method = tmp_path / "calm-cloning-2" / "src" / "calm_cloning_2.py"
    assert "class CalmCloning2(Algorithm[CalmCloning2Config]):" in method.read_text()


def test_an_editable_package_of_one_word_is_found_beside_its_own_folder(tmp_path: Path) -> None:
    """Installed by a path, which goes before a folder of that name, as a finder would not."""
    new_method("calm", tmp_path)
    build = "from setuptools.build_meta import build_editable; print(build_editable('.'))"
    built = subprocess.run(
        [sys.executable, "-c", build], cwd=tmp_path / "calm", capture_output=True, text=True
    )
    wheel = tmp_path / "calm" / built.stdout.split()[-1]
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    code = f"import site; site.addsitedir({str(site)!r}); import calm; print(calm.Calm.__name__)"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert found.stdout == "Calm\n", found.stderr


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("My-Method", "'My-Method' cannot be a method's id: use lower-case words"),
        ("my_method", "'my_method' cannot be a method's id"),
        ("2nd", "'2nd' cannot be a method's id"),
        ("a/b", "'a/b' cannot be a method's id"),
        ("td3-bc", "There is a method 'td3-bc' already"),
        ("torch", "Python has a module or word 'torch' already"),
        ("lambda", "Python has a module or word 'lambda' already"),
        ("phase", "The method's code uses the name Phase itself"),
    ],
)
def test_refuses_names_that_cannot_be(name: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence) as found:
        new_method(name, tmp_path)
    assert "\n" not in str(found.value)
    assert list(tmp_path.iterdir()) == []


def test_refuses_a_folder_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "calm-cloning").mkdir()
    with pytest.raises(UserError, match="calm-cloning is there already: choose another"):
        new_method("calm-cloning", tmp_path)
