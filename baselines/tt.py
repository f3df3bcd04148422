"""Trajectory Transformer: a language model of whole trajectories, and a search for the best plan.

Paper: Janner et al., Offline Reinforcement Learning as One Big Sequence Modeling Problem,
arXiv:2106.02039.
Code: official, JannerM/trajectory-transformer at 8834a6e, `config/offline.py`,
`trajectory/models/transformers.py` and `trajectory/search/`.

Longer than most files here, as its tokens and its network are this method's alone; the search has a
file of its own, `tt_planning.py`.

A decision costs: for each of the plan's `horizon` transitions the model reads the
`planning_context - 1` transitions before it, in each of `beam_width` plans. Then it predicts one
token at a time: the observation's in each plan, the action's and the rewards' in each plan's
`expansions` copies.
On Hopper (16 tokens a transition) that is 150,000 tokens and 229 calls in a row, some 0.27 TFLOP a
step of an episode, and 2.7 PFLOP for ten full episodes. Keys and values take 84 MB an episode (4 KB
a token, 80 tokens, 256 plans). Beyond trials, it needs a GPU.

Deviations:
    - Losses: every token after an episode's end is to be predicted as "over". Left out of the loss
      are those at times that no episode of the data reaches (official: after step 1000).
    - Networks: a token stands for a bin, and all bins hold equally many of the data. Official: the
      last ones hold fewer where the number of transitions is no multiple of that of bins.
    - Schedule: the learning rate follows one cosine, down to a tenth over the run, from the first
      update on (official: after warm-up, with a period of 38 passes over the data, so it rises
      again; paper: to a tenth).
    - Schedule: warm-up is 3906 updates, a pass over 10⁶ windows (official: as many tokens as are in
      a pass over the data), and the first update's rate is the first of it (official: the whole
      rate once, as rates are set after updates).
    - Observations: used with all their dimensions (official: not on Ant and Kitchen).
    - Data: windows are drawn with replacement (official: passes over the data), and begin at an
      episode's last step, too; the data's last row is used, too, but of D4RL's files.
    - Data: a step at a time limit is left out of D4RL's files (official: not).
    - Data: values count what follows a time limit at the data's mean reward (official: 0). They are
      discounted to the present step (official: to the next), which bins and plans do not tell.
    - Data: values are differences in single precision, whose rounding parts equal ones where a
      bin's limit is among them (official: in double precision, and they share a bin).
    - Budget: the suite's (official: 50 passes over 10⁶ transitions' worth, 80 on Hopper and
      Walker2d medium-replay; 15 episodes).
    - Evaluation: keys and values are cached while a transition is planned, which changes rounding
      alone (official: every token is predicted from the whole sequence anew).

Uniform bins, the paper's other kind, can be chosen (official: quantiles alone).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from pydantic import model_validator
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from algorithms.base import (
    Adam,
    Algorithm,
    Batch,
    Config,
    History,
    Key,
    Loss,
    Networks,
    Noise,
    Phase,
    Stage,
)
from algorithms.blocks.transformer import Cache, Transformer, heads_divide_the_width
from algorithms.dropout import dropout
from algorithms.fields import (
    Count,
    LearningRate,
    Number,
    Positive,
    Rate,
    Several,
    ShareOrNone,
    Weight,
    Widths,
)
from algorithms.initialisation import PYTORCH
from algorithms.networks import Params, bank, product
from algorithms.transitions import Transitions
from baselines.tt_planning import BeamSearch


class TTConfig(Config):
    """The Trajectory Transformer's settings, with the official code's values for Gym locomotion."""

    hidden_dims: Widths = (512, 512, 512, 512)  # hidden units of each block's MLP; as many blocks
    normalize_observations: bool = False  # shift and scale by the dataset's mean and std
    context: Several = 10  # transitions of a window that it learns from
    embedding_dim: Count = 128  # width of a token
    heads: Count = 4  # of attention; they divide the width
    dropout: Rate = 0.1  # of embeddings, attention weights and residuals
    bins: Several = 100  # N, tokens of each dimension
    binning: Literal["quantile", "uniform"] = "quantile"  # bins of equal shares, or equal widths
    action_weight: Weight = 5.0  # of the loss of actions' tokens
    termination_penalty: Number | None = -100.0  # the reward of a terminal step; null: its own
    learning_rate: LearningRate = 6e-4  # AdamW, annealed to a tenth
    warmup_steps: Count = 3906  # updates over which the learning rate rises
    weight_decay: Weight = 0.1  # of AdamW, on the weights of linear layers
    max_grad_norm: Positive = 1.0  # bound of the gradient
    horizon: Count = 15  # transitions of a plan
    beam_width: Count = 128  # plans that are kept
    expansions: Count = 2  # ways in which each of them is continued
    planning_context: Several = 5  # transitions seen in planning, the planned one included
    action_cut: ShareOrNone | None = 0.6  # probability of the tokens that no action has; null: 0
    action_top_k: Count | None = None  # likeliest tokens that an action may have; null: any

    _heads_divide = model_validator(mode="after")(heads_divide_the_width)


@dataclass(frozen=True)
class TokenModel:
    """p(x_t | x_<t) of tokens that are a trajectory's numbers in turn, D for each transition.

    Called with tokens `[S, B, T]`, 0 to N, of which the first begins a transition, it returns
    logits of each next one `[S, B, T, N + 1]`. With a cache, tokens follow those of the cache: one,
    if these end within a transition.
    """

    dims: int  # D
    bins: int  # N
    context: int  # L, transitions
    transformer: Transformer

    def init(self, generator: torch.Generator) -> Params:
        """Embeddings N(0, 0.02²), places 0, and PyTorch's for the layers that read tokens out."""
        width = self.transformer.width
        params = self.transformer.init(generator)
        head, _ = PYTORCH.layer(self.dims, width, self.bins + 1, generator, last=False)
        return params | {
            "tokens": 0.02 * torch.randn(1, self.dims, self.bins, width, generator=generator),
            "over": 0.02 * torch.randn(1, 1, width, generator=generator),
            "places": torch.zeros(1, self.context * self.dims, width),
            "weight_head": head.unsqueeze(0),
        }

    def __call__(
        self,
        params: Params,
        *inputs: Tensor,
        key: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        (tokens,) = inputs
        start = cache.length if cache is not None else 0
        # A product, as the gradient of a look-up sums in no fixed order on GPUs.
        one_hot = tokens.unsqueeze(-1) == torch.arange(self.bins, device=tokens.device)
        x = self._by_dimension(one_hot.float(), bank(params, "tokens"), start)
        x = x + (tokens == self.bins).unsqueeze(-1) * bank(params, "over").unsqueeze(1)
        x = x + bank(params, "places")[:, None, start : start + tokens.shape[2]]
        x = dropout(x, key, self.transformer.sites, self.transformer.dropout)
        x = self.transformer(params, x, key=key, cache=cache)
        return self._by_dimension(x, bank(params, "weight_head"), start)

    def _by_dimension(self, x: Tensor, weights: Tensor, start: int) -> Tensor:
        """Each token by the matrix of its dimension. [S, B, T, n], [S, D, n, m] -> [S, B, T, m]."""
        seeds, batch, length, _ = x.shape
        first, kinds = start % self.dims, min(length, self.dims)
        steps = -(-length // kinds)
        x = F.pad(x, (0, 0, 0, steps * kinds - length)).view(seeds, batch, steps, kinds, -1)
        of_kind = x.permute(0, 3, 1, 2, 4).reshape(seeds * kinds, batch * steps, -1)
        y = product(of_kind, weights[:, first : first + kinds].flatten(0, 1))
        y = y.view(seeds, kinds, batch, steps, -1).permute(0, 2, 3, 1, 4)
        return y.flatten(2, 3)[:, :, :length]


@dataclass(frozen=True, eq=False)
class Edges:
    """The limits of every dimension's bins, which nothing trains: called with nothing, it returns
    `[S, N + 1, D]`. As a network's they are on its device and in its checkpoints.
    """

    values: Tensor  # [N + 1, D]

    def init(self, generator: torch.Generator) -> Params:
        return {"values": self.values.unsqueeze(0)}

    def __call__(self, params: Params, *inputs: Tensor) -> Tensor:
        return bank(params, "values")


def tokenize(numbers: Tensor, edges: Tensor) -> Tensor:
    """The bins that numbers are in, 0 to N - 1. [S, B, L, D], [S, N + 1, D] -> int64."""
    inner = edges[:, 1:-1].mT[:, None, None]  # the outer bins have no end
    return (numbers.unsqueeze(-1) >= inner).sum(-1)


def bin_centers(edges: Tensor) -> Tensor:
    """The numbers that bins stand for. [S, N + 1, D] -> [S, D, N]."""
    return (0.5 * (edges[:, 1:] + edges[:, :-1])).mT


class TT(Algorithm[TTConfig]):
    """max_θ E Σ_t log p_θ(x_t | x_<t) over windows of the data; acts by the best plan it finds."""

    Config = TTConfig
    cheap: ClassVar = {"context": 3, "horizon": 2, "beam_width": 2}

    @classmethod
    def select(cls, config: TTConfig, transitions: Transitions) -> Transitions:
        """All data, with the penalty for the reward of each terminal step."""
        over = transitions.terminals > 0
        if config.termination_penalty is None or not over.any():
            return transitions
        changed = replace(transitions, rows=transitions.rows.copy())
        changed.rewards[over] = config.termination_penalty
        return changed

    def create(self) -> None:
        config, dims = self.config, self.obs_dim + self.action_dim + 2
        self.context = config.context
        transformer = Transformer(
            config.embedding_dim,
            config.hidden_dims,
            config.heads,
            config.dropout,
            activation=F.gelu,
            unseen=dims,  # a transition's last token, the later rewards: known to plans alone
        )
        self.networks = {
            "model": TokenModel(dims, config.bins, config.context, transformer),
            "edges": Edges(self._edges().expand(-1, dims)),
        }
        self.optimizers = {
            "model": Adam(
                config.learning_rate,
                cosine_decay=True,
                floor=0.1,
                max_grad_norm=config.max_grad_norm,
                weight_decay=config.weight_decay,
                decayed="weight",
                warmup=config.warmup_steps,
                betas=(0.9, 0.95),
            )
        }
        self.search = BeamSearch(
            self.action_dim,
            config.discount,
            config.horizon,
            config.beam_width,
            config.expansions,
            min(config.planning_context, config.context),
            config.action_cut,
            config.action_top_k,
        )
        self.noise, self.act_noise = {"dropout": Key()}, {"plans": self.search.noise}
        self.stages = (Stage((Phase(self.loss, ("model",)),)),)

    def supports(self, selection: str) -> bool:
        """Its noise is the search's: without it all plans would be one."""
        return selection == self.action_selection

    def loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Cross-entropy of every token; what is behind an episode's end is token N."""
        numbers = (batch.rewards, batch.returns - batch.rewards)
        tokens = self._tokens(nets, batch.observations, batch.actions, *numbers)
        there = batch.valid.unsqueeze(-1) > 0
        tokens = tokens.masked_fill(~there, self.config.bins).flatten(2)
        logits = nets.model(tokens, key=noise["dropout"])[:, :, :-1]
        chosen = logits.gather(-1, tokens[:, :, 1:, None]).squeeze(-1)
        error = logits.logsumexp(-1) - chosen  # [S, B, L * D - 1]
        weights = torch.ones(self.obs_dim + self.action_dim + 2, device=error.device)
        weights[self.obs_dim : -2] = self.config.action_weight
        counted = (
            (batch.steps < self.facts.longest_episode)
            .unsqueeze(-1)
            .expand(*there.shape[:3], len(weights))
        )
        weighted = error * weights.repeat(self.context)[1:] * counted.flatten(2)[:, :, :-1]
        loss = weighted.mean((1, 2))
        return loss, {"model/loss": loss}

    def act(self, nets: Networks, history: History, noise: Noise) -> Tensor:
        recent = History(*(field[:, :, -self.search.window :] for field in history))
        numbers = (recent.rewards, torch.zeros_like(recent.rewards))  # the latter is not seen
        tokens = self._tokens(nets, recent.observations, recent.actions, *numbers)
        past, present = tokens[:, :, :-1], tokens[:, :, -1, : self.obs_dim]
        centers = bin_centers(nets.edges())
        plan = self.search(nets.model, past, present, centers, noise["plans"])
        bins = plan.clamp(max=self.config.bins - 1).mT  # [S, action_dim, E]
        actions: Tensor = centers[:, self.obs_dim : -2].gather(2, bins).mT
        return actions

    def _edges(self) -> Tensor:
        """From the data. [N + 1, D]."""
        if self.config.binning == "quantile":
            return torch.from_numpy(self.facts.quantiles(self.config.bins))
        limits = torch.from_numpy(self.facts.quantiles(1))
        share = torch.linspace(0, 1, self.config.bins + 1).unsqueeze(1)
        return limits[:1] + share * (limits[1:] - limits[:1])

    def _tokens(
        self, nets: Networks, observations: Tensor, actions: Tensor, rewards: Tensor, later: Tensor
    ) -> Tensor:
        """[S, B, L, ·] each, rewards and later ones [S, B, L] -> int64 [S, B, L, D]."""
        outcome = torch.stack([rewards, later], -1)
        return tokenize(torch.cat([observations, actions, outcome], -1), nets.edges())
