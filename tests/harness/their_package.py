"""A method of a third party, installed as a package would be, whose code tests change."""

from __future__ import annotations

import sys
from pathlib import Path

METHOD = '''
"""Behaviour cloning, again."""

from baselines.bc import BC
from their_package.losses import scaled


class Theirs(BC):
    def loss(self, nets, batch, noise):
        return scaled(super().loss(nets, batch, noise))
'''
SLOW_METHOD = '''
"""Behaviour cloning, which takes its time while there is a file `slow` beside this one."""

import time
from pathlib import Path

from baselines.bc import BC


class Theirs(BC):
    def loss(self, nets, batch, noise):
        if Path(__file__).with_name("slow").exists():
            time.sleep(0.05)
        return super().loss(nets, batch, noise)
'''
TO_BE_KILLED = {  # a run of it; from the first checkpoint to the end it takes 15 s while slow
    "algorithms": {"theirs": {}},
    "training": {"steps": 400, "compile": False},
    "evaluation": {"every": 100, "episodes": 1},
}
LOSSES = '''
def scaled(loss):
    """As it is."""
    return loss[0] * 1.0, loss[1]
'''


class TheirPackage:
    """The installed package; `folder` holds its modules `method` and `losses`.

    While the file `slow` is there, an update of `SLOW_METHOD` takes 50 ms or more in any process.
    """

    def __init__(self, site: Path) -> None:
        forget()
        self.folder = site / "their_package"
        self.slow = self.folder / "slow"
        self.folder.mkdir(parents=True)
        (self.folder / "__init__.py").touch()
        (self.folder / "method.py").write_text(METHOD)
        (self.folder / "losses.py").write_text(LOSSES)
        info = site / "their_package-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.2\n")
        entry_point = "theirs = their_package.method:Theirs\n"
        (info / "entry_points.txt").write_text(f"[harness.algorithms]\n{entry_point}")

    def write_method(self, text: str) -> None:
        """Let the module `method` be this, and be imported anew."""
        (self.folder / "method.py").write_text(text)
        forget()

    def change(self, factor: str) -> None:
        """Let the loss be multiplied by another number; `1.0` is what it was."""
        (self.folder / "losses.py").write_text(LOSSES.replace("1.0", factor))


def forget() -> None:
    """Let Python look for the package anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "their_package"]:
        del sys.modules[name]
