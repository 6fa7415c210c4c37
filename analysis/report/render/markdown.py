"""The report as Markdown."""

from collections.abc import Iterable, Sequence

from xeval.analysis.report.model import Block, Facts, Figures, Paragraph, Report, Sentences


def text(report: Report) -> str:
    """The whole report; its figures are in the folder ``figures`` beside it."""
    parts = [f"# {report.title}"]
    if report.banner:
        parts.append(f"> **{report.banner}**")
    for place, section in enumerate(report.sections, 1):
        first = place == 1
        parts.append(f"## {place}. {report.headline if first else section.title}")
        if first:
            parts += report.sentences
            parts += _block(report.strips) if report.strips else ()
        for block in section.blocks:
            parts += _block(block)
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> list[str]:
    """The block's paragraphs."""
    if isinstance(block, Paragraph):
        return [block.text]
    if isinstance(block, Sentences):
        return [f"### {block.title}", _list(block.sentences)]
    if isinstance(block, Facts):
        return ["\n".join(["| | |", "| :-- | :-- |", *map(_row, block.values.items())])]
    if isinstance(block, Figures):
        drawn = [f"![{figure.title}](figures/{figure.name}.svg)" for figure in block.figures]
        heading = [f"### {block.heading}"] if block.heading else []
        return [*heading, *drawn, *([block.caption] if block.caption else [])]
    rule = "|" + "".join(
        " :-- |" if place < block.labels else " --: |" for place in range(len(block.columns))
    )
    rows = "\n".join([_row(block.columns), rule, *map(_row, block.rows)])
    return [f"### {block.title}", rows, block.caption, *([_list(block.below)] if block.below else [])]


def _list(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _row(cells: Sequence[str]) -> str:
    """A line of a table, without what Markdown reads as a command."""
    escaped = (
        cell.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_").replace("\n", " ") for cell in cells
    )
    return f"| {' | '.join(escaped)} |"
