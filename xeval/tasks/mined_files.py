"""Translation pairs out of two files, of sentences or of embeddings."""

import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xeval.checkpoints import Checkpoint
from xeval.digests import file_digest, text_digest, value_digest
from xeval.errors import CheckpointError, DataError, UsageError
from xeval.files import is_regular, locked, unfinished, write_whole
from xeval.retrieval import Cost, Extracted, Index, Pairs, cost, distinct
from xeval.retrieval.neighbours import EFFORT
from xeval.sources.text import numbered_lines
from xeval.tasks.base import Changes
from xeval.tasks.embedding import describe_recipe, width_of
from xeval.tasks.mining import MINING, MiningSettings, mine_as

LOCK = "lock"
SEARCH_SHARE = 0.1  # of the progress, where sentences have to be embedded first


class MiningProgress(Protocol):
    """Is told how mining goes on, as shares of a whole of 1; the console's ``Steps`` are one."""

    def now(self, text: str) -> None:
        """What is under way."""

    def say(self, text: str) -> None:
        """A sentence to be read."""

    def advance(self, amount: float) -> None:
        """So much more is done."""

    def skip(self, amount: float) -> None:
        """So much was done by an earlier run."""


@dataclass(frozen=True)
class Mined:
    """Pairs, best first; the distinct sentences they are rows of (None of embeddings); how they were mined.

    ``index`` and ``recall`` are those of :class:`xeval.retrieval.BothWays`; ``remarks`` say what gave no pair.
    """

    pairs: Pairs
    source: Sequence[str] | None
    target: Sequence[str] | None
    recipe: str
    index: str
    recall: float
    blank: int
    remarks: list[str]

    def lines(self) -> Iterator[tuple[float, str]]:
        """Score, and the line of score, source and target split by tabs."""
        for score, source, target in self.pairs.tolist():
            first = source if self.source is None else self.source[source]
            second = target if self.target is None else self.target[target]
            yield score, f"{score:.6f}\t{first}\t{second}\n"


@contextmanager
def mine_files(
    source: Path,
    target: Path,
    checkpoint: Path | None,
    changes: Changes,
    device: str,
    dtype: str,
    token_budget: int,
    steps: MiningProgress,
    work: Path | None = None,
    *,
    index: Index = "auto",
    effort: int = EFFORT,
) -> Iterator[Mined]:
    """Mine two files: ``.npy`` holds embeddings, anything else text with one sentence a line.

    A context manager: what the body does with the pairs belongs to the work, which is kept until the body has ended.

    Args:
        checkpoint: embeds text; may be None when both files hold embeddings.
        changes: to the default recipe, as for a mining task.
        steps: of a total of 1.
        work: folder for embeddings and a half-done search, from which the same call goes on after an interruption;
            deleted once the body has ended without an error.
        index, effort: as for :func:`xeval.retrieval.search`.

    Raises:
        UsageError: a file does not exist, text comes without a checkpoint, or another process uses ``work``.
        DataError: a file is empty or damaged, the widths of the sides differ, or ``work`` cannot be written.
        XevalError: embeddings are not finite or the disk is full; the work is kept.
    """
    files = (source, target)
    texts, blank = zip(*_texts(files, checkpoint), strict=True)
    words = [path for path in files if path.suffix != ".npy"]
    encoder = checkpoint if words else None
    key = {**changes, "dtype": dtype, **_contents(files, texts, encoder)}
    with _work_folder(work, value_digest({"mine": 2, **key}), steps.say) as folder:
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
        steps.now("searching")
        share = SEARCH_SHARE if words else 1.0
        options = {"checkpoint": folder / "search", "device": device, "index": index, "effort": effort}
        extracted = _search(files, sides, settings, steps, share, options)
        yield Mined(
            extracted.pairs,
            texts[0] or None,
            texts[1] or None,
            describe_recipe(settings.stored()),
            extracted.index,
            extracted.recall,
            sum(blank),
            extracted.remarks(*map(str, files)),
        )


def _search(
    files: Sequence[Path],
    sides: Sequence[NDArray[Any]],
    settings: MiningSettings,
    steps: MiningProgress,
    weight: float,
    options: Mapping[str, Any],
) -> Extracted:
    """The pairs; the search is told as ``weight`` of the steps."""
    done = 0.0

    def progress(share: float, left: float) -> None:
        nonlocal done
        (steps.skip if math.isnan(left) else steps.advance)((share - done) * weight)
        done = share

    try:
        return mine_as(settings, *sides, progress=progress, restart=steps.say, **options)
    except DataError as error:  # which knows no files' names
        sentence = str(error)
        for role, path in zip(("source", "target"), files, strict=True):
            sentence = sentence.replace(f"the {role} embeddings", str(path))
        raise DataError(sentence) from error


def plan_files(
    source: Path,
    target: Path,
    checkpoint: Path | None,
    changes: Changes,
    device: str,
    index: Index = "auto",
) -> tuple[int, int, Cost]:
    """Rows of both sides, and what searching them will take; measures this machine's products for a moment.

    Raises:
        UsageError, DataError: as ``mine_files``; or the index is approximate, of which no cost is known.
    """
    if index == "ivf" or index == "hnsw":
        raise UsageError(
            f"--index {index} --dry-run: only exact searches can be estimated; leave --index out."
        )
    files = (source, target)
    rows, widths = [], []
    for path, (texts, _) in zip(files, _texts(files, checkpoint), strict=True):
        if path.suffix == ".npy":
            length, width = _read_embeddings(path).shape
        else:
            assert checkpoint is not None
            encoder = Checkpoint(checkpoint, checkpoint.name)
            encoder.check()
            length, width = len(texts), width_of(encoder, MINING.resolve(changes, encoder))
        rows.append(length)
        widths.append(width)
    _require_one_width(files, widths)
    settings = MINING.from_recipe(changes)
    needed = cost(
        rows[0], rows[1], widths[0], settings.k, centring=settings.centring, index=index, device=device
    )
    return rows[0], rows[1], needed


def _texts(files: Sequence[Path], checkpoint: Path | None) -> list[tuple[list[str], int]]:
    """Of each file the distinct sentences and how many lines are empty; of embeddings none."""
    for path in files:
        if not path.exists():
            raise UsageError(f"{path}: no such file.")
        if not is_regular(path):
            raise UsageError(f"{path}: a folder, pipe or device cannot be mined; give a file.")
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


def _contents(files: Sequence[Path], texts: Sequence[Sequence[str]], encoder: Path | None) -> dict[str, str]:
    """Digests of what is mined, whatever it is called and however old: of sentences as read, of other files' bytes."""
    sides = [
        text_digest(*text) if text else file_digest(path) for path, text in zip(files, texts, strict=True)
    ]
    digest = ""
    if encoder is not None:
        checkpoint = Checkpoint(encoder, encoder.name)
        checkpoint.check()
        digest = checkpoint.digest
    return {"source": sides[0], "target": sides[1], "checkpoint": digest}


@contextmanager
def _work_folder(work: Path | None, key: str, tell: Callable[[str], None]) -> Iterator[Path]:
    """The folder ``key`` below ``work``, which stays when something fails; a temporary one without ``work``."""
    if work is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    with ExitStack() as stack:
        try:
            work.mkdir(exist_ok=True)
            free = stack.enter_context(locked(work / LOCK)) and (work / LOCK).exists()
            if free:
                folder = _prepared(work, key, tell)
        except OSError as error:
            raise DataError(
                f"{work}: half-done work cannot be kept there ({error.strerror or error}); make the folder writable, "
                "or choose another --out."
            ) from error
        if not free:
            raise UsageError(f"{work}: another process is mining here; wait for it, or choose another --out.")
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
        # The lock last: until then nobody else can begin here. One who begins just then keeps the folder.
        (work / LOCK).unlink(missing_ok=True)
        with suppress(OSError):
            work.rmdir()


def _prepared(work: Path, key: str, tell: Callable[[str], None]) -> Path:
    """The work folder of these inputs, without others' and without what dead processes left half-written."""
    for other in work.iterdir():
        if other.is_dir() and other.name != key:
            tell(f"{work}: holds half-done work of other files or settings, which is removed.")
            shutil.rmtree(other)
    folder = work / key
    folder.mkdir(exist_ok=True)
    for leftover in unfinished(folder):
        leftover.unlink()
    return folder


class _Embedder:
    """A checkpoint that turns texts into a file of embeddings."""

    def __init__(
        self,
        path: Path,
        changes: Changes,
        device: str,
        dtype: str,
        token_budget: int,
        steps: MiningProgress,
        sentences: int,
    ) -> None:
        import torch

        from xeval.encoder.loop import Loop
        from xeval.encoder.tokens import TextEncoder

        self.name, self.remark = path.name, steps.say
        checkpoint = Checkpoint(path, path.name)
        checkpoint.check()
        self.settings: MiningSettings = MINING.resolve(changes, checkpoint)
        self.encoder = TextEncoder(checkpoint.load_tokenizer())
        model = checkpoint.load(MINING.auto_class, getattr(torch, dtype))
        self.model = MINING.prepare(model, checkpoint, self.settings).to(device)
        each = (1 - SEARCH_SHARE) / sentences
        self.loop = Loop(
            torch.device(device),
            self.encoder.pad_id,
            token_budget,
            progress=lambda items: steps.advance(items * each),
        )

    def __call__(self, texts: Sequence[str], path: Path) -> NDArray[np.float32]:
        try:
            return MINING.embed_to_file(self, texts, path)
        except CheckpointError as error:
            raise CheckpointError(f"{self.name}: {error}") from error


def _sentences(path: Path) -> tuple[list[str], int]:
    """The distinct sentences of a text file, and how many of its lines are empty."""
    texts, blank = [], 0
    for number, line in numbered_lines(path):
        if "\r" in line:
            raise DataError(
                f"{path}, line {number}: a carriage return inside the line; end every line with a line feed."
            )
        if text := line.strip().replace("\t", " "):
            texts.append(text)
        else:
            blank += 1
    if not texts:
        raise DataError(f"{path}: holds no sentence; give one a line.")
    return [texts[row] for row in distinct(texts).first], blank


def _read_embeddings(path: Path) -> NDArray[Any]:
    """A file's array, mapped for reading."""
    try:
        with path.open("rb") as file:
            begins = file.read(len(np.lib.format.MAGIC_PREFIX))
        is_array, size = begins == np.lib.format.MAGIC_PREFIX, path.stat().st_size
        rows: Any = np.load(path, mmap_mode="r", allow_pickle=False) if is_array else None
    except Exception as error:  # noqa: BLE001  # a damaged header raises nearly anything
        reason = str(error).partition("\n")[0].rstrip(".")
        raise DataError(f"{path}: cannot be read as an array of NumPy ({reason}).") from None
    if not is_array:
        raise DataError(f"{path}: is not in NumPy's format .npy; text needs another name.")
    if rows.ndim != 2 or not rows.size or rows.dtype.kind != "f" or rows.dtype.itemsize > 8:
        raise DataError(
            f"{path}: holds {rows.dtype} of shape {rows.shape}; float32, float16 or float64 of shape "
            "[sentences, width] are needed."
        )
    if behind := size - rows.offset - rows.nbytes:
        raise DataError(f"{path}: goes on for {behind:,} bytes behind its array; write one array a file.")
    array: NDArray[Any] = rows
    return array


def write_pairs(out: Path, lines: Sequence[str]) -> None:
    """Write the lines of a file in one step, under the lock of its work; raises DataError when it cannot be written."""
    try:
        for leftover in unfinished(out.parent, out.name):
            leftover.unlink()
        write_whole(out, lambda stream: stream.writelines(line.encode("utf-8") for line in lines))
    except OSError as error:
        raise DataError(
            f"{out}: cannot be written ({error.strerror}); the work is kept: free space, and give the same command "
            "again."
        ) from error
