"""What a pickle holds, without unpickling it: nothing that it names is imported, made or called.

Its opcodes, as `pickletools` takes them apart, are followed on a stack of plain values. Whatever
would have become an object is a `Record` of what the pickle says of it.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

_VALUES = {
    *("BININT", "BININT1", "BININT2", "LONG1"),
    *("BINUNICODE", "BINBYTES", "SHORT_BINBYTES"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_STORE, _FETCH = {"BINPUT", "LONG_BINPUT"}, {"BINGET", "LONG_BINGET"}
_NOTHING = {"PROTO", "STOP"}
_PERSISTENT = "what the pickle refers to"

Kind = TypeVar("Kind")


@dataclass
class Record:
    """What would be an object: by what it is made, of what, and the state that it is given.

    Attributes:
        name: `module.name` of a class or function that was not looked up.
        arguments: of its call; None where the class or function itself is meant.
        state: plain values.
    """

    name: str
    arguments: tuple[Any, ...] | None = None
    state: Any = None


def read_inertly(file: BinaryIO) -> Any:
    """The next pickle of a file: numbers, texts, bytes, tuples, lists, dicts and `Record`s.

    Raises ValueError for opcodes that such data do not need, and many kinds of errors for damage.
    """
    reader = _Reader()
    for opcode, argument, _ in pickletools.genops(file):
        reader.follow(opcode.name, argument)
    return reader.stack.pop()


class _Reader:
    """The stack of a pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def follow(self, opcode: str, argument: Any) -> None:
        """One opcode. Raises ValueError if it is none of those that data need."""
        stack = self.stack
        if opcode in _VALUES:
            stack.append(argument)
        elif opcode in _CONSTANTS:
            stack.append(_CONSTANTS[opcode])
        elif opcode in _STORE:
            self._memo[argument] = stack[-1]
        elif opcode in _FETCH:
            stack.append(self._memo[argument])
        elif opcode in _TUPLES:
            stack.append(tuple(self._pop(_TUPLES[opcode])))
        elif opcode not in _NOTHING:
            self._structure(opcode, argument)

    def _structure(self, opcode: str, argument: Any) -> None:
        stack = self.stack
        match opcode:
            case "MARK":
                self._marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(self._pop_to_mark()))
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "APPEND" | "APPENDS":
                items = self._pop(1) if opcode == "APPEND" else self._pop_to_mark()
                _as(list, stack[-1]).extend(items)
            case "SETITEM" | "SETITEMS":
                items = self._pop(2) if opcode == "SETITEM" else self._pop_to_mark()
                _as(dict, stack[-1]).update(zip(items[::2], items[1::2], strict=True))
            case "GLOBAL":
                stack.append(Record(argument.replace(" ", ".")))
            case "REDUCE" | "NEWOBJ":
                by, arguments = self._pop(2)
                stack.append(_made(_as(Record, by).name, _as(tuple, arguments)))
            case "BINPERSID":
                stack.append(Record(_PERSISTENT, _as(tuple, stack.pop())))
            case "BUILD":
                state = stack.pop()
                if isinstance(stack[-1], Record):  # an ordered dictionary's is not needed
                    stack[-1].state = state
            case _:
                raise ValueError(f"it has the opcode {opcode}, which data do not need")

    def _pop(self, count: int) -> list[Any]:
        start = len(self.stack) - count
        if start < 0:
            raise ValueError("it takes more from its stack than there is")
        found = self.stack[start:]
        del self.stack[start:]
        return found

    def _pop_to_mark(self) -> list[Any]:
        return self._pop(len(self.stack) - self._marks.pop())


def _made(name: str, arguments: tuple[Any, ...]) -> Any:
    return {} if name == "collections.OrderedDict" else Record(name, arguments)


def _as(kind: type[Kind], found: Any) -> Kind:
    if not isinstance(found, kind):
        raise ValueError(f"it has {type(found).__name__} in the place of {kind.__name__}")
    return found


def tensor(found: Any, archive: zipfile.ZipFile | None = None) -> NDArray[np.float32]:
    """The array of a record of a torch tensor or parameter, of float32 in C order.

    `archive` is the file of `torch.save` that the pickle is from, if it lies there beside numbers.
    Raises ValueError for any other record.
    """
    record = _as(Record, found)
    if record.name == "torch._utils._rebuild_parameter":
        record = _as(Record, _called(record, record.name)[0])
    storage, offset, shape, strides, *_ = _called(record, "torch._utils._rebuild_tensor_v2")
    if strides != tuple(math.prod(shape[i + 1 :]) for i in range(len(shape))):
        raise ValueError("a tensor is not in C order")
    numbers = np.frombuffer(_bytes_of(_as(Record, storage), archive), "<f4")
    return numbers[offset : offset + math.prod(shape)].reshape(shape).astype(np.float32)


def _bytes_of(storage: Record, archive: zipfile.ZipFile | None) -> bytes:
    """The bytes of a tensor's storage: in the archive, or in the record itself."""
    if archive is not None:
        _, kind, key, *_ = _called(storage, _PERSISTENT)
        folder = archive.namelist()[0].partition("/")[0]
        content = archive.read(f"{folder}/data/{key}")
    else:
        # torch's format before archives: five pickles, a count of eight bytes, the numbers.
        (inner,) = _called(storage, "torch.storage._load_from_bytes")
        file = io.BytesIO(inner)
        _, _, _, named, _ = (read_inertly(file) for _ in range(5))
        _, kind, *_ = _called(_as(Record, named), _PERSISTENT)
        content = file.read()[8:]
    if _as(Record, kind).name != "torch.FloatStorage":
        raise ValueError(f"it has {kind.name} in the place of float32")
    return content


def _called(record: Record, name: str) -> tuple[Any, ...]:
    """The arguments of a record that is to be a call of this name."""
    if record.name != name or record.arguments is None:
        raise ValueError(f"it has {record.name} in the place of {name}")
    return record.arguments
