"""Rewrites the blocks of every page."""

from __future__ import annotations

from pathlib import Path

from harness.docs.blocks import MarkerError, fill, find_blocks
from harness.docs.place import Place
from harness.docs.render import render
from harness.errors import UserError


def write_docs(folder: Path, results: Path) -> list[Path]:
    """Bring the blocks of all pages under `folder`, and of the README beside it, up to date.

    Args:
        folder: searched for Markdown files, at any depth.
        results: folder of all suites' results.

    Returns:
        The pages that changed.

    Raises:
        UserError: lists every mistake by file and line; no page is changed then.
    """
    pages = sorted(folder.rglob("*.md"))
    if not pages:
        raise UserError(f"There are no pages in '{folder}'. Run this where the project's docs are.")
    pages += [readme for readme in [folder.parent / "README.md"] if readme.is_file()]
    mistakes: list[str] = []
    changed: dict[Path, str] = {}
    for page in pages:
        old = page.read_text("utf-8")
        new = _filled(old, Place(page, results), mistakes)
        if new != old:
            changed[page] = new
    if mistakes:
        raise UserError("\n".join(["The docs cannot be generated:", *mistakes]))
    for page, text in changed.items():
        page.write_text(text, "utf-8", newline="\n")
    return list(changed)


def _filled(text: str, place: Place, mistakes: list[str]) -> str:
    """The page as it should be; what is wrong with it is added to the mistakes."""
    try:
        blocks = find_blocks(text)
    except MarkerError as error:
        mistakes.append(f"  {place.page}:{error.line}: {error}")
        return text
    contents = []
    for block in blocks:
        try:
            contents.append(render(block.request, place))
        except UserError as error:
            mistakes.append(f"  {place.page}:{block.line}: {error}")
            contents.append(block.content)
    return fill(text, blocks, contents) if blocks else text
