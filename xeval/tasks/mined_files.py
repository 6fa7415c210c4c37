"""Translation pairs out of two files, of sentences or of embeddings."""

import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xeval.checkpoints import Checkpoint
from xeval.digests import value_digest
from xeval.display import Steps
from xeval.errors import DataError, UsageError
from xeval.retrieval import Pairs, distinct
from xeval.retrieval.cost import Cost, cost
from xeval.sources.text import numbered_lines
from xeval.tasks.embedding import describe_recipe
from xeval.tasks.mining import MINING, mine_as

if TYPE_CHECKING:
    from xeval.encoder.batches import Sequences
    from xeval.tasks.base import Settings

SEARCH_SHARE = 0.1  # of the progress, where sentences have to be embedded first


@dataclass(frozen=True)
class Mined:
    """Pairs, best first; the distinct sentences they are rows of (None of embeddings); how they were mined.

    ``remarks`` say what gave no pair.
    """

    pairs: Pairs
    source: Sequence[str] | None
    target: Sequence[str] | None
    recipe: str
    blank: int
    remarks: list[str]

    def lines(self) -> Iterator[tuple[float, str]]:
        """Score, and the line of score, source and target split by tabs."""
        for score, source, target in self.pairs.tolist():
            one = source if self.source is None else self.source[source]
            other = target if self.target is None else self.target[target]
            yield score, f"{score:.6f}\t{one}\t{other}\n"


@contextmanager
def mine_files(
    source: Path,
    target: Path,
    checkpoint: Path | None,
    changes: Mapping[str, int | str],
    device: str,
    dtype: str,
    token_budget: int,
    steps: Steps,
    work: Path | None = None,
) -> Iterator[Mined]:
    """Mine two files: ``.npy`` holds embeddings, anything else text with one sentence a line.

    A context manager: what the body does with the pairs belongs to the work, which is kept until the body has ended.

    Args:
        checkpoint: embeds text; may be None when both files hold embeddings.
        changes: to the default recipe, as for a mining task.
        steps: of a total of 1.
        work: folder for embeddings and a half-done search, from which the same call goes on after an interruption;
            deleted once the body has ended without an error.

    Raises:
        UsageError: a file does not exist, text comes without a checkpoint, or another process uses ``work``.
        DataError: a file is empty or damaged, or the widths of the sides differ.
    """
    files = (source, target)
    texts, blank = zip(*_texts(files, checkpoint), strict=True)
    words = [path for path in files if path.suffix != ".npy"]
    encoder = checkpoint if words else None
    with _work_folder(work, files, encoder, {**changes, "dtype": dtype}) as folder:
        settings = MINING.from_recipe(changes)
        sides: list[NDArray[Any]] = []
        if words and checkpoint is not None:
            embed = _Embedder(checkpoint, changes, device, dtype, token_budget, steps, sum(map(len, texts)))
            settings = embed.settings
        for number, path in enumerate(files):
            if path.suffix == ".npy":
                sides.append(_read_embeddings(path))
            else:
                steps.now(f"embedding {path.name}")
                sides.append(embed(texts[number], folder / f"{number}.npy"))
        _require_one_width(files, [rows.shape[1] for rows in sides])
        done, weight = 0.0, SEARCH_SHARE if words else 1.0

        def progress(share: float, left: float) -> None:
            nonlocal done
            (steps.skip if math.isnan(left) else steps.advance)((share - done) * weight)
            done = share

        steps.now("searching")
        extracted = mine_as(
            settings, sides[0], sides[1], checkpoint=folder / "search", device=device, progress=progress
        )
        yield Mined(
            extracted.pairs,
            texts[0] or None,
            texts[1] or None,
            describe_recipe(settings),
            sum(blank),
            extracted.remarks(*map(str, files)),
        )


def plan_files(
    source: Path, target: Path, checkpoint: Path | None, changes: Mapping[str, int | str], device: str
) -> tuple[int, int, Cost]:
    """Rows of both sides, and what searching them will take; measures this machine's products for a moment.

    Raises:
        UsageError, DataError: as ``mine_files``.
    """
    files = (source, target)
    rows, widths = [], []
    for path, (texts, _) in zip(files, _texts(files, checkpoint), strict=True):
        if path.suffix == ".npy":
            length, width = _read_embeddings(path).shape
        else:
            assert checkpoint is not None
            encoder = Checkpoint(checkpoint, checkpoint.name)
            encoder.check()
            length, width = len(texts), int(encoder.config["hidden_size"])
        rows.append(length)
        widths.append(width)
    _require_one_width(files, widths)
    settings = MINING.from_recipe(changes)
    centring: Any = settings["centring"]  # from_recipe has seen it
    needed = cost(rows[0], rows[1], widths[0], int(settings["k"]), centring=centring, device=device)
    return rows[0], rows[1], needed


def _texts(files: Sequence[Path], checkpoint: Path | None) -> list[tuple[list[str], int]]:
    """Of each file the distinct sentences and how many lines are empty; of embeddings none."""
    for path in files:
        if not path.is_file():
            raise UsageError(f"{path}: no such file.")
    if checkpoint is None and (words := next((path for path in files if path.suffix != ".npy"), None)):
        raise UsageError(
            f"{words}: text needs an encoder; name one with --checkpoint, or give .npy embeddings."
        )
    return [([], 0) if path.suffix == ".npy" else _sentences(path) for path in files]


def _require_one_width(files: Sequence[Path], widths: Sequence[int]) -> None:
    if widths[0] != widths[1]:
        raise DataError(
            f"{files[0]} has {widths[0]} numbers a row, {files[1]} {widths[1]}; embed both sides with the same "
            "encoder."
        )


@contextmanager
def _work_folder(
    work: Path | None, files: Sequence[Path], encoder: Path | None, asked: Mapping[str, int | str]
) -> Iterator[Path]:
    """A folder that belongs to these inputs: below ``work`` it stays when something fails, else it is temporary."""
    if work is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    from filelock import FileLock, Timeout

    digest = ""
    if encoder is not None:
        checkpoint = Checkpoint(encoder, encoder.name)
        checkpoint.check()
        digest = checkpoint.digest
    states = {str(path.resolve()): [path.stat().st_size, path.stat().st_mtime_ns] for path in files}
    folder = work / value_digest({"mine": 1, "files": states, "checkpoint": digest, **asked})
    try:
        work.mkdir(exist_ok=True)
        with FileLock(work / "lock", timeout=0):
            for other in work.iterdir():  # of other inputs or settings
                if other.is_dir() and other != folder:
                    shutil.rmtree(other)
            folder.mkdir(exist_ok=True)
            yield folder
            shutil.rmtree(work)
    except Timeout:
        raise UsageError(
            f"{work}: another process is mining here; wait for it, or choose another --out."
        ) from None


class _Embedder:
    """A checkpoint that turns texts into a file of embeddings."""

    def __init__(
        self,
        path: Path,
        changes: Mapping[str, int | str],
        device: str,
        dtype: str,
        token_budget: int,
        steps: Steps,
        sentences: int,
    ) -> None:
        import torch

        from xeval.encoder.loop import Loop
        from xeval.encoder.pooling import cut_at_layer
        from xeval.encoder.tokens import TextEncoder

        self.name = path.name
        checkpoint = Checkpoint(path, path.name)
        checkpoint.check()
        self.settings: Settings = MINING.resolve(changes, checkpoint)
        self.encoder = TextEncoder(checkpoint.load_tokenizer())
        model = checkpoint.load(MINING.auto_class, getattr(torch, dtype))
        self.model = cut_at_layer(model, int(self.settings["layer"])).to(device)
        each = (1 - SEARCH_SHARE) / sentences
        self.loop = Loop(
            torch.device(device),
            self.encoder.pad_id,
            token_budget,
            progress=lambda items: steps.advance(items * each),
        )

    def __call__(self, texts: Sequence[str], path: Path) -> NDArray[np.float32]:
        from xeval.encoder.fit import fit
        from xeval.encoder.pooling import embed_to_file, embeddings

        def sequences(block: Sequence[str]) -> "Sequences":
            made = MINING.sequences(block, self.encoder, self.settings)
            fitted = fit(
                self.loop,
                self.model,
                made,
                lambda batch: {"embedding": embeddings(self.model, batch)},
                self.name,
            )
            return fitted.sequences

        return embed_to_file(
            texts, path, int(self.model.config.hidden_size), sequences, self.loop, self.model
        )


def _sentences(path: Path) -> tuple[list[str], int]:
    """The distinct sentences of a text file, and how many of its lines are empty."""
    lines = [line.strip().replace("\t", " ") for _, line in numbered_lines(path)]
    texts = [line for line in lines if line]
    if not texts:
        raise DataError(f"{path}: holds no sentence; give one a line.")
    return [texts[row] for row in distinct(texts).first], len(lines) - len(texts)


def _read_embeddings(path: Path) -> NDArray[Any]:
    try:
        rows: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as an array of NumPy ({error}).") from None
    if rows.ndim != 2 or not rows.size or rows.dtype.kind != "f":
        raise DataError(
            f"{path}: holds {rows.dtype} of shape {rows.shape}; floating-point numbers [sentences, width] are needed."
        )
    return rows


def write_text(path: Path, text: str) -> None:
    """Write a file in one step; raises DataError when it cannot be written."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        temporary.write_text(text, encoding="utf-8", newline="")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DataError(f"{path}: cannot be written ({error.strerror}); choose another --out.") from error
