"""Tables as files: Markdown and LaTeX (booktabs) of the same grids, and what all CSV files say."""

from __future__ import annotations

import re

import pandas as pd

from harness.report.comparison import Comparison
from harness.report.layout import Grid, GridRow, Text
from harness.report.notes import SMOKE, Notes

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "±": r"$\pm$",
    "−": r"$-$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "→": r"$\to$",
    "–": "--",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "§": r"\S{}",
    "¶": r"\P{}",
    "°": r"$^\circ$",
    "∞": r"$\infty$",
    "ᵗ": r"$^t$",
    "…": r"\ldots{}",
}
_GREEK = (  # from α on
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho "
    "varsigma sigma tau upsilon phi chi psi omega"
)
_LATEX |= {
    chr(ord("α") + place): "o" if name == "omicron" else rf"$\{name}$"
    for place, name in enumerate(_GREEK.split())
}
_LAST_READ = "ÿ"  # pdfLaTeX reads letters up to here as they are, and stops at most others

# Underscores within words and brackets without a link are read as they are.
_MARKDOWN = re.compile(r"[\\|*<>`~&$]|(?<!\w)_|_(?!\w)|\](?=[(\[:])")


def markdown(title: str, grids: list[Grid], notes: Notes) -> str:
    """GitHub-flavoured tables with the notes as a list under them."""
    parts = [f"# {_md(title)}"]
    if notes.smoke:
        parts.append(f"**{SMOKE}**")
    for grid in grids:
        parts.append(f"**{_md(grid.title)}**")
        lines = [tuple(map(_md, grid.columns)), ("---", *("---:" for _ in grid.columns[1:]))]
        lines += [(_md_bold(row.name, row.summary), *map(_md_text, row.texts)) for row in grid.rows]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    parts.append("\n".join(f"- {_md(note)}" for note in (*notes.general, *notes.tasks)))
    return "\n\n".join(parts) + "\n"


def latex(title: str, grids: list[Grid], notes: Notes) -> str:
    r"""One `table` float a grid, for `\input`; a grid wider than the line shrinks to it."""
    parts = ["% Needs \\usepackage{booktabs,graphicx}."]
    if notes.smoke:
        parts.append(f"% {SMOKE}")
    smoke = rf"\textbf{{{SMOKE}.}} " if notes.smoke else ""
    for grid in grids:
        body = []
        for row in grid.rows:
            if row.summary:
                body.append(r"\midrule")
            body.append(_latex_row(row))
        lines = [
            r"\begin{table}[t]",
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{smoke}{escape_latex(title)}: {escape_latex(grid.title)}.}}",
            r"\vspace{0.5ex}",
            rf"\sbox0{{\begin{{tabular}}{{@{{}}l{'r' * (len(grid.columns) - 1)}@{{}}}}",
            r"\toprule",
            " & ".join(_latex_header(column) for column in grid.columns) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
            r"\par\smallskip\begin{minipage}{\linewidth}\scriptsize",
            *(escape_latex(note) for note in notes.general),
            r"\end{minipage}",
            r"\end{table}",
        ]
        parts.append("\n".join(lines))
    # Outside the floats: the notes of many tasks need more than a page.
    about_tasks = [rf"\noindent {escape_latex(note)}\par" for note in notes.tasks]
    parts.append("\n".join([r"{\scriptsize\sloppy", *about_tasks, "}"]))
    return "\n\n".join(parts) + "\n"


def with_budget(table: pd.DataFrame, comparison: Comparison) -> pd.DataFrame:
    """`table` with columns that say by which protocol and budget its numbers were made."""
    suite = comparison.suite
    labels = table["label" if "label" in table else "algorithm"]
    tuned = {} if suite.tuning is None else {"tuned_online": True}
    return table.assign(
        protocol=comparison.protocol.name,
        online_selection=comparison.protocol.selects_online,
        **tuned,
        steps=labels.map(suite.steps_of).astype("int64"),
        episodes=suite.evaluation.episodes,
        note=SMOKE if suite.smoke else "",
    )


def escape_latex(text: str) -> str:
    """`text` with every character literal that LaTeX would read as a command, or stop at."""
    return "".join(map(_latex_character, _one_line(text)))


def _latex_character(character: str) -> str:
    code = character if character <= _LAST_READ else f"[U+{ord(character):04X}]"
    return _LATEX.get(character, code)


def _md(text: str) -> str:
    """`text` to be shown as it is: no HTML, link, picture, emphasis, cell or line of its own."""
    return _MARKDOWN.sub(r"\\\g<0>", _one_line(text))


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


def _md_bold(text: str, bold: bool) -> str:
    return f"**{_md(text)}**" if bold else _md(text)


def _md_text(text: Text) -> str:
    spread = f" ± {text.spread}" if text.spread else ""
    note = f" ({_md(text.note)})" if text.note else ""
    return _md_bold(text.value, text.bold) + text.mark + spread + note


def _latex_header(column: str) -> str:
    """Long task names break at their last slash, as columns of numbers are narrow."""
    head, slash, tail = column.rpartition("/")
    if not slash:
        return escape_latex(column)
    return rf"\shortstack[r]{{{escape_latex(head)}/\\{escape_latex(tail)}}}"


def _latex_row(row: GridRow) -> str:
    return " & ".join([escape_latex(row.name), *map(_latex_text, row.texts)]) + r" \\"


def _latex_text(text: Text) -> str:
    value = rf"\textbf{{{escape_latex(text.value)}}}" if text.bold else escape_latex(text.value)
    spread = rf"{{\tiny\,$\pm$\,{escape_latex(text.spread)}}}" if text.spread else ""
    note = rf" {{\tiny({escape_latex(text.note)})}}" if text.note else ""
    return value + escape_latex(text.mark) + spread + note
