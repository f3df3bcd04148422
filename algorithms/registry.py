"""Which algorithms exist. Light on purpose: listing them imports neither torch nor the algorithms.

A third-party package adds its own through the entry-point group `harness.algorithms`: the entry
point's name is the method id, its value is `package.module:AlgorithmClass`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from algorithms.loading import load_class

if TYPE_CHECKING:
    from algorithms.base import Algorithm, Config


@dataclass(frozen=True)
class AlgorithmInfo:
    """One row of `harness list algorithms`."""

    id: str
    title: str
    paper: str
    family: str
    target: str  # "module:Class"
    trusts_critic: bool = True  # or another learned value; False: a bad one cannot spoil it
    distribution: str = "decision-flow-harness"  # the installed package that it comes with

    @property
    def module(self) -> str:
        """The module that defines it."""
        return self.target.partition(":")[0]


ABLATIONS = "decision flow, ablations"  # a family; apart from it, ids are methods to compare


def _ablation(algorithm_id: str, title: str, name: str, module: str = "ablations") -> AlgorithmInfo:
    """A class of a module in `algorithms/decision_flow/`."""
    target = f"algorithms.decision_flow.{module}:{name}"
    return AlgorithmInfo(algorithm_id, title, "arXiv:2505.20350", ABLATIONS, target)


_BUILT_IN = (
    AlgorithmInfo(
        "df-dir",
        "Direction-Oriented Decision Flow",
        "arXiv:2505.20350",
        "decision flow",
        "algorithms.decision_flow.decision_flow:DirectionDecisionFlow",
    ),
    AlgorithmInfo(
        "df-div",
        "Divergence-Oriented Decision Flow",
        "arXiv:2505.20350",
        "decision flow",
        "algorithms.decision_flow.decision_flow:DivergenceDecisionFlow",
    ),
    AlgorithmInfo(
        "flow-bc",
        "Behaviour cloning with a flow policy",
        "arXiv:2210.02747",
        "flow",
        "baselines.flow_bc:FlowBC",
        trusts_critic=False,
    ),
    AlgorithmInfo("fql", "Flow Q-Learning", "arXiv:2502.02538", "flow", "baselines.fql:FQL"),
    AlgorithmInfo(
        "floq", "FQL with a flow-matching critic", "arXiv:2509.06863", "flow", "baselines.floq:Floq"
    ),
    AlgorithmInfo(
        "ifql",
        "Best of N behaviour flow samples under IQL's critic",
        "arXiv:2502.02538",
        "flow",
        "baselines.ifql:IFQL",
    ),
    AlgorithmInfo(
        "fawac",
        "Flow Advantage-Weighted Actor-Critic",
        "arXiv:2502.02538",
        "flow",
        "baselines.fawac:FAWAC",
    ),
    AlgorithmInfo(
        "fbrac",
        "Flow Behaviour-Regularised Actor-Critic",
        "arXiv:2502.02538",
        "flow",
        "baselines.fbrac:FBRAC",
    ),
    AlgorithmInfo(
        "dfql",
        "Direct Flow Q-Learning (from its abstract)",
        "ICML 2026",
        "flow",
        "baselines.dfql:DFQL",
    ),
    AlgorithmInfo("q-flow", "Q-Flow", "arXiv:2605.13435", "flow", "baselines.q_flow:QFlow"),
    AlgorithmInfo(
        "mean-flow",
        "MeanFlowQL, a one-step policy by mean flow",
        "arXiv:2511.13035",
        "flow",
        "baselines.mean_flow:MeanFlow",
    ),
    AlgorithmInfo(
        "qipo",
        "Q-weighted Iterative Policy Optimization, by flow matching",
        "arXiv:2503.04975",
        "flow",
        "baselines.qipo:QIPO",
    ),
    AlgorithmInfo(
        "flow-bptt",
        "Back-propagation through the flow",
        "arXiv:2208.06193",
        "flow",
        "baselines.flow_bptt:FlowBPTT",
    ),
    AlgorithmInfo(
        "diffusion-bc",
        "Behaviour cloning with a diffusion policy",
        "arXiv:2208.06193",
        "diffusion",
        "baselines.diffusion_bc:DiffusionBC",
        trusts_critic=False,
    ),
    AlgorithmInfo(
        "diffusion-ql",
        "Diffusion-QL",
        "arXiv:2208.06193",
        "diffusion",
        "baselines.diffusion_ql:DiffusionQL",
    ),
    AlgorithmInfo(
        "idql",
        "Implicit Diffusion Q-Learning",
        "arXiv:2304.10573",
        "diffusion",
        "baselines.idql:IDQL",
    ),
    AlgorithmInfo(
        "sfbc",
        "Selecting from Behaviour Candidates",
        "arXiv:2209.14548",
        "diffusion",
        "baselines.sfbc:SfBC",
    ),
    AlgorithmInfo(
        "edp",
        "Efficient Diffusion Policies",
        "arXiv:2305.20081",
        "diffusion",
        "baselines.edp:EDP",
    ),
    AlgorithmInfo(
        "qgpo",
        "Q-Guided Policy Optimization",
        "arXiv:2304.12824",
        "diffusion",
        "baselines.qgpo:QGPO",
    ),
    AlgorithmInfo(
        "srpo",
        "Score Regularized Policy Optimization",
        "arXiv:2310.07297",
        "diffusion",
        "baselines.srpo:SRPO",
    ),
    AlgorithmInfo(
        "dtql",
        "Diffusion Trusted Q-Learning",
        "arXiv:2405.19690",
        "diffusion",
        "baselines.dtql:DTQL",
    ),
    AlgorithmInfo("cac", "Consistency-AC", "arXiv:2309.16984", "diffusion", "baselines.cac:CAC"),
    AlgorithmInfo(
        "dac", "Diffusion Actor-Critic", "arXiv:2405.20555", "diffusion", "baselines.dac:DAC"
    ),
    AlgorithmInfo(
        "bdpo",
        "Behaviour-Regularised Diffusion Policy Optimisation",
        "arXiv:2502.04778",
        "diffusion",
        "baselines.bdpo:BDPO",
    ),
    AlgorithmInfo(
        "diffuser",
        "Diffuser",
        "arXiv:2205.09991",
        "diffusion",
        "baselines.diffuser:Diffuser",
    ),
    AlgorithmInfo(
        "dd", "Decision Diffuser", "arXiv:2211.15657", "diffusion", "baselines.dd:DD", False
    ),
    AlgorithmInfo(
        "bc", "Behaviour cloning", "Pomerleau 1991", "imitation", "baselines.bc:BC", False
    ),
    AlgorithmInfo(
        "bc-10",
        "Behaviour cloning of the best 10% of episodes",
        "arXiv:2106.01345",
        "imitation",
        "baselines.bc_10:PercentBC",
        trusts_critic=False,
    ),
    AlgorithmInfo("rvs", "RvS-R", "arXiv:2112.10751", "imitation", "baselines.rvs:RvS", False),
    AlgorithmInfo(
        "bcq",
        "Batch-Constrained Q-learning",
        "arXiv:1812.02900",
        "value-based",
        "baselines.bcq:BCQ",
    ),
    AlgorithmInfo(
        "plas",
        "Policy in the Latent Action Space",
        "arXiv:2011.07213",
        "value-based",
        "baselines.plas:PLAS",
    ),
    AlgorithmInfo("td3-bc", "TD3+BC", "arXiv:2106.06860", "value-based", "baselines.td3_bc:TD3BC"),
    AlgorithmInfo("rebrac", "ReBRAC", "arXiv:2305.09836", "value-based", "baselines.rebrac:ReBRAC"),
    AlgorithmInfo(
        "iql", "Implicit Q-Learning", "arXiv:2110.06169", "value-based", "baselines.iql:IQL"
    ),
    AlgorithmInfo(
        "xql", "Extreme Q-Learning", "arXiv:2301.02328", "value-based", "baselines.xql:XQL"
    ),
    AlgorithmInfo(
        "sql",
        "Sparse or Exponential Q-Learning",
        "arXiv:2303.15810",
        "value-based",
        "baselines.sql:SQL",
    ),
    AlgorithmInfo(
        "onestep", "One-step RL", "arXiv:2106.08909", "value-based", "baselines.onestep:OneStep"
    ),
    AlgorithmInfo(
        "awac",
        "Advantage-Weighted Actor-Critic",
        "arXiv:2006.09359",
        "value-based",
        "baselines.awac:AWAC",
    ),
    AlgorithmInfo(
        "crr",
        "Critic Regularized Regression",
        "arXiv:2006.15134",
        "value-based",
        "baselines.crr:CRR",
    ),
    AlgorithmInfo(
        "sac",
        "Soft Actor-Critic",
        "arXiv:1812.05905",
        "value-based",
        "baselines.soft_actor_critic:SoftActorCritic",
    ),
    AlgorithmInfo(
        "cql", "Conservative Q-Learning", "arXiv:2006.04779", "value-based", "baselines.cql:CQL"
    ),
    AlgorithmInfo(
        "mcq",
        "Mildly Conservative Q-learning",
        "arXiv:2206.04745",
        "value-based",
        "baselines.mcq:MCQ",
    ),
    AlgorithmInfo(
        "cal-ql",
        "Calibrated Q-Learning",
        "arXiv:2303.05479",
        "value-based",
        "baselines.cal_ql:CalQL",
    ),
    AlgorithmInfo(
        "sac-n", "SAC with N critics", "arXiv:2110.01548", "value-based", "baselines.edac:SACN"
    ),
    AlgorithmInfo(
        "edac",
        "Ensemble-Diversified Actor-Critic",
        "arXiv:2110.01548",
        "value-based",
        "baselines.edac:EDAC",
    ),
    AlgorithmInfo(
        "dt", "Decision Transformer", "arXiv:2106.01345", "sequence", "baselines.dt:DT", False
    ),
    AlgorithmInfo(
        "qdt",
        "Q-learning Decision Transformer",
        "arXiv:2209.03993",
        "sequence",
        "baselines.qdt:QDT",
    ),
    AlgorithmInfo(
        "qt", "Q-value Regularized Transformer", "arXiv:2405.17098", "sequence", "baselines.qt:QT"
    ),
    AlgorithmInfo(
        "tt", "Trajectory Transformer", "arXiv:2106.02039", "sequence", "baselines.tt:TT"
    ),
    _ablation("df-dir-unit", "DF-dir along the value's direction alone", "UnitDirection"),
    _ablation("df-dir-angle", "DF-dir across the velocity alone", "AngleDirection"),
    _ablation("df-div-mean", "DF-div, divergence averaged over dimensions", "MeanDivergence"),
    _ablation("df-div-kl", "DF-div, KL divergence of Gaussian velocities", "KLDivergence"),
    _ablation("df-div-critic-noise", "DF-div, price by critic disagreement", "CriticNoisePrice"),
    _ablation("df-div-scale", "DF-div, value in units of mean |Q|, or in its own", "ValueScale"),
    _ablation("df-div-td", "DF-div, TD(λ) flow critic", "TemporalDifference"),
    _ablation("df-div-previous-action", "DF-div, flow critic of a_{n-1} too", "PreviousAction"),
    _ablation("df-div-joint", "DF-div, Q and V learning on", "JointCritic"),
    _ablation("df-div-ensemble", "DF-div, an ensemble's lower confidence bound", "Ensemble"),
    _ablation("df-div-noised", "DF-div, roll-outs from noised data too", "NoisedStarts"),
    _ablation("df-div-midpoint", "DF-div by the midpoint method", "Midpoint"),
    _ablation("df-div-path", "DF-div, curved probability paths", "Path"),
    _ablation("df-div-transport", "DF-div, optimal-transport coupling", "Transport"),
    _ablation("df-div-distilled", "DF-div, distilled into one step", "Distilled"),
    _ablation(
        "df-div-actor-critic",
        "DF-div, Q of the flow policy's own actions",
        "ActorCritic",
        "hypotheses",
    ),
    _ablation(
        "df-div-best-target",
        "DF-div, matching the best of N samples too",
        "BestTarget",
        "hypotheses",
    ),
)


def algorithms() -> dict[str, AlgorithmInfo]:
    """Every known algorithm by id: ours, then those of installed third-party packages."""
    known = {algorithm.id: algorithm for algorithm in _BUILT_IN}
    for point in entry_points(group="harness.algorithms"):
        package = point.dist.name if point.dist else point.module
        known.setdefault(
            point.name,
            AlgorithmInfo(point.name, point.name, "", package, point.value, distribution=package),
        )
    return known


def load(algorithm_id: str) -> type[Algorithm[Any]]:
    """Import and return the algorithm's class.

    Raises:
        KeyError: unknown algorithm.
        AlgorithmError: what it names cannot be imported, or is no complete algorithm.
    """
    ours = {algorithm.id: algorithm for algorithm in _BUILT_IN}
    # Looking through the installed packages takes a while, and this is asked for every run.
    info = ours.get(algorithm_id) or algorithms()[algorithm_id]
    named = f"the algorithm '{algorithm_id}' = {info.target}"
    if algorithm_id not in ours:
        named += f" of package '{info.family}'"
    return load_class(info.target, named)


def resolve_config(algorithm_id: str, overrides: Mapping[str, Any]) -> Config:
    """The algorithm's config with `overrides` applied.

    Raises:
        KeyError, AlgorithmError: as `load`.
        pydantic.ValidationError: unknown field, wrong type, or value out of range.
    """
    return load(algorithm_id).Config.model_validate(dict(overrides))
