"""The methods of this repository as a Markdown table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from algorithms import registry
from harness.docs.place import Place

_PACKAGES = ("algorithms", "baselines")  # what is installed beside them is not ours to list
ROOT = Path(__file__).resolve().parents[2]


def methods() -> Iterator[tuple[registry.AlgorithmInfo, Path]]:
    """The methods of this repository, each with its file under `ROOT`.

    Ablations are left out: they have a page of their own.
    """
    for entry in registry.algorithms().values():
        ours = entry.module.partition(".")[0] in _PACKAGES
        if ours and entry.family != registry.ABLATIONS:
            yield entry, Path(f"{entry.module.replace('.', '/')}.py")


def methods_table(place: Place) -> str:
    """Id, title, paper and file of every method; the id links to its page, if it has one."""
    lines = ["| Method | Title | Paper | File |", "| --- | --- | --- | --- |"]
    for entry, file in methods():
        page = place.page.with_name(f"{entry.id}.md")
        name = f"[`{entry.id}`]({page.name})" if page.is_file() else f"`{entry.id}`"
        link = f"[`{file.as_posix()}`]({place.link(ROOT / file)})"
        lines.append(f"| {name} | {entry.title} | {_paper(entry.paper)} | {link} |")
    return "\n".join(lines)


def _paper(paper: str) -> str:
    number = paper.removeprefix("arXiv:")
    return paper if number == paper else f"[{paper}](https://arxiv.org/abs/{number})"
