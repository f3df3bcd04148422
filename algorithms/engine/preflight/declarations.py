"""What a method declares in `create` and `online_phases`, checked before anything is run."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

from algorithms.action_selection import parse_action_selection
from algorithms.base import Algorithm, Phase, Stage
from algorithms.declared import class_trees, declared_at, method_at, names_in_use, own_methods
from algorithms.engine.schedule import check_shares
from algorithms.errors import AlgorithmError, definition, nearest
from algorithms.networks import Params


def phases_of_run(method: Algorithm[Any], online: bool) -> list[Phase]:
    """Those of all stages, and of interaction if the run goes on online."""
    stages = [*method.stages, *([method.online_stage()] if online else [])]
    return [phase for stage in stages for phase in stage.phases]


def check_declarations(method: Algorithm[Any], online: bool) -> None:
    """Raise AlgorithmError at the first name or kind that does not fit.

    online: whether the run goes on online.
    """
    _everything_is_set(method)
    _names_are_spelt(type(method))
    _cheap_names_settings(type(method))
    _stages_are_stages(method)
    phases = phases_of_run(method, online)
    for phase in phases:
        _names_are_in_tuples(method, phase)
    _names_exist(method, phases)
    _trained_networks_have_optimizers(method, phases)
    _optimizers_have_work(method, phases)
    _averages_move(method, phases)
    _softmax_has_a_temperature(method)


def _everything_is_set(method: Algorithm[Any]) -> None:
    """Catches a `create` that forgets an attribute."""
    for name in ("networks", "optimizers", "stages"):
        if not hasattr(method, name):
            sentence = f"create does not set self.{name}"
            raise AlgorithmError(sentence, definition(method.create, type(method)))


def _names_are_spelt(method: type[Algorithm[Any]]) -> None:
    """Catches `action_selectoin = …` and `def online_phase`, which nothing would read."""
    sources = [tree for _, tree, _ in class_trees(method)]
    attributes = [name for tree in sources for name in _attributes(tree)]
    _are_spelt(method, attributes, set(Algorithm.__annotations__), declared_at)
    functions = [node.name for tree in sources for node in own_methods(tree)]
    public = {name for name in vars(Algorithm) if not name.startswith("_")}
    _are_spelt(method, functions, public, method_at)


def _are_spelt(
    method: type[Algorithm[Any]],
    names: Iterable[str],
    known: set[str],
    place: Callable[[type[Algorithm[Any]], str], str],
) -> None:
    """Raise AlgorithmError at the first name that is almost a known one, and read nowhere."""
    meant = {name: nearest(name, known, likeness=0.8) for name in names if name not in known}
    odd = [name for name in meant if meant[name]]
    used = names_in_use(method) if odd else set()
    for name in odd:
        if name not in used:
            raise AlgorithmError(f"nothing reads '{name}'.{meant[name]}", place(method, name))


def _cheap_names_settings(method: type[Algorithm[Any]]) -> None:
    """Catches `cheap = {"flow_stpes": 2}`, which would make nothing cheap."""
    fields = method.Config.model_fields
    for name in method.cheap:
        if name not in fields:
            sentence = f"cheap has '{name}', which is no setting.{nearest(name, fields)}"
            raise AlgorithmError(sentence, declared_at(method, "cheap", name))


def _attributes(tree: ast.AST) -> Iterator[str]:
    """Names of what a class sets, in its body or of `self`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for statement in node.body:
                targets = statement.targets if isinstance(statement, ast.Assign) else []
                yield from (target.id for target in targets if isinstance(target, ast.Name))
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    yield statement.target.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def _stages_are_stages(method: Algorithm[Any]) -> None:
    """Catches one without the comma that makes a tuple, and shares and numbers that cannot be."""
    wrong = ""
    if not _sequence_of(method.stages, Stage):
        wrong = "self.stages must be a tuple of stages: (Stage(…),)"
    elif not all(_sequence_of(stage.phases, Phase) for stage in method.stages):
        wrong = "a stage's phases must be a tuple: Stage((Phase(…),))"
    if wrong:
        raise AlgorithmError(wrong, declared_at(type(method), "stages"))
    try:
        check_shares(method.stages)
    except ValueError as error:
        raise AlgorithmError(str(error), declared_at(type(method), "share")) from error
    pretraining, stages = method.pretraining_stages, len(method.stages)
    if not 0 <= pretraining <= stages:
        raise AlgorithmError(
            f"pretraining_stages is {pretraining}, but self.stages has {stages}",
            declared_at(type(method), "pretraining_stages"),
        )


def _names_are_in_tuples(method: Algorithm[Any], phase: Phase) -> None:
    """Catches `trains="critic"`, which would be read letter by letter."""
    for field in ("trains", "updates_targets"):
        names = getattr(phase, field)
        if isinstance(names, str):
            raise AlgorithmError(
                f"{field} must be a tuple of names: ('{names}',), found the text '{names}'",
                declared_at(type(method), field, names, phase),
            )


def _names_exist(method: Algorithm[Any], phases: Sequence[Phase]) -> None:
    """Catches misspelt networks, and moved averages that `targets` does not declare."""

    def check(
        field: str,
        names: Iterable[str],
        known: Mapping[str, Any],
        what: str,
        phase: Phase | None = None,
    ) -> None:
        for name in names:
            if name not in known:
                sentence = f"{field} names '{name}', which {what}.{nearest(name, known)}"
                raise AlgorithmError(sentence, declared_at(type(method), field, name, phase))

    no_network, no_target = "is no network", "self.targets does not declare"
    check("optimizers", method.optimizers, method.networks, no_network)
    check("targets", method.targets, method.networks, no_network)
    for phase in phases:
        check("trains", phase.trains, method.networks, no_network, phase)
        check("updates_targets", phase.updates_targets, method.targets, no_target, phase)
    for stage in method.stages:
        check("copies", stage.copies, method.networks, no_network)
        check("copies", stage.copies.values(), method.targets, no_target)


def _trained_networks_have_optimizers(method: Algorithm[Any], phases: Sequence[Phase]) -> None:
    """Catches a network that a phase trains with no optimizer."""
    for phase in phases:
        for name in phase.trains:
            if name not in method.optimizers:
                sentence = f"'{name}' is trained without an optimizer: self.optimizers['{name}']"
                raise AlgorithmError(sentence, declared_at(type(method), "trains", name, phase))


def _optimizers_have_work(method: Algorithm[Any], phases: Sequence[Phase]) -> None:
    """Catches a network that has an optimizer and that no phase trains, also online."""
    trained = {name for phase in phases for name in phase.trains}
    idle = [name for name in method.optimizers if name not in trained]
    if idle and method.learns_online():
        trained |= {n for phase in method.online_stage().phases for n in phase.trains}
    for name in idle:
        if name not in trained:
            sentence = f"'{name}' has an optimizer, but no phase trains it"
            raise AlgorithmError(sentence, declared_at(type(method), "optimizers", name))


def _averages_move(method: Algorithm[Any], phases: Sequence[Phase]) -> None:
    """Catches a declared target that stays at its first value while its network is trained."""
    trained = {name for phase in phases for name in phase.trains}
    moved = {name for phase in phases for name in phase.updates_targets}
    for name in method.targets:
        if name in trained and name not in moved:
            raise AlgorithmError(
                f"the target of '{name}' never moves: no phase of this run has it in "
                "updates_targets",
                declared_at(type(method), "targets", name),
            )


def _softmax_has_a_temperature(method: Algorithm[Any]) -> None:
    """Catches a method that acts by `softmax-of-N` and does not say how soft."""
    if parse_action_selection(method.action_selection).softmax and not method.selection_temperature:
        sentence = f"'{method.action_selection}' needs self.selection_temperature"
        raise AlgorithmError(sentence, declared_at(type(method), "", method.action_selection))


def check_copies(method: Algorithm[Any], params: Mapping[str, Params]) -> None:
    """Raise AlgorithmError at the first copy between networks of different parameters.

    params: some of every network.
    """

    def shapes(name: str) -> dict[str, torch.Size]:
        return {key: value.shape for key, value in params[name].items()}

    for stage in method.stages:
        for name, source in stage.copies.items():
            if shapes(name) != shapes(source):
                sentence = f"copies '{source}' to '{name}', which has other shapes"
                raise AlgorithmError(sentence, declared_at(type(method), "copies", source))


def _sequence_of(found: Any, kind: type) -> bool:
    return isinstance(found, tuple | list) and all(isinstance(item, kind) for item in found)
