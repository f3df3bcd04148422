"""What an error inside a compiled update is told as."""

from __future__ import annotations

import pytest

from algorithms import registry
from algorithms.engine.engine import Engine
from algorithms.engine.learning_state import SeedState
from algorithms.errors import AlgorithmError, author_line, sentence_of
from algorithms.transitions import Transitions
from tests.algorithms.planted import ID, Package
from tests.algorithms.small import make_engine, states_equal


def learned(engine: Engine) -> SeedState:
    """What training has changed, but not its count of updates."""
    return {k: v for k, v in engine.state(0).items() if not k.startswith("updates/")}


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("error = q - backup", "error = q - bakup", "NameError: name 'bakup' is not defined."),
        ("nets.target.critic", "nets.target.actor", "'actor' has no Polyak average"),
        ('_observations, noise["smoothing"])', '_observations, noise["x"])', "KeyError: 'x'"),
        ("backup.unsqueeze(1)", "backup[:, :5]", "RuntimeError: The size of tensor a (32)"),
    ],
)
def test_an_error_of_the_authors_is_the_one_that_uncompiled_code_raises(
    package: Package, transitions: Transitions, old: str, new: str, sentence: str
) -> None:
    package.write((old, new))
    engine = make_engine(ID, transitions, compile=True)
    before = learned(engine)
    with pytest.raises(Exception) as found:  # noqa: PT011  (any that the method raises)
        engine.train(1)
    assert sentence_of(found.value).startswith(sentence)
    assert author_line(found.value, registry.load(ID)) == package.line(new)
    assert states_equal(learned(engine), before)


def test_what_only_the_compiler_refuses_is_told_with_the_authors_line(
    package: Package, transitions: Transitions
) -> None:
    package.write(("error = q - backup", "torch._dynamo.graph_break(); error = q - backup"))
    engine = make_engine(ID, transitions, compile=True)
    before = learned(engine)
    with pytest.raises(Exception, match="graph_break") as found:
        engine.train(1)
    assert not isinstance(found.value, AlgorithmError)
    sentence = sentence_of(found.value)
    assert sentence.startswith("torch.compile refuses this code: ")
    assert "graph_break" in sentence
    assert "\n" not in sentence
    assert author_line(found.value, registry.load(ID)) == package.line("graph_break()")
    assert states_equal(learned(engine), before)
