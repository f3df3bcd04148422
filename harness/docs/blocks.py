"""The marked blocks of a page: where they are, and the page with other content in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_BEGINNING = re.compile(r"<!-- generated: (.+) -->")
_END = "<!-- end -->"


@dataclass(frozen=True)
class Block:
    """What stands between two markers.

    Attributes:
        request: the words in the first marker.
        line: of the first marker, from 1.
        last_line: of the second one.
        content: the lines between, without blank ones around them.
    """

    request: str
    line: int
    last_line: int
    content: str


class MarkerError(Exception):
    """A marker without its counterpart, in `line` (from 1)."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def find_blocks(text: str) -> list[Block]:
    """The blocks of a page, in order. Raises MarkerError for a marker without a counterpart."""
    blocks: list[Block] = []
    lines = text.splitlines()
    open_line, request = 0, ""
    for number, line in enumerate(lines, 1):
        beginning = _BEGINNING.fullmatch(line)
        if open_line and beginning:
            break
        if beginning:
            open_line, request = number, beginning[1]
        elif line == _END and not open_line:
            raise MarkerError(number, f"'{_END}' ends nothing: there is no open block above it")
        elif line == _END:
            content = "\n".join(lines[open_line : number - 1]).strip()
            blocks.append(Block(request, open_line, number, content))
            open_line = 0
    if open_line:
        raise MarkerError(open_line, f"this block never ends: close it with '{_END}'")
    return blocks


def fill(text: str, blocks: Sequence[Block], contents: Sequence[str]) -> str:
    """The page with new content in its blocks, set off by blank lines."""
    lines = text.splitlines()
    for block, content in reversed(list(zip(blocks, contents, strict=True))):
        lines[block.line : block.last_line - 1] = ["", *content.splitlines(), ""]
    return "\n".join(lines) + "\n"
