"""The command that mines translation pairs out of two files."""

import math
import sys
from pathlib import Path
from typing import Annotated, get_args

import typer

from xeval.cli.app import EVALUATE, app
from xeval.cli.messages import say
from xeval.cli.options import Budget, Device, Dtype, Embeddings, Json, MaxLength, given, grouped
from xeval.errors import UsageError


@app.command(rich_help_panel=EVALUATE)
@grouped
def mine(
    embeddings: Embeddings,
    source: Annotated[Path, typer.Argument(help="Text, one sentence a line; or .npy, one embedding a row.")],
    target: Annotated[Path, typer.Argument(help="The same in the other language.")],
    checkpoint: Annotated[Path | None, typer.Option(help="Encoder of text; embeddings need none.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="TSV file to write; empty: standard output.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Only pairs that score above it.")] = None,
    index: Annotated[
        str,
        typer.Option(
            help="auto, flat or one-pass: exact, auto the faster one; ivf or hnsw: approximate, the recall is measured."
        ),
    ] = "auto",
    effort: Annotated[
        int, typer.Option(min=1, help="Of ivf and hnsw: lists probed a sentence, or length of the queue.")
    ] = 64,
    max_length: MaxLength = None,
    device: Device = "",
    dtype: Dtype = "",
    token_budget: Budget = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what the search will take, and stop.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Mine translation pairs out of two files: lines of score, source and target, best first.

    Repeated sentences are mined once and empty lines left out. Of embeddings, source and target are row numbers
    from 0. With --out, half-done work is kept beside it, and the same command goes on from there.

    Example: `xeval mine news.de news.en --checkpoint base/e5-small -o pairs.tsv --threshold 1.05`
    """
    from xeval.console.display import Steps, duration, print_json
    from xeval.evaluation.options import RunOptions
    from xeval.retrieval import Index
    from xeval.tasks.mined_files import mine_files, plan_files, write_pairs

    if out is not None:
        _check_output(out, (source, target))
    if threshold is not None and math.isnan(threshold):
        raise UsageError("--threshold nan: no score lies above it; give a number.")
    if index not in get_args(Index):
        raise UsageError(f"--index {index}: no such index; use {', '.join(get_args(Index))}.")
    changes = given(**vars(embeddings), max_length=max_length)
    where, precision = RunOptions(device=device, dtype=dtype).resolve()
    if dry_run:
        sources, targets, needed = plan_files(
            *(source, target, checkpoint, changes, where),
            index=index,  # type: ignore[arg-type]  # checked above
        )
        if as_json:
            print_json({"source": sources, "target": targets, **vars(needed)})
        else:
            say(
                f"{sources:,} x {targets:,}: {needed.index} search, {needed.operations:.1e} operations, about "
                f"{duration(needed.seconds)}; memory {needed.bytes / 1e9:.1f} GB beside the embeddings"
            )
        return
    work = None if out is None else out.with_name(f".{out.name}.work")
    with (
        Steps("mine", 1.0, quiet=as_json) as steps,
        mine_files(
            *(source, target, checkpoint, changes, where, precision, token_budget, steps, work),
            index=index,  # type: ignore[arg-type]  # checked above
            effort=effort,
        ) as mined,
    ):
        kept = [line for score, line in mined.lines() if threshold is None or score > threshold]
        if out is not None:
            write_pairs(out, kept)
    if out is None and not as_json:
        sys.stdout.write("".join(kept))
    if as_json:
        columns = [line.removesuffix("\n").split("\t") for line in kept]
        pairs = [{"score": float(score), "source": one, "target": other} for score, one, other in columns]
        described = {name: getattr(mined, name) for name in ("recipe", "index", "recall", "blank", "remarks")}
        print_json({**described, "pairs": pairs})
        return
    for remark in mined.remarks:
        say(remark)
    blank = f"; empty lines left out: {mined.blank:,}" if mined.blank else ""
    say(f"{len(kept):,} pairs [{mined.recipe}]{blank}")


def _check_output(out: Path, inputs: tuple[Path, Path]) -> None:
    """Raise a UsageError for a file that cannot be written, or that would replace what is mined."""
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: the folder {out.parent} does not exist.")
    if out.exists() and not out.is_file():
        raise UsageError(f"--out {out}: is a folder, pipe or device; name a file.")
    if same := next((path for path in inputs if out.exists() and path.exists() and out.samefile(path)), None):
        raise UsageError(f"--out {out}: is the input {same}, which would be lost; name another file.")
