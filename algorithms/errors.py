"""What is wrong with a method, in one sentence and with its author's line. Light: no torch."""

from __future__ import annotations

import difflib
import functools
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

# What the loader, the C library, torch and MuJoCo say. A loader that adds something has another
# reason, such as a folder mounted noexec.
_NO_MEMORY = r"allocate memory|out of memory|failed to map segment from shared object$"


class AlgorithmError(ValueError):
    """A mistake in a method's own code.

    Attributes:
        sentence: what was found, and what should be there.
        where: the author's `file:line`, or nothing if it is not known.
    """

    def __init__(self, sentence: str, where: str = "") -> None:
        super().__init__(f"{sentence} ({where})" if where else sentence)
        self.sentence, self.where = sentence, where


class DivergedError(RuntimeError):
    """Learners whose numbers are none any more.

    Attributes:
        reasons: what was not finite, by the learner's slot in its stack.
    """

    def __init__(self, reasons: Mapping[int, str]) -> None:
        super().__init__("; ".join(f"slot {slot}: {what}" for slot, what in reasons.items()))
        self.reasons = dict(reasons)


def nearest(found: str, allowed: Iterable[str], likeness: float = 0.5) -> str:
    """A ' Did you mean …?' for the closest allowed name, or nothing."""
    match = difflib.get_close_matches(found, list(allowed), n=1, cutoff=likeness)
    return f" Did you mean '{match[0]}'?" if match else ""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, the one that it was raised from or during, and so on to the first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def lacks_memory(error: BaseException) -> bool:
    """Whether an error comes of too little memory, which is nobody's mistake.

    Packages written in C fail to import then, as if they were not installed.
    """
    return any(
        isinstance(cause, MemoryError)
        or re.search(_NO_MEMORY, str(cause), re.IGNORECASE | re.MULTILINE)
        for cause in causes(error)
    )


def sentence_of(error: BaseException) -> str:
    """What an error says, on one line, with the nearest name where a name is wrong."""
    if isinstance(error, AlgorithmError):
        return error.sentence
    if type(error).__module__.startswith("torch._dynamo"):
        return _compilers_words(error)
    if isinstance(error, ValidationError):
        found = error.errors()[0]
        place = f"'s '{'.'.join(map(str, found['loc']))}'" if found["loc"] else ""
        return f"{error.title}{place} cannot be: {found['msg'].removeprefix('Value error, ')}"
    if isinstance(error, AttributeError) and error.name and error.obj is not None:
        owner = error.obj if isinstance(error.obj, ModuleType) else type(error.obj)
        kind = "module" if isinstance(error.obj, ModuleType) else "object"
        names = [name for name in dir(error.obj) if not name.startswith("__")]
        near = nearest(error.name, names)
        return f"this {owner.__name__} {kind} has no attribute '{error.name}'.{near}"
    words = (str(error).strip() or "no message").splitlines()[0]
    if isinstance(error, NameError) and error.name and error.__traceback__:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        words = f"{words}.{nearest(error.name, {*frame.f_locals, *frame.f_globals})}"
    return f"{type(error).__name__}: {words}"


def _compilers_words(error: BaseException) -> str:
    """`torch.compile`'s error and its explanation, without hints and frames."""
    first, *others = str(error).strip().splitlines() or ["no message"]
    mark = "Explanation: "
    reasons = [line.partition(mark)[2].rstrip(" .") for line in others if mark in line]
    return ": ".join(["torch.compile refuses this code", first, *reasons[:1]])


def author_line(error: BaseException, method: type) -> str:
    """`file:line` of the innermost frame of `error` in the method's own code, or nothing.

    A method's own are the packages of its class and of those it extends, but not the engine, the
    blocks and the networks of this project.
    """
    return innermost_line(error, _roots(method))


def innermost_line(error: BaseException, roots: Iterable[Path]) -> str:
    """`file:line` of the innermost frame of `error` in one of some files and folders."""
    roots = list(roots)
    compiled = getattr(error, "real_stack", None) or ()  # torch.compile's view of the user's code
    lines = [(frame.filename, frame.lineno) for frame in compiled] or [
        (frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    if isinstance(error, SyntaxError) and error.filename:
        lines.append((error.filename, error.lineno))
    for file, line in reversed(lines):
        path = Path(file)
        if any(_holds(root, path) for root in roots) and not _is_ours(path):
            return _shown(path, line, roots)
    return ""


def line_in(name: str, error: BaseException) -> str:
    """`file:line` of the innermost frame in a module's package, or of its syntax error."""
    spec = find_spec(name.partition(".")[0])
    if spec is None:
        return ""
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    return innermost_line(error, folders or [Path(spec.origin or "")])


def calling_line(method: type) -> str:
    """`file:line` of the innermost frame, of those that are running, in the method's own code."""
    roots = list(_roots(method))
    for frame, line in traceback.walk_stack(sys._getframe(1)):  # None skips callers, by version
        path = Path(frame.f_code.co_filename)
        if any(_holds(root, path) for root in roots) and not _is_ours(path):
            return _shown(path, line, roots)
    return ""


def definition(function: Callable[..., Any], method: type) -> str:
    """`file:line` of where a function begins, or nothing for one without Python code."""
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None)
    return shown(Path(code.co_filename), code.co_firstlineno, method) if code else ""


def name_of(function: Callable[..., Any]) -> str:
    """What a loss or `act` is called, also when some of its arguments are given already."""
    return str(getattr(getattr(function, "func", function), "__name__", "a function"))


def shown(file: Path, line: int | None, method: type) -> str:
    """`my_package/my_method.py:37`: a file from the method's package on, without the rest."""
    return _shown(file, line, _roots(method))


def _shown(file: Path, line: int | None, roots: Iterable[Path]) -> str:
    root = next((root for root in roots if _holds(root, file)), file)
    return f"{file.relative_to(root.parent)}:{line}"


def _roots(method: type) -> Iterator[Path]:
    """The folders of the packages, or the files, that a class and those it extends are in."""
    for cls in method.__mro__:
        top = cls.__module__.partition(".")[0]
        module = sys.modules.get(top)
        if module is None or top in sys.stdlib_module_names:
            continue
        if hasattr(module, "__path__"):
            yield from map(Path, module.__path__)
        elif module.__file__:
            yield Path(module.__file__)


def _holds(root: Path, path: Path) -> bool:
    return path == root or root in path.parents


_HERE = Path(__file__).parent
_NAMES = (
    "action_selection.py",
    "base.py",
    "declared.py",
    "errors.py",
    "networks.py",
    "engine",
    "blocks",
    "contract",
)
_OURS = [_HERE / name for name in _NAMES]


def _is_ours(path: Path) -> bool:
    return any(_holds(part, path) for part in _OURS)
