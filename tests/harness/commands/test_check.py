"""`harness check`, on methods with mistakes planted in them."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from algorithms.contract import COMPILED, Finding, Subject, run_check
from harness.check.ladder import Rung
from harness.commands.check import check_method
from harness.errors import UserError
from tests.algorithms.engine.test_preflight import MISTAKES, Mistake
from tests.algorithms.planted import ID, MODULE, Package, installed


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    yield from installed(tmp_path, monkeypatch)


def check(
    algorithm_id: str = ID, *, meant: Sequence[str] = (), ladder: bool = False
) -> tuple[bool, str]:
    """Whether it keeps the contract, and what is printed, uncompiled."""
    console = Console(file=io.StringIO(), width=1000)
    kept = check_method(algorithm_id, compiled=False, ladder=ladder, meant=meant, console=console)
    assert isinstance(console.file, io.StringIO)
    return kept, console.file.getvalue()


def test_a_method_without_mistakes_keeps_the_contract(package: Package) -> None:
    kept, printed = check()
    assert kept
    assert "\nmend " not in printed
    assert printed.endswith(
        "planted keeps the contract; 1 thing to look at: provenance. What it learns was not "
        "tried.\n"
    )
    assert "look  provenance" in printed  # advice: it does not say its paper
    assert "has no 'Paper:': say which paper it is from\n" in printed
    assert f" {package.file.name}:1\n" in printed


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.id)
def test_a_mistake_is_told_with_its_line(package: Package, mistake: Mistake) -> None:
    package.write((mistake.old, mistake.new))
    kept, printed = check()
    assert not kept
    *_, told, where, end = printed.splitlines()
    assert mistake.sentence in told
    assert where.strip() == package.line(mistake.at or mistake.new.strip())
    assert end == "The other checks need this one: mend it, then check again."


FROZEN, LEAK = (
    f"q = nets.{critic}(batch.observations, actions)" for critic in ("frozen.critic", "critic")
)
LATER = [  # found only after the first try, by the check named
    Mistake(
        "nets.target.critic(batch.next_observations",
        "nets.critic(batch.next_observations",
        "bootstraps",
    ),
    Mistake(FROZEN, LEAK, "leaks"),
    Mistake(
        "error = q - backup.unsqueeze(1)",
        "error = (q - backup.unsqueeze(1))[:, :1]",
        "gradients",
        at='            ("critic",),',
    ),
    Mistake(
        "loss = error.square().mean((1, 2))",
        "loss = error.square().mean((1, 2)) * (1 + 1e-6 * len(q))",
        "slots",
        at="def create",
    ),
    Mistake('self.targets = {"critic": 0.005}', 'self.targets = {"critic": 0.0}', "targets"),
    Mistake(
        "        return actions",
        "        return actions + torch.log(9 - observations[..., :1])",
        "acting",
        at="def act(",
    ),
    Mistake(
        "class Settings(Config):",
        'class Settings(Config, extra="ignore"):',
        "settings",
    ),
    Mistake(
        "        error = q - backup",
        "        self.calls = getattr(self, 'calls', 0) + 1\n"
        "        q = q * (1 + 0.1 * (self.calls > 75))\n"
        "        error = q - backup",
        "resumption",
        at="def create",
    ),
]


@pytest.mark.parametrize("mistake", LATER, ids=lambda mistake: mistake.id)
def test_what_only_training_shows_is_told_with_its_line(package: Package, mistake: Mistake) -> None:
    package.write((mistake.old, mistake.new))
    kept, printed = check()
    assert not kept
    lines = printed.splitlines()
    [place] = [i for i, line in enumerate(lines) if line.startswith("mend ")]
    assert lines[place].split()[1] == mistake.sentence
    assert lines[place + 2].strip() == package.line(mistake.at or mistake.new.strip())
    assert lines[-1].endswith(" to mend. What is meant can be said so: --meant CHECK.")


@pytest.mark.slow
def test_compiled_code_that_learns_something_else_is_found(package: Package) -> None:
    assert run_check(COMPILED, Subject(ID)) == []
    package.write(
        ("import numpy as np\n", "import numpy as np\nfrom torch.compiler import is_compiling\n"),
        ("return -q.mean(-1)", "return q.mean(-1) * (1 if is_compiling() else -1)"),
    )
    del sys.modules[MODULE]
    [finding] = run_check(COMPILED, Subject(ID))
    assert "compiled, 'actor' learns something else" in finding.sentence
    assert finding.where == package.line('"actor": MLP')


def test_what_is_meant_is_shown_and_does_not_count(package: Package) -> None:
    package.write((FROZEN, LEAK))
    kept, printed = check(meant=["leaks"])
    assert kept
    assert "look  leaks" in printed
    assert package.line(LEAK) in printed
    assert "; 1 thing to look at: provenance. " in printed


def test_what_the_ladder_advises_is_counted_at_the_end(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    advice = Finding("look at act", advice=True)
    rungs = [
        Rung("imitation", "does it act as they do?", lambda _: ("no", [advice, advice])),
        Rung("speed", "how fast is it?", lambda _: ("10 updates", [])),
    ]
    monkeypatch.setattr("harness.commands.check.LADDER", rungs)
    kept, printed = check(ladder=True)
    assert kept
    end = printed.splitlines()[-1]
    assert end == "planted keeps the contract; 2 things to look at: provenance, imitation."


def test_a_method_with_nothing_to_look_at_keeps_the_contract(package: Package) -> None:
    package.write(('"""A twin critic,', '"""Paper: none. Code: none. Deviations: none.\n\nA twin,'))
    _, printed = check()
    assert printed.endswith("\nplanted keeps the contract. What it learns was not tried.\n")


def test_settings_without_a_default_are_told(package: Package) -> None:
    package.write(('"""Nothing of its own."""', '"""One."""\n\n    beta: float  # β'))
    kept, printed = check()
    assert not kept
    assert "the setting 'beta' cannot be what the check gives it, or has no default" in printed
    assert package.line("class Settings") in printed


def test_an_unknown_id_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no algorithm 'td3bc'. Did you mean 'td3-bc'\?"):
        check("td3bc")
    with pytest.raises(UserError, match=r"no check 'leak'. Did you mean 'leaks'\?"):
        check("bc", meant=["leak"])


def test_a_method_that_does_not_import_is_told_with_its_line(package: Package) -> None:
    package.write(("import random\n", "import randon\n"))
    with pytest.raises(UserError) as found:
        check()
    assert "it needs the package 'randon', which is not installed" in str(found.value)
    assert str(found.value).endswith(f"({package.line('import randon')})")
