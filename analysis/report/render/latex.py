"""Tables for papers: LaTeX with booktabs."""

from xeval.analysis.report.model import Report, Table

ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "|": r"\textbar{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$",
    "−": r"$-$", "×": r"$\times$", "±": r"$\pm$", "τ": r"$\tau$", "½": r"$\frac{1}{2}$", "·": r"$\cdot$",
    "–": "--", "’": "'", "…": r"\ldots{}",
}  # fmt: skip


def escape(text: str) -> str:
    """The text with every character that LaTeX reads as a command, or lacks, written as one."""
    return "".join(ESCAPES.get(letter, letter) for letter in text)


def tables(report: Report) -> dict[str, str]:
    """Name -> a LaTeX table, of the tables that have a name."""
    return {table.name: booktabs(table) for table in report.tables() if table.name and table.rows}


def booktabs(table: Table) -> str:
    """A ``table`` environment that needs the package booktabs; its label is ``tab:`` and the table's name."""
    columns = "l" * table.labels + "r" * (len(table.columns) - table.labels)
    title = table.title.removeprefix("Table 1. ")
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}[t]",
        "\\centering",
        "\\small",
        f"\\caption{{{escape(' '.join(f'{title}. {table.caption} {table.basis}'.split()))}}}",
        f"\\label{{tab:{table.name}}}",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        _row(table.columns),
        "\\midrule",
        *(_row(row, bold=place in table.strong) for place, row in enumerate(table.rows)),
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: tuple[str, ...], *, bold: bool = False) -> str:
    shown = [escape(cell) for cell in cells]
    if bold:
        shown[0] = f"\\textbf{{{shown[0]}}}"
    # A line that begins with a bracket would be read as the optional argument of the line break before it.
    return f"{{}}{' & '.join(shown)} \\\\" if shown[0].startswith("[") else f"{' & '.join(shown)} \\\\"
