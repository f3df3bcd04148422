"""What the ids of specs say, in sentences for readers: no code compares them, no hash covers them.

Sentences may hold `{horizon}`, `{where}` and `{variant}` (the last two parts of the task's id),
`{entry}` (of its reference scores) and the names of the task's `values`.
"""

from __future__ import annotations

from harness.tasks.ids import RewardRule, Scale, Semantics, Source
from harness.tasks.spec import TaskSpec

_HAND_THINGS = {"door": "handle", "hammer": "hammer", "relocate": "ball"}
_SEEN_GOAL = "the goal in force, which is part of the observation"
_UNSEEN_GOAL = "a goal uniform within 0.25 of the goal cell's centre in x and y"

REWARDS: dict[RewardRule, str] = {
    RewardRule.AS_RECORDED: "as recorded",
    RewardRule.AS_EVALUATED: "as the evaluation environment gave them",
    RewardRule.PEN_DROP: (
        "as recorded; the step that drops the pen (height below 0.075) is terminal and the rest of "
        "the episode is left out, as in D4RL"
    ),
    RewardRule.HEALTHY_FALL: (
        "as recorded, plus 1 on a terminal step: the healthy reward that D4RL's version pays there "
        "and v5 does not"
    ),
    **{
        RewardRule(f"{hand}-distance"): (
            f"as recorded - 0.2 |palm - {thing}| of the next observation, which gives that term "
            "D4RL's sign"
        )
        for hand, thing in _HAND_THINGS.items()
    },
    **{
        RewardRule(f"{hand}-sign"): (
            f"D4RL's: as recorded where the palm's distance to the {thing} is found subtracted, as "
            "D4RL's files should have it; where it is found added, less 0.2 of it"
        )
        for hand, thing in _HAND_THINGS.items()
    },
    RewardRule.SPARSE_GOAL: (
        f"sparse: probability that the next position is within 0.45 of {_UNSEEN_GOAL}"
    ),
    RewardRule.DENSE_GOAL: (
        f"dense: mean of exp(-distance) of the next position from {_UNSEEN_GOAL}"
    ),
    RewardRule.SPARSE_SEEN_GOAL: (
        f"as recorded: 1 where the next position is within 0.45 of {_SEEN_GOAL}, else 0"
    ),
    RewardRule.DENSE_SEEN_GOAL: (
        f"as recorded: exp(-distance) of the next position from {_SEEN_GOAL}"
    ),
    RewardRule.STEP_LATE: (
        "as recorded. D4RL's files give a step the reward of its own observation, not of the next "
        "one as the environment does (D4RL issue 194); published results learnt from them, so they "
        "stay"
    ),
    RewardRule.MODE_VALUE: (
        "as recorded: max_k r_k exp(-|a - mu_k|^2 / (2 d sigma^2)), after which the episode ends"
    ),
    RewardRule.OWN: "by a rule of the task's own recipe",
}

_SAME_PHYSICS = "the physics of v5 are those of v4 and, but for the engine's version, of D4RL's v2"
_V5 = "{body}-v5 in MuJoCo 4 with D4RL's reference scores: {difference}."
_CLONED = (
    "The data are made as D4RL's cloned ones are, but the demonstrations are a public agent's and "
    "not a human's: half are 25 of its episodes again and again, half are episodes of {clone}. "
    "They are not D4RL's cloned data, and nobody can make human demonstrations."
)
_D4RL_BODY = (
    "d4rl. D4RL's {body}-*-v2 in MuJoCo 4 instead of mujoco-py's 2.0, the one difference known: "
    "{same}. {{horizon}} steps; D4RL's reference scores."
)
_DISTANCE = (
    "the palm's distance to the {} is subtracted from the reward (times 0.1), where "
    "gymnasium-robotics 1.2.1 to 1.4.2 adds it"
)
_RESTORED = {
    "pen": "the episode ends (terminal) with the step that drops the pen, where "
    "gymnasium-robotics goes on",
    **{hand: _DISTANCE.format(thing) for hand, thing in _HAND_THINGS.items()},
}
_HELD = (
    "Success: more than 25 steps of the episode at the environment's goal, as D4RL counts them (of "
    "the pen more than 20 there)."
)
_MAZE2D = (
    "d4rl. D4RL's {{entry}} rebuilt on gymnasium-robotics 1.4.2's PointMaze, whose "
    "model has D4RL's parameters (force, damping, masses, walls, time step; speed clipped to 5), "
    "in MuJoCo 4 instead of mujoco-py's 2.0. D4RL's coordinates: observations are row, column and "
    "their velocities, actions the forces along them, and a cell's centre lies at its row and "
    "column minus 0.2. D4RL's task: starts at any free cell's number, the goal's too, ±0.1, with "
    "velocities of N(0, 0.1²); the goal is the goal cell's number, without noise, and not "
    "observed; reward of the next position, {reward}; no termination, {{horizon}} steps. Known "
    "differences: the engine's version, and which random numbers starts are drawn from."
)

SEMANTICS: dict[Semantics, str] = {
    Semantics.POINTMAZE: (
        "The goal cell is fixed; at every reset the goal is drawn within 0.25 of its centre in x "
        "and y (position_noise_range, as in Minari's evaluation environment) and the point starts "
        "in another cell. The policy sees (x, y, vx, vy) and not the goal. Resting at the centre "
        "is always inside the sparse reward's radius (0.354 < 0.45), so sparse scores lose almost "
        "nothing to the noise; dense returns measure the distance to the unseen goal, which costs "
        "a policy that drives to the centre about a sixth of its return. Episodes never terminate: "
        "they end at the horizon, and arriving early and staying is what scores."
    ),
    Semantics.MINARI_POINTMAZE: (
        "as-shipped. Minari's evaluation environment of D4RL/pointmaze/{variant}-v2: the goal cell "
        "is fixed; at every reset the goal is drawn within 0.25 of its centre in x and y and the "
        "point starts in another cell. The policy sees (x, y, vx, vy, goal x, goal y), which are "
        "`observation` and `desired_goal`; `achieved_goal` repeats x and y and is left out. It "
        "needs the goal, because in the data every episode has another one, drawn anew over all "
        "cells where the last episode ended, and rewards are for that goal. A recorded episode "
        "ends (truncated, not terminal) with the step that reaches its goal, so the data never "
        "show what staying there is worth, while evaluation goes on to the horizon and staying is "
        "what scores. The first observation of every recorded episode but the first still shows "
        "the last episode's goal (Minari issue 265); it is given its own. pointmaze/* differ: "
        "there the goal is not seen and rewards are for the evaluation goal."
    ),
    Semantics.MAZE2D_SPARSE: _MAZE2D.format(reward="1 within 0.5 of the goal and else 0"),
    Semantics.MAZE2D_DENSE: _MAZE2D.format(reward="exp(-distance to the goal)"),
    Semantics.MAZE2D_OPEN: (
        "D4RL's references of the open maze do not fit D4RL's own task: random actions score about "
        "43 (sparse) and 176 (dense) with them, so its scores compare methods with each other only."
    ),
    Semantics.HALFCHEETAH_V5: _V5.format(
        body="HalfCheetah", difference=f"{_SAME_PHYSICS}, and so is reward"
    ),
    Semantics.HOPPER_V5: _V5.format(
        body="Hopper",
        difference=f"{_SAME_PHYSICS}; the healthy reward of 1 is also paid on the step that falls, "
        "as there. D4RL's reference minimum is below what a random policy gets (about 17)",
    ),
    Semantics.WALKER2D_V5: _V5.format(
        body="Walker2d",
        difference="both feet have v5's friction of 1.9, which the data were made with (D4RL's v2 "
        "and v4: 0.9 right, 1.9 left), so scores are not D4RL's physics; the healthy reward of 1 "
        "is also paid on the step that falls, as in D4RL",
    ),
    Semantics.LOCAL_DATA: "The local data are not D4RL's: other agents, fewer steps.",
    Semantics.AGENT_CLONED: _CLONED.format(clone="a policy cloned from these"),
    Semantics.UNDERFIT_CLONE: _CLONED.format(
        clone="a policy that was cloned from these for so short a time that it mostly fails, as a "
        "human's clone does"
    ),
    Semantics.REMADE_DATA: (
        "The data are D4RL's recipe rerun on this machine with this project's SAC, not D4RL's "
        "files."
    ),
    Semantics.D4RL_HALFCHEETAH: _D4RL_BODY.format(
        body="halfcheetah",
        same="HalfCheetah-v5 steps exactly like v4, which kept the rewards and physics of v2",
    ),
    Semantics.D4RL_HOPPER: _D4RL_BODY.format(
        body="hopper",
        same="Hopper-v5 steps exactly like v4, which kept the rewards and physics of v2, once the "
        "healthy reward of 1 is also paid on the step that falls. D4RL's reference minimum is "
        "below what a random policy gets here (about 17)",
    ),
    Semantics.D4RL_WALKER2D: _D4RL_BODY.format(
        body="walker2d",
        same="Walker2d-v5 with the model of v2 to v4, whose feet have a friction of 0.9 (right) "
        "and 1.9 (left) where v5's have 1.9 both, steps exactly like v4 once the healthy reward of "
        "1 is also paid on the step that falls",
    ),
    **{
        Semantics(f"restored-{hand}"): (
            f"D4RL's {hand}-*-v1 in gymnasium-robotics 1.4.2 and MuJoCo 4: {restored}; {{horizon}} "
            f"steps; D4RL's reference scores. Data follow the same rules. {_HELD}"
        )
        for hand, restored in _RESTORED.items()
    },
    **{
        Semantics(f"d4rl-{hand}"): (
            f"d4rl. D4RL's {hand}-*-v1 in gymnasium-robotics 1.4.2, in MuJoCo 4 instead of "
            f"mujoco-py's 2.0, the one difference known: {restored}; {{horizon}} steps; D4RL's "
            f"reference scores. {_HELD}"
        )
        for hand, restored in _RESTORED.items()
    },
    Semantics.D4RL: "d4rl.",
    Semantics.PLAYED_BACK: (
        "Data: the actions of D4RL's {where}-{variant}-v1, played back by Minari in "
        "gymnasium-robotics from D4RL's first state of every episode, so observations and rewards "
        "are today's engine's; rewards get D4RL's rules."
    ),
    Semantics.MULTIMODAL: (
        "One step an episode: the policy sees (cos, sin) of an angle, uniform from 0 to pi / 2K, "
        "by which the first two coordinates of every mode's centre mu_k are turned. The "
        "deterministic reward is Q itself, so 100 is the best mode's centre and no action has "
        "more. The behaviour is an equal mixture of N(mu_k, sigma^2 I); success means that the "
        "nearest centre is within the radius that holds 99% of its mode. Separation is the "
        "distance of the nearest two centres in units of sigma sqrt(d), the data's root mean "
        "square distance from their centre; 4 sigma lie between every centre and the limits of the "
        "actions; r_k rises evenly from 1 - gap to 1."
    ),
    Semantics.WRONG_Q: (
        "Methods that are given the known Q get a wrong one: sd(Q) times {q_noise:g} of a smooth "
        "random function and {q_bias:g} of the excess of the distance from the nearest centre over "
        "the support radius, in such radii"
    ),
    Semantics.OWN: "The environment is the task's own, of an installed package.",
}

SOURCES: dict[Source, str] = {
    Source.D4RL_INFOS: "D4RL d4rl/infos.py @ 89141a6, {entry}",
    Source.MINARI_METADATA: (
        "metadata of the public Minari dataset D4RL/pointmaze/{entry}-v2 (second-hand: quoted by "
        "public code that reads it), which belongs to this environment; not D4RL's maze2d values"
    ),
    Source.CLOSED_FORM: "the infimum of the reward, and the best mode's at its centre",
    Source.BOUNDS: "bounds: no reward in any step, and the highest in every step",
    Source.OWN: "{entry}",
}

SCALES: dict[Scale, str] = {
    Scale.D4RL: "scored as D4RL's are, with its rewards, ends and reference scores",
    Scale.AS_SHIPPED: (
        "scored in the environment that Minari's public data come with, by the reference scores "
        "that come with them"
    ),
    Scale.OWN: "scored by what is known of the task, on a scale that no other work has",
}

# Of `DatasetRef.source`; the recipe's name follows.
ORIGINS = {
    "recipe": "made locally by the recipe",
    "minari": "given on this machine, imported by",
    "minari-remote": "a public Minari dataset, imported by",
    "d4rl": "D4RL's own file, imported by",
}

# Why a task is in no ranking.
DENOISING = (
    "one policy's actions with noise added, so they test denoising and not offline RL: scores are "
    "shown, and are in no average, no order of methods and never bold"
)


def needs(task: TaskSpec) -> str:
    """What somebody must bring to this machine before the task's data can be made, if anything."""
    data = task.dataset
    if data.adds_noise or data.recipe == "agent-clone":
        return "public policies (data fetch policies)"
    if data.recipe == "policy-rollout":
        return "a policy file (data make --policy)"
    if data.recipe == "minari-import":
        return "local datasets that cannot be fetched"
    return ""


def rewards(task: TaskSpec) -> str:
    """How the task's rewards are made."""
    return REWARDS[task.dataset.rewards]


def semantics(task: TaskSpec) -> str:
    """What a score of the task means, and what its author adds."""
    said = [_filled(SEMANTICS[name], task) for name in task.environment.semantics]
    return " ".join([*said, *([task.description] if task.description else [])])


def source(task: TaskSpec) -> str:
    """Where the task's reference scores are from."""
    return _filled(SOURCES[task.reference.source], task)


def _filled(sentence: str, task: TaskSpec) -> str:
    *_, where, variant = ["", *task.id.split("/")]
    return sentence.format(
        horizon=task.horizon,
        where=where,
        variant=variant,
        entry=task.reference.entry,
        **task.values,
    )
