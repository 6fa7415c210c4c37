"""The report's main parts for a terminal."""

from rich.console import Group
from rich.markup import escape
from rich.panel import Panel
from rich.text import Text

from xeval.analysis.report.model import Paragraph, Report, Sentences, Table
from xeval.console.display import table


def summary(report: Report) -> Group:
    """The verdict, the main tables and the notes, to be printed by rich."""
    verdict = Panel(
        Text("\n".join(report.sentences)),
        title=Text(report.headline, style="bold"),
        title_align="left",
        padding=(1, 2),
    )
    banner = [Text(report.banner, style="bold")] if report.banner else []
    blocks = list(report.blocks())
    paragraphs = [Text(f"\n{block.text}") for block in blocks if isinstance(block, Paragraph) and block.main]
    tables = [
        table(
            f"\n{block.title}",
            block.columns,
            [[escape(value) for value in row] for row in block.rows],
            right=block.labels,
        )
        for block in blocks
        if isinstance(block, Table) and block.main and block.rows
    ]
    lists = [
        Text("\n".join([f"\n{block.title}:", *(f"- {sentence}" for sentence in block.sentences)]))
        for block in blocks
        if isinstance(block, Sentences) and block.main
    ]
    return Group(*banner, verdict, *paragraphs, *tables, *lists)
