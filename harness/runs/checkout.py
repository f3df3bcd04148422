"""The state of the code that a run or a measurement is of."""

from __future__ import annotations

from pydantic import BaseModel


class Checkout(BaseModel):
    """What `provenance.json` and measurements have as `git`: the code's commit, if it is known."""

    commit: str = ""
    dirty: bool = False

    @property
    def short(self) -> str:
        """`1a2b3c4`, or nothing."""
        return self.commit[:7]

    @property
    def words(self) -> str:
        """`, at 1a2b3c4`, or nothing."""
        changed = " with changes" if self.dirty else ""
        return f", at {self.short}{changed}" if self.commit else ""
