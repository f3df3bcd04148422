"""Whose code our methods are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Repository:
    """Somebody else's code.

    Attributes:
        name: on the command line, in the scores and in the page's marks.
        title: for readers.
        address: on GitHub.
        commit: what `train` has to be given a checkout of.
        suite: our runs of the same methods; its file stands beside this one.
    """

    name: str
    title: str
    address: str
    commit: str
    suite: str

    @property
    def suite_path(self) -> Path:
        return Path(__file__).with_name(self.suite)


CORL = Repository("corl", "CORL", "tinkoff-ai/CORL", "6afec90", "parity.yaml")
FQL = Repository("fql", "FQL's code", "seohongpark/fql", "719d044", "fql.yaml")
FLOW_RL = Repository("flow-rl", "flow-rl", "typoverflow/flow-rl", "bae22f4", "flow_rl.yaml")
REPOSITORIES = (CORL, FQL, FLOW_RL)
