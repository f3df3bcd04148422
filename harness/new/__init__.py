"""`harness new`: a package with a method of one's own, copied from `template/`, which works."""

from __future__ import annotations

import keyword
import re
from importlib.util import find_spec
from pathlib import Path

from algorithms import registry
from harness.errors import UserError

TEMPLATE = Path(__file__).parent / "template"
_ID, _MODULE, _CLASS, _TITLE = "my-method", "my_method", "MyMethod", "My method"  # in its texts
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def new_method(name: str, into: Path) -> list[Path]:
    """Write the package of a method named `name` into a folder of that name; returns its files.

    Raises UserError for a name that cannot be, or a folder that is there already.
    """
    words = name.split("-")
    module, cls = "_".join(words), "".join(word.capitalize() for word in words)
    _check_name(name, module, cls)
    folder = into / name
    if folder.exists():
        raise UserError(f"{folder} is there already: choose another name or --into folder.")
    texts = {_ID: name, _MODULE: module, _CLASS: cls, _TITLE: " ".join(words).capitalize()}
    written = []
    for relative, text in template_files().items():
        for old, new in texts.items():
            relative, text = relative.replace(old, new), text.replace(old, new)
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        written.append(path)
    return written


def template_files() -> dict[str, str]:
    """The template's texts by relative path."""
    paths = sorted(path for path in TEMPLATE.rglob("*") if path.is_file())
    return {
        str(path.relative_to(TEMPLATE)): path.read_text("utf-8")
        for path in paths
        if path.suffix in {".py", ".toml", ".yaml"}
    }


def _check_name(name: str, module: str, cls: str) -> None:
    """The name is to be a method's id, a module and a class at once."""
    if not _NAME.fullmatch(name):
        raise UserError(
            f"'{name}' cannot be a method's id: use lower-case words of letters and digits, joined "
            "by dashes, such as my-method."
        )
    if name in registry.algorithms():
        raise UserError(f"There is a method '{name}' already: choose another name.")
    if keyword.iskeyword(module) or find_spec(module) is not None:
        raise UserError(f"Python has a module or word '{module}' already: choose another name.")
    if name != _ID and any(re.search(rf"\b{cls}\b", t) for t in template_files().values()):
        raise UserError(f"The method's code uses the name {cls} itself: choose another name.")
