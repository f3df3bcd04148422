"""Records the Trajectory Transformer's own code: `python -m tests.oracles.record_tt FOLDER`.

FOLDER is a checkout of JannerM/trajectory-transformer at the commit below; nothing of it is part of
this repository.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from tests.oracles.recording import (
    ACTION_DIM,
    BATCH,
    LEARNING_RATE,
    OBS_DIM,
    Arrays,
    Step,
    array,
    bare_packages,
    record,
    shorten,
)

COMMIT = "8834a6e"
DIMS = OBS_DIM + ACTION_DIM + 2
WIDTH, HEADS, BLOCKS = 8, 2, 2
CONTEXT, BINS, UPDATES = 4, 5, 6
EPISODES = (12, 5, 2, 9, 12, 10)  # of the data; together a multiple of the bins
REMAINING = (*[CONTEXT] * 10, 3, 3, 3, 2, 2, 2)  # steps of a batch's windows
ACTION_WEIGHT, PENALTY, DECAY, MAX_NORM = 5.0, -8.0, 0.1, 0.5
DISCOUNT = 0.6  # so small that plans of this length tell it
HORIZON, BEAM, EXPANSIONS, WINDOW = 4, 4, 3, 3
CUT, TOP_K = 0.55, 2
PLANS, STEPS = 16, 2  # of acting: episodes, and how long they have gone on
Read = Callable[[Tensor], Tensor]


def package(folder: Path) -> Any:
    """The official parts, without argument parsers, rendering and environments."""
    bare_packages(folder, "trajectory", "trajectory.utils", "trajectory.datasets")
    sys.modules |= {name: mock.MagicMock() for name in ("gym", "d4rl")}
    arrays: Any = importlib.import_module("trajectory.utils.arrays")
    arrays.DEVICE = "cpu"
    utils: Any = sys.modules["trajectory.utils"]
    utils.Silent = importlib.import_module("trajectory.utils.progress").Silent
    parts = {
        "datasets": "datasets.sequence",
        "models": "models.transformers",
        "search": "search",
        "training": "utils.training",
    }
    found = {k: importlib.import_module(f"trajectory.{name}") for k, name in parts.items()}
    return SimpleNamespace(**found)


def draw_data(rng: np.random.Generator) -> Arrays:
    """Episodes that end for good."""
    count = sum(EPISODES)
    observations = rng.standard_normal((count, OBS_DIM))
    data = {
        "observations": observations,
        "actions": rng.uniform(-0.95, 0.95, (count, ACTION_DIM)),
        "rewards": rng.standard_normal(count),
        "next_observations": np.roll(observations, -1, 0),
        "terminals": np.isin(np.arange(count), np.cumsum(EPISODES) - 1),
        "timeouts": np.zeros(count),
    }
    return {name: x.astype(np.float32) for name, x in data.items()}


def make_dataset(official: Any, data: Arrays) -> Any:
    """The official data set; its reader leaves out the last row, so there is one more."""
    rows = {name: np.concatenate([x, x[-1:]]) for name, x in data.items()}
    return official.datasets.DiscretizedDataset(
        SimpleNamespace(name="", unwrapped=SimpleNamespace(get_dataset=lambda: rows)),
        sequence_length=CONTEXT,
        step=1,
        discount=DISCOUNT,
        max_path_length=max(EPISODES),
        penalty=PENALTY,
        N=BINS,
    )


def make_model(official: Any) -> Any:
    return official.models.GPT(
        SimpleNamespace(
            vocab_size=BINS,
            block_size=CONTEXT * DIMS - 1,
            n_layer=BLOCKS,
            n_head=HEADS,
            n_embd=WIDTH,
            observation_dim=OBS_DIM,
            action_dim=ACTION_DIM,
            transition_dim=DIMS,
            action_weight=ACTION_WEIGHT,
            reward_weight=1,
            value_weight=1,
            embd_pdrop=0.0,
            resid_pdrop=0.0,
            attn_pdrop=0.0,
        )
    )


def make_trainer(official: Any) -> Any:
    """Without warm-up: what is counted are a batch's tokens, as many in each."""
    tokens = sum(length * DIMS - 1 for length in REMAINING)
    return official.training.Trainer(
        SimpleNamespace(
            device="cpu",
            batch_size=BATCH,
            num_workers=0,
            learning_rate=LEARNING_RATE,
            betas=(0.9, 0.95),
            grad_norm_clip=MAX_NORM,
            weight_decay=DECAY,
            lr_decay=True,
            warmup_tokens=0,
            final_tokens=UPDATES * tokens,
        )
    )


class Windows(list[Any]):
    """A data set of one batch."""

    N = BINS


def choose_windows(dataset: Any, rng: np.random.Generator) -> list[list[int]]:
    """Of every update: numbers of windows with as many steps as they shall have."""
    lengths = [dataset.path_lengths[path] - start for path, start, _ in dataset.indices]
    remaining = np.minimum(lengths, CONTEXT)
    of = {n: np.flatnonzero(remaining == n) for n in set(REMAINING)}
    return [[int(rng.choice(of[n])) for n in REMAINING] for _ in range(UPDATES)]


def fill(batch: Arrays, dataset: Any, chosen: list[list[int]]) -> None:
    """The numbers of these windows; later rewards are ours: discounted to the present step."""
    for k, windows in enumerate(chosen):
        for row, (path, start, end) in enumerate(dataset.indices[windows]):
            numbers = dataset.joined_segmented[path, start:end]
            observations, actions, outcome = np.split(numbers, [OBS_DIM, DIMS - 2], 1)
            batch["observations"][k, row], batch["actions"][k, row] = observations, actions
            batch["rewards"][k, row] = outcome[:, 0]
            batch["returns"][k, row] = outcome @ [1, DISCOUNT]
            batch["steps"][k, row] = np.arange(start, end)
    shorten(batch, np.array(REMAINING))


def arrays_of(network: Any, read: Read) -> Arrays:
    """By our names; ours has one more place, of a token that predicts none of a window's."""
    vocabulary, places = read(network.tok_emb.weight), read(network.pos_emb)[0]
    arrays = {
        "tokens": array(vocabulary[:-1].view(DIMS, BINS, WIDTH)),
        "over": array(vocabulary[-1:]),
        "places": array(torch.cat([places, torch.zeros(1, WIDTH)])),
        "weight_head": array(read(network.head.weight).mT),
    }

    def add_linear(name: str, *linears: nn.Linear) -> None:
        weights, biases = zip(*[(read(x.weight), read(x.bias)) for x in linears], strict=True)
        arrays[f"weight_{name}"] = array(torch.cat(weights).T)
        arrays[f"bias_{name}"] = array(torch.cat(biases)[None])

    def add_norm(name: str, norm: nn.LayerNorm) -> None:
        arrays[f"scale_{name}"] = array(read(norm.weight)[None])
        arrays[f"shift_{name}"] = array(read(norm.bias)[None])

    for i, block in enumerate(network.blocks):
        add_norm(f"attention_{i}", block.ln1)
        add_linear(f"qkv_{i}", block.attn.query, block.attn.key, block.attn.value)
        add_linear(f"mixed_{i}", block.attn.proj)
        add_norm(f"mlp_{i}", block.ln2)
        add_linear(f"up_{i}", block.mlp[0])
        add_linear(f"down_{i}", block.mlp[2])
    add_norm("last", network.ln_f)
    return arrays


def stepper(trainer: Any, model: Any, dataset: Any, chosen: list[list[int]]) -> Step:
    losses: list[Tensor] = []
    model.register_forward_hook(lambda _, __, found: losses.append(found[1]))

    def step(k: int, _: Mapping[str, Tensor], __: Mapping[str, Tensor]) -> Any:
        trainer.train(model, Windows(dataset[i] for i in chosen[k - 1]))
        return {"model/loss": losses[-1].item()}

    return step


def draws(uniform: Tensor) -> Iterator[Tensor]:
    """For every token of a search by its order: what is sampled, and 0 for what is likeliest.

    uniform: [transitions, plans and their copies, action_dim], copies of a plan in a row, as ours.
    """
    for t, of_transition in enumerate(uniform):
        if t:  # official: all plans, then all of them again
            by_plan = of_transition.unflatten(0, (BEAM, EXPANSIONS))
            of_transition = by_plan.transpose(0, 1).flatten(0, 1)
        yield from of_transition.unbind(-1)
        yield from torch.zeros(2 + OBS_DIM * (t < HORIZON - 1), 1)


def plan(official: Any, model: Any, dataset: Any, episode: Mapping[str, np.ndarray]) -> Any:
    """The official first action of the best plan."""
    search, discretizer = official.search, dataset.discretizer
    context: list[Tensor] = []
    past = (episode[f"history/{name}"] for name in ("observations", "actions", "rewards"))
    *before, (observation, _, _) = zip(*past, strict=True)
    for transition in before:
        context = search.update_context(context, discretizer, *transition, WINDOW)
    prefix = search.make_prefix(discretizer, context, observation)
    uniform = torch.tensor(episode["noise/plans"]).view(HORIZON, BEAM * EXPANSIONS, ACTION_DIM)
    drawn = draws(uniform)

    def draw(probabilities: Tensor, num_samples: int) -> Tensor:
        cumulative = probabilities.cumsum(-1)
        limit = next(drawn).unsqueeze(-1) * cumulative[:, -1:]
        return (cumulative <= limit).sum(-1, keepdim=True)

    with mock.patch("torch.multinomial", draw):
        sequence = search.beam_plan(
            model,
            lambda probabilities: discretizer.value_fn(probabilities, "mean"),
            prefix,
            HORIZON,
            BEAM,
            EXPANSIONS,
            OBS_DIM,
            ACTION_DIM,
            DISCOUNT,
            WINDOW,
            k_obs=1,
            k_act=TOP_K,
            cdf_act=CUT,
            verbose=False,
        )
    assert next(drawn, None) is None
    return search.extract_actions(discretizer.reconstruct(sequence), OBS_DIM, ACTION_DIM, t=0)


def acted(official: Any, model: Any, dataset: Any, rng: np.random.Generator) -> Arrays:
    """The first actions of official plans, and what they were made by."""
    shape = (PLANS, STEPS)
    width = HORIZON * BEAM * EXPANSIONS * ACTION_DIM
    arrays = {
        "history/observations": rng.standard_normal((*shape, OBS_DIM)),
        "history/actions": rng.uniform(-0.95, 0.95, (*shape, ACTION_DIM)),
        "history/rewards": rng.standard_normal(shape),
        "history/earned": np.zeros(shape),
        "noise/plans": rng.random((PLANS, width)),
    }
    arrays = {name: x.astype(np.float32) for name, x in arrays.items()}
    actions = [
        plan(official, model, dataset, {name: x[i] for name, x in arrays.items()})
        for i in range(PLANS)
    ]
    steps = np.tile(np.arange(STEPS), (PLANS, 1))
    return {**arrays, "history/steps": steps, "actions": np.stack(actions).astype(np.float32)}


def edges(dataset: Any) -> Arrays:
    """Limits of bins; those of later rewards are ours: discounted to the present step."""
    scale = np.ones(DIMS)
    scale[-1] = DISCOUNT
    return {"bins/params/edges/values": (dataset.discretizer.thresholds * scale)[None]}


def main(folder: Path) -> None:
    official, rng = package(folder), np.random.default_rng(1)
    data = draw_data(rng)
    dataset = make_dataset(official, data)
    chosen = choose_windows(dataset, rng)
    model, trainer = make_model(official), make_trainer(official)
    record(
        "tt",
        "tt",
        {"params/model": [model]},
        [trainer.get_optimizer(model)],
        stepper(trainer, model, dataset, chosen),
        layers=arrays_of,
        updates=UPDATES,
        noise={},
        context=CONTEXT,
        data=data,
        made=lambda: edges(dataset),
        given=lambda batch: fill(batch, dataset, chosen),
        act=lambda: acted(official, model, dataset, rng),
        # Softmax ignores what is added to all keys alike: rounding alone moves their bias.
        without={f"params/model/bias_qkv_{i}": slice(WIDTH, 2 * WIDTH) for i in range(BLOCKS)},
        config={
            "discount": DISCOUNT,
            "hidden_dims": (4 * WIDTH,) * BLOCKS,
            "context": CONTEXT,
            "embedding_dim": WIDTH,
            "heads": HEADS,
            "dropout": 0.0,
            "bins": BINS,
            "action_weight": ACTION_WEIGHT,
            "termination_penalty": PENALTY,
            "learning_rate": LEARNING_RATE,
            "warmup_steps": 1,
            "weight_decay": DECAY,
            "max_grad_norm": MAX_NORM,
            "horizon": HORIZON,
            "beam_width": BEAM,
            "expansions": EXPANSIONS,
            "planning_context": WINDOW,
            "action_cut": CUT,
            "action_top_k": TOP_K,
        },
        compared="six updates on windows of given episodes, in its bins of their numbers, without "
        "dropout and warm-up; then actions of its plans, whose tokens are drawn by our noise",
        oracle="official code",
        version=COMMIT,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    main(Path(sys.argv[1]))
