"""Write the predictions of a store in the layout of XTREME's submissions."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from xeval.errors import DataError, StoreError, UsageError, XevalError, did_you_mean
from xeval.examples import Translation
from xeval.interop.submission.layout import SUBMISSION_TASKS
from xeval.store import Store, UnitRecord

Rows = Mapping[str, Sequence[Any]]
_PAWSX_NUMBERS = {"different": "0", "paraphrase": "1"}


@dataclass(frozen=True)
class Exported:
    """What an export wrote, and what it left out: one sentence for each task, or file, that is missing.

    ``failed`` are those of them that could have been written, had their data been readable.
    """

    files: tuple[Path, ...]
    skipped: tuple[str, ...]
    failed: tuple[str, ...] = ()


class _UnitError(XevalError):
    """Half a sentence: why a unit is left out."""


def export_xtreme(
    store: Path,
    out: Path,
    *,
    checkpoint: str = "",
    limit: int | None = None,
    settings: Mapping[str, str] | None = None,
    data: Path | None = None,
) -> Exported:
    """Write ``out/<checkpoint>/<task>/test-<language>.<extension>`` for the current units of a store.

    Items stand in the order of the data set as stored. Only Tatoeba has another one: XTREME's script sorts the
    English sentences, asks for one row number of the foreign file (from 0) per sorted sentence, and so needs the
    data set. A store that holds answers in the other direction, an English row for every foreign sentence, is
    written with the same meaning of right: line n is right exactly where the stored item is.

    Args:
        checkpoint: export only the checkpoint of this name; all when empty.
        limit: export the results on the first ``limit`` items.
        settings: what the units' settings are to be, where several are stored.
        data: root of the published data sets; only Tatoeba needs it.

    Raises:
        StoreError: the store is missing, holds no results or a damaged one, or a file cannot be written.
        UsageError: the store has no checkpoint of that name.
    """
    current = Store(store).require(limit, settings)
    names = sorted({record.checkpoint for _, record in current})
    if checkpoint and checkpoint not in names:
        raise UsageError(
            f"{store}: no checkpoint is named {checkpoint!r}{did_you_mean(checkpoint, names)}; it has "
            f"{', '.join(names)}."
        )
    units = [unit for unit in current if checkpoint in ("", unit[1].checkpoint)]
    files: list[Path] = []
    skipped: dict[str, None] = {}  # a set that keeps its order
    failed: list[str] = []
    for path, record in units:
        if (task := SUBMISSION_TASKS.get(record.task)) is None:
            skipped[f"{record.task}: no task of XTREME."] = None
        elif record.language not in task.known_languages:
            skipped[f"{record.task} · {record.language}: no language of XTREME's {task.name}."] = None
        else:
            try:
                text = _FORMATS[task.name](Store(store).read(path)[1], record, data)
            except _UnitError as error:
                skipped[f"{record.checkpoint} · {record.task} · {record.language}: {error}."] = None
                if isinstance(error.__cause__, DataError):
                    failed.append(list(skipped)[-1])
                continue
            target = out / _folder(record.checkpoint) / task.name / task.file_name(record.language)
            _write(target, text)
            files.append(target)
    return Exported(tuple(files), tuple(skipped), tuple(failed))


def _folder(name: str) -> PurePosixPath:
    folder = PurePosixPath(name)
    if folder.is_absolute() or ".." in folder.parts:
        raise StoreError(f"the checkpoint name {name!r} leads out of the folder to export to; rename it.")
    return folder


def _write(path: Path, text: str) -> None:
    """Write a file in one step: temporary file, rename."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="", dir=path.parent, prefix=".", suffix=".partial", delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(text)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise StoreError(
            f"{path}: cannot be written ({error.strerror or error}); choose another folder with --out."
        ) from error


def _lines(texts: Sequence[Any]) -> str:
    return "".join(f"{text}\n" for text in texts)


def _labels(rows: Rows, record: UnitRecord, data: Path | None) -> str:
    del record, data
    return _lines(rows["prediction"])


def _paraphrases(rows: Rows, record: UnitRecord, data: Path | None) -> str:
    del record, data
    return _lines([_PAWSX_NUMBERS.get(text, text) for text in rows["prediction"]])


def _choices(rows: Rows, record: UnitRecord, data: Path | None) -> str:
    del record, data
    return _lines([json.dumps({"label": int(text)}) for text in rows["prediction"]])


def _tags(rows: Rows, record: UnitRecord, data: Path | None) -> str:
    del record, data
    return "\n".join(_lines(text.split(" ")) for text in rows["prediction"])


def _answers(rows: Rows, record: UnitRecord, data: Path | None) -> str:
    del record, data
    return json.dumps(dict(zip(rows["item_id"], rows["prediction"], strict=True)), indent=4) + "\n"


def _pairs(rows: Rows, record: UnitRecord, data: Path | None) -> str:
    del record, data
    if "source_id" not in rows or "target_id" not in rows:
        raise _UnitError("its file has no columns source_id and target_id; run it again")
    pairs = zip(rows["source_id"], rows["target_id"], strict=True)
    return _lines([f"{source}\t{target}" for source, target in pairs if source and target])


def _neighbours(rows: Rows, record: UnitRecord, data: Path | None) -> str:
    if "neighbour" not in rows:
        raise _UnitError("its file has no column neighbour; run it again")
    if record.limit is not None:
        raise _UnitError("XTREME's order needs all items, not the first ones only")
    if data is None:
        raise _UnitError("XTREME's order is that of the sorted English sentences; name the data with --data")
    from xeval.tasks import task

    source = task(record.task).source
    try:
        digest = source.digest(data, record.language, "test")
        examples = source.load(data, record.language, "test")
    except DataError as error:
        raise _UnitError(str(error).removesuffix(".")) from error
    if digest != record.data_digest:
        raise _UnitError(f"the data below {data} are not those that it was computed on")
    english = [example.target for example in examples if isinstance(example, Translation)]
    return _lines(
        [rows["neighbour"][row] for row in sorted(range(len(english)), key=lambda row: english[row])]
    )


_FORMATS: dict[str, Callable[[Rows, UnitRecord, Path | None], str]] = {
    "xnli": _labels,
    "pawsx": _paraphrases,
    "panx": _tags,
    "udpos": _tags,
    "xquad": _answers,
    "mlqa": _answers,
    "tydiqa": _answers,
    "tatoeba": _neighbours,
    "bucc2018": _pairs,
    "xcopa": _choices,
}
