"""A trained policy as one file that torch alone can run: TorchScript."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from algorithms.base import Key, Noise, NoiseSpec, Normal, Uniform
from algorithms.engine.trained import Trained
from harness.errors import UserError
from harness.execution.engines import selection_of
from harness.files import write_bytes
from harness.policies.saved import SavedRun

_TRACED, _CHECKED = 3, (1, 3, 8)  # observations at once
_TOLERANCE = 1e-4


class Exportable(nn.Module):
    """Raw observations `[N, obs_dim]` to actions `[N, action_dim]`; its noise is torch's own."""

    def __init__(self, trained: Trained, selection: str) -> None:
        super().__init__()
        self.trained = trained
        self._selection = selection

    def forward(self, observations: Tensor) -> Tensor:
        """As `Policy` acts, but for where noise comes from."""
        return self.trained.act(observations.unsqueeze(0), self._selection, _noise).squeeze(0)


def export_policy(run: SavedRun, path: Path, action_selection: str | None = None) -> float:
    """Write a run's policy as TorchScript; `torch.jit.load(path)(observations)` acts.

    What was written is loaded again and compared with the policy on random observations, in
    batches of several sizes and under the same noise. Returns the largest difference of an action.

    Raises UserError for a method whose acting cannot be written so, with why, and for a folder.
    """
    if not path.name or path.is_dir():
        raise UserError(f"{path} is a folder: give the file to write, as {path / 'policy.pt'}.")
    name, trained = run.spec.algorithm, run.trained
    selection = selection_of(run.spec, run.trained.algorithm, action_selection)
    if trained.algorithm.context:
        raise UserError(
            f"{name} cannot be exported: it acts on the steps before, and a file of TorchScript "
            "would not remember them. Act with harness.load_policy."
        )
    policy = Exportable(trained, selection)
    try:
        content, apart = _written(policy)
    except Exception as error:  # whatever torch meets in a method that it cannot follow
        raise UserError(
            f"{name} cannot be exported: torch cannot follow how it acts "
            f"({' '.join(str(error).split())[:200]}). Act with harness.load_policy."
        ) from error
    if apart <= _TOLERANCE:
        write_bytes(path, content)
        return apart
    raise UserError(
        f"{name} cannot be exported: written as TorchScript its actions differ by {apart:.2g}, as "
        "how it acts depends on numbers in ways that are not written. Act with "
        "harness.load_policy."
    )


def _written(policy: Exportable) -> tuple[bytes, float]:
    """The file's content, and the largest difference of an action once it is loaded again."""
    preprocessing = policy.trained.preprocessing
    shift, scale = preprocessing.mean, preprocessing.scale
    generator = torch.Generator().manual_seed(0)

    def observations(count: int) -> Tensor:
        return shift + torch.randn(count, len(shift), generator=generator) / scale

    with torch.no_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's on TorchScript's age, and on Python's numbers
        example = (observations(_TRACED),)
        traced = torch.jit.trace(policy, example, check_trace=False)  # type: ignore[no-untyped-call]
        file = io.BytesIO()
        torch.jit.save(traced, file)
        content = file.getvalue()
        written = torch.jit.load(io.BytesIO(content))  # type: ignore[no-untyped-call]
        apart = 0.0
        for count in _CHECKED:
            x, found = observations(count), []
            for act in (policy, written):
                torch.manual_seed(count)
                found.append(act(x))
            apart = max(apart, float((found[0] - found[1]).abs().max()))
    return content, apart


def _noise(specs: NoiseSpec, count: int) -> Noise:
    """From torch's global generator."""
    return {name: _draw(spec, count) for name, spec in specs.items()}


def _draw(spec: Normal | Uniform | Key, count: int) -> Tensor:
    if isinstance(spec, Key):
        return torch.randint(2**32, (1,))
    sample = torch.randn if isinstance(spec, Normal) else torch.rand
    return sample(1, count, spec.dim)
