"""Records QT's own code: `python -m tests.oracles.record_qt FOLDER`, a checkout of it.

It is charleshsc/QT at the commit below; nothing of it is part of this repository.
"""

from __future__ import annotations

import copy
import importlib
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tests.oracles.recording import (
    ACTION_DIM,
    BATCH,
    LEARNING_RATE,
    OBS_DIM,
    SETTINGS,
    TAU,
    Arrays,
    Step,
    array,
    drawing,
    perceptron,
    record,
    shorten,
)

COMMIT = "cb9e1a4"
WIDTH, HEADS, BLOCK_WIDTHS, CRITIC_WIDTH = 8, 2, (16,), 8
CONTEXT, LONGEST, UPDATES = 4, 32, 3
SCALE, ETA, EMA, MAX_NORM = 2.0, 0.7, 0.1, 0.5
TARGETS, CANDIDATES = (6.0, -2.0), 50
EPISODES, STEPS = 16, 3  # of acting: shorter than the context
Read = Callable[[Tensor], Tensor]


class Conv1D(nn.Module):
    """What transformers calls a linear layer whose weights are [inputs, outputs]."""

    def __init__(self, outputs: int, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class PreTrainedModel(nn.Module):
    """What the official GPT-2 takes of its base class."""

    dtype = torch.float32

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    def init_weights(self) -> None:
        pass

    def get_head_mask(self, _: None, count: int) -> list[None]:
        return [None] * count


def settings(**given: Any) -> SimpleNamespace:
    """Of GPT-2: those that transformers sets where the official code does not, and no dropout."""
    own = {"n_ctx": 1024, "layer_norm_epsilon": 1e-5, "add_cross_attention": False}
    asked = dict.fromkeys(("output_attentions", "output_hidden_states"), False)
    return SimpleNamespace(**own, **asked, use_cache=True, use_return_dict=True, **given)


def stub_transformers() -> None:
    """The parts of transformers that the official networks import."""

    def unchanged(*_: Any, **__: Any) -> Callable[[Any], Any]:
        return lambda function: function

    decorators = ("code_sample_docstrings", "start_docstrings")
    parts: Mapping[str, Mapping[str, Any]] = {
        "": {"GPT2Config": settings},
        ".activations": {"ACT2FN": {"relu": F.relu}},
        ".file_utils": {
            "ModelOutput": object,
            "replace_return_docstrings": unchanged,
            "add_start_docstrings_to_model_forward": unchanged,
            **{f"add_{name}": unchanged for name in decorators},
        },
        ".modeling_outputs": {"BaseModelOutputWithPastAndCrossAttentions": dict},
        ".modeling_utils": {
            "Conv1D": Conv1D,
            "PreTrainedModel": PreTrainedModel,
            **dict.fromkeys(
                ("SequenceSummary", "find_pruneable_heads_and_indices", "prune_conv1d_layer")
            ),
        },
        ".utils": {"logging": mock.MagicMock()},
        ".utils.model_parallel_utils": {"assert_device_map": None, "get_device_map": None},
        ".models": {},
        ".models.gpt2": {},
        ".models.gpt2.configuration_gpt2": {"GPT2Config": settings},
    }
    for name, content in parts.items():
        module = ModuleType(f"transformers{name}")
        module.__dict__.update(content)
        sys.modules[module.__name__] = module


def make_trainer() -> Any:
    """The official trainer of small networks, without dropout and weight decay."""
    models = importlib.import_module("decision_transformer.models.ql_DT")
    training: Any = importlib.import_module("decision_transformer.training.ql_trainer")
    training.trange = range
    model = models.DecisionTransformer(
        OBS_DIM,
        ACTION_DIM,
        WIDTH,
        max_length=CONTEXT,
        max_ep_len=LONGEST,
        scale=SCALE,
        rtg_no_q=True,
        n_layer=len(BLOCK_WIDTHS),
        n_head=HEADS,
        n_inner=BLOCK_WIDTHS[0],
        activation_function="relu",
        resid_pdrop=0.0,
        attn_pdrop=0.0,
        embd_pdrop=0.0,
    )
    trainer = training.Trainer(
        model,
        models.Critic(OBS_DIM, ACTION_DIM, CRITIC_WIDTH),
        BATCH,
        TAU,
        SETTINGS["discount"],
        get_batch=None,
        loss_fn=None,
        eta=ETA,
        ema_decay=1 - EMA,
        step_start_ema=-1,
        update_ema_every=1,
        lr=LEARNING_RATE,
        weight_decay=0.0,
        lr_decay=True,
        lr_maxt=UPDATES,
        grad_norm=MAX_NORM,
        scale=SCALE,
        k_rewards=True,
        use_discount=True,
    )
    trainer.critic_optimizer.param_groups[0]["lr"] = LEARNING_RATE
    trainer.critic_lr_scheduler.base_lrs = [LEARNING_RATE]
    return trainer


def arrays_of(module: nn.Module, read: Read) -> Arrays:
    """By our names."""
    of = transformer_arrays if hasattr(module, "embed_timestep") else perceptron
    return of(module, read)


def transformer_arrays(network: Any, read: Read) -> Arrays:
    arrays: Arrays = {"times": array(read(network.embed_timestep.weight))}

    def add(name: str, layer: Any) -> None:
        weight = read(layer.weight)
        kinds = ("weight", "bias")
        if isinstance(layer, nn.Linear):
            weight = weight.T
        elif isinstance(layer, nn.LayerNorm):
            kinds, weight = ("scale", "shift"), weight[None]
        arrays[f"{kinds[0]}_{name}"] = array(weight)
        arrays[f"{kinds[1]}_{name}"] = array(read(layer.bias)[None])

    add("tokens", network.embed_ln)
    add("return", network.embed_return)
    add("state", network.embed_state)
    add("action", network.embed_action)
    add("head", network.predict_action[0])
    add("next", network.predict_state)
    for i, block in enumerate(network.transformer.h):
        add(f"attention_{i}", block.ln_1)
        add(f"qkv_{i}", block.attn.c_attn)
        add(f"mixed_{i}", block.attn.c_proj)
        add(f"mlp_{i}", block.ln_2)
        add(f"up_{i}", block.mlp.c_fc)
        add(f"down_{i}", block.mlp.c_proj)
    add("last", network.transformer.ln_f)
    return arrays


def goes_on(batch: Arrays) -> None:
    """Windows of one to all steps, none of which ends its episode."""
    batch["masks"][:] = 1
    shorten(batch, 1 + np.arange(BATCH) % CONTEXT)


def window(batch: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """As the official trainer's `get_batch` returns it: what is missing is in front."""
    lengths = batch["valid"].sum(1).long().tolist()

    def late(x: Tensor) -> Tensor:
        rows = zip(x, lengths, strict=True)
        return torch.stack([F.pad(row[:n], (0, 0, CONTEXT - n, 0)) for row, n in rows])

    actions = late(batch["actions"])
    to_go = F.pad(late(batch["to_go"].unsqueeze(-1)) / SCALE, (0, 0, 0, 1))
    there = late(batch["valid"].unsqueeze(-1))
    return (
        late(batch["observations"]),
        actions,
        late(batch["rewards"].unsqueeze(-1)),
        actions.clone(),
        1 - there.long(),
        to_go,
        late(batch["steps"].unsqueeze(-1)).squeeze(-1),
        there.squeeze(-1).double(),
    )


def iterate(trainer: Any, coin: float, clip: Callable[..., Tensor]) -> dict[str, float]:
    """An iteration of one update, and the losses that it logs."""
    logger = mock.MagicMock()
    with (
        warnings.catch_warnings(),
        mock.patch("numpy.random.uniform", return_value=coin),
        mock.patch("torch.nn.utils.clip_grad_norm_", clip),
    ):
        warnings.simplefilter("ignore")  # of a copied scheduler
        trainer.train_iteration(1, logger)
    return {call.args[0]: float(call.args[1]) for call in logger.record_tabular.call_args_list}


def stepper(trainer: Any) -> Step:
    """Updates by the mean of the actor's gradients after both outcomes of the coin."""
    own = nn.utils.clip_grad_norm_

    def step(_: int, batch: Mapping[str, Tensor], __: Mapping[str, Tensor]) -> Any:
        trainer.get_batch = lambda _: window(batch)
        other = copy.deepcopy(trainer)
        found: list[Tensor | None] = []

        def keep(parameters: Iterable[Tensor], **limits: Any) -> Tensor:
            given = list(parameters)
            found[:] = [None if p.grad is None else p.grad.clone() for p in given]
            return own(given, **limits)

        def average(parameters: Iterable[Tensor], **limits: Any) -> Tensor:
            given = list(parameters)
            if given[0] is next(trainer.actor.parameters()):
                for p, gradient in zip(given, found, strict=True):
                    if gradient is not None and p.grad is not None:
                        p.grad = (p.grad + gradient) / 2
            return own(given, **limits)

        tails, heads = iterate(other, 0.0, keep), iterate(trainer, 1.0, average)
        return {
            "critic/loss": heads["Critic Loss"],
            "actor/bc_loss": heads["BC Loss"],
            "actor/q_loss": (heads["QL Loss"] + tails["QL Loss"]) / 2,
        }

    return step


def acted(trainer: Any, rng: np.random.Generator) -> Arrays:
    """The official choices of episodes that began together, and what they were made by."""
    shape = (EPISODES, STEPS)
    normal = {
        "history/observations": (*shape, OBS_DIM),
        "history/actions": (*shape, ACTION_DIM),
        "history/rewards": shape,
        "noise/returns": (EPISODES, CANDIDATES),
    }
    arrays = {name: rng.standard_normal(size).astype(np.float32) for name, size in normal.items()}
    # So near each other that Q counts, too; and candidates that ask for a target exactly.
    highest = 0.5 + np.geomspace(1e-4, 1e-2, EPISODES)[:, None]
    choice = rng.uniform(0.5, highest, (EPISODES, CANDIDATES)).astype(np.float32)
    choice[range(2), range(2)] = 0.99
    arrays["noise/choice"] = choice
    rewards = arrays["history/rewards"]
    arrays["history/earned"] = rewards.cumsum(1) - rewards
    arrays["history/steps"] = np.tile(np.arange(STEPS), (EPISODES, 1))
    trainer.actor.eval()
    given = ({name: torch.tensor(x[i]) for name, x in arrays.items()} for i in range(EPISODES))
    with torch.no_grad():
        actions = [choose(trainer, episode) for episode in given]
    return {**arrays, "actions": np.concatenate(actions)}


def choose(trainer: Any, episode: Mapping[str, Tensor]) -> np.ndarray:
    gumbel = -torch.log(-torch.log(episode["noise/choice"]))
    to_go = (torch.tensor(TARGETS).unsqueeze(1) - episode["history/earned"]) / SCALE
    spread = episode["noise/returns"][len(TARGETS) :].unsqueeze(1)

    def draw(probabilities: Tensor, _: int) -> Tensor:
        return (probabilities.log() + gumbel).argmax(keepdim=True)

    with (
        drawing(torch.zeros(0, STEPS, 1), spread),
        mock.patch("torch.multinomial", draw),
    ):
        action = trainer.actor.get_action(
            trainer.critic_target,
            *(episode[f"history/{name}"] for name in ("observations", "actions", "rewards")),
            to_go,
            episode["history/steps"],
        )
    return array(action)


def main() -> None:
    trainer = make_trainer()
    critic, target = trainer.critic, trainer.critic_target
    rng = np.random.default_rng(1)
    keys = slice(WIDTH, 2 * WIDTH)
    record(
        "qt",
        "qt",
        {
            "params/actor": [trainer.actor],
            "params/critic": [critic.q1_model, critic.q2_model],
            "targets/actor": [trainer.ema_model],
            "targets/critic": [target.q1_model, target.q2_model],
        },
        [trainer.actor_optimizer, trainer.critic_optimizer],
        stepper(trainer),
        layers=arrays_of,
        updates=UPDATES,
        noise={},
        columns={"to_go": 0},
        context=CONTEXT,
        given=goes_on,
        act=lambda: acted(trainer, rng),
        # Softmax ignores what is added to all keys alike: rounding alone moves their bias.
        without={
            f"{group}/actor/bias_qkv_{i}": keys
            for group in ("params", "targets")
            for i in range(len(BLOCK_WIDTHS))
        },
        config={
            **SETTINGS,
            "hidden_dims": (CRITIC_WIDTH,) * 3,
            "block_dims": BLOCK_WIDTHS,
            "context": CONTEXT,
            "embedding_dim": WIDTH,
            "heads": HEADS,
            "dropout": 0.0,
            "learning_rate": LEARNING_RATE,
            "weight_decay": 0.0,
            "max_grad_norm": MAX_NORM,
            "return_scale": SCALE,
            "eta": ETA,
            "tau": TAU,
            "ema": EMA,
            "target_returns": TARGETS,
            "candidates": CANDIDATES,
        },
        compared="three updates by the mean of both outcomes of the coin, on windows of one to all "
        "steps that end no episode, without dropout and weight decay, the average moved and the "
        "rates decayed in every update; then actions by its choice among candidates, without the "
        "last one's own return; linear layers and settings of transformers are stand-ins",
        oracle="official code",
        version=COMMIT,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sys.path.insert(0, sys.argv[1])
    stub_transformers()
    main()
