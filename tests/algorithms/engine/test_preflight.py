"""Mistakes planted in a method, one of each kind, and what its author is told of it."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
import pytest
import torch

from algorithms import registry
from algorithms.engine.preflight import check
from algorithms.errors import AlgorithmError
from algorithms.transitions import Transitions
from tests.algorithms.planted import ID, Package
from tests.algorithms.small import make_engine, states_equal

OBS_DIM, ACTION_DIM = 3, 2


def try_it(*, online: bool = False, selections: tuple[str, ...] = ()) -> list[str]:
    config = registry.resolve_config(ID, {"hidden_dims": (16, 16)})
    method = registry.load(ID)
    return check(method, config, OBS_DIM, ACTION_DIM, online=online, selections=selections)


class Mistake(NamedTuple):
    """Planted by changing `old` to `new`, and told at the line that has `at`."""

    old: str
    new: str
    sentence: str
    at: str = ""  # the new text

    @property
    def id(self) -> str:
        return self.new.strip().splitlines()[0] if self.new.strip() else self.old.strip()


IN_CRITIC, IN_ACTOR, IN_ACT = "def critic_loss", "def actor_loss", "def act("
RETURN = 'return loss, {"critic/loss": loss}'
LOSS = "loss = error.square().mean((1, 2))"
ACTIONS = "actions = torch.tanh"

MISTAKES = [
    # The loss's shape and kind.
    Mistake(LOSS, "loss = error.square().mean()", "[S], found one number: average", IN_CRITIC),
    Mistake(LOSS, "loss = error.square().mean(1)", "[S], found a tensor [S, B]", IN_CRITIC),
    Mistake(LOSS, "loss = error.square()", "[S], found a tensor [S, 2, B]", IN_CRITIC),
    Mistake(LOSS, "loss = error.square().mean((0, 1))", "found a tensor [B]", IN_CRITIC),
    Mistake(
        'return loss, {"critic/loss": loss}',
        'return loss > 0, {"critic/loss": loss}',
        "must be a tensor of floats [S], found a tensor [S] of bool",
        IN_CRITIC,
    ),
    Mistake(RETURN, 'return 1.0, {"a/b": loss}', "floats [S], found a float", IN_CRITIC),
    Mistake(RETURN, "return loss", "return (loss, metrics), found a tensor [S]", IN_CRITIC),
    Mistake(RETURN, "return loss, loss", "return (loss, metrics), found a tuple of 2", IN_CRITIC),
    Mistake(RETURN, "return", "return (loss, metrics), found a NoneType", IN_CRITIC),
    # Metrics.
    Mistake(RETURN, 'return loss, {"loss": loss}', "such as 'critic/loss'", IN_CRITIC),
    Mistake(RETURN, 'return loss, {"c/q": q.mean()}', "[S], found one number", IN_CRITIC),
    Mistake(RETURN, 'return loss, {"c/q": q}', "[S], found a tensor [S, 2, B]", IN_CRITIC),
    Mistake(
        RETURN, 'return loss, {"c/q": 1.0}', "one number per seed, [S], found a float", IN_CRITIC
    ),
    # Seeds that mix.
    Mistake(
        "error = q - backup.unsqueeze(1)",
        "error = q - backup",
        "RuntimeError: The size of tensor a (2) must match the size of tensor b (6)",
    ),
    Mistake(
        "error = q - backup.unsqueeze(1)",
        "error = q - backup.mean()",
        "seeds mix: the loss of one seed changes with the other seeds",
        IN_CRITIC,
    ),
    Mistake(
        LOSS,
        "loss = error.square().mean().expand(len(q))",
        "seeds mix: the loss of one seed changes",
        IN_CRITIC,
    ),
    Mistake(
        RETURN,
        'return loss, {"critic/loss": loss.mean().expand(len(q))}',
        "seeds mix: the metric 'critic/loss' of one seed",
        IN_CRITIC,
    ),
    Mistake(
        RETURN,
        'return loss + loss.sum() - loss.sum().detach(), {"critic/loss": loss}',
        "seeds mix: the loss of one seed has a gradient of another's 'critic'",
        IN_CRITIC,
    ),
    Mistake(
        "        return actions",
        "        return actions - actions.mean(0)",
        "seeds mix: the actions of one seed change",
        IN_ACT,
    ),
    # Random numbers of its own.
    Mistake(
        "backup = batch.rewards",
        "backup = torch.randn_like(batch.rewards)",
        "'randn_like' draws random numbers of its own",
    ),
    Mistake(
        ACTIONS,
        "actions = torch.rand(2) + torch.tanh",
        "'rand' draws random numbers of its own",
    ),
    Mistake(LOSS, LOSS + " * random.random()", "random or numpy.random", IN_CRITIC),
    Mistake(LOSS, LOSS + " * np.random.rand()", "random or numpy.random", IN_CRITIC),
    Mistake(
        LOSS,
        LOSS + " * np.random.default_rng().random()",
        "twice the same inputs and noise gave two losses",
        IN_CRITIC,
    ),
    Mistake(
        "        return actions",
        "        return actions * np.random.default_rng().random()",
        "twice the same observations and noise gave two actions",
        IN_ACT,
    ),
    # What trains what.
    Mistake(
        "q = nets.frozen.critic(batch.observations, actions)",
        "q = nets.frozen.critic(batch.observations, actions.detach())",
        "actor_loss trains 'actor' but its loss has no gradient of it: use nets.actor",
        'actor = Phase(self.actor_loss, ("actor",))',
    ),
    Mistake(
        'actor = Phase(self.actor_loss, ("actor",))',
        'actor = Phase(self.actor_loss, ("actor", "critic"))',
        "actor_loss trains 'critic' but its loss has no gradient of it",
    ),
    Mistake(
        'Phase(self.actor_loss, ("actor",))',
        'Phase(self.actor_loss, ("actr",))',
        "trains names 'actr', which is no network. Did you mean 'actor'?",
    ),
    Mistake(
        'Phase(self.actor_loss, ("actor",))',
        'Phase(self.actor_loss, "actor")',
        "trains must be a tuple of names: ('actor',), found the text 'actor'",
    ),
    Mistake(
        "self.optimizers = {name: Adam(1e-3) for name in self.networks}",
        'self.optimizers = {"critic": Adam(1e-3)}',
        "'actor' is trained without an optimizer",
        'actor = Phase(self.actor_loss, ("actor",))',
    ),
    Mistake(
        "self.stages = (Stage((critic, actor)),)",
        "self.stages = (Stage((critic,)),)",
        "'actor' has an optimizer, but no phase trains it",
        "self.optimizers = ",
    ),
    Mistake(
        "self.optimizers = {name: Adam(1e-3) for name in self.networks}",
        'self.optimizers = dict.fromkeys(("actor", "critc"), Adam(1e-3))',
        "optimizers names 'critc', which is no network. Did you mean 'critic'?",
    ),
    Mistake(
        "self.stages = (Stage((critic, actor)),)",
        "self.stages = Stage((critic, actor))",
        "self.stages must be a tuple of stages",
    ),
    Mistake(
        "self.stages = (Stage((critic, actor)),)",
        "self.stages = (Stage(critic),)",
        "a stage's phases must be a tuple",
    ),
    Mistake(
        "self.stages = (Stage((critic, actor)),)",
        "self.stages = (Stage((critic,), share=0.5), Stage((actor,), share=0.4))",
        "the stages' shares of the budget must sum to 1, found [0.5, 0.4]",
    ),
    Mistake(
        "self.stages = (Stage((critic, actor)),)",
        "self.stages = (Stage((critic,), 0.6), Stage((actor,), 0.6))",
        "the stages' shares of the budget must sum to 1, found [0.6, 0.6]",
    ),
    Mistake(
        "self.stages = (Stage((critic, actor)),)",
        "self.stages = (Stage((critic,)), Stage((actor,)))",
        "the stages' shares of the budget must sum to 1, found [1.0, 1.0]",
    ),
    Mistake(
        "self.stages = (Stage((critic, actor)),)",
        "self.stages = (Stage((critic,), 1.0), Stage((actor,), 0.0))",
        "the stages' shares of the budget must be above 0, found [1.0, 0.0]",
    ),
    Mistake(
        "self.stages = (Stage((critic, actor)),)",
        "self.stages = (Stage((critic, actor)),)\n        self.pretraining_stages = 3",
        "pretraining_stages is 3, but self.stages has 1",
        "pretraining_stages = 3",
    ),
    Mistake(
        "        self.stages = (Stage((critic, actor)),)\n",
        "",
        "create does not set self.stages",
        "def create",
    ),
    # Targets.
    Mistake(
        'updates_targets=("critic",)',
        "updates_targets=()",
        "the target of 'critic' never moves",
        'self.targets = {"critic": 0.005}',
    ),
    Mistake(
        'updates_targets=("critic",)',
        'updates_targets=("actor", "critic")',
        "updates_targets names 'actor', which self.targets does not declare.",
    ),
    Mistake(
        'self.targets = {"critic": 0.005}',
        'self.targets = {"crtic": 0.005}',
        "targets names 'crtic', which is no network. Did you mean 'critic'?",
    ),
    Mistake(
        "nets.frozen.actor(batch.next_observations",
        "nets.target.actor(batch.next_observations",
        "'actor' has no Polyak average: nets.target.actor needs self.targets['actor']",
    ),
    Mistake(
        "self.stages = (Stage((critic, actor)),)",
        'self.stages = (Stage((critic, actor), copies={"actor": "critc"}),)',
        "copies names 'critc', which self.targets does not declare. Did you mean 'critic'?",
    ),
    Mistake(
        "self.stages = (Stage((critic, actor)),)",
        'self.stages = (Stage((critic, actor), copies={"actor": "critic"}),)',
        "copies 'critic' to 'actor', which has other shapes",
    ),
    # Names.
    Mistake(
        "q = nets.critic(batch.observations, batch.actions)",
        "q = nets.critc(batch.observations, batch.actions)",
        "there is no network 'critc'. Did you mean 'critic'?",
    ),
    Mistake(
        'next_actions = nets.frozen.actor(batch.next_observations, noise["smoothing"])',
        'next_actions = nets.frozen.actor(batch.next_observations, noise["smothing"])',
        "noise['smothing'] is not declared in self.noise (it has smoothing). "
        "Did you mean 'smoothing'?",
    ),
    Mistake(
        'noise["gaussian"]',
        'noise["smoothing"]',
        "noise['smoothing'] is not declared in self.act_noise (it has gaussian).",
        ACTIONS,
    ),
    Mistake(
        "backup = batch.rewards",
        "backup = batch.reward",
        "this Batch object has no attribute 'reward'. Did you mean 'rewards'?",
    ),
    Mistake(
        "error = q - backup",
        "error = q - bakup",
        "NameError: name 'bakup' is not defined. Did you mean 'backup'?",
    ),
    Mistake(
        "self.config.hidden_dims",
        "self.config.hidden_dim",
        "this Settings object has no attribute 'hidden_dim'. Did you mean 'hidden_dims'?",
    ),
    Mistake(
        "loss = error.square()",
        "loss = error.sqare()",
        "this Tensor object has no attribute 'sqare'. Did you mean 'square'?",
    ),
    Mistake(
        "return self.stages[0].phases",
        "return self.stages[0].phase",
        "this Stage object has no attribute 'phase'. Did you mean 'phases'?",
    ),
    # Values taken out of tensors.
    Mistake(
        LOSS, "loss = error.mean((1, 2)) if q.mean() > 0 else q", "a Python branch on a tensor"
    ),
    Mistake(LOSS, LOSS + " / max(q[0, 0, 0], 1)", "a Python branch on a tensor"),
    Mistake(LOSS, LOSS + " / q.max().item()", ".item() takes numbers out of tensors"),
    Mistake(LOSS, LOSS + " / float(q.max())", "float(tensor) takes numbers out of tensors"),
    Mistake(LOSS, LOSS + " / q.detach().numpy().max()", ".numpy() takes numbers out of tensors"),
    Mistake(LOSS, LOSS + " / np.asarray(q.detach()).max()", "a NumPy function of a tensor"),
    Mistake(LOSS, LOSS + " / q.tolist()[0][0][0]", ".tolist() takes numbers out of tensors"),
    Mistake(
        "        return actions",
        "        return -actions if actions.mean() > 0 else actions",
        "a Python branch on a tensor",
    ),
    # Numbers.
    Mistake(LOSS, LOSS + " * torch.nan", "the loss is NaN for every seed", IN_CRITIC),
    Mistake(
        "backup = batch.rewards",
        "backup = batch.returns",
        "the loss is NaN for every seed from the start (while a method interacts, batch.returns",
        IN_CRITIC,
    ),
    # Attributes.
    Mistake(
        "    Config = Settings",
        '    Config = Settings\n    action_selectoin = "best-of-4"',
        "nothing reads 'action_selectoin'. Did you mean 'action_selection'?",
        "action_selectoin",
    ),
    Mistake(
        "self.act_noise = {",
        "self.actnoise = {",
        "nothing reads 'actnoise'. Did you mean 'act_noise'?",
    ),
    Mistake(
        "def online_phases(self)",
        "def online_phase(self)",
        "nothing reads 'online_phase'. Did you mean 'online_phases'?",
    ),
    Mistake(
        "    def act(self",
        "    def selects(self, data):\n        return data\n\n    def act(self",
        "nothing reads 'selects'. Did you mean 'select'?",
        "def selects",
    ),
    Mistake(
        "    Config = Settings",
        '    Config = Settings\n    cheap = {"batch_sise": 2}',
        "cheap has 'batch_sise', which is no setting. Did you mean 'batch_size'?",
        "cheap = ",
    ),
    # Acting.
    Mistake(
        "self.act_noise = {",
        'self.action_selection = "mean"\n        self.act_noise = {',
        "ValueError: 'mean' is no action selection; write noise-",
        "def create",
    ),
    Mistake(
        "    Config = Settings",
        '    Config = Settings\n    action_selection = "softmax-of-4"',
        "'softmax-of-4' needs self.selection_temperature",
        "action_selection",
    ),
    Mistake(
        "        return actions",
        "        return actions[..., 0]",
        "act must return a tensor of floats [S, E, 2], found a tensor [S, E]",
        IN_ACT,
    ),
    Mistake("        return actions", "        return", "[S, E, 2], found a NoneType", IN_ACT),
    Mistake("        return actions", "        return actions / 0", "finite numbers", IN_ACT),
    Mistake(
        '"critic": MLP(obs + act, 1, hidden, ensemble=2)',
        '"critic": MLP(obs + act, 2, hidden, ensemble=2)',
        "RuntimeError: The size of tensor",
        "backup = batch.rewards",
    ),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.id)
def test_a_mistake_is_told_in_a_sentence_with_its_line(package: Package, mistake: Mistake) -> None:
    package.write((mistake.old, mistake.new))
    with pytest.raises(AlgorithmError) as found:
        try_it(online=True)
    error = found.value
    assert mistake.sentence in error.sentence
    assert error.where == package.line(mistake.at or mistake.new.strip())
    assert str(error) == f"{error.sentence} ({error.where})"
    assert "\n" not in str(error)


def test_the_method_without_mistakes_passes(package: Package) -> None:
    assert try_it() == try_it(online=True, selections=("best-of-4", "noise-0")) == []


COLUMN = (
    ("import Adam, Algorithm, Config,", "import Adam, Algorithm, Column, Config,"),
    (
        "self.stages = (Stage((critic, actor)),)",
        "self.stages = (Stage((critic, actor), columns=self.columns()),)",
    ),
    (
        "    def critic_loss",
        "    def columns(self):\n"
        "        return {'best': Column(self.best, noise={'start': Normal(self.action_dim)})}\n\n"
        "    def best(self, nets, batch, noise):\n"
        "        actions = nets.actor(batch.observations, noise['start'])\n"
        "        return nets.critic(batch.observations, actions).amin(1)\n\n"
        "    def critic_loss",
    ),
    ("backup = batch.rewards", "backup = batch.columns['best']"),
)


def test_a_method_with_a_column_passes(package: Package) -> None:
    package.write(*COLUMN)
    assert try_it() == []


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (".amin(1)\n\n", "\n\n", "must be [S, B], found a tensor [S, 2, B]; if it holds several"),
        ("noise={'start'", "dim=4, noise={'start'", "must be [S, B, 4], found a tensor [S, B]"),
        (
            ".amin(1)\n\n",
            ".amin(1) - batch.rewards.mean()\n\n",
            "seeds mix: the column 'best' of one seed changes with the other seeds",
        ),
        (
            "{'start': Normal",
            "{'end': Normal",
            "noise['start'] is not declared in the noise of its Column (it has end)",
        ),
        (
            "noise['start'])\n",
            "torch.randn_like(noise['start']))\n",
            "'randn_like' draws random numbers of its own",
        ),
        (
            ".amin(1)\n\n",
            ".amin(1) + batch.columns['best']\n\n",
            "batch.columns['best'] is not there yet: a column sees those before it in its stage",
        ),
    ],
    ids=["shape", "dim", "seeds", "noise", "random", "itself"],
)
def test_a_mistake_in_a_column_is_told_before_the_run(
    package: Package, old: str, new: str, sentence: str
) -> None:
    package.write((old, new), source=package.write(*COLUMN))
    with pytest.raises(AlgorithmError) as found:
        try_it()
    assert sentence in found.value.sentence
    assert found.value.where


def test_a_helper_may_have_a_name_like_one_of_the_interface(package: Package) -> None:
    package.write(
        ("-q.mean(-1), {", "-self.action_values(q), {"),
        (
            "    def act(self",
            "    def action_values(self, q):\n        return q.mean(-1)\n\n    def act(self",
        ),
    )
    assert try_it() == []


def test_a_critic_that_cannot_rank_is_told_where_candidates_are_asked_for(
    package: Package,
) -> None:
    package.write(
        ("1, hidden, ensemble=2)", "1, hidden)"),
        ("next_actions).amin(1)", "next_actions)"),
        ("backup.unsqueeze(1)", "backup"),
        ("error.square().mean((1, 2))", "error.square().mean(1)"),
        ("actions).amin(1)", "actions)"),
    )
    assert try_it() == []
    with pytest.raises(
        AlgorithmError, match=r"action_value must return .* \[S, E\], found .*\[S\]"
    ):
        try_it(selections=("best-of-4",))


def test_a_broadcast_over_as_many_seeds_as_members_is_found(package: Package) -> None:
    """With three members and three seeds in a run, q - backup would mix them without an error."""
    package.write(("ensemble=2", "ensemble=3"), ("backup.unsqueeze(1)", "backup"))
    with pytest.raises(AlgorithmError, match="must match the size") as found:
        try_it()
    assert found.value.where == package.line("error = q - backup")


def test_a_broadcast_over_as_many_transitions_as_hidden_units_is_found(package: Package) -> None:
    """Eight transitions and eight units would multiply without an error."""
    package.write((LOSS, f"{LOSS} + (q[:, 0] * torch.ones(self.config.hidden_dims[0])).mean(1)"))
    config = registry.resolve_config(ID, {"hidden_dims": (8, 8)})
    with pytest.raises(AlgorithmError, match="must match the size"):
        check(registry.load(ID), config, OBS_DIM, ACTION_DIM)


def test_a_target_that_only_moves_online_is_told_in_a_run_without(package: Package) -> None:
    package.write(
        ('updates_targets=("critic",)', "updates_targets=()"),
        (
            "return self.stages[0].phases",
            'return (Phase(self.critic_loss, ("critic",), updates_targets=("critic",)),)',
        ),
    )
    assert try_it(online=True) == []
    with pytest.raises(AlgorithmError, match="the target of 'critic' never moves"):
        try_it()


def test_an_infinite_loss_and_a_zero_gradient_are_remarks(package: Package) -> None:
    package.write(
        ("return -q.mean(-1), {", "return q.mean(-1) * 0, {"),
        ("loss = error.square().mean((1, 2))", "loss = error.square().mean((1, 2)) / 0"),
    )
    assert try_it() == [
        "critic_loss: the loss is not finite at the initial parameters",
        "actor_loss: the gradient of 'actor' is zero at the start",
    ]


def test_torchs_distributions_may_check_their_arguments(package: Package) -> None:
    package.write(
        (
            "loss = error.square().mean((1, 2))",
            "loss = -torch.distributions.Normal(q, torch.ones_like(q))"
            ".log_prob(backup.unsqueeze(1)).mean((1, 2))",
        )
    )
    assert try_it() == []


def test_a_loss_may_rely_on_the_batch_size_of_its_config(package: Package) -> None:
    package.write(
        (
            "loss = error.square().mean((1, 2))",
            "loss = error.square().view(-1, 2 * self.config.batch_size).mean(1)",
        )
    )
    assert try_it() == []


def global_streams() -> tuple[object, ...]:
    """The states of the random streams that anyone in the process may draw from."""
    numpys = np.random.get_state(legacy=False)
    return torch.get_rng_state().tolist(), random.getstate(), str(numpys)


# Remarks on what is meant: a sparse policy heeds actions better than V, and at first none may be.
RIGHT = {"sql": {"actor_loss: the gradient of 'actor' is zero at the start"}}


# One of each kind: with delayed phases, a pretraining stage, the Flow MDP, windows, online alone.
@pytest.mark.parametrize("algorithm_id", ["td3-bc", "ifql", "df-div", "dt", "sac"])
def test_changes_no_bit_of_the_run_that_follows(
    algorithm_id: str, transitions: Transitions
) -> None:
    without = make_engine(algorithm_id, transitions)
    without.train(10)
    before = global_streams()
    cls = registry.load(algorithm_id)
    config = registry.resolve_config(algorithm_id, {"hidden_dims": (16, 16)})
    remarks = check(cls, config, OBS_DIM, ACTION_DIM, online=cls.learns_online())
    assert set(remarks) <= RIGHT.get(algorithm_id, set())
    assert global_streams() == before
    after = make_engine(algorithm_id, transitions)
    after.train(10)
    for slot in (0, 1):
        assert states_equal(without.state(slot), after.state(slot))


def test_leaves_the_global_streams_alone_when_a_method_draws_from_them(package: Package) -> None:
    package.write(("backup = batch.rewards", "backup = torch.randn(1)"))
    before = global_streams()
    with pytest.raises(AlgorithmError, match="random numbers of its own"):
        try_it()
    assert global_streams() == before
