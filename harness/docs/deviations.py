"""What methods' files list under *Deviations*, by points of the checklist, and a table of it."""

from __future__ import annotations

import ast
import re

from harness.docs.methods import ROOT, methods
from harness.docs.place import Place
from harness.errors import UserError

# The points of CONTRIBUTING.md's checklist, with which items begin, and their columns' heads.
CHECKLIST = {
    "Losses": "Losses",
    "Update order": "Order",
    "Targets": "Targets",
    "Networks": "Networks",
    "Initialisation": "Init",
    "Activation and norm": "Norm",
    "Schedule": "Schedule",
    "Clipping": "Clipping",
    "Rewards": "Rewards",
    "Observations": "Obs.",
    "Data": "Data",
    "Budget": "Budget",
    "Selection": "Selection",
    "Evaluation": "Evaluation",
}


def deviations_table(place: Place) -> str:
    """A row for each method, with a dot under every point in which it deviates.

    Raises UserError as `parse_deviations`.
    """
    lines = [
        f"| Method | {' | '.join(CHECKLIST.values())} |",
        f"| --- {'| :-: ' * len(CHECKLIST)}|",
    ]
    for entry, file in methods():
        docstring = ast.get_docstring(ast.parse((ROOT / file).read_text("utf-8"))) or ""
        listed = {point for point, _ in parse_deviations(docstring, file.as_posix())}
        dots = ["•" if point in listed else "" for point in CHECKLIST]
        lines.append(f"| [`{entry.id}`]({place.link(ROOT / file)}) | {' | '.join(dots)} |")
    return "\n".join(lines)


def parse_deviations(docstring: str, file: str) -> list[tuple[str, str]]:
    """The items under *Deviations*, in order: the point of the checklist, and what is said of it.

    docstring: of a method's module, without indentation. file: for errors.

    Raises UserError if there is no such list, or if an item begins with no point of the checklist.
    """
    found = re.search(r"^Deviations:(.*?)(?:\n\n|\Z)", docstring, re.DOTALL | re.MULTILINE)
    if found is None:
        raise UserError(f"{file} lists no deviations: write 'Deviations:', or 'Deviations: none.'")
    if found[1].strip() == "none.":
        return []
    before, *items = re.split(r"^    - ", found[1], flags=re.MULTILINE)
    deviations = []
    for item in filter(str.strip, [before, *items]):
        text = " ".join(item.split())
        point, _, said = text.partition(": ")
        if point not in CHECKLIST:
            raise UserError(
                f"{file} has the deviation '{text}', which begins with no point of the checklist: "
                f"begin it with one of {', '.join(CHECKLIST)}, and a colon"
            )
        deviations.append((point, said))
    return deviations
