"""What the literature calls our tasks and methods."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from algorithms import registry
from harness.errors import nearest
from harness.tasks import find_task, task_ids

# D4RL's names by our ids. Its maze2d is our maze2d/*; pointmaze/* is another environment.
_D4RL = {
    **{
        f"{body}-{level}-v2": f"gym/{body}/{level}"
        for body in ("halfcheetah", "hopper", "walker2d")
        for level in ("medium", "medium-replay", "medium-expert")
    },
    **{
        f"{hand}-{level}-v1": f"adroit/{hand}/{level}"
        for hand in ("pen", "door", "hammer", "relocate")
        for level in ("human", "cloned", "expert")
    },
    **{f"maze2d-{maze}-v1": f"maze2d/{maze}" for maze in ("umaze", "medium", "large")},
}

# Methods that are registered here, under the names that papers print.
_OURS = {
    "10% BC": "bc-10",
    "AWAC": "awac",
    "BC": "bc",
    "BCQ": "bcq",
    "CAC": "cac",
    "CQL": "cql",
    "CQL (paper)": "cql",
    "D-QL": "diffusion-ql",
    "DD": "dd",
    "DT": "dt",
    "DTQL": "dtql",
    "Diffuser": "diffuser",
    "Diffusion-QL": "diffusion-ql",
    "EDAC": "edac",
    "EDP": "edp",
    "EDP+TD3": "edp",  # the learner that it has on locomotion, here and there
    "FAWAC": "fawac",
    "FBRAC": "fbrac",
    "FQL": "fql",
    "IDQL": "idql",
    "IFQL": "ifql",
    "IQL": "iql",
    "MCQ": "mcq",
    "Onestep RL": "onestep",
    "QDT": "qdt",
    "QGPO": "qgpo",
    "ReBRAC": "rebrac",
    "RvS-R": "rvs",
    "SAC-N": "sac-n",
    "SRPO": "srpo",
    "SfBC": "sfbc",
    "TD3+BC": "td3-bc",
    "TT": "tt",
}

# Methods that are known by published scores alone. `-1`: one setting for all tasks, as IDQL's
# paper ran them.
_OTHERS = {
    "A2PR": "a2pr",
    "ACL-QL": "acl-ql",
    "AWR": "awr",
    "AdaptDiffuser": "adaptdiffuser",
    "AlgaeDICE": "algaedice",
    "BEAR": "bear",
    "BRAC": "brac",
    "BRAC-p": "brac-p",
    "BRAC-v": "brac-v",
    "COMBO": "combo",
    "CQL-1": "cql-1",
    "D-QL-1": "diffusion-ql-1",
    "DC (Decision ConvFormer)": "dc",
    "DOSER": "doser",
    "Diffusion Forcing": "diffusion-forcing",
    "EDP (DQL)": "edp-dql",
    "EDP+CRR": "edp-crr",
    "EPQ": "epq",
    "F-BRC": "f-brc",
    "GMPG (GVP)": "gmpg-gvp",
    "GMPG (ICFM)": "gmpg-icfm",
    "GMPG (VPSDE)": "gmpg-vpsde",
    "GMPO (GVP)": "gmpo-gvp",
    "GMPO (ICFM)": "gmpo-icfm",
    "GMPO (VPSDE)": "gmpo-vpsde",
    "HD (Hierarchical Diffuser)": "hd",
    "HDMI": "hdmi",
    "HorizonFlow": "horizonflow",
    "ICQL": "icql",
    "IDQL-1": "idql-1",
    "IQL-1": "iql-1",
    "MBOP": "mbop",
    "MISA": "misa",
    "MOPO": "mopo",
    "MOReL": "morel",
    "MPPI": "mppi",
    "ODC": "odc",
    "ODT": "odt",
    "OFQL": "ofql",
    "RTB": "rtb",
    "SAC-RND": "sac-rnd",
    "SAC-off": "sac-off",  # SAC on data alone; ours learns in an environment
    "SSD": "ssd",
    "SVR": "svr",
    "VHD (VH-Diffuser)": "vhd",
}
_METHODS = _OURS | _OTHERS


def d4rl_tasks() -> tuple[str, ...]:
    """Our ids of the D4RL tasks that published scores are collected of."""
    return tuple(_D4RL.values())


def d4rl_version(task: str) -> str:
    """D4RL's current version of a task's data, such as `v2`; empty if D4RL does not have it."""
    return next((name.rpartition("-")[2] for name, ours in _D4RL.items() if ours == task), "")


@functools.cache
def task_id(name: str) -> str:
    """Our id of a task given by that or by D4RL's name. Raises ValueError for no task's name."""
    found = _D4RL.get(name, name)
    if find_task(found) is None:
        raise ValueError(f"there is no task '{name}'.{nearest(name, [*task_ids(), *_D4RL])}")
    return found


_IDS = frozenset(_METHODS.values())


def method_id(name: str, more: Iterable[str] = ()) -> str:
    """Our id of a method given by that or by a name of the literature.

    `more` are ids that are allowed too. Raises ValueError for no method's name.
    """
    found = _METHODS.get(name, name)
    if found in _IDS:  # as nearly always; installed packages take milliseconds to look for
        return found
    known = {*_IDS, *registry.algorithms(), *more}
    if found not in known:
        raise ValueError(f"there is no method '{name}'.{nearest(name, [*known, *_METHODS])}")
    return found
