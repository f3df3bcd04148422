"""Templates, with the style sheet and the script inside the page that they make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

GENERATOR = "decision-flow-harness"  # tells our pages from those of other hands

_FOLDER = Path(__file__).parent / "templates"


def render(template: str, **values: Any) -> str:
    """The HTML text of a template; what users wrote is escaped."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        generator=GENERATOR, style=_inlined("page.css"), script=_inlined("page.js"), **values
    )


def is_ours(html: str) -> bool:
    """Whether a page is one that `render` made."""
    return f'<meta name="generator" content="{GENERATOR}">' in html


def _inlined(name: str) -> Markup:
    return Markup((_FOLDER / name).read_text("utf-8"))
