"""Public agents: fetched from servers on the loopback address, and never unpickled."""

from __future__ import annotations

import errno
import hashlib
import io
import itertools
import os
import pickle
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from harness import data
from harness.commands.data import data_app
from harness.data.recipes.policy_files import GaussianPolicy, load_policy
from harness.data.sources import public_policies
from harness.data.sources.download import Patience
from harness.data.sources.inert_pickle import read_inertly, tensor
from harness.data.sources.public_policies import PublicPolicy, dapg_policy, sac_policy
from harness.errors import UserError
from harness.tasks import get_task, task_ids
from tests.harness.data.file_server import serving, status, whole

HAND, BODY = (45, 8, 6, 24), (11, 5, 4, 3)


class Gone:
    """A class of the agents' own library, which is not installed."""


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, Any]:
    """A pickled agent as DAPG's are, and the same with its library."""
    for package in ("mjrl", "mjrl.policies", "mjrl.utils"):
        monkeypatch.setitem(sys.modules, package, ModuleType(package))
    for name, kind in (("mjrl.policies.gaussian_mlp", "MLP"), ("mjrl.utils.fc_network", "Net")):
        module = ModuleType(name)
        made = type(kind, (Gone,), {"__module__": name})
        monkeypatch.setattr(module, kind, made, raising=False)
        monkeypatch.setitem(sys.modules, name, module)
    torch.manual_seed(0)
    network = sys.modules["mjrl.utils.fc_network"].Net()
    layers = [nn.Linear(i, o) for i, o in itertools.pairwise(HAND)]
    network._modules = {"fc_layers": nn.ModuleList(layers)}
    network.nonlinearity = torch.tanh
    network.in_shift, network.in_scale = torch.randn(45), torch.rand(45) + 0.5
    network.out_shift, network.out_scale = torch.randn(24), torch.rand(24) + 0.5
    agent = sys.modules["mjrl.policies.gaussian_mlp"].MLP()
    agent.model, agent.log_std = network, nn.Parameter(torch.randn(24))
    agent.numbers = np.arange(3.0)  # of no use to us, and there
    return pickle.dumps(agent, protocol=3), agent


def body() -> tuple[bytes, dict[str, torch.Tensor]]:
    """An agent's archive as stable-baselines3 writes it, and its weights."""
    torch.manual_seed(1)
    sizes = {"latent_pi.0": BODY[:2], "latent_pi.2": BODY[1:3]}
    sizes |= {"mu": BODY[2:], "log_std": BODY[2:]}
    weights = {}
    for name, (inputs, outputs) in sizes.items():
        layer = nn.Linear(inputs, outputs)
        weights |= {
            f"actor.{name}.weight": layer.weight.data,
            f"actor.{name}.bias": layer.bias.data,
        }
    return archive_of(weights), weights


def archive_of(weights: object) -> bytes:
    saved, content = io.BytesIO(), io.BytesIO()
    torch.save(weights, saved)
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("policy.pth", saved.getvalue())
    return content.getvalue()


def known(name: str, content: bytes, address: str = "") -> PublicPolicy:
    """What is known of a published file of these bytes."""
    read = dapg_policy if name.startswith("dapg") else sac_policy
    ending = "pickle" if name.startswith("dapg") else "zip"
    sha256, task = hashlib.sha256(content).hexdigest(), name.partition("-")[2]
    address = f"{address}/{name}.{ending}"
    return PublicPolicy(name, task, address, len(content), sha256, "a licence", read)


@pytest.fixture
def folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where policies are to be, and are not yet."""
    monkeypatch.delenv("HARNESS_POLICIES", raising=False)
    monkeypatch.setattr(
        public_policies, "PATIENCE", Patience(tries=2, first_wait=0.001, answer=5.0)
    )
    return root / "local" / "policies"


def fetch(monkeypatch: pytest.MonkeyPatch, *table: PublicPolicy) -> str:
    """`data fetch` as typed, where these are the public policies; returns what it prints."""
    monkeypatch.setattr(public_policies, "TABLE", table)
    result = CliRunner().invoke(data_app, ["fetch", "policies"], catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0
    return result.output


def test_an_agent_of_dapg_is_fetched_and_acts_as_it_did(
    hand: tuple[bytes, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, agent = hand
    with serving(whole(content)) as server:
        printed = fetch(monkeypatch, known("dapg-pen", content, server.url))
        fetch(monkeypatch, known("dapg-pen", content, server.url))
        assert len(server.requests) == 1  # what is there is not fetched again
    assert f"dapg-pen are ready, in {folder}" in printed
    assert [path.name for path in folder.iterdir()] == ["dapg-pen.npz"]
    policy, observation = load_policy(folder / "dapg-pen.npz"), torch.randn(45)
    hidden = (observation - agent.model.in_shift) / (agent.model.in_scale + 1e-8)
    *layers, last = agent.model._modules["fc_layers"]
    for layer in layers:
        hidden = torch.tanh(layer(hidden))
    action = last(hidden) * agent.model.out_scale + agent.model.out_shift
    _agrees(policy, observation, action, agent.log_std.exp())


def test_an_agent_of_tqc_is_fetched_and_acts_as_it_did(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, weights = body()
    with serving(whole(content)) as server:
        fetch(monkeypatch, known("tqc-hopper", content, server.url))
    policy, hidden = load_policy(folder / "tqc-hopper.npz"), torch.randn(11)
    observation = hidden

    def layer(name: str, inputs: torch.Tensor) -> torch.Tensor:
        return inputs @ weights[f"actor.{name}.weight"].T + weights[f"actor.{name}.bias"]

    for name in ("latent_pi.0", "latent_pi.2"):
        hidden = torch.relu(layer(name, hidden))
    _agrees(policy, observation, layer("mu", hidden), layer("log_std", hidden).exp())
    np.testing.assert_allclose(
        policy.mean(observation.double().numpy()),
        torch.tanh(layer("mu", hidden)).numpy(),
        rtol=1e-5,
    )


def _agrees(
    policy: GaussianPolicy, observation: torch.Tensor, mean: torch.Tensor, std: torch.Tensor
) -> None:
    ours = policy.gaussian(observation.double().numpy())
    np.testing.assert_allclose(ours[0], mean.detach().numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours[1], std.detach().numpy(), rtol=1e-5)


def test_a_task_fetches_its_own_policy_alone(
    hand: tuple[bytes, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, _ = hand
    task = get_task("local/pen/mixed")
    assert data.missing([task])
    with serving(whole(content)) as server:
        table = [known(f"dapg-{name}", content, server.url) for name in ("door", "pen")]
        monkeypatch.setattr(public_policies, "TABLE", table)
        assert data.fetch(task) == []
    assert [path.name for path in folder.iterdir()] == ["dapg-pen.npz"]
    assert data.missing([task]) == []


def test_other_bytes_than_the_published_ones_are_refused(
    hand: tuple[bytes, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, _ = hand
    changed = content[:-9] + b"!" + content[-8:]
    with serving(whole(changed)) as server, pytest.raises(UserError) as error:
        fetch(monkeypatch, known("dapg-pen", content, server.url))
    assert "dapg-pen.pickle could not be fetched" in str(error.value)
    found, wanted = (hashlib.sha256(each).hexdigest()[:16] for each in (changed, content))
    assert f"it sent other bytes: sha256 {found}…, expected {wanted}…" in str(error.value)
    assert [*folder.iterdir()] == []


def test_a_transfer_that_broke_off_goes_on_where_it_stopped(
    hand: tuple[bytes, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, _ = hand
    with serving(whole(content, upto=1000), status(404)) as server:
        policy = known("dapg-pen", content, server.url)
        with pytest.raises(UserError, match=r"it answered 404"):
            fetch(monkeypatch, policy)
        assert [path.name for path in folder.glob("*.npz")] == []
        server.answers[:] = [whole(content)]
        server.requests.clear()
        fetch(monkeypatch, policy)
        first, *_ = server.requests
    assert first["Range"].startswith("bytes=")
    assert int(first["Range"].removeprefix("bytes=").removesuffix("-")) == 1000
    assert [path.name for path in folder.iterdir()] == ["dapg-pen.npz"]


def test_a_file_that_is_cut_there_is_refused(
    hand: tuple[bytes, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, _ = hand
    with serving(whole(content[:-100])) as server, pytest.raises(UserError) as error:
        fetch(monkeypatch, known("dapg-pen", content, server.url))
    assert f"has {len(content) - 100:,} bytes there, not {len(content):,}" in str(error.value)
    assert [*folder.iterdir()] == []


def test_without_a_network_every_file_is_named_in_a_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(whole(b"")) as server:
        address = server.url  # and nobody there any more
    table = [known(name, b"x", address) for name in ("dapg-pen", "tqc-hopper")]
    with pytest.raises(UserError) as error:
        fetch(monkeypatch, *table)
    for name in ("dapg-pen.pickle", "tqc-hopper.zip"):
        assert f"{name} could not be fetched.\n- {address}/{name}: it could not be reached" in str(
            error.value
        )


def test_a_full_disk_is_a_sentence_and_leaves_nothing(
    hand: tuple[bytes, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    content, _ = hand
    monkeypatch.setattr(public_policies, "save_policy", full)
    with serving(whole(content)) as server:
        expected = rf"{folder}/dapg-pen\.npz could not be written: No space left on device\."
        with pytest.raises(UserError, match=expected):
            fetch(monkeypatch, known("dapg-pen", content, server.url))
    assert [*folder.iterdir()] == []


# --- pickles that would do something -----------------------------------------------------------


class Act:
    """Unpickling it leaves a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def malicious(marker: Path) -> Iterator[bytes]:
    """By every protocol, alone, in an agent's place of a number, and in the bytes of a tensor."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for content in (Act(marker), {"a": [1, Act(marker)]}):
            yield pickle.dumps(content, protocol=protocol)


@pytest.mark.parametrize("name", ["dapg-pen", "tqc-hopper"])
def test_a_malicious_pickle_is_refused_and_does_not_run(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its sha256 is the published one."""
    marker = tmp_path / "ran"
    for pickled in malicious(marker):
        content = pickled if name.startswith("dapg") else _in_an_archive(pickled)
        with serving(whole(content)) as server, pytest.raises(UserError) as error:
            fetch(monkeypatch, known(name, content, server.url))
        assert f"{name} was not made: {server.url}" in str(error.value)
        assert "nothing in it was run" in str(error.value)
        assert [*folder.iterdir()] == []
        assert not marker.exists()
        pickle.loads(pickled)
        assert marker.exists()  # it is one
        marker.unlink()


def _in_an_archive(pickled: bytes) -> bytes:
    saved, content = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(saved, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("policy.pth", saved.getvalue())
    return content.getvalue()


def test_a_pickle_within_a_tensor_does_not_run_either(
    hand: tuple[bytes, Any], tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    inner = b"".join(pickle.dumps(each, protocol=2) for each in (1, 2, 3, Act(marker), 5))

    class Storage:
        def __reduce__(self) -> tuple[Any, ...]:
            return torch.storage._load_from_bytes, (inner,)

    class Weight:
        def __reduce__(self) -> tuple[Any, ...]:
            return torch._utils._rebuild_tensor_v2, (Storage(), 0, (1,), (1,), False, {})

    record = read_inertly(io.BytesIO(pickle.dumps(Weight(), protocol=3)))
    with pytest.raises(ValueError, match=r"it has (posix|nt)\.system in the place of"):
        tensor(record)
    assert not marker.exists()


def test_plain_data_are_what_unpickling_makes_of_them() -> None:
    content = {"a": [1, 2, -70_000, 2**40, [], ()], "b": (None, True, False, "ü", b"\x00" * 300)}
    content["c"] = {"nested": [{"x": 1}], "same": content["a"]}  # type: ignore[assignment]
    assert read_inertly(io.BytesIO(pickle.dumps(content, protocol=3))) == content


def test_a_damaged_agent_is_a_sentence(
    hand: tuple[bytes, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, _ = hand
    rng = np.random.default_rng(0)
    for length in rng.integers(1, len(content), 40):
        damaged = bytearray(content[:length])
        damaged[rng.integers(length)] ^= 1 << int(rng.integers(8))
        expected = "dapg-pen was not made: .* holds no policy of its kind"
        with serving(whole(bytes(damaged))) as server, pytest.raises(UserError, match=expected):
            fetch(monkeypatch, known("dapg-pen", bytes(damaged), server.url))
        assert [*folder.iterdir()] == []


# --- what is fetched ---------------------------------------------------------------------------


def test_every_policy_that_a_task_rolls_out_is_public() -> None:
    tasks = [get_task(task_id) for task_id in task_ids()]
    rolled_out = [task for task in tasks if "policy" in task.dataset.params]
    table = {policy.name: policy for policy in public_policies.TABLE}
    assert {task.dataset.params["policy"] for task in rolled_out} == {*table}
    for task in rolled_out:
        policy = table[str(task.dataset.params["policy"])]
        assert policy.task == task.id.split("/")[1]


def test_a_missing_policy_is_said_with_the_command_that_fetches_it(
    folder: Path,
) -> None:
    (sentence,) = data.missing([get_task("local/door/mixed")])
    assert "harness data fetch policies" in sentence
