"""The built-in grid as files for other tools."""

from pathlib import Path
from typing import Annotated

import typer

from xeval.cli.app import TRAIN, app
from xeval.cli.messages import say
from xeval.cli.options import LanguagesOption, split

grid = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="The built-in grid: claims, questions and choices at 1 to 3 hops.\n\nExample: `xeval xhops write grid`",
)
app.add_typer(grid, name="xhops", rich_help_panel=TRAIN)


@grid.command()
def write(
    directory: Annotated[Path, typer.Argument(help="A new or empty directory.")],
    format: Annotated[str, typer.Option(help="jsonl, parquet, squad, or hf (for `datasets`).")] = "jsonl",
    formats: Annotated[str, typer.Option(help="Of claim, question, choice; empty: all.")] = "",
    hops: Annotated[str, typer.Option(help="Of 1, 2, 3; empty: all.")] = "",
    languages: LanguagesOption = "",
    train: Annotated[int, typer.Option(min=0, help="English training rows of each cell.")] = 4000,
    dev: Annotated[int, typer.Option(min=0, help="English dev rows of each cell.")] = 500,
    test: Annotated[int, typer.Option(min=0, help="Test rows of each cell and language.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives another benchmark.")] = 0,
    family: Annotated[str, typer.Option(help="work, dogs or founding; empty: all in turn.")] = "",
    chains: Annotated[int, typer.Option(help="Chains of facts in a context: the number of candidates.")] = 3,
    depth: Annotated[int, typer.Option(help="Links of a chain; at least the hops.")] = 3,
) -> None:
    """Write the grid with its data card: one seed gives the same files on any machine.

    Example: `xeval xhops write grid --format hf --languages en,de,th`
    """
    from xeval import xhops

    asked = {"train": train, "dev": dev, "test": test}
    written = xhops.write(
        directory,
        format,  # type: ignore[arg-type]  # checked there
        formats=split(formats) or xhops.FORMATS,  # type: ignore[arg-type]
        hops=[int(n) if n.isdecimal() else n for n in split(hops)] or xhops.HOPS,  # type: ignore[misc]
        languages=split(languages) or xhops.LANGUAGES,
        sizes={name: size for name, size in asked.items() if size},  # type: ignore[misc]
        seed=seed,
        family=family or None,
        chains=chains,
        depth=depth,
    )
    say(f"wrote {len(written)} files, the data card first: {written[0]}")
