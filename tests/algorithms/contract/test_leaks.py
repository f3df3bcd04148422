"""Leaks planted in our own methods: the contract finds each, at its line."""

from __future__ import annotations

import inspect
import sys
from typing import NamedTuple

import pytest
from pydantic import ValidationError

from algorithms import registry
from algorithms.base import Config
from algorithms.contract import CHECKS, Subject, run_check
from algorithms.errors import sentence_of
from tests.algorithms.planted import ID, MODULE, Package

RUN = {check.id: check for check in CHECKS}


class Leak(NamedTuple):
    """A copy of a method with `old` changed to `new`, found by a check at the line with `at`."""

    method: str
    old: str
    new: str
    check: str
    sentence: str
    at: str = ""  # the new text

    @property
    def id(self) -> str:
        return f"{self.method}: {self.new}"


LEAKS = [
    # An actor's term that trains the critic as well: what the review planted in FQL.
    Leak(
        "fql",
        "nets.frozen.critic(observations",
        "nets.critic(observations",
        "leaks",
        "trains 'critic' and 'actor' at once, as nets.critic is given what 'actor' returned: "
        "write nets.frozen.critic",
    ),
    Leak(
        "fql",
        "sample(nets.frozen.flow",
        "sample(nets.flow",
        "leaks",
        "a term of loss trains 'flow' (planted_method.py:",
    ),
    # An actor's term that trains the critic alone.
    Leak(
        "fql",
        "q_loss = -q.mean(-1)",
        "q_loss = -q.mean(-1) - nets.critic(observations, actions.detach()).mean((1, 2))",
        "leaks",
        "loss trains 'critic' by a term that is in no metric 'critic/…': write nets.frozen.critic",
    ),
    Leak(
        "iql",
        "torch.exp(self.config.temperature * advantage)",
        "torch.exp(advantage - nets.value(batch.observations))",
        "leaks",
        "a term of loss trains 'value' (planted_method.py:",
    ),
    # A network that the phase does not train at all.
    Leak(
        "td3-bc",
        "nets.frozen.critic(batch.observations, actions)",
        "nets.critic(batch.observations, actions)",
        "leaks",
        "actor_loss reaches 'critic', which it does not train: write nets.frozen.critic",
    ),
    Leak(
        "sac",
        "alpha = nets.frozen.temperature().exp().unsqueeze",
        "alpha = nets.temperature().exp().unsqueeze",
        "leaks",
        "actor_loss reaches 'temperature', which it does not train: write nets.frozen.temperature",
    ),
    # A critic that trains on its own bootstrap.
    *(
        Leak(
            method,
            "nets.target.critic(batch.next_observations",
            "nets.critic(batch.next_observations",
            "bootstraps",
            "trains 'critic' through what it says of the next observation: write "
            "nets.target.critic or nets.frozen.critic",
        )
        for method in ("fql", "td3-bc", "awac")
    ),
    # What is meant, once it is not declared.
    Leak(
        "bcq",
        'trained_together = (("encoder", "decoder"),)',
        "trained_together = ()",
        "leaks",
        "or say that it is meant: trained_together = (('encoder', 'decoder'),)",
        at="return vae_loss(",
    ),
    Leak(
        "mcq",
        'trained_at_next = ("critic",)',
        "trained_at_next = ()",
        "bootstraps",
        "or detach it; or say that it is meant: trained_at_next = ('critic',)",
        at="q: Tensor = critic.critic(",
    ),
    # Of a method that declares a pair, any other.
    Leak(
        "bcq",
        "self._first(nets.frozen, batch",
        "self._first(nets, batch",
        "leaks",
        "actor_loss reaches 'critic', which it does not train: write nets.frozen.critic",
        at="q: Tensor = nets.critic(",
    ),
    # Declarations of what no loss does.
    Leak(
        "fql",
        "    Config = FQLConfig\n",
        '    trained_together = (("critic", "flow"),)\n    Config = FQLConfig\n',
        "leaks",
        "trained_together has 'critic' and 'flow', but no loss does that: leave it out",
        at="trained_together = ",
    ),
    Leak(
        "fql",
        "    Config = FQLConfig\n",
        '    trained_at_next = ("critic",)\n    Config = FQLConfig\n',
        "bootstraps",
        "trained_at_next has 'critic', but no loss does that: leave it out",
        at="trained_at_next = ",
    ),
    Leak(
        "awac",
        "nets.frozen.actor(batch.next",
        "nets.actor(batch.next",
        "leaks",
        "critic_loss reaches 'actor', which it does not train: write nets.frozen.actor",
    ),
]


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.id)
def test_a_leak_is_found_at_its_line(package: Package, leak: Leak) -> None:
    cls = registry.load(leak.method)
    source = inspect.getsource(sys.modules[cls.__module__])
    package.point_to(f"{MODULE}:{cls.__name__}")
    package.write((leak.old, leak.new), source=source)
    found = run_check(RUN[leak.check], Subject(ID))
    assert [leak.sentence in finding.sentence for finding in found] == [True], found
    assert [finding.where for finding in found] == [package.line(leak.at or leak.new)]
    assert not found[0].advice


def test_another_declared_pair_excuses_nothing(package: Package) -> None:
    source = inspect.getsource(sys.modules[registry.load("bcq").__module__])
    package.point_to(f"{MODULE}:BCQ")
    changed = 'trained_together = (("encoder", "critic"),)'
    package.write(('trained_together = (("encoder", "decoder"),)', changed), source=source)
    leak, idle = run_check(RUN["leaks"], Subject(ID))
    assert "trains 'decoder' and 'encoder' at once" in leak.sentence
    assert "trained_together has 'encoder' and 'critic'" in idle.sentence
    assert idle.where == package.line(changed)


def test_a_network_that_stays_as_it_was_drawn_is_asked_about(package: Package) -> None:
    forgotten = '"value": MLP(obs, 1, hidden),'
    package.write(
        ('"actor": MLP(', f'{forgotten}\n            "actor": MLP('),
        ("for name in self.networks}", 'for name in ("actor", "critic")}'),
    )
    [found] = run_check(RUN["gradients"], Subject(ID))
    assert found.sentence.startswith(
        "no phase trains 'value', whose weights stay as they are drawn"
    )
    assert found.where == package.line(forgotten)
    assert found.advice


def test_values_behind_terminal_steps_are_advised_against(package: Package) -> None:
    package.write(("0.99 * batch.masks * next_q", "0.99 * next_q"))
    [found] = run_check(RUN["terminals"], Subject(ID))
    assert "critic_loss goes on behind terminal steps: multiply" in found.sentence
    assert found.where == package.line("def critic_loss")
    assert found.advice


def test_reversed_masks_are_found(package: Package) -> None:
    package.write(("batch.masks * next_q", "(1 - batch.masks) * next_q"))
    [found] = run_check(RUN["terminals"], Subject(ID))
    assert "critic_loss heeds the next observation at terminal steps alone" in found.sentence
    assert found.where == package.line("def critic_loss")
    assert not found.advice


def test_a_setting_that_nothing_reads_is_asked_about(package: Package) -> None:
    field = "beta: float = 0.5  # β"
    settings = ('    """Nothing of its own."""', f'    """Its own."""\n\n    {field}')
    package.write(settings)
    [found] = run_check(RUN["settings"], Subject(ID))
    assert found.sentence == "nothing reads the setting 'beta': use it, or leave it out"
    assert found.where == package.line(field)
    assert found.advice
    package.write(settings, ("0.99 * batch.masks", "self.config.beta * batch.masks"))
    sys.modules.pop(MODULE)
    assert run_check(RUN["settings"], Subject(ID)) == []


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ('flow_steps: int = "ten"  # T', "'flow_steps' cannot be: Input should be a valid integer"),
        ("rate: LearningRate = 5.0  # α", "'rate' cannot be: Input should be less than 1"),
    ],
)
def test_a_default_that_no_suite_could_give_is_found(
    package: Package, field: str, sentence: str
) -> None:
    package.write(
        ('    """Nothing of its own."""', f'    """Its own."""\n\n    {field}'),
        ("import random", "import random\nfrom algorithms.fields import LearningRate"),
        ("0.99 *", f"self.config.{field.partition(':')[0]} *"),
    )
    [found] = run_check(RUN["settings"], Subject(ID))
    assert f"the default of {sentence}" in found.sentence
    assert found.where == package.line("class Settings")


def test_a_training_that_is_not_finite_is_not_said_to_resume_wrongly(package: Package) -> None:
    package.write(("loss = error.square().mean((1, 2))", "loss = (error / 0).mean((1, 2))"))
    assert "bits" not in str(run_check(RUN["resumption"], Subject(ID)))


def test_metrics_that_are_not_finite_are_one_finding(package: Package) -> None:
    package.write(
        ('{"critic/loss": loss}', '{"critic/loss": loss, "critic/a": loss / 0}'),
        ('{"actor/q": q.mean(-1)}', '{"actor/q": q.mean(-1) / 0}'),
    )
    [found] = run_check(RUN["acting"], Subject(ID))
    assert found.sentence.endswith("these metrics are not finite: 'critic/a', 'actor/q'")
    assert found.where == package.line("def create")


def test_a_setting_that_cannot_be_is_named_in_one_sentence() -> None:
    with pytest.raises(ValidationError) as found:
        Config.model_validate({"discount": "much"})
    assert sentence_of(found.value) == (
        "Config's 'discount' cannot be: Input should be a valid number, unable to parse string as "
        "a number"
    )
