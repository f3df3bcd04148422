"""Records QDT's own code: `python -m tests.oracles.record_qdt FOLDER`, a checkout of it.

It is takuyamagata/d3rlpy at the commit below, of which the relabelling is taken; the rest is
d3rlpy's release. Nothing of it is part of this repository. In a venv with d3rlpy.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import d3rlpy
import numpy as np
import torch
from d3rlpy.dataset import BasicTrajectorySlicer, MDPDataset, TrajectoryMiniBatch
from d3rlpy.models.encoders import VectorEncoderFactory
from d3rlpy.optimizers import AdamWFactory
from d3rlpy.optimizers.lr_schedulers import WarmupSchedulerFactory
from d3rlpy.preprocessing import MultiplyRewardScaler
from d3rlpy.torch_utility import TorchTrajectoryMiniBatch
from torch import Tensor, nn

from tests.oracles.record_d3rlpy import (
    ENCODERS,
    OURS,
    RATES,
    RULE,
    ShiftedGaussian,
    actor_critic,
    conservative_step,
    layers,
    set_epsilon,
    transformer_layers,
    use_policy,
)
from tests.oracles.recording import (
    ACTION_DIM,
    BATCH,
    LEARNING_RATE,
    OBS_DIM,
    Arrays,
    Step,
    drawing,
    record,
    shorten,
)

COMMIT = "19794ff"
WIDTH, HEADS = 8, 2
CONTEXT, UPDATES, WARMUP = 4, 4, 2  # updates: the first is CQL's
SAMPLES, ALPHA, DRAWS = 4, 5.0, 10
EPISODES, CUT = (10, 8, 3, 12), (1,)  # steps of the data's; those that a time limit ends
SCALE, DECAY, MAX_NORM, TARGET = 2.0, 0.1, 0.25, 6.0
RUNS, STEPS = 4, 6  # of acting: episodes, and how long they have gone on
CONFIG = {
    **OURS,
    "normalize_observations": False,
    "policy_learning_rate": LEARNING_RATE,
    "alpha": ALPHA,
    "samples": SAMPLES,
    "value_share": 1 / UPDATES,
    "context": CONTEXT,
    "embedding_dim": WIDTH,
    "heads": HEADS,
    "block_dims": (4 * WIDTH,),
    "dropout": 0.0,
    "transformer_batch_size": BATCH,
    "transformer_learning_rate": LEARNING_RATE,
    "weight_decay": DECAY,
    "warmup_steps": WARMUP,
    "max_grad_norm": MAX_NORM,
    "return_scale": SCALE,
    "target_return": TARGET,
}


def relabelling(folder: Path) -> Callable[..., None]:
    """The official function, without environments and the algorithms of that d3rlpy alone."""
    for name in ("d4rl", "d4rl.gym_mujoco"):
        sys.modules[name] = ModuleType(name)
    algos: Any = d3rlpy.algos
    algos.SeqIQL = None
    sys.path.insert(0, str(folder / "reproductions" / "offline"))
    found: Callable[..., None] = importlib.import_module("qdt").relabel_dataset_rtg
    return found


def draw_data(rng: np.random.Generator) -> Arrays:
    """Nothing is earned in the last steps: official labels begin as if that were so."""
    count, last = sum(EPISODES), np.cumsum(EPISODES) - 1
    limits = last[list(CUT)]
    rewards = rng.standard_normal(count)
    rewards[[*last, *(limits - 1)]] = 0
    rows = np.arange(count)
    data = {
        "observations": rng.standard_normal((count, OBS_DIM)),
        "actions": rng.uniform(-0.95, 0.95, (count, ACTION_DIM)),
        "rewards": rewards,
        "terminals": np.isin(rows, last) & ~np.isin(rows, limits),
        "timeouts": np.isin(rows, limits),
    }
    return {name: x.astype(np.float32) for name, x in data.items()}


def our_data(data: Arrays) -> Arrays:
    """Without the steps at time limits."""
    own = {**data, "next_observations": np.roll(data["observations"], -1, 0)}
    own["timeouts"] = np.roll(data["timeouts"], -1)
    return {name: x[data["timeouts"] == 0] for name, x in own.items()}


def make_cql() -> Any:
    algorithm = d3rlpy.algos.CQLConfig(
        **RATES,
        **ENCODERS,
        **RULE,
        temp_learning_rate=LEARNING_RATE,
        alpha_learning_rate=0.0,
        initial_alpha=1.0,
        conservative_weight=ALPHA,
        alpha_threshold=0.0,
        n_action_samples=SAMPLES,
    ).create(device="cpu:0")
    algorithm.create_impl((OBS_DIM,), ACTION_DIM)
    use_policy(algorithm.impl, ShiftedGaussian(algorithm.impl.modules.policy))
    return algorithm


def make_transformer() -> Any:
    algorithm = d3rlpy.algos.DecisionTransformerConfig(
        context_size=CONTEXT,
        max_timestep=max(EPISODES) - 1,  # it adds two, and counts from 1
        learning_rate=LEARNING_RATE,
        encoder_factory=VectorEncoderFactory([WIDTH], exclude_last_activation=True),
        optim_factory=AdamWFactory(
            weight_decay=DECAY,
            clip_grad_norm=MAX_NORM,
            lr_scheduler_factory=WarmupSchedulerFactory(warmup_steps=WARMUP),
        ),
        reward_scaler=MultiplyRewardScaler(1 / SCALE),
        num_heads=HEADS,
        num_layers=1,
        attn_dropout=0.0,
        resid_dropout=0.0,
        embed_dropout=0.0,
    ).create(device="cpu:0")
    algorithm.create_impl((OBS_DIM,), ACTION_DIM)
    set_epsilon([algorithm.impl.modules.transformer], 1e-5)
    return algorithm


def arrays_of(module: nn.Module, read: Callable[[Tensor], Tensor]) -> Arrays:
    """By our names; times are counted from 0."""
    if not hasattr(module, "_gpt2"):
        return layers(module, read)
    arrays = transformer_layers(module, read)
    return {**arrays, "times": arrays["times"][1:]}


class Episodes:
    """The data in d3rlpy's buffer, whose returns are relabelled when CQL has been trained."""

    def __init__(self, relabel: Callable[..., None], cql: Any, data: Arrays) -> None:
        self._relabel, self._cql, self._slice = relabel, cql, BasicTrajectorySlicer()
        self._buffer: Any = MDPDataset(**data).buffer

    def relabel(self) -> None:
        """By the draws that our V is averaged over, the same for all states."""
        draws = torch.randn(DRAWS, ACTION_DIM, generator=torch.Generator().manual_seed(0))
        with drawing(*[draw.expand(n, -1) for n in reversed(EPISODES) for draw in draws]):
            self._relabel(self._buffer, self._cql, CONTEXT, DRAWS)

    def returns(self) -> np.ndarray:
        """Of every transition: the return to go where a window ends with it."""
        windows = (self._slice(*transition, 1) for transition in self._buffer._transitions)
        return np.array([window.returns_to_go[-1, 0] for window in windows])

    def windows(self, ends: np.ndarray) -> TorchTrajectoryMiniBatch:
        """Those that end with these transitions."""
        parts = [self._slice(*self._buffer[i], CONTEXT) for i in ends]
        return TorchTrajectoryMiniBatch.from_batch(
            TrajectoryMiniBatch.from_partial_trajectories(parts),
            "cpu:0",
            reward_scaler=MultiplyRewardScaler(1 / SCALE),
        )


@dataclass(frozen=True)
class Window:
    """One of ours, and the step at which it is to be cut off: where the official one ends."""

    place: tuple[int, int]  # update and row
    rows: slice  # of our data
    length: int
    start: int  # time within the episode
    end: int  # index within the window
    last: int  # row of our data


def choose_windows(ends: Any, lengths: Sequence[int]) -> list[Window]:
    """Of the transformer's updates.

    ends: rows of our data, [UPDATES - 1, BATCH]. lengths: of its episodes.
    """
    limits = np.cumsum(lengths)
    starts = limits - np.array(lengths)
    found = []
    for (k, row), last in np.ndenumerate(ends):
        episode = np.searchsorted(limits, last, "right")
        begin, stop = starts[episode], limits[episode]
        first = max(begin, last - CONTEXT + 1)
        length = min(CONTEXT, stop - first)
        rows = slice(first, first + length)
        found.append(Window((k + 1, row), rows, length, first - begin, last - first, last))
    return found


class Batches:
    """Ours: the transformer's are windows of the data, CQL's is of what was drawn."""

    def __init__(self, windows: Sequence[Window], data: Arrays) -> None:
        self._windows, self._data = windows, data
        self._to_go = np.empty(0)

    def fill(self, seen: Arrays) -> None:
        lengths = np.full((UPDATES, BATCH), CONTEXT)
        for window in self._windows:
            lengths[window.place] = window.length
            for name in ("observations", "actions", "rewards"):
                seen[name][window.place][: window.length] = self._data[name][window.rows]
            seen["steps"][window.place] = window.start + np.arange(CONTEXT)
        shorten(seen, lengths)
        self._to_go = seen["to_go"]

    def cut(self, noise: Arrays) -> None:
        """By the noise that tells where a window of an episode's first steps ends."""
        for window in self._windows:
            noise["end"][window.place] = (window.end + 0.5) / window.length

    def label(self, returns: np.ndarray) -> None:
        """Each window's last step, once the returns are known."""
        for window in self._windows:
            self._to_go[window.place][window.end] = returns[window.last]


def stepper(cql: Any, transformer: Any, episodes: Episodes, ends: np.ndarray) -> Step:
    learn_values, impl = conservative_step(cql.impl, max_backup=False), transformer.impl
    own_loss = impl.compute_loss

    def loss(batch: TorchTrajectoryMiniBatch) -> Tensor:
        """By as many as ours: official, a sum over dimensions and a mean over padding, too."""
        scaled: Tensor = own_loss(batch) * batch.masks.numel() / batch.masks.sum() / ACTION_DIM
        return scaled

    impl.compute_loss = loss

    def step(k: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        if k > 1:
            impl.modules.transformer.train()
            found = impl.inner_update(episodes.windows(ends[k - 2]), k)
            return {"transformer/loss": found["loss"]}
        firsts = {name: x[:, 0] for name, x in batch.items()}
        losses = learn_values(k, firsts, noise)
        episodes.relabel()
        return losses

    return step


def acted(transformer: Any, rng: np.random.Generator) -> Arrays:
    """The official actions late in episodes, and what they came after."""
    observations = rng.standard_normal((RUNS, STEPS, OBS_DIM)).astype(np.float32)
    rewards = rng.standard_normal((RUNS, STEPS)).astype(np.float32)
    rewards[:, -1] = 0  # not known yet
    actions = np.zeros((RUNS, STEPS, ACTION_DIM), np.float32)
    for run in range(RUNS):
        policy: Any = transformer.as_stateful_wrapper(target_return=TARGET)
        for t in range(STEPS):
            reward = rewards[run, t - 1] if t else 0
            actions[run, t] = policy.predict(observations[run, t], reward)
    taken = actions.copy()
    taken[:, -1] = 0
    history: Arrays = {
        "observations": observations,
        "actions": taken,
        "rewards": rewards,
        "earned": rewards.cumsum(1) - rewards,
        "steps": np.tile(np.arange(STEPS), (RUNS, 1)),
    }
    recent = {f"history/{name}": x[:, -CONTEXT:] for name, x in history.items()}
    return {**recent, "actions": actions[:, -1]}


def main(folder: Path) -> None:
    rng = np.random.default_rng(1)
    data, cql, transformer = draw_data(rng), make_cql(), make_transformer()
    own = our_data(data)
    episodes = Episodes(relabelling(folder), cql, data)
    ends = rng.integers(len(own["rewards"]), size=(UPDATES - 1, BATCH))
    lengths = [n - (i in CUT) for i, n in enumerate(EPISODES)]
    batches = Batches(choose_windows(ends, lengths), own)

    def made() -> Arrays:
        returns = episodes.returns()
        batches.label(returns)
        return {"returns to go/columns/to_go": returns}

    modules, learned = cql.impl.modules, transformer.impl.modules
    optimizers = (modules.actor_optim, modules.critic_optim, modules.temp_optim, learned.optim)
    several = SAMPLES * ACTION_DIM
    record(
        "qdt",
        "qdt",
        {
            **actor_critic(cql.impl),
            "params/temperature": [modules.log_temp],
            "params/transformer": [learned.transformer],
        },
        [wrapper.optim for wrapper in optimizers],
        stepper(cql, transformer, episodes, ends),
        layers=arrays_of,
        updates=UPDATES,
        noise={"gaussian": ACTION_DIM, "current": several, "following": several},
        silent={"next_gaussian": ACTION_DIM},
        uniform={"uniform": several, "end": 1},
        columns={"to_go": 0},
        context=CONTEXT,
        data=own,
        given=batches.fill,
        prepare=batches.cut,
        made=made,
        act=lambda: acted(transformer, rng),
        without={
            "adam_means/temperature/log": slice(None),
            # Softmax ignores what is added to all keys alike: rounding alone moves their bias.
            "params/transformer/bias_qkv_0": slice(WIDTH, 2 * WIDTH),
        },
        config=CONFIG,
        compared="CQL's update as that of `cql`; returns relabelled by its values and our draws, "
        "of episodes that end without rewards; three updates of d3rlpy's transformer on windows "
        "that end at given steps, without dropout, by our scale of the loss and ε of layer norms; "
        "then its actions",
        oracle="official code and d3rlpy",
        version=f"{COMMIT}, {d3rlpy.__version__}",
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    main(Path(sys.argv[1]))
