"""Public agents that some tasks `local/…` roll out, fetched and turned into policy files.

Sizes and sha256 are of the files at the commits named. None is unpickled: `inert_pickle`.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.local_files import POLICIES
from harness.data.recipes.policy_files import save_policy
from harness.data.sources.download import Patience, RefusedError, download
from harness.data.sources.download_lock import sha256_of
from harness.data.sources.inert_pickle import read_inertly, tensor
from harness.data.store import lock, write_errors_explained
from harness.errors import UserError

PATIENCE = Patience(tries=3)

Policy = tuple[dict[str, Any], dict[str, NDArray[np.float32]]]  # as `save_policy` takes it


@dataclass(frozen=True)
class PublicPolicy:
    """A policy as its authors published it.

    Attributes:
        name: ours.
        task: what it acts in.
        address: of the file, at a commit.
        size: in bytes.
        sha256: of the file.
        licence: of the repository.
        read: what makes a policy of the file's bytes.
    """

    name: str
    task: str
    address: str
    size: int
    sha256: str
    licence: str
    read: Callable[[bytes], Policy]


def dapg_policy(content: bytes) -> Policy:
    """Of a pickled mjrl.policies.gaussian_mlp.MLP, as DAPG's are.

    Raises ValueError, among others, for anything else.
    """
    found = read_inertly(io.BytesIO(content))
    if getattr(found, "name", "") != "mjrl.policies.gaussian_mlp.MLP":
        raise ValueError(f"it holds {getattr(found, 'name', type(found).__name__)}")
    network = found.state["model"].state
    layers = network["_modules"]["fc_layers"].state["_modules"].values()
    arrays = {"log_std": tensor(found.state["log_std"])}
    for index, layer in enumerate(layers):
        parameters = layer.state["_parameters"]
        arrays[f"W{index}"] = tensor(parameters["weight"])
        arrays[f"b{index}"] = tensor(parameters["bias"])
    ours = {"in": "obs", "out": "out"}
    for side in ours:
        for what in ("shift", "scale"):
            arrays[f"{ours[side]}_{what}"] = tensor(network[f"{side}_{what}"])
    meta = {
        "n_layers": len(layers),
        "activation": network["nonlinearity"].arguments[-1],  # getattr(torch, "tanh")
        "squash": "none",
        "out_affine": True,
        "time_feature": False,
        "obs_eps": 1e-8,
        "obs_clip": None,
    }
    return meta, arrays


def sac_policy(content: bytes) -> Policy:
    """Of the archive of a stable-baselines3 agent of the kind of SAC, as TQC is.

    Raises ValueError, among others, for anything else.
    """
    saved = zipfile.ZipFile(io.BytesIO(content)).read("policy.pth")
    with zipfile.ZipFile(io.BytesIO(saved)) as archive:
        folder = archive.namelist()[0].partition("/")[0]
        weights = read_inertly(io.BytesIO(archive.read(f"{folder}/data.pkl")))
        ours = {"latent_pi.0": "0", "latent_pi.2": "1", "mu": "2", "log_std": "_log_std"}
        arrays = {
            f"{letter}{name}": tensor(weights[f"actor.{theirs}.{kind}"], archive)
            for theirs, name in ours.items()
            for letter, kind in (("W", "weight"), ("b", "bias"))
        }
    meta = {
        "n_layers": 3,
        "activation": "relu",
        "squash": "tanh",
        "out_affine": False,
        "time_feature": False,
        "log_std_clip": [-20.0, 2.0],
    }
    return meta, arrays


_DAPG = "https://raw.githubusercontent.com/aravindr93/hand_dapg/9a1de23df6574e1b94e1da742e3326eb1f61c013/dapg/policies"
_AGENTS = "https://raw.githubusercontent.com/DLR-RM/rl-trained-agents/cd35bde610f4045bf2e0731c8f4c88d22df8fc85/tqc"


def _hand(task: str, size: int, sha256: str) -> PublicPolicy:
    address = f"{_DAPG}/{task}-v0.pickle"
    return PublicPolicy(f"dapg-{task}", task, address, size, sha256, "Apache-2.0", dapg_policy)


def _body(title: str, size: int, sha256: str) -> PublicPolicy:
    task, address = title.lower(), f"{_AGENTS}/{title}-v3_1/{title}-v3.zip"
    return PublicPolicy(f"tqc-{task}", task, address, size, sha256, "MIT", sac_policy)


TABLE = (
    _hand("pen", 80935, "061dba4907a76b83139ae5a8d0809faa9774dd028d12ce869036b620bd728740"),
    _hand("door", 39060, "288dd2131b905e40852d9eb032595bb9b3aa90b0502e9341e6b0e128b803478f"),
    _hand("hammer", 40480, "14c6b603af09acf87247f8b45d58f9671790d8e4ca0c48c8db5e1f7c98126ef4"),
    _hand("relocate", 39684, "41432c3125c97a8eb101d5d482f062b1f9bb72239a3abccae7428ef0e66413fc"),
    _body(
        "HalfCheetah",
        3434190,
        "836e9f4d641c68c06e6dbe6c06f907eda943627ef1cece324bac4d007a757b9f",
    ),
    _body("Hopper", 3323097, "ad04cf1b354adb8810cd2a98f45f3c5179bd5c6d9fa83a1a7b8c1157094417e3"),
    _body("Walker2d", 3434174, "329d4c4e0983a53e67c27cd3f69a2d3a8bb3e93aeb2de639ba68f9b6af5eb7e1"),
)


def fetch_policies(
    progress: Callable[[str, int, int], None], names: Iterable[str] | None = None
) -> list[str]:
    """Bring the policies named, or all, to where policies are looked for, unless they are there.

    Returns what went wrong on the way, a sentence each. Raises UserError, once all others were
    tried, for those that could not be had.
    """
    notes, failures = [], []
    for policy in TABLE:
        if names is None or policy.name in names:
            try:
                notes += _fetch(policy, progress)
            except UserError as error:
                failures.append(str(error))
    if failures:
        raise UserError("\n".join(failures))
    return notes


def _fetch(policy: PublicPolicy, progress: Callable[[str, int, int], None]) -> list[str]:
    final = POLICIES.path / f"{policy.name}.npz"
    published = final.with_suffix(Path(policy.address).suffix)
    notes: list[str] = []
    with write_errors_explained(final), lock(f"fetch-{policy.name}"):
        if not final.exists():
            _, notes = download(
                [policy.address],
                published,
                size=policy.size,
                check=lambda part: _check(policy, part),
                progress=lambda done, total: progress(
                    f"fetching {policy.name} (bytes)", done, total
                ),
                patience=PATIENCE,
            )
            try:
                _convert(policy, published, final)
            finally:
                published.unlink()
    return notes


def _check(policy: PublicPolicy, part: Path) -> None:
    """Raises RefusedError unless these are the bytes that were published."""
    if (found := sha256_of(part)) != policy.sha256:
        raise RefusedError(
            f"it sent other bytes: sha256 {found[:16]}…, expected {policy.sha256[:16]}…"
        )


def _convert(policy: PublicPolicy, published: Path, final: Path) -> None:
    """Write the policy's file. Raises UserError for bytes that hold no such policy."""
    facts = {
        "task": policy.task,
        "source": policy.address,
        "source_sha256": policy.sha256,
        "licence": policy.licence,
    }
    try:
        meta, arrays = policy.read(published.read_bytes())
    except Exception as error:  # of a zip, of a pickle, of an array: damage has many kinds
        raise UserError(
            f"{policy.name} was not made: {policy.address} holds no policy of its kind ({error}); "
            "nothing in it was run."
        ) from error
    save_policy(final, meta | facts, arrays)
