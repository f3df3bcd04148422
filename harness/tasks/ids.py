"""The facts that specs name: ids that code compares and hashes cover; `words` says each (light)."""

from __future__ import annotations

from enum import StrEnum


class RewardRule(StrEnum):
    """How a task's rewards are made from its dataset."""

    AS_RECORDED = "as-recorded"
    AS_EVALUATED = "as-evaluated"
    PEN_DROP = "pen-drop"
    HEALTHY_FALL = "healthy-fall"
    DOOR_DISTANCE = "door-distance"
    HAMMER_DISTANCE = "hammer-distance"
    RELOCATE_DISTANCE = "relocate-distance"
    DOOR_SIGN = "door-sign"
    HAMMER_SIGN = "hammer-sign"
    RELOCATE_SIGN = "relocate-sign"
    SPARSE_GOAL = "sparse-goal"
    DENSE_GOAL = "dense-goal"
    SPARSE_SEEN_GOAL = "sparse-seen-goal"
    DENSE_SEEN_GOAL = "dense-seen-goal"
    STEP_LATE = "step-late"
    MODE_VALUE = "mode-value"
    OWN = "own"


class Semantics(StrEnum):
    """What a score measured in an environment means; a spec names one or several."""

    POINTMAZE = "pointmaze"
    MINARI_POINTMAZE = "minari-pointmaze"
    MAZE2D_SPARSE = "maze2d-sparse"
    MAZE2D_DENSE = "maze2d-dense"
    MAZE2D_OPEN = "maze2d-open"
    HALFCHEETAH_V5 = "halfcheetah-v5"
    HOPPER_V5 = "hopper-v5"
    WALKER2D_V5 = "walker2d-v5"
    LOCAL_DATA = "local-data"
    AGENT_CLONED = "agent-cloned"
    UNDERFIT_CLONE = "underfit-clone"
    REMADE_DATA = "remade-data"
    D4RL_HALFCHEETAH = "d4rl-halfcheetah"
    D4RL_HOPPER = "d4rl-hopper"
    D4RL_WALKER2D = "d4rl-walker2d"
    RESTORED_PEN = "restored-pen"
    RESTORED_DOOR = "restored-door"
    RESTORED_HAMMER = "restored-hammer"
    RESTORED_RELOCATE = "restored-relocate"
    D4RL_PEN = "d4rl-pen"
    D4RL_DOOR = "d4rl-door"
    D4RL_HAMMER = "d4rl-hammer"
    D4RL_RELOCATE = "d4rl-relocate"
    D4RL = "d4rl"
    PLAYED_BACK = "played-back"
    MULTIMODAL = "multimodal"
    WRONG_Q = "wrong-q"
    OWN = "own"


class Source(StrEnum):
    """Where reference scores are from."""

    D4RL_INFOS = "d4rl-infos"
    MINARI_METADATA = "minari-metadata"
    CLOSED_FORM = "closed-form"
    BOUNDS = "bounds"
    OWN = "own"


class Scale(StrEnum):
    """On whose scale scores are: those of different scales do not compare."""

    D4RL = "d4rl"
    AS_SHIPPED = "as-shipped"
    OWN = "own"
