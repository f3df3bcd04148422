"""What an algorithm is: a config, its networks, and its losses.

No environment, file, logger or gradient step appears here or in any algorithm: the engine
(`algorithms/engine/engine.py`) owns gradients, optimisers, target networks, seeds and compilation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer
from torch import Tensor

from algorithms.action_selection import parse_action_selection
from algorithms.errors import AlgorithmError, nearest
from algorithms.fields import Count, Fraction, Neutral, Number, Positive, RewardTransform, Widths
from algorithms.networks import Network, Params
from algorithms.transitions import Facts, Floats, Transitions


class Config(BaseModel):
    """Fields every algorithm has; each algorithm adds its own, one comment per field."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    hidden_dims: Widths = (256, 256)  # width of every hidden layer
    batch_size: Count = 256  # B, transitions per update
    discount: Fraction = 0.99  # γ
    normalize_observations: bool = True  # shift and scale by the dataset's mean and std
    reward_transform: Annotated[RewardTransform, Neutral("raw")] = "raw"  # what is learned from
    reward_scale: Annotated[Positive, Neutral(1.0)] = 1.0  # factor on transformed rewards
    reward_shift: Annotated[Number, Neutral(0.0)] = 0.0  # then added to every reward
    known_q: bool = False  # the task's closed-form Q, where it has one, as the critic

    @model_serializer(mode="wrap")
    def _leave_out_what_is_neutral(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A setting added later, at its neutral value, changes no run's hash."""
        fields = dict[str, Any](dump(self))
        for name, info in type(self).model_fields.items():
            neutral = [mark.value for mark in info.metadata if isinstance(mark, Neutral)]
            if neutral and getattr(self, name) == neutral[0]:
                fields.pop(name, None)
        return fields


C = TypeVar("C", bound=Config)


class Batch(NamedTuple):
    """`B` transitions for each of `S` seeds.

    A method with a `context` of L sees `[S, B, L, ...]`: L consecutive transitions, from each drawn
    one on. Past the end of an episode `valid` is 0, and so is everything else but `steps`.
    """

    observations: Tensor  # [S, B, obs_dim]
    actions: Tensor  # [S, B, action_dim]
    rewards: Tensor  # [S, B]
    next_observations: Tensor  # [S, B, obs_dim]
    masks: Tensor  # [S, B], 1 - terminals: 0 where there is nothing to bootstrap from
    returns: Tensor  # [S, B], discounted, to the end of the episode (`Transitions.returns`)
    previous_actions: Tensor  # [S, B, action_dim], zeros in an episode's first step
    next_actions: Tensor  # [S, B, action_dim], zeros where `has_next` is 0
    has_next: Tensor  # [S, B], 1 where the same episode goes on in the data
    steps: Tensor  # [S, B], int64, time within the episode, from 0; -1: not known
    valid: Tensor  # [S, B], 1 but for what is past an episode's end
    columns: Mapping[str, Tensor]  # [S, B] or [S, B, dim], what the stage's `columns` computed

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with every field and every column changed so."""
        changed: dict[str, Any] = {
            name: change(value) for name, value in self._asdict().items() if name != "columns"
        }
        columns = {name: change(column) for name, column in self.columns.items()}
        return Batch(**changed, columns=columns)


class History(NamedTuple):
    """What a method with a `context` acts on: the latest l <= L steps, the present one last."""

    observations: Tensor  # [S, E, l, obs_dim]
    actions: Tensor  # [S, E, l, action_dim], zeros at present
    rewards: Tensor  # [S, E, l], transformed, zeros at present
    earned: Tensor  # [S, E, l], sum of the rewards before each step since the episode began
    steps: Tensor  # [S, E, l], int64, time within the episode, from 0


@dataclass(frozen=True)
class Normal:
    """Standard normal noise `[S, B, dim]`, drawn afresh for every update."""

    dim: int


@dataclass(frozen=True)
class Uniform:
    """Uniform noise on [0, 1) of shape `[S, B, dim]`, drawn afresh for every update."""

    dim: int


@dataclass(frozen=True)
class Key:
    """One int64 per seed, `[S]`, drawn afresh for every update: what dropout's masks come from."""


NoiseSpec = Mapping[str, Normal | Uniform | Key]
Noise = Mapping[str, Tensor]


@dataclass(frozen=True)
class Adam:
    """Adam for one network (ε = 1e-8)."""

    learning_rate: float
    cosine_decay: bool = False  # anneal over the network's own updates, to 0 or `floor`
    max_grad_norm: float | None = None  # clip each seed's gradient of this network
    weight_decay: float = 0.0  # decoupled, as in AdamW
    warmup: int = 0  # the network's own updates over which the learning rate rises from 0
    betas: tuple[float, float] = (0.9, 0.999)  # β of the moments
    floor: float = 0.0  # of the annealing, a share of the learning rate
    decayed: str = ""  # only parameters whose names begin so


class Networks:
    """What a loss sees: `nets.critic(...)`, `nets.target.critic(...)`, `nets.frozen.critic(...)`.

    `nets.x` carries gradients while `x` is being trained, `nets.frozen.x` is the same network
    without them, and `nets.target.x` is its Polyak average.
    """

    def __init__(
        self,
        specs: Mapping[str, Network],
        params: Mapping[str, Params],
        frozen: Mapping[str, Params],
        targets: Mapping[str, Params],
    ) -> None:
        self._specs = specs
        self._params = params
        self._frozen = frozen
        self._targets = targets

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in self._params:
            raise AlgorithmError(self._absence(name))
        network: Callable[..., Any] = self._specs[name]
        params = self._params[name]
        return lambda *inputs, **key: network(params, *inputs, **key)

    @property
    def frozen(self) -> Networks:
        return Networks(self._specs, self._frozen, self._frozen, self._targets)

    @property
    def target(self) -> Networks:
        return Networks(self._specs, self._targets, self._targets, self._targets)

    def _absence(self, name: str) -> str:
        """What is wrong with asking for a network that is not there."""
        if name not in self._specs:
            return f"there is no network '{name}'.{nearest(name, self._specs)}"
        return f"'{name}' has no Polyak average: nets.target.{name} needs self.targets['{name}']"


Loss = tuple[Tensor, dict[str, Tensor]]
"""One loss per seed `[S]`, and metrics `[S]` named like `critic/loss`."""


@dataclass(frozen=True)
class Phase:
    """One gradient step of an update: a loss and the networks it trains."""

    loss: Callable[[Networks, Batch, Noise], Loss]
    trains: tuple[str, ...]
    every: int = 1  # take this step every so many updates
    updates_targets: tuple[str, ...] = ()  # Polyak averages moved after it
    assigns: Callable[[Networks, Batch, Noise], Mapping[str, Params]] | None = None
    """New parameters of networks that no phase trains, by a rule that sees all before the step."""


@dataclass(frozen=True)
class Column:
    """Numbers for every transition of the data, of each seed's own, that a stage learns from.

    A stage's columns are computed in order. What is evaluated sees in `batch.columns` those before
    it, and the others as the stage before had them.

    Attributes:
        evaluate: what the networks say of transitions, `[S, B, ...]` -> `[S, B]` or `[S, B, dim]`;
            called with networks, batch and, if the column has any, noise.
        combine: makes the column of all that, float32 `[S, N]`, of the data's N transitions in time
            order, and of their transformed rewards `[N]`; None: it is the column.
        dim: how many numbers a transition has; 0: one, without that axis.
        noise: what `evaluate` draws, of every transition its own.
    """

    evaluate: Callable[..., Tensor]
    combine: Callable[[Floats, Transitions, Floats], Floats] | None = None
    dim: int = 0
    noise: NoiseSpec = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """A stretch of training with its own phases, in order."""

    phases: tuple[Phase, ...]
    share: float = 1.0  # of the run's gradient steps; the shares of all stages sum to 1
    copies: Mapping[str, str] = field(default_factory=dict)
    """At the start: network <- target average of another network, which has the same shapes.

    To copy a network itself, declare it in `targets` with rate 1, and move it (`updates_targets`).
    """
    columns: Mapping[str, Column] = field(default_factory=dict)
    """At the start: computed over the whole data, and from then on in `batch.columns`."""
    act: Callable[[Networks, Any, Noise], Tensor] | None = None
    """How to act when this stage was the last to train, if not by the algorithm's `act`."""


class Algorithm(ABC, Generic[C]):
    """A method: subclasses fill the attributes in `create` and write losses and `act`.

    Attributes:
        action_selection: how it acts unless told otherwise, in the words of
            `algorithms/action_selection.py`.
        online_sampling: where an online batch is from: half of it from the data and half from what
            the learner has seen (`symmetric`: RLPD, arXiv:2302.02948), or from all of both alike,
            as from one replay buffer that the data were in first (`uniform`).
        online_returns: whether what it has seen itself is to have `returns`: then it learns from
            that once the episode is over.
        Pretraining: a config class whose fields alone decide the result of the first
            `pretraining_stages` stages: methods with equal values there may share them.
        cheap: settings under which a mere try of its losses and of acting costs little.
        trained_together: pairs of networks that one term of a loss trains on purpose, such as an
            encoder and its decoder.
        trained_at_next: networks that are trained at next observations too, on purpose.
        context: L, consecutive transitions that it sees at once; 0: single ones, without that axis.
        facts: numbers of the data that it may build itself from, its rewards transformed.
        selection_temperature: T of `softmax-of-N`, in units of `softmax_value`; 0: it has none.
    """

    Config: ClassVar[type[Config]]
    action_selection: ClassVar[str] = "noise-1"
    online_sampling: ClassVar[Literal["symmetric", "uniform"]] = "symmetric"
    online_returns: ClassVar[bool] = False
    Pretraining: ClassVar[type[BaseModel] | None] = None
    cheap: ClassVar[Mapping[str, Any]] = {}
    trained_together: ClassVar[tuple[tuple[str, str], ...]] = ()
    trained_at_next: ClassVar[tuple[str, ...]] = ()
    pretraining_stages: int = 0
    context: int = 0
    selection_temperature: float = 0.0

    networks: dict[str, Network]
    optimizers: dict[str, Adam]
    targets: dict[str, float]  # network -> Polyak rate τ
    stages: tuple[Stage, ...]
    noise: NoiseSpec  # what an update draws
    act_noise: NoiseSpec  # what acting draws

    def __init__(
        self,
        config: C,
        obs_dim: int,
        action_dim: int,
        known_q: Network | None = None,
        facts: Facts | None = None,
    ) -> None:
        self.config = config
        self.facts = facts or Facts()
        self.obs_dim = obs_dim
        self.action_dim = action_dim
        self.targets, self.noise, self.act_noise = {}, {}, {}
        self.create()
        if config.known_q:
            self._use_known_q(known_q)

    @abstractmethod
    def create(self) -> None:
        """Set `networks`, `optimizers`, `stages` and, where used, `targets` and the noise."""

    @classmethod
    def select(cls, config: C, transitions: Transitions) -> Transitions:  # noqa: ARG003
        """The data that it learns from: whole episodes, in order, perhaps with other rewards."""
        return transitions

    def online_phases(self) -> tuple[Phase, ...]:
        """The gradient steps of an update while it interacts; none: it learns from data alone."""
        return ()

    @classmethod
    def learns_online(cls) -> bool:
        """Whether it can go on in its environment after the offline stages."""
        return cls.online_phases is not Algorithm.online_phases

    def online_stage(self) -> Stage:
        """What follows `stages` in a run that goes on online.

        Raises ValueError for a method that learns from data alone.
        """
        if not self.learns_online():
            raise ValueError(f"{type(self).__name__} learns from data alone, it has no online part")
        phases = self.online_phases()
        return Stage(_without("critic", phases) if self.config.known_q else phases)

    @abstractmethod
    def act(self, nets: Networks, observations: Any, noise: Noise) -> Tensor:
        """Actions for evaluation. [S, E, obs_dim] -> [S, E, action_dim], clipped by the engine.

        With a `context`, a `History` takes the place of the observations.
        """

    def action_value(self, nets: Networks, observations: Tensor, actions: Tensor) -> Tensor:
        """What best-of-N chooses by: the smaller twin's. [S, B, ·] -> [S, B]."""
        q: Tensor = nets.critic(observations, actions)
        return q.amin(1)

    def softmax_value(self, nets: Networks, observations: Tensor, actions: Tensor) -> Tensor:
        """What softmax-of-N draws by, if not by the action's value. [S, B, ·] -> [S, B]."""
        return self.action_value(nets, observations, actions)

    def supports(self, selection: str) -> bool:
        """Whether the method can act so: only noise can be scaled, only a critic can choose."""
        if selection == self.action_selection:
            return True
        asked = parse_action_selection(selection)
        ranks = asked.candidates > 1
        if ranks and self.context:
            return False
        if asked.softmax and not self.selection_temperature:
            return False
        return bool(self.act_noise) and ("critic" in self.networks or not ranks)

    def _use_known_q(self, known_q: Network | None) -> None:
        """Put the task's Q in the critic's place and never train it."""
        if known_q is None or "critic" not in self.networks:
            raise ValueError("known_q needs a task with a closed-form Q and a method with a critic")
        if unfit := raw_data_problems(self.config):
            raise ValueError(f"known_q is a function of raw data: {' and '.join(unfit)}")
        self.networks["critic"] = known_q
        del self.optimizers["critic"]
        self.stages = tuple(
            replace(stage, phases=_without("critic", stage.phases)) for stage in self.stages
        )


def raw_data_problems(config: Config) -> list[str]:
    """What to set so that a method sees observations and rewards as they are."""
    raw: dict[str, Any] = {
        "normalize_observations": False,
        "reward_transform": "raw",
        "reward_scale": 1.0,
        "reward_shift": 0.0,
    }
    return [
        f"set {name} to {str(value).lower()}"
        for name, value in raw.items()
        if getattr(config, name) != value
    ]


def _without(network: str, phases: tuple[Phase, ...]) -> tuple[Phase, ...]:
    """The phases that train anything else, without training `network`."""
    left = (
        replace(phase, trains=tuple(name for name in phase.trains if name != network))
        for phase in phases
    )
    return tuple(phase for phase in left if phase.trains)
