"""D4RL's own HDF5 files: which there are, and what is known of their bytes (light).

Paths: D4RL d4rl/infos.py @ 89141a6. Sizes and sha256: TensorFlow Datasets, the checksums.tsv files
in tensorflow_datasets/d4rl, which a second party recorded from the same addresses; seven of the
locomotion files' were found in other people's records, too. There are none for relocate and maze2d:
those files are trusted on first use and locked from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.tasks.ids import RewardRule
from harness.tasks.options import sized_id, whole_numbers
from harness.tasks.spec import DatasetRef

ADDRESS = "http://rail.eecs.berkeley.edu/datasets/offline_rl"

# File name: bytes, sha256.
CHECKSUMS = {
    "halfcheetah_medium-v2.hdf5": (
        237727262,
        "41324e8487a9556d8cfa4538827f8937f4d63dae3030825ebc9f3a726ed08ca0",
    ),
    "halfcheetah_medium_replay-v2.hdf5": (
        59448533,
        "48d494a4770c11f48260736dec090b78bdca8375647ed4d24bfa5b6610c7f683",
    ),
    "halfcheetah_medium_expert-v2.hdf5": (
        474567252,
        "015db75dae5bbe8e94029b71fa0bafc2073365df0c94744e71031189f3f79c06",
    ),
    "hopper_medium-v2.hdf5": (
        152756557,
        "5bdf1bc4a713c82941de44633df669b36c89850b652a25985166796d25cf71a0",
    ),
    "hopper_medium_replay-v2.hdf5": (
        75854457,
        "e121c5f7c9857a307baa9edc6a2c3b48e85fedb9ac316ecddd0f48ca7ef4e39b",
    ),
    "hopper_medium_expert-v2.hdf5": (
        304537315,
        "9d51ad87f8c905be3880d84c6140bcdb7fbf39a19e046a237f238ba34fec9e26",
    ),
    "walker2d_medium-v2.hdf5": (
        232254996,
        "cf00f43add04c17fdfc2958dd581dea0851b2e5bedbe6fda073758a8f841aeda",
    ),
    "walker2d_medium_replay-v2.hdf5": (
        86323963,
        "e75de96a4f77acf7d4e0d6fdf0d7ccb177c26c44bb4388e4fd99f543ccfa18db",
    ),
    "walker2d_medium_expert-v2.hdf5": (
        462197079,
        "6b8d7f868c45bbaedf460be797fb7271b46dee6ebe45fe7a64319f2005b59a04",
    ),
    "pen-human-v1.hdf5": (
        2040573,
        "209e345b2150b633f30a11612612c60f49e941f127ce6c4dc0cd790501c46f9f",
    ),
    "pen-cloned-v1.hdf5": (
        155074191,
        "6d1a982cee1950501bedebbddedbcbb377e6284d379986c83abac8a6c0be0c22",
    ),
    "pen-expert-v1.hdf5": (
        262040663,
        "3791b8ca6a802061770af2977c051ac3ae261488210ce73788760a5b8308f374",
    ),
    "door-human-v1.hdf5": (
        3121206,
        "f9691288c3ddf2b4e7b31bdae0d8444b80ba035515495f8a902d60c43ee09370",
    ),
    "door-cloned-v1.hdf5": (
        294356136,
        "1f6a60ecc4d2a2e5c02f41dd3412be61bb265a33dcf120ceee9e9682d4fe4d48",
    ),
    "door-expert-v1.hdf5": (
        536056678,
        "66df4cd4e0a1e0b72ea72653ce088e29ecbfa99bac3cd2b52e64092e9a0aaab4",
    ),
    "hammer-human-v1.hdf5": (
        5606475,
        "3e42f3f49b5c92a901601dfe867c6c62a9651cbe79f6760ec8b402a15816a498",
    ),
    "hammer-cloned-v1.hdf5": (
        446616879,
        "e48d75b159bdd72f51d3f01448d3eca4d38275714e11e995c14a36f6cf159db3",
    ),
    "hammer-expert-v1.hdf5": (
        557047483,
        "1c069a0f6e4852493023c77dc3b3a12d8d5ac2e3a034827fea3ab8a161e7185f",
    ),
}


def published(
    task_id: str, version: int, path: str, rewards: RewardRule, options: Mapping[str, Any]
) -> DatasetRef:
    """One of D4RL's files as a task's dataset, stored under the task's id and D4RL's version.

    `options` may hold `transitions`: the first whole episodes. Raises UserError for an option that
    cannot be.
    """
    limit = whole_numbers(task_id, options, {"transitions": 1})
    size, sha256 = CHECKSUMS.get(path.rpartition("/")[2], (None, None))
    return DatasetRef(
        id=sized_id(task_id, limit.get("transitions"), version=version),
        source="d4rl",
        recipe="d4rl-hdf5",
        params={"file": path, "revision": f"v{version}", "bytes": size, "sha256": sha256, **limit},
        rewards=rewards,
    )
