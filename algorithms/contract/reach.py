"""What losses reach: every parameter that they train, and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from algorithms.base import Batch, Phase
from algorithms.contract.calls import Evaluation, evaluate, gradients
from algorithms.contract.findings import Finding
from algorithms.contract.subject import Subject
from algorithms.declared import declared_at
from algorithms.engine.streams import generator
from algorithms.errors import definition, name_of

Pair = tuple[str, str]


def gradients_reach(subject: Subject) -> list[Finding]:
    """Every parameter of a trained network has a gradient, of every member of an ensemble."""
    found = []
    for phase in subject.phases:
        evaluation = evaluate(subject, phase)
        for name in phase.trains:
            still = [k for k, g in evaluation.gradients(name).items() if not _all_members(g)]
            if still:
                sentence = (
                    f"{name_of(phase.loss)} trains '{name}' but has no gradient of its "
                    f"{' and '.join(still)}, or not of every member's: use them, or leave them out "
                    "of the network"
                )
                where = declared_at(subject.method, "trains", name, phase)
                found.append(Finding(sentence, where))
    return [*found, *_random_for_good(subject)]


def _random_for_good(subject: Subject) -> list[Finding]:
    """Networks whose first weights are a seed's own, and that nothing trains or moves."""
    stages = subject.algorithm.stages
    trained = {name for phase in subject.phases for name in phase.trains}
    copied = {name for stage in stages for names in stage.copies.items() for name in names}
    learner = subject.learner()
    first, other = (learner.state(slot) for slot in (0, 1))
    return [
        Finding(
            f"no phase trains '{name}', whose weights stay as they are drawn: let one have it in "
            "trains, unless it is meant to be random",
            declared_at(subject.method, "networks", name),
            advice=True,
        )
        for name in subject.algorithm.networks
        if name not in trained | copied
        and any(
            key.startswith(f"params/{name}/") and not np.array_equal(first[key], other[key])
            for key in first
        )
    ]


def _all_members(gradient: Tensor | None) -> bool:
    """Whether every member has a gradient that is not zero. [S, E, ...]."""
    return gradient is not None and bool(gradient.transpose(0, 1).flatten(1).any(1).all())


def terms_stay_apart(subject: Subject) -> list[Finding]:
    """No term of a loss reaches a network that it does not train, or that it is not meant to."""
    pairs, declared = trained_together(subject), subject.method.trained_together
    meant = {frozenset(pair) for pair in declared}
    leaks = [finding for pair, finding in pairs.items() if frozenset(pair) not in meant]
    found = [*untrained_are_frozen(subject), *leaks]
    places = {finding.where for finding in found}
    strays = [finding for finding in stray_terms(subject) if finding.where not in places]
    idle = [pair for pair in declared if frozenset(pair) not in map(frozenset, pairs)]
    return [*found, *strays, *(_idle(subject, "trained_together", pair) for pair in idle)]


def _idle(subject: Subject, field: str, names: Sequence[str]) -> Finding:
    """What to say of a declaration that excuses nothing, and would hide a leak to come."""
    networks = " and ".join(f"'{name}'" for name in names)
    sentence = f"{field} has {networks}, but no loss does that: leave it out"
    return Finding(sentence, declared_at(subject.method, field, names[0]))


def untrained_are_frozen(subject: Subject) -> list[Finding]:
    """A network that a phase does not train is called as `nets.frozen` or `nets.target`."""
    found = []
    for phase in subject.phases:
        evaluation = evaluate(subject, phase)
        for name in subject.algorithm.networks:
            for call in evaluation.reaching(name) if name not in phase.trains else ():
                sentence = (
                    f"{name_of(phase.loss)} reaches '{name}', which it does not train: write "
                    f"nets.frozen.{name}"
                )
                found.append(Finding(sentence, call.where))
    return list(dict.fromkeys(found))


def trained_together(subject: Subject) -> dict[Pair, Finding]:
    """Pairs of networks that one term of a loss trains: the classical leak, if not declared.

    The gradient of one changes with the parameters of the other then. A sum of terms that train
    one network each has no such pair, as its mixed derivatives are zero.
    """
    found: dict[Pair, Finding] = {}
    for phase in subject.phases:
        evaluation = evaluate(subject, phase)
        for pair in itertools.combinations(phase.trains, 2):
            one, other = (evaluation.leaves[name].values() for name in pair)
            if pair not in found and _mixed(evaluation, one, other):
                found[pair] = _leak(evaluation, *pair)
    return found


def _mixed(evaluation: Evaluation, some: Iterable[Tensor], others: Iterable[Tensor]) -> bool:
    """Whether the loss has mixed derivatives: gradients of some change with others."""
    random = generator("contract", "slope")
    slope = sum(
        (g * torch.randn(g.shape, generator=random)).sum()
        for g in evaluation.wrt(some, twice=True)
        if g is not None
    )
    if not isinstance(slope, Tensor):
        return False
    return any(g is not None and g.any() for g in gradients(slope, others))


def _leak(evaluation: Evaluation, one: str, other: str) -> Finding:
    """What to say of two networks in one term, at the call that is not to carry a gradient."""
    loss, leaves = name_of(evaluation.phase.loss), evaluation.leaves
    meant = f"; or say that it is meant: trained_together = (('{one}', '{other}'),)"
    reaching = {name: evaluation.reaching(name) for name in (one, other)}
    sources = {one: other, other: one}
    for name, source in sources.items():
        for call in reaching[name]:
            if any(_depends_on(x, leaves[source].values()) for x in call.inputs):
                return Finding(
                    f"a term of {loss} trains '{name}' and '{source}' at once, as nets.{name} is "
                    f"given what '{source}' returned: write nets.frozen.{name}, or detach "
                    f"that{meant}",
                    call.where,
                )
    shared = {
        name: [
            call.where
            for call in reaching[name]
            if _mixed(evaluation, call.outputs, leaves[sources[name]].values())
        ]
        for name in sources
    }
    # One that is called elsewhere as well has a loss of its own there.
    suspects = sorted(sources, key=lambda name: len(shared[name]) - len(reaching[name]))
    places = [f"'{name}' ({', '.join(dict.fromkeys(shared[name]))})" for name in suspects]
    return Finding(
        f"a term of {loss} trains {places[0]} and {places[1]} at once: write nets.frozen or "
        f"nets.target for the one that it is not to train{meant}",
        next(iter(shared[suspects[0]]), ""),
    )


def _depends_on(value: Tensor, tensors: Iterable[Tensor]) -> bool:
    """Whether a tensor has a gradient of some others."""
    return any(g is not None for g in gradients(value.sum(), tensors))


def stray_terms(subject: Subject) -> list[Finding]:
    """In a loss of several networks, each call of one that logs its losses shows in its metrics.

    What does not is another's term, which reaches it by mistake.
    """
    found = []
    for phase in subject.phases:
        evaluation = evaluate(subject, phase)
        for name in phase.trains if len(phase.trains) > 1 else ():
            own = {k: v for k, v in evaluation.metrics.items() if k.startswith(f"{name}/")}
            if not any(metric.endswith("loss") for metric in own):
                continue
            for call in evaluation.reaching(name):
                if not any(_depends_on(value, call.outputs) for value in own.values()):
                    sentence = (
                        f"{name_of(phase.loss)} trains '{name}' by a term that is in no metric "
                        f"'{name}/…': write nets.frozen.{name} if the term is another network's, "
                        "or else log it"
                    )
                    found.append(Finding(sentence, call.where))
    return list(dict.fromkeys(found))


def bootstraps_are_fixed(subject: Subject) -> list[Finding]:
    """No trained network has a gradient through its outputs for the next observation.

    Unless the method declares that it is meant.
    """
    at_next, declared = trained_at_next(subject), subject.method.trained_at_next
    found = [finding for finding, name in at_next.items() if name not in declared]
    idle = [name for name in declared if name not in at_next.values()]
    return [*found, *(_idle(subject, "trained_at_next", [name]) for name in idle)]


def trained_at_next(subject: Subject) -> dict[Finding, str]:
    """Where a trained network has a gradient through its outputs for the next observation: which.

    Its outputs there are those that change with the next observations alone: as numbers, with
    everything else equal.
    """
    found: dict[Finding, str] = {}
    for phase in subject.phases:
        base, next_changed, rest_changed = (
            evaluate(subject, phase, change) for change in (None, _other_next, _other_rest)
        )
        for call, changed, other in zip(
            base.calls, next_changed.calls, rest_changed.calls, strict=True
        ):
            if call.name not in phase.trains:
                continue
            for y, of_next, of_rest in zip(
                call.outputs, changed.outputs, other.outputs, strict=True
            ):
                [gradient] = base.wrt([y])
                if gradient is not None and gradient[(y != of_next) & (y == of_rest)].any():
                    name = call.name
                    sentence = (
                        f"{name_of(phase.loss)} trains '{name}' through what it says of the next "
                        f"observation: write nets.target.{name} or nets.frozen.{name}, or detach "
                        f"it; or say that it is meant: trained_at_next = ('{name}',)"
                    )
                    found[Finding(sentence, call.where)] = name
    return found


def terminals_end_values(subject: Subject) -> list[Finding]:
    """A loss of rewards and next observations sees where an episode ended for good.

    And does not take the ends for all the rest.
    """
    found = []
    for phase in subject.phases:
        base, *changed = (
            evaluate(subject, phase, change).loss
            for change in (None, _other_next, _other_rewards, _other_masks)
        )
        of_next, of_rewards, of_masks = (not torch.equal(base, other) for other in changed)
        loss, where = name_of(phase.loss), definition(phase.loss, subject.method)
        if of_next and of_rewards and not of_masks:
            sentence = (
                f"{loss} goes on behind terminal steps: multiply what it makes of the next "
                "observation by batch.masks, which are 0 there"
            )
            found.append(Finding(sentence, where, advice=True))
        elif _heeds_next(subject, phase, 0) and not _heeds_next(subject, phase, 1):
            sentence = (
                f"{loss} heeds the next observation at terminal steps alone: batch.masks are 0 "
                "there and 1 where the episode goes on, so multiply by batch.masks themselves"
            )
            found.append(Finding(sentence, where))
    return list(dict.fromkeys(found))  # online phases may be a stage's


def _heeds_next(subject: Subject, phase: Phase, mask: int) -> bool:
    """Whether a loss changes with the next observations where all masks are this."""

    def masked(batch: Batch) -> Batch:
        return batch._replace(masks=torch.full_like(batch.masks, mask))

    base, other = (
        evaluate(subject, phase, change).loss
        for change in (masked, lambda batch: _other_next(masked(batch)))
    )
    return not torch.equal(base, other)


def _other_next(batch: Batch) -> Batch:
    return batch._replace(next_observations=batch.next_observations.flip(1))


def _other_rewards(batch: Batch) -> Batch:
    return batch._replace(rewards=batch.rewards.flip(1))


def _other_masks(batch: Batch) -> Batch:
    return batch._replace(masks=1 - batch.masks)


def _other_rest(batch: Batch) -> Batch:
    return batch._replace(observations=batch.observations.flip(1))
