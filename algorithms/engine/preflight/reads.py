"""Which settings are read by what runs share: all of them decide who may share it."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Any

from algorithms.base import Algorithm, Config
from algorithms.errors import calling_line


def noting(config: Config, method: type, read: dict[str, str]) -> Config:
    """The same config; it notes the fields that are read, each with the author's first line."""
    cls = type(config)

    def getattribute(self: Config, name: str) -> Any:
        if name in cls.model_fields and name not in read:
            read[name] = calling_line(method)
        return cls.__getattribute__(self, name)

    def body(namespace: dict[str, Any]) -> None:
        namespace["__getattribute__"] = getattribute

    fields: Mapping[str, Any] = vars(config)
    noting_class: type[Config] = types.new_class(cls.__name__, (cls,), exec_body=body)
    return noting_class.model_construct(**fields)


def not_declared(
    method: type[Algorithm[Any]], read: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """What to say, and where, of each setting read in pretraining that `Pretraining` has not.

    Rows that differ in another setting share one pretraining: one of them has the wrong numbers.
    """
    model = method.Pretraining
    assert model is not None
    for name, where in read.items():
        if name not in model.model_fields:
            sentence = (
                f"pretraining reads the setting '{name}', which is not in {model.__name__}: rows "
                "that differ in it would share one pretraining, so move it there"
            )
            yield sentence, where
