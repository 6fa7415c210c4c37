"""A checkpoint's scores as the ``model-index`` of a Hugging Face model card, in its own place of the README."""

import re
from collections.abc import Mapping
from pathlib import Path

from xeval.errors import DataError, StoreError, UsageError
from xeval.interop.writers.units import chosen_units, unit_scores, write_text
from xeval.metrics import METRICS

BEGIN, END = "# begin xeval results", "# end xeval results"
_TASKS = {  # the hub's names
    "classification": ("text-classification", "Text Classification"),
    "tagging": ("token-classification", "Token Classification"),
    "span_qa": ("question-answering", "Question Answering"),
    "choice": ("multiple-choice", "Multiple Choice"),
    "retrieval": ("sentence-similarity", "Sentence Similarity"),
    "mining": ("sentence-similarity", "Sentence Similarity"),
}


def model_index(
    root: Path,
    checkpoint: str = "",
    *,
    limit: int | None = None,
    settings: Mapping[str, str] | None = None,
    name: str = "",
) -> str:
    """The YAML block: the main metric (0 to 1) of every task and language of one checkpoint.

    Beside a metric's signature stands the one answer that all items got (``constant``) and why training taught nothing
    (``collapsed``), where that is so.

    Args:
        checkpoint: its name in the store; may be empty where the store has one only.
        name: of the model in the card; the last part of the checkpoint's name when empty.

    Raises:
        StoreError: the store cannot be read.
        UsageError: the checkpoint is unknown, or not named although there are several.
    """
    from huggingface_hub import EvalResult, ModelCardData

    units = chosen_units(root, limit, checkpoint, settings)
    names = sorted({record.checkpoint for _, record in units})
    if len(names) > 1:
        raise UsageError(
            f"{root}: holds several checkpoints; name one with --checkpoint: {', '.join(names)}."
        )
    results = []
    for path, record in units:
        collapsed = record.run.collapsed
        task_type, task_name = _TASKS.get(record.kind, (record.kind, record.kind))
        for found in unit_scores(path, record, [record.main_metric]):
            metric = METRICS.get(found.metric)
            results.append(
                EvalResult(
                    task_type=task_type,
                    task_name=task_name,
                    dataset_type=record.task,
                    dataset_name=f"{record.task} ({record.language})"
                    + (f", first {record.limit} items" if record.limit else ""),
                    dataset_config=record.language,
                    dataset_split="test",
                    metric_type=found.metric,
                    metric_name=metric.summary if metric else found.metric,
                    metric_value=round(found.score, 6),
                    metric_args={
                        "signature": record.signatures.get(found.metric, found.metric),
                        **({"constant": record.constant} if record.constant is not None else {}),
                        **({"collapsed": collapsed} if collapsed else {}),
                    },
                )
            )
    if not results:
        raise StoreError(f"{root}: no metric of {names[0]!r} has a score; there is nothing to write.")
    data = ModelCardData(model_name=name or names[0].rsplit("/", 1)[-1], eval_results=results)
    return str(data.to_yaml()) + "\n"


def write_model_index(readme: Path, block: str) -> None:
    """Put the block into the metadata of a model card, between two marked lines; the rest stays byte for byte.

    A README without metadata gets some; a missing one is made.

    Raises:
        DataError: the metadata hold a ``model-index`` of somebody else, or only one of the marked lines.
        StoreError: the file cannot be written.
    """
    try:
        text = readme.read_bytes().decode("utf-8") if readme.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{readme}: cannot be read as UTF-8 text ({error}).") from error
    newline = "\r\n" if "\r\n" in text else "\n"
    marked = f"{BEGIN}\n{block}{END}\n".replace("\n", newline)
    header = re.match(r"---[ \t]*\r?\n(?:(.*?)\r?\n)?---[ \t]*(?:\r?\n|\Z)", text, re.DOTALL)
    if header is None:
        write_text(readme, f"---{newline}{marked}---{newline}" + (newline + text if text else ""))
        return
    metadata = (header.group(1) or "") + newline if header.group(1) else ""
    old = re.search(rf"^{BEGIN}\r?\n.*?^{END}\r?\n", metadata, re.DOTALL | re.MULTILINE)
    rest = metadata if old is None else metadata[: old.start()] + metadata[old.end() :]
    if BEGIN in rest or END in rest:
        raise DataError(f"{readme}: has only one of the lines {BEGIN!r} and {END!r}; take it out.")
    if re.search(r"^model-index\s*:", rest, re.MULTILINE):
        raise DataError(
            f"{readme}: its metadata hold a model-index already; take it out, or paste the new one by hand."
        )
    place = len(rest) if old is None else old.start()
    body = rest[:place] + marked + rest[place:]
    write_text(readme, f"---{newline}{body}---{newline}{text[header.end() :]}")
