"""Running a part of a method, and what to say of what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from algorithms.base import Algorithm
from algorithms.engine.preflight.inputs import Sizes
from algorithms.errors import AlgorithmError, author_line, sentence_of

ROUNDING = 1e-4  # the most that a seed's numbers may differ beside other seeds, relatively


def attempt(
    cls: type[Algorithm[Any]],
    where: Callable[[], str],
    function: Callable[..., Any],
    *arguments: Any,
    note: str = "",
) -> Any:
    """What `function` returns; its errors become the author's, at `where` if at no line of theirs.

    note: added to errors that may be of shapes.
    """
    try:
        return function(*arguments)
    except Exception as error:
        if isinstance(error, AlgorithmError) and error.where:
            raise
        plain = not isinstance(error, AlgorithmError)
        of_shapes = plain and isinstance(error, RuntimeError | ValueError | IndexError)
        sentence = sentence_of(error) + (note if of_shapes else "")
        raise AlgorithmError(sentence, author_line(error, cls) or where()) from error


def kind(found: Any, sizes: Sizes) -> str:
    """What a value is, in the words of shapes."""
    if isinstance(found, Tensor):
        kind = "" if found.is_floating_point() else f" of {str(found.dtype).partition('.')[2]}"
        return f"a tensor {sizes.shape(found.shape)}{kind}" if found.ndim else f"one number{kind}"
    if isinstance(found, tuple):
        return f"a tuple of {len(found)}"
    return f"a {type(found).__name__}"


def here_note(sizes: Sizes) -> str:
    """The sizes that a message about shapes is about."""
    seeds, transitions, observations = sizes
    return f" (tried with S = {seeds}, B = {transitions}, E = {observations} to act on)"


def same(a: Tensor, b: Tensor, tolerance: float) -> bool:
    """Whether numbers agree, relatively; where one is not finite the other must be the same."""
    a, b = a.detach().double(), b.detach().double()
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
