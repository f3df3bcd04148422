"""Records d3rlpy's updates: `python -m tests.oracles.record_d3rlpy`, in a venv of its own."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from unittest import mock

import d3rlpy
import torch
from d3rlpy import algos
from d3rlpy.models.encoders import VectorEncoderFactory
from d3rlpy.models.torch import (
    ActionOutput,
    NormalPolicy,
    VAEEncoder,
    build_gaussian_distribution,
    build_squashed_gaussian_distribution,
)
from d3rlpy.models.torch.parameters import Parameter
from d3rlpy.optimizers import AdamFactory, AdamWFactory
from d3rlpy.optimizers.lr_schedulers import CosineAnnealingLRFactory
from d3rlpy.torch_utility import TorchMiniBatch, TorchTrajectoryMiniBatch
from torch import Tensor, nn

from tests.oracles import recording
from tests.oracles.recording import (
    ACTION_DIM,
    BATCH,
    HIDDEN,
    LEARNING_RATE,
    OBS_DIM,
    SETTINGS,
    TAU,
    Arrays,
    array,
    drawing,
    merge_heads,
    perceptron,
)

ENCODER = VectorEncoderFactory(hidden_units=list(HIDDEN))
RATES = {"actor_learning_rate": LEARNING_RATE, "critic_learning_rate": LEARNING_RATE}
ENCODERS = {"actor_encoder_factory": ENCODER, "critic_encoder_factory": ENCODER}
RULE = {"gamma": SETTINGS["discount"], "tau": TAU}
OURS = {**SETTINGS, "learning_rate": LEARNING_RATE, "tau": TAU}


def create(config: Any) -> Any:
    """The library's implementation of a config, with its networks."""
    algorithm = config.create(device="cpu:0")
    algorithm.create_impl((OBS_DIM,), ACTION_DIM)
    return algorithm.impl


def mini_batch(batch: Mapping[str, Tensor]) -> TorchMiniBatch:
    column = {name: batch[name].unsqueeze(-1) for name in ("rewards", "masks", "returns")}
    return TorchMiniBatch(
        observations=batch["observations"],
        actions=batch["actions"],
        rewards=column["rewards"],
        next_observations=batch["next_observations"],
        next_actions=batch["next_actions"],
        returns_to_go=column["returns"],
        terminals=1 - column["masks"],
        intervals=torch.ones_like(column["rewards"]),
        device="cpu:0",
    )


def record(method: str, impl: Any, parts: Any, step: recording.Step, **facts: Any) -> None:
    """As `recording.record`, with every optimiser of the implementation."""
    fields = [getattr(impl.modules, f.name) for f in dataclasses.fields(impl.modules)]
    optimizers = [field.optim for field in fields if hasattr(field, "optim")]
    recording.record(
        "d3rlpy",
        method,
        parts,
        optimizers,
        step,
        version=d3rlpy.__version__,
        **{"layers": layers, **facts},
    )


def layers(module: nn.Module, read: Callable[[Tensor], Tensor]) -> Arrays:
    """As `recording.perceptron`, two last layers side by side as one, and a temperature's log."""
    if isinstance(module, Parameter):
        (log,) = module.parameters()
        return {"log": array(read(log)).reshape(())}
    arrays = perceptron(module, read)
    two_heads = isinstance(module, NormalPolicy | ShiftedGaussian | VAEEncoder)
    return merge_heads(arrays, len(HIDDEN)) if two_heads else arrays


class ClampedGaussian(nn.Module):
    """d3rlpy's Gaussian policy, whose log σ is a clamped parameter.

    d3rlpy's own is a sigmoid of the parameter, scaled to the range: at zero, σ is not 1, but
    e^-1.5 for IQL's range. With this, its IQL's actor loss is ours.
    """

    def __init__(self, policy: Any, low: float, high: float) -> None:
        super().__init__()
        self.encoder, self.mu, self.range = policy._encoder, policy._mu, (low, high)
        self.log_std = nn.Parameter(torch.zeros(1, ACTION_DIM))

    def forward(self, observations: Tensor) -> ActionOutput:
        mu = self.mu(self.encoder(observations))
        return ActionOutput(mu, torch.tanh(mu), self.log_std.clamp(*self.range).expand_as(mu))


class ShiftedGaussian(nn.Module):
    """d3rlpy's squashed Gaussian policy, with log σ = m · output + c as in CORL's CQL."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy
        self.scale, self.shift = nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.tensor(-1.0))

    def forward(self, observations: Tensor) -> ActionOutput:
        hidden = self.policy._encoder(observations)
        mu, output = self.policy._mu(hidden), self.policy._logstd(hidden)
        return ActionOutput(mu, torch.tanh(mu), (self.scale * output + self.shift).clamp(-20, 2))


def use_policy(impl: Any, policy: nn.Module, factory: Any = None) -> None:
    """Put another policy, with an optimiser of its own, in the place of the library's."""
    optim = (factory or AdamFactory()).create(policy.named_modules(), LEARNING_RATE, False)
    impl._modules = dataclasses.replace(impl._modules, policy=policy, actor_optim=optim)


def set_epsilon(modules: Iterable[nn.Module], epsilon: float) -> None:
    """Of every layer norm."""
    for module in modules:
        for child in module.modules():
            if isinstance(child, nn.LayerNorm):
                child.eps = epsilon


def actor_gradient(impl: Any, batch: TorchMiniBatch, gaussian: Tensor) -> tuple[float, Tensor]:
    """Of SAC's policy at the temperature as it is; the loss, and the actions' log densities."""
    modules = impl._modules
    with torch.no_grad(), drawing(gaussian):
        dist = build_squashed_gaussian_distribution(modules.policy(batch.observations))
        _, log_prob = dist.sample_with_log_prob()
    impl._modules = dataclasses.replace(modules, temp_optim=None)  # else it is stepped first
    with drawing(gaussian):
        loss = impl.compute_actor_grad(batch).actor_loss
    impl._modules = modules
    return loss.item(), log_prob


def actor_critic(impl: Any, *, targets: tuple[str, ...] = ("critic",)) -> dict[str, Any]:
    m = impl.modules
    parts = {"params/actor": [m.policy], "params/critic": m.q_funcs}
    if "actor" in targets:
        parts["targets/actor"] = [m.targ_policy]
    return {**parts, "targets/critic": m.targ_q_funcs}


def td3_bc() -> None:
    impl = create(
        algos.TD3PlusBCConfig(
            **RATES,
            **ENCODERS,
            **RULE,
        )
    )

    def step(count: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        with drawing(noise["smoothing"]):
            found = impl.inner_update(mini_batch(batch), count)
        losses = {"critic/loss": found["critic_loss"]}
        if "actor_loss" in found:
            q_loss = found["actor_loss"] - found["bc_loss"]
            losses |= {"actor/q_loss": q_loss, "actor/bc_loss": found["bc_loss"]}
        return losses

    record(
        "td3-bc",
        impl,
        actor_critic(impl, targets=("actor", "critic")),
        step,
        updates=4,
        noise={"smoothing": ACTION_DIM},
        config=OURS,
        compared="four updates, of which two are the actor's (d3rlpy's first is update 0, ours 2)",
    )


def rebrac() -> None:
    impl = create(
        algos.ReBRACConfig(
            **RATES,
            **RULE,
            actor_encoder_factory=ENCODER,
            critic_encoder_factory=VectorEncoderFactory(list(HIDDEN), use_layer_norm=True),
            actor_beta=0.4,
            critic_beta=0.3,
        )
    )
    set_epsilon([*impl.modules.q_funcs, *impl.modules.targ_q_funcs], 1e-6)

    def step(count: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        with drawing(noise["smoothing"]):
            found = impl.inner_update(mini_batch(batch), count)
        losses = {"critic/loss": found["critic_loss"]}
        if "actor_loss" in found:
            bc_loss = 0.4 * found["bc_loss"]
            losses |= {"actor/q_loss": found["actor_loss"] - bc_loss, "actor/bc_loss": bc_loss}
        return losses

    record(
        "rebrac",
        impl,
        actor_critic(impl, targets=("actor", "critic")),
        step,
        updates=4,
        noise={"smoothing": ACTION_DIM},
        config={**SETTINGS, **RATES, "tau": TAU, "actor_penalty": 0.4, "critic_penalty": 0.3},
        compared="four updates, of which two are the actor's (d3rlpy's first is update 0, ours 2); "
        "its layer norms are given our ε",
    )


def bc() -> None:
    impl = create(
        algos.BCConfig(
            learning_rate=LEARNING_RATE, encoder_factory=ENCODER, optim_factory=AdamFactory()
        )
    )

    def step(count: int, batch: Mapping[str, Tensor], _: Mapping[str, Tensor]) -> Any:
        return {"actor/loss": impl.inner_update(mini_batch(batch), count)["loss"]}

    record(
        "bc",
        impl,
        {"params/actor": [impl.modules.imitator]},
        step,
        updates=3,
        noise={},
        config={**SETTINGS, "learning_rate": LEARNING_RATE},
        compared="three updates",
    )


TEMPERATURE = "the temperature's gradient is left out, as its loss is in α there, in log α here"


def sac_n() -> None:
    impl = create(
        algos.SACConfig(**RATES, **ENCODERS, **RULE, temp_learning_rate=LEARNING_RATE, n_critics=3)
    )
    parts = actor_critic(impl) | {"params/temperature": [impl.modules.log_temp]}

    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        given = mini_batch(batch)
        with drawing(noise["temperature_gaussian"]):
            actor_loss = impl.update_actor(given)["actor_loss"]
        with drawing(noise["next_gaussian"]):
            critic_loss = impl.update_critic(given)["critic_loss"]
        impl.update_critic_target()
        return {"critic/loss": critic_loss, "actor/loss": actor_loss}

    record(
        "sac-n",
        impl,
        parts,
        step,
        updates=1,
        noise={"next_gaussian": ACTION_DIM, "temperature_gaussian": ACTION_DIM},
        equal_noise={"gaussian": "temperature_gaussian"},
        config={**OURS, "critics": 3},
        without={"adam_means/temperature/log": slice(None)},
        compared="one update of d3rlpy's SAC of three critics, which are stepped after its policy; "
        "one action a state for policy and temperature; " + TEMPERATURE,
    )


def conservative_step(impl: Any, *, max_backup: bool) -> recording.Step:
    """Of CQL or Cal-QL, all networks from before it."""
    samples, weight = impl._n_action_samples, impl._conservative_weight

    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        given, modules = mini_batch(batch), impl.modules
        actor_loss, log_prob = actor_gradient(impl, given, noise["gaussian"])

        def each(name: str) -> Tensor:
            return noise[name].reshape(BATCH, samples, ACTION_DIM).transpose(0, 1)

        uniform = (2 * noise["uniform"] - 1).reshape(BATCH * samples, ACTION_DIM)
        backup = [each("next_gaussian")] if max_backup else []
        with drawing(*backup, each("current"), each("following"), uniform):
            critic = impl.compute_critic_grad(given)
        modules.actor_optim.step()
        modules.critic_optim.step()
        impl.update_temp(log_prob)
        impl.update_critic_target()
        return {
            "critic/loss": (critic.critic_loss - critic.conservative_loss).item(),
            "critic/gap": critic.conservative_loss.item() / weight / 2,
            "actor/loss": actor_loss,
        }

    return step


def conservative(method: str, config: Any, ours: Mapping[str, Any], compared: str) -> None:
    """CQL or Cal-QL. config: of d3rlpy's class."""
    samples, weight = 4, 5.0
    impl = create(
        config(
            **RATES,
            **ENCODERS,
            **RULE,
            temp_learning_rate=LEARNING_RATE,
            alpha_learning_rate=0.0,
            initial_alpha=1.0,
            conservative_weight=weight,
            alpha_threshold=0.0,
            n_action_samples=samples,
            max_q_backup=method == "cal-ql",
        )
    )
    use_policy(impl, ShiftedGaussian(impl.modules.policy))
    several = samples * ACTION_DIM
    next_gaussian = {"next_gaussian": several if method == "cal-ql" else ACTION_DIM}
    drawn = {"gaussian": ACTION_DIM, "current": several, "following": several}
    record(
        method,
        impl,
        actor_critic(impl) | {"params/temperature": [impl.modules.log_temp]},
        conservative_step(impl, max_backup=method == "cal-ql"),
        updates=1,
        noise={**drawn, **(next_gaussian if method == "cal-ql" else {})},
        silent={} if method == "cal-ql" else next_gaussian,
        uniform={"uniform": several},
        config={
            **OURS,
            "policy_learning_rate": LEARNING_RATE,
            "alpha": weight,
            "samples": samples,
            **ours,
        },
        without={"adam_means/temperature/log": slice(None)},
        compared=f"one update, of all networks from before it{compared}; its policy is given "
        f"CORL's m and c; {TEMPERATURE}",
    )


def cql() -> None:
    compared = ", at the mean of the next actions, as d3rlpy samples none"
    conservative("cql", algos.CQLConfig, {}, compared)


def cal_ql() -> None:
    conservative("cal-ql", algos.CalQLConfig, {"max_backup": True}, "")


def crr() -> None:
    samples = 4
    impl = create(
        algos.CRRConfig(
            **RATES, **ENCODERS, **RULE, n_action_samples=samples, n_critics=2, max_weight=1.0
        )
    )
    forwarder = impl._q_func_forwarder
    forwarder.compute_expected_q = functools.partial(forwarder.compute_expected_q, reduction="min")

    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        given, modules = mini_batch(batch), impl.modules
        own = noise["gaussian"].reshape(BATCH, samples, ACTION_DIM).transpose(0, 1)
        with mock.patch(
            "d3rlpy.algos.qlearning.torch.crr_impl.build_gaussian_distribution",
            build_squashed_gaussian_distribution,
        ):
            with drawing(own):
                actor = impl.compute_actor_grad(given)
            with drawing(noise["next_gaussian"]):
                critic = impl.compute_critic_grad(given)
        modules.actor_optim.step()
        modules.critic_optim.step()
        impl.update_critic_target()
        impl.update_actor_target()
        return {"actor/loss": actor.actor_loss.item(), "critic/loss": critic.critic_loss.item()}

    record(
        "crr",
        impl,
        actor_critic(impl, targets=("actor", "critic")),
        step,
        updates=3,
        noise={"next_gaussian": ACTION_DIM, "gaussian": samples * ACTION_DIM},
        config={**OURS, "samples": samples, "max_weight": 1.0},
        compared="three updates, of all networks from before each; its policy is squashed as ours, "
        "and two critics count by their smaller value, where it has their mean",
    )


def awac() -> None:
    impl = create(algos.AWACConfig(**RATES, **ENCODERS, **RULE, lam=1.0, n_action_samples=1))
    use_policy(impl, ClampedGaussian(impl.modules.policy, -20.0, 2.0))
    (log_temperature,) = impl.modules.log_temp.parameters()
    log_temperature.data.fill_(-torch.inf)

    def mean_weight(batch: TorchMiniBatch, gaussian: Tensor) -> float:
        """Of exp(A / λ), by which d3rlpy divides."""
        q = impl._q_func_forwarder.compute_expected_q
        with torch.no_grad(), drawing(gaussian):
            dist = build_gaussian_distribution(impl.modules.policy(batch.observations))
            value = q(batch.observations, dist.sample(), "min")
            return (q(batch.observations, batch.actions, "min") - value).exp().mean().item()

    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        given, modules = mini_batch(batch), impl.modules
        with drawing(noise["next_gaussian"]):
            critic_loss = impl.update_critic(given)["critic_loss"]
        with drawing(noise["gaussian"].unsqueeze(0)):
            actor_loss = impl.compute_actor_grad(given).actor_loss.item()
        factor = mean_weight(given, noise["gaussian"]) / BATCH
        for parameter in modules.policy.parameters():
            parameter.grad *= factor
        modules.actor_optim.step()
        impl.update_critic_target()
        return {"critic/loss": critic_loss, "actor/loss": factor * actor_loss}

    record(
        "awac",
        impl,
        actor_critic(impl),
        step,
        updates=3,
        noise={"gaussian": ACTION_DIM},
        silent={"next_gaussian": ACTION_DIM},
        config={**OURS, "temperature": 1.0, "max_weight": 1e6},
        compared="three updates, with d3rlpy's policy loss times the mean weight over the batch, "
        "which it divides by; backups at the mean of the next actions and without its entropy; "
        "its policy is given our log σ",
    )


def iql() -> None:
    updates = 3
    impl = create(algos.IQLConfig(**RATES, **ENCODERS, **RULE, value_encoder_factory=ENCODER))
    decay = AdamFactory(lr_scheduler_factory=CosineAnnealingLRFactory(T_max=updates))
    use_policy(impl, ClampedGaussian(impl.modules.policy, -5.0, 2.0), decay)

    def step(_: int, batch: Mapping[str, Tensor], __: Mapping[str, Tensor]) -> Any:
        given, modules = mini_batch(batch), impl.modules
        actor = impl.compute_actor_grad(given)
        critic = impl.compute_critic_grad(given)
        modules.actor_optim.step()
        modules.critic_optim.step()
        impl.update_critic_target()
        return {
            "actor/loss": actor.actor_loss.item(),
            "critic/loss": critic.q_loss.item(),
            "value/loss": critic.v_loss.item(),
        }

    record(
        "iql",
        impl,
        actor_critic(impl) | {"params/value": [impl.modules.value_func]},
        step,
        updates=updates,
        noise={},
        config=OURS,
        compared="three updates, of all networks from before each (d3rlpy: Q and V, then the "
        "policy); its policy is given our log σ, where it has a sigmoid's",
    )


def squash(decoder: Any) -> None:
    """d3rlpy leaves out the tanh exactly where it is asked for it (`with_squash`)."""
    decoder._fc = nn.Sequential(decoder._fc, nn.Tanh())


VAE = {
    "vae_hidden_dims": HIDDEN,
    "hidden_dims": HIDDEN,
    "discount": SETTINGS["discount"],
    "tau": TAU,
}


def bcq() -> None:
    samples = 4
    impl = create(
        algos.BCQConfig(
            **RATES,
            **ENCODERS,
            **RULE,
            imitator_learning_rate=LEARNING_RATE,
            imitator_encoder_factory=ENCODER,
            n_action_samples=samples,
            action_flexibility=0.2,
        )
    )
    modules = impl.modules
    squash(modules.vae_decoder)

    def step(count: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        proposals = noise["next_latent"].reshape(BATCH * samples, -1)
        with drawing(noise["encoded"], proposals, noise["latent"]):
            found = impl.inner_update(mini_batch(batch), count)
        return {
            "vae/loss": found["vae_loss"],
            "critic/loss": found["critic_loss"],
            "actor/loss": found["actor_loss"],
        }

    latent = 2 * ACTION_DIM
    record(
        "bcq",
        impl,
        {
            "params/encoder": [modules.vae_encoder],
            "params/decoder": [modules.vae_decoder],
            "params/perturbation": [modules.policy],
            "params/critic": modules.q_funcs,
            "targets/perturbation": [modules.targ_policy],
            "targets/critic": modules.targ_q_funcs,
        },
        step,
        updates=3,
        noise={"encoded": latent, "next_latent": samples * latent, "latent": latent},
        config={**VAE, "learning_rate": LEARNING_RATE, "samples": samples, "perturbation": 0.2},
        seed=1,
        compared="three updates; its decoder is given the tanh that d3rlpy leaves out",
    )


def plas() -> None:
    impl = create(
        algos.PLASConfig(
            **RATES,
            **ENCODERS,
            **RULE,
            imitator_learning_rate=LEARNING_RATE,
            imitator_encoder_factory=ENCODER,
            warmup_steps=3,
        )
    )
    modules = impl.modules
    squash(modules.vae_decoder)

    def step(count: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        if count < 3:
            with drawing(noise["encoded"]):
                return {"vae/loss": impl.inner_update(mini_batch(batch), count)["vae_loss"]}
        found = impl.inner_update(mini_batch(batch), count)
        return {"critic/loss": found["critic_loss"], "actor/loss": found["actor_loss"]}

    record(
        "plas",
        impl,
        {
            "params/encoder": [modules.vae_encoder],
            "params/decoder": [modules.vae_decoder],
            "params/actor": [modules.policy],
            "params/critic": modules.q_funcs,
            "targets/actor": [modules.targ_policy],
            "targets/critic": modules.targ_q_funcs,
        },
        step,
        updates=4,
        noise={"encoded": 2 * ACTION_DIM},
        config={**VAE, **RATES, "vae_learning_rate": LEARNING_RATE},
        compared="two updates of the VAE and two of the rest; its decoder is given the tanh that "
        "d3rlpy leaves out",
    )


def transformer_layers(module: Any, read: Callable[[Tensor], Tensor]) -> Arrays:
    """What our Decision Transformer calls the parameters of d3rlpy's."""
    arrays: Arrays = {"times": array(read(module._position_encoding._embed.weight))}

    def add_linear(name: str, *linears: nn.Linear) -> None:
        weights, biases = zip(*[(read(x.weight), read(x.bias)) for x in linears], strict=True)
        arrays[f"weight_{name}"] = array(torch.cat(weights).T)
        arrays[f"bias_{name}"] = array(torch.cat(biases)[None])

    def add_norm(name: str, norm: nn.LayerNorm) -> None:
        arrays[f"scale_{name}"] = array(read(norm.weight)[None])
        arrays[f"shift_{name}"] = array(read(norm.bias)[None])

    add_norm("tokens", module._embed_ln)
    add_linear("return", module._rtg_embed)
    add_linear("state", module._encoder._layers[0])
    add_linear("action", module._action_embed)
    add_linear("head", module._output)
    for i, block in enumerate(module._gpt2._transformer):
        attention = block._attention
        add_norm(f"attention_{i}", block._layer_norm1)
        add_linear(f"qkv_{i}", attention._q, attention._k, attention._v)
        add_linear(f"mixed_{i}", attention._proj)
        add_norm(f"mlp_{i}", block._layer_norm2)
        add_linear(f"up_{i}", block._mlp._l1)
        add_linear(f"down_{i}", block._mlp._l2)
    add_norm("last", module._gpt2._layer_norm)
    return arrays


def dt() -> None:
    width, context, longest = 8, 3, 32
    algorithm = d3rlpy.algos.DecisionTransformerConfig(
        context_size=context,
        max_timestep=longest - 2,  # it adds two
        learning_rate=LEARNING_RATE,
        encoder_factory=VectorEncoderFactory([width], exclude_last_activation=True),
        optim_factory=AdamWFactory(weight_decay=0.1, clip_grad_norm=0.25),
        num_heads=2,
        num_layers=2,
        attn_dropout=0.0,
        resid_dropout=0.0,
        embed_dropout=0.0,
    ).create(device="cpu:0")
    algorithm.create_impl((OBS_DIM,), ACTION_DIM)
    impl = algorithm.impl
    transformer = impl.modules.transformer
    set_epsilon([transformer], 1e-5)
    transformer.train()

    def step(count: int, batch: Mapping[str, Tensor], _: Mapping[str, Tensor]) -> Any:
        given = TorchTrajectoryMiniBatch(
            observations=batch["observations"],
            actions=batch["actions"],
            rewards=batch["rewards"].unsqueeze(-1),
            returns_to_go=batch["returns"].unsqueeze(-1) / 2,
            terminals=1 - batch["masks"].unsqueeze(-1),
            timesteps=batch["steps"],
            masks=batch["valid"],
            device="cpu:0",
        )
        return {"actor/loss": impl.inner_update(given, count)["loss"] / ACTION_DIM}

    record(
        "dt",
        impl,
        {"params/actor": [transformer]},
        step,
        updates=3,
        noise={},
        layers=transformer_layers,
        context=context,
        # Softmax ignores what is added to all keys alike: rounding alone moves their bias.
        without={f"params/actor/bias_qkv_{i}": slice(width, 2 * width) for i in (0, 1)},
        config={
            "hidden_dims": (4 * width, 4 * width),
            "context": context,
            "embedding_dim": width,
            "heads": 2,
            "dropout": 0.0,
            "learning_rate": LEARNING_RATE,
            "weight_decay": 0.1,
            "warmup_steps": 1,
            "return_scale": 2.0,
        },
        compared="three updates on whole windows without dropout; d3rlpy's loss is a sum over "
        "action dimensions and divided by their number; its layer norms are given our ε",
    )


RECORDERS: tuple[Callable[[], None], ...] = (
    td3_bc,
    rebrac,
    bc,
    sac_n,
    cql,
    cal_ql,
    crr,
    awac,
    iql,
    bcq,
    plas,
    dt,
)

if __name__ == "__main__":
    torch.set_num_threads(1)
    chosen = sys.argv[1:]
    for recorder in RECORDERS:
        if not chosen or recorder.__name__ in chosen:
            torch.manual_seed(0)
            recorder()
