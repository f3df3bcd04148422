"""Training with CORL's own scripts, and their policies as this project's evaluator wants them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from algorithms.transitions import Transitions
from harness.bench.corl import Environment, load_corl
from harness.rollouts.evaluation import Policy
from harness.rollouts.rollout import Floats
from tests.parity.runs import Run

Overrides = dict[str, Any]


@dataclass(frozen=True)
class Method:
    """How one of our methods is called in CORL.

    Attributes:
        script: its file under `algorithms/offline/`.
        configs: its folder under `configs/offline/`.
        train: given script, config and transitions, trains and returns the policy.
        budget: given steps and a seed, the settings that make the script train so.
        changed: what is not as in CORL's config, and why says docs/parity.md.
    """

    script: str
    configs: str
    train: Callable[[Any, Any], Policy]
    budget: Callable[[int, int], Overrides]
    changed: Callable[[int], Overrides] = lambda steps: {}


def train(folder: Path, run: Run, transitions: Transitions) -> Policy:
    """The policy of CORL's script after the run's steps."""
    method, data_name = METHODS[run.method], CONFIGS[run.task.id]
    return train_script(folder, method, data_name, transitions, run.steps, run.seed)


def train_script(
    corl: Path, method: Method, data_name: str, transitions: Transitions, steps: int, seed: int
) -> Policy:
    """CORL's policy after `steps` updates. data_name: of its config, such as hopper/medium_v2."""
    script = load_corl(corl, method.script, transitions)
    config_class = getattr(script, "TrainConfig", None) or script.Config
    path = corl / "configs" / "offline" / method.configs / f"{data_name}.yaml"
    settings = yaml.safe_load(path.read_text()) | method.changed(steps) | method.budget(steps, seed)
    if "buffer_size" in settings:
        settings["buffer_size"] = len(transitions)  # 10⁷ rows of zeros else, which nothing sees
    return method.train(script, config_class(**_typed(settings, config_class)))


def _typed(settings: Overrides, config_class: type) -> Overrides:
    """YAML reads `3e-4` as text, CORL's own reader as the field's float."""
    floats = {f.name for f in dataclasses.fields(config_class) if f.type is float}
    return {k: float(v) if k in floats else v for k, v in settings.items()}


def _actor(script: Any, config: Any) -> Policy:
    """Of the scripts that evaluate `actor.act`."""
    found: list[tuple[Environment, Any]] = []

    def eval_actor(env: Environment, actor: Any, **_: Any) -> NDArray[np.float64]:
        found.append((env, actor))
        return np.zeros(1)

    script.eval_actor = eval_actor
    script.train(config)
    [(environment, actor)] = found
    actor.eval()

    def policy(observations: Floats, rewards: Floats) -> Floats:
        seen = environment.observe(observations[0])
        return np.stack([actor.act(observation, "cpu") for observation in seen])[None]

    return policy


def _steps(steps: int, seed: int) -> Overrides:
    budget = {"max_timesteps": steps, "eval_freq": steps, "n_episodes": 1}
    return {"device": "cpu", "seed": seed, **budget}


class _Sequences:
    """What `eval_rollout` of CORL's DT does, with all episodes in one batch."""

    def __init__(self, model: Any, environment: Environment, target: float, scale: float) -> None:
        self._model, self._environment, self._scale = model, environment, scale
        self._target = target
        self._states: list[torch.Tensor] = []
        self._actions: list[torch.Tensor] = []
        self._to_go: list[torch.Tensor] = []

    @torch.no_grad()
    def __call__(self, observations: Floats, rewards: Floats) -> Floats:
        states = torch.as_tensor(self._environment.observe(observations[0]), dtype=torch.float32)
        episodes, length = len(states), self._model.seq_len
        before = self._to_go[-1] if self._to_go else torch.full((episodes,), self._target)
        self._to_go.append(before - torch.as_tensor(rewards[0]) * self._scale)
        self._states.append(states)
        self._actions.append(torch.zeros(episodes, self._model.action_dim))
        step = len(self._states)
        times = torch.arange(step)[-length:].expand(episodes, -1)
        kinds = (self._states, self._actions, self._to_go)
        windows = [torch.stack(kind[-length:], 1) for kind in kinds]
        self._actions[-1] = self._model(*windows, times)[:, -1]
        return self._actions[-1].numpy()[None]


def _transformer(script: Any, config: Any) -> Policy:
    found: dict[str, Any] = {}

    def eval_rollout(model: Any, env: Environment, **_: Any) -> tuple[float, float]:
        found.update(model=model, environment=env)
        return 0.0, 0.0

    script.eval_rollout = eval_rollout
    script.train(config)
    model = found["model"].eval()
    scale = config.reward_scale
    return _Sequences(model, found["environment"], config.target_returns[0] * scale, scale)


def _dt_steps(steps: int, seed: int) -> Overrides:
    budget = {"update_steps": steps, "eval_every": steps, "eval_episodes": 1, "num_workers": 0}
    return {"device": "cpu", "train_seed": seed, **budget}


def _dt_changed(steps: int) -> Overrides:
    return {"batch_size": 16, "seq_len": 10, "warmup_steps": steps // 10}


def _jax(script: Any, config: Any) -> Policy:
    import jax

    jax.tree_map = jax.tree.map  # its name since JAX 0.4.26
    found: list[tuple[Environment, Any, Any]] = []

    def evaluate(env: Environment, params: Any, action_fn: Any, *_: Any, seed: int) -> Any:
        found.append((env, params, action_fn))
        return np.zeros(1)

    script.evaluate = evaluate
    script.main(config)
    [(environment, params, act)] = found

    def policy(observations: Floats, rewards: Floats) -> Floats:
        return np.asarray(act(params, environment.observe(observations[0])))[None]

    return policy


def _jax_steps(steps: int, seed: int) -> Overrides:
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    return {"train_seed": seed, "num_epochs": 1, "num_updates_on_epoch": steps, "eval_every": 1}


def _cql_changed(steps: int) -> Overrides:
    return {"batch_size": 64, "cql_n_actions": 3, "policy_lr": 1e-3}


def _iql_changed(steps: int) -> Overrides:
    return {"iql_deterministic": False}


def _rebrac_changed(steps: int) -> Overrides:
    return {"batch_size": 256, "actor_bc_coef": 1.0, "critic_bc_coef": 1.0}


METHODS = {
    "bc": Method("any_percent_bc", "bc", _actor, _steps),
    "td3-bc": Method("td3_bc", "td3_bc", _actor, _steps),
    "iql": Method("iql", "iql", _actor, _steps, _iql_changed),
    "cql": Method("cql", "cql", _actor, _steps, _cql_changed),
    "rebrac": Method("rebrac", "rebrac", _jax, _jax_steps, _rebrac_changed),
    "dt": Method("dt", "dt", _transformer, _dt_steps, _dt_changed),
}
# By task: the name of CORL's configs for D4RL's dataset of that environment and level.
CONFIGS = {
    "local/halfcheetah/medium": "halfcheetah/medium_v2",
    "local/hopper/medium": "hopper/medium_v2",
    "local/pen/expert": "pen/expert_v1",
}
