"""Agents of the shape of FQL's and flow-rl's learn from our arrays, with the suite's settings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from algorithms.transitions import Transitions
from harness.errors import UserError
from tests.parity import flow_rl, fql
from tests.parity.checkout import load
from tests.parity.repositories import FLOW_RL, FQL
from tests.parity.runs import Run, runs_of

# Agents that learn nothing and remember what they were given.
_FQL = {
    "agents/fql.py": """
import ml_collections

class FQLAgent:
    def __init__(self, *given):
        self.given, self.batches = given, []
    @classmethod
    def create(cls, *given):
        return cls(*given)
    def update(self, batch):
        self.batches.append(batch)
        return self, {}

def get_config():
    placeholder = ml_collections.config_dict.placeholder(str)
    widths = {"actor_hidden_dims": (9,), "value_hidden_dims": (9,)}
    common = dict(lr=0.5, batch_size=4, q_agg="mean", alpha=10.0, encoder=placeholder)
    return ml_collections.ConfigDict({**common, **widths})
""",
    "utils/datasets.py": """
import numpy as np

class Dataset(dict):
    @classmethod
    def create(cls, **fields):
        return cls(fields)
    def sample(self, size):
        at = np.random.randint(len(self["rewards"]), size=size)
        return {name: array[at] for name, array in self.items()}
""",
}
_FLOW_RL = {
    "flowrl/agent/offline/bdpo/bdpo.py": """
from omegaconf import MISSING

class BDPOAgent:
    def __init__(self, *given):
        self.given, self.called = given, []
        agents.append(self)
    def pretrain_step(self, batch, step):
        self.called.append(("pretrain", step, len(batch)))
    def prepare_training(self):
        self.called.append(("prepare",))
    def train_step(self, batch, step):
        self.called.append(("train", step, len(batch)))
    def sample_actions(self, observations, num_samples):
        return observations[:, :1] * num_samples, {}

agents = []
""",
    "flowrl/dataset/d4rl.py": """
import d4rl, gym

def qlearning_dataset(env):
    raise AssertionError("the data are given")

class D4RLDataset:
    def __init__(self, task, **treatment):
        made.append((qlearning_dataset(gym.make(task)), treatment))
    def sample(self, size):
        return range(size)

made = []
""",
    "examples/offline/config/d4rl/config.yaml": """
data: {norm_obs: false, norm_reward: none, batch_size: 256, scan: true, clip_eps: 1e-5}
""",
    "examples/offline/config/d4rl/algo/bdpo.yaml": """
data: {norm_reward: iql_mujoco}
eval: {num_samples: 10}
train_steps: 2_000_000
algo:
  warmup_steps: 50_000
  diffusion:
    actor: {lr: 0.1, lr_decay_steps: "${train_steps}"}
    behavior: {lr: 0.2, lr_decay_steps: null}
    mlp_hidden_dims: [9]
  critic:
    {ensemble_size: 9, rho: 0.0, eta: 9.0, hidden_dims: [9], num_samples: 9, discount: 0.99,
     lr_decay_steps: "${train_steps}"}
""",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    for name, text in (_FQL | _FLOW_RL).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("agents", "utils", "flowrl"):
            del sys.modules[name]


@pytest.fixture
def transitions() -> Transitions:
    """Four of two episodes: the first ends by a time limit, the second by itself."""
    rng = np.random.default_rng(0)
    return Transitions.pack(
        observations=rng.normal(size=(4, 2)),
        actions=rng.uniform(-1, 1, (4, 3)),
        rewards=np.arange(4.0),
        next_observations=rng.normal(size=(4, 2)),
        terminals=np.array([0.0, 0, 0, 1]),
        timeouts=np.array([0.0, 1, 0, 0]),
    )


def _run(method: str, steps: int, **settings: Any) -> Run:
    return Run(SimpleNamespace(), method, settings, seed=3, steps=steps, episodes=1)  # type: ignore


def test_fqls_agent_takes_the_runs_steps_with_its_own_defaults_where_nothing_is_set(
    checkout: Path, transitions: Transitions
) -> None:
    run = _run("fql", 5, hidden_dims=[8, 8], q_aggregation="min")
    agent = fql.trained_agent(checkout, run, transitions)
    seed, observations, actions, config = agent.given
    assert (seed, observations.shape, actions.shape) == (3, (1, 2), (1, 3))
    widths = {"actor_hidden_dims": (8, 8), "value_hidden_dims": (8, 8)}
    own = {"lr": 0.5, "batch_size": 4, "alpha": 10.0, "encoder": None}
    assert config == {**own, **widths, "q_agg": "min"}
    assert [len(batch["rewards"]) for batch in agent.batches] == [4] * 5


def test_fqls_batches_bootstrap_where_only_a_time_limit_ended_the_episode(
    checkout: Path, transitions: Transitions
) -> None:
    agent = fql.trained_agent(checkout, _run("fql", 20), transitions)
    seen = {
        (float(reward), float(mask), float(end))
        for batch in agent.batches
        for reward, mask, end in zip(
            batch["rewards"], batch["masks"], batch["terminals"], strict=True
        )
    }
    assert seen == {(0, 1, 0), (1, 1, 1), (2, 1, 0), (3, 0, 1)}


def test_bdpos_agent_pretrains_for_half_of_the_steps(
    checkout: Path, transitions: Transitions
) -> None:
    policy = flow_rl.train(checkout, _run("bdpo", 6), transitions)
    [agent] = sys.modules["flowrl.agent.offline.bdpo.bdpo"].agents
    pretraining, training = ([(name, i, 256) for i in range(3)] for name in ("pretrain", "train"))
    assert agent.called == [*pretraining, ("prepare",), *training]
    observations = np.ones((1, 5, 2), np.float32)
    np.testing.assert_array_equal(policy(observations, np.zeros((1, 5))), np.full((1, 5, 1), 10))


def test_bdpos_data_are_ours_treated_as_its_config_says(
    checkout: Path, transitions: Transitions
) -> None:
    flow_rl.train(checkout, _run("bdpo", 2), transitions)
    [(arrays, treatment)] = sys.modules["flowrl.dataset.d4rl"].made
    np.testing.assert_array_equal(arrays["rewards"], transitions.rewards)
    assert arrays["ends"].tolist() == [0, 1, 0, 1]
    assert arrays["terminals"].tolist() == [0, 0, 0, 1]
    expected = {"clip_eps": 1e-5, "scan": True, "norm_obs": False, "norm_reward": "iql_mujoco"}
    assert treatment == expected


def test_bdpos_config_has_the_suites_settings_in_their_places(checkout: Path) -> None:
    run = _run("bdpo", 4000, policy_learning_rate=0.3, critics=4, reward_transform="raw")
    config = flow_rl.settings(checkout, run)
    critic, diffusion = config["algo"]["critic"], config["algo"]["diffusion"]
    assert (critic["ensemble_size"], critic["eta"], critic["lr_decay_steps"]) == (4, 9.0, 2000)
    assert diffusion["actor"] == {"lr": 0.3, "lr_decay_steps": 2000}
    assert diffusion["behavior"] == {"lr": 0.2, "lr_decay_steps": None}
    assert config["data"]["norm_reward"] == "none"
    assert config["algo"]["warmup_steps"] == 50


def test_whatever_the_suites_set_is_set_there_too(checkout: Path) -> None:
    of_fql, of_flow_rl = ([*runs_of(each.suite_path)] for each in (FQL, FLOW_RL))
    assert of_fql
    assert of_flow_rl
    for run in of_fql:
        given = fql.settings({}, run.settings)
        widths = tuple(run.settings["hidden_dims"])
        assert given["actor_hidden_dims"] == given["value_hidden_dims"] == widths
        assert set(map(str, given.values())) >= {
            str(v) for k, v in run.settings.items() if k != "hidden_dims"
        }
    for run in of_flow_rl:
        critic = flow_rl.settings(checkout, run)["algo"]["critic"]
        assert critic["ensemble_size"] == run.settings["critics"]
        assert critic["rho"] == run.settings["rho"]


def test_a_setting_that_has_no_counterpart_is_not_passed_over(checkout: Path) -> None:
    with pytest.raises(KeyError, match="layer_norm"):
        fql.settings({}, {"layer_norm": False})
    with pytest.raises(KeyError, match="diffusion_steps"):
        flow_rl.settings(checkout, _run("bdpo", 2, diffusion_steps=3))


def test_ifql_chooses_its_action_observation_by_observation() -> None:
    jax = pytest.importorskip("jax")

    class Agent:
        def sample_actions(self, observations: Any, seed: Any) -> Any:
            assert observations.shape == (2,)
            return observations + jax.random.normal(seed, (2,))

    policy = fql._policy(Agent(), 0)
    observations = np.stack([np.zeros(2), np.full(2, 100)])[None].astype(np.float32)
    first, second = (policy(observations, np.zeros((1, 2))) for _ in range(2))
    assert np.abs(first - observations).max() < 10
    assert len({*(first - observations).round(3).ravel(), *second.round(3)[0, 0]}) == 6


def test_what_a_checkout_lacks_is_told_from_what_is_not_installed(checkout: Path) -> None:
    with pytest.raises(UserError, match=rf"{checkout} has no agents.iql; give the folder"):
        load(checkout, ["agents.iql"], {})
    (checkout / "agents" / "iql.py").write_text("import no_such_package")
    with pytest.raises(UserError, match=r"no_such_package is not installed; .* needs jax"):
        load(checkout, ["agents.iql"], {})
    assert str(checkout) not in sys.path


def test_stand_ins_give_way_to_what_was_there(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "gym", real)
    load(checkout, ["flowrl.dataset.d4rl"], {"gym": SimpleNamespace(), "d4rl": SimpleNamespace()})
    assert sys.modules["gym"] is real
    assert "d4rl" not in sys.modules
