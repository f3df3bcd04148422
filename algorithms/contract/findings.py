"""What a check of the contract finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something to mend.

    Attributes:
        sentence: what was found, and what to do.
        where: the author's `file:line`, or nothing if it is not known.
        advice: whether it may be meant; all else breaks the contract.
    """

    sentence: str
    where: str = ""
    advice: bool = False

    def __str__(self) -> str:
        return f"{self.sentence} ({self.where})" if self.where else self.sentence
