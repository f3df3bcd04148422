"""The state of the code that a run or a measurement is of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel


class Checkout(BaseModel):
    """What `provenance.json` and measurements have as `git`: the code's commit, if it is known."""

    commit: str = ""
    dirty: bool = False

    @classmethod
    def of(cls, provenance: Mapping[str, Any]) -> Self:
        """That of a run; earlier versions wrote none where git knows none."""
        return cls.model_validate(provenance.get("git") or {})

    @property
    def short(self) -> str:
        """`1a2b3c4`, or nothing."""
        return self.commit[:7]

    @property
    def name(self) -> str:
        """`1a2b3c4` or `1a2b3c4 with changes`, or nothing."""
        return f"{self.short} with changes" if self.commit and self.dirty else self.short

    @property
    def words(self) -> str:
        """`, at 1a2b3c4`, or nothing."""
        return f", at {self.name}" if self.commit else ""
