"""What the commands take on large stores: 50,000 units of 20 items, and 4 units of 2 million items.

    OMP_NUM_THREADS=1 python tests/bench/large.py [many] [long] [--units 50000] [--items 2000000] [--keep DIR]

Builds both stores below a temporary folder (``--keep``: in DIR, where a later call finds them again), runs every
command as a process of its own and prints its processor seconds, wall time and peak memory. The units are those that
``xeval plan`` finds for checkpoints that are there, so that ``xeval run`` has nothing left to do; their scores are
drawn. The conditions differ by what ``GAIN`` says.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

CONDITIONS = ("none", "mnli", "squad", "paws", "panx", "xcopa", "udpos", "boolq")
TRAINING = ("xhops-claim", "xhops-question", "xhops-choice")
HEADS = {"xhops-claim": "SequenceClassification", "xhops-question": "QuestionAnswering",
         "xhops-choice": "MultipleChoice"}  # fmt: skip
UNITS_OF_A_RUN = 9 * 23  # xhops in its three formats, one to three hops, 23 languages
LEVEL, GAIN = 0.6, 0.05
ITEMS = 20


def checkpoints(root: Path, runs: int) -> None:
    """A tiny checkpoint for every condition, seed and training set; the weights of two differ in one number."""
    import torch
    import transformers
    from safetensors.torch import load_file, save_file
    from support.tiny_models import byte_pair_tokenizer

    from xeval.checkpoints import Lineage
    from xeval.digests import text_digest
    from xeval.tasks import task

    tokenizer = byte_pair_tokenizer()
    for training in TRAINING:
        labels = task(f"{training}-1").labels
        config = transformers.BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=8,
            max_position_embeddings=64,
            pad_token_id=1,
        )
        if labels:
            config.id2label = dict(enumerate(labels))
            config.label2id = {label: number for number, label in enumerate(labels)}
        first = root / f"none-s0-{training}"
        getattr(transformers, f"BertFor{HEADS[training]}")(config).save_pretrained(first)
        tokenizer.save_pretrained(first)
        weights = load_file(first / "model.safetensors")
        name = sorted(weights)[0]
        for number in range(runs):
            condition, seed = CONDITIONS[number % len(CONDITIONS)], number // len(CONDITIONS)
            folder = root / f"{condition}-s{seed}-{training}"
            if number:
                folder.mkdir(parents=True)
                for file in first.iterdir():
                    if file.suffix == ".json" and file.name != "xeval.json":
                        os.link(file, folder / file.name)
                other = {**weights, name: torch.full_like(weights[name], 1.0 / number)}
                save_file(other, folder / "model.safetensors", metadata={"format": "pt"})
            Lineage(
                phase="target",
                base="tiny",
                condition=condition,
                target=training,
                seed=seed,
                parent=text_digest(condition, str(seed)),
            ).write(folder)


def rows_of(unit: Any, rng: np.random.Generator, items: int) -> dict[str, list[Any]]:
    """Drawn rows: some items are harder than others, whatever the checkpoint and the language."""
    condition = (unit.checkpoint.lineage.condition != "none") * GAIN
    hard = np.random.default_rng(1).normal(0.0, 0.1, items)
    hops = int(unit.task.name[-1])
    right = rng.random(items) < LEVEL + condition / hops + hard
    metrics = {
        f"{name}.{part}": (right.astype(float) if part == "num" else np.ones(items)).tolist()
        for name in unit.task.metrics
        for part in ("num", "den")
    }
    return {
        "item_id": [f"{number:07}" for number in range(items)],
        "cluster_id": [f"{number // 2:07}" if items == ITEMS else f"{number:07}" for number in range(items)],
        "hops": [hops] * items,
        "category": ["even" if number % 2 else "odd" for number in range(items)],
        "prediction": np.where(right, "yes", "no").tolist(),
        **metrics,
    }


def fill(root: Path, chosen: Iterator[Any], items: int) -> int:
    """Write a file for every unit; gives their number."""
    from xeval.store import Store, UnitRecord

    store, rng, written = Store(root), np.random.default_rng(0), 0
    store.prepare()
    os.fsync = lambda _: None  # a benchmark's store may be lost
    for unit in chosen:
        record = UnitRecord(
            fingerprint=unit.fingerprint,
            identity=unit.identity,
            task=unit.task.name,
            task_version=unit.task.version,
            kind=unit.task.kind.name,
            group=unit.task.group,
            language=unit.language,
            main_metric=unit.task.metrics[0],
            metrics=list(unit.task.metrics),
            metric_versions=unit.inputs["metric_versions"],
            chance=0.0 if unit.task.kind.name == "span_qa" else 0.5,
            settings=unit.settings.stored(),
            checkpoint=unit.checkpoint.name,
            checkpoint_digest=unit.checkpoint.digest,
            checkpoint_path=str(unit.checkpoint.path),
            lineage=unit.checkpoint.lineage.model_dump(),
            data_digest=unit.inputs["data"],
            finished="2026-01-01T00:00:00+00:00",
        )
        store.write(record, rows_of(unit, rng, items))
        written += 1
    return written


def build(folder: Path, runs: int, items: int, long: bool) -> None:
    """Checkpoints in ``folder/models`` and their finished store ``folder/store``."""
    from xeval.checkpoints import discover
    from xeval.evaluation.options import RunOptions
    from xeval.evaluation.plan import plan_units
    from xeval.store import Store
    from xeval.tasks import task

    checkpoints(folder / "models", runs)
    tasks = [task(f"{training}-{hops}") for training in TRAINING for hops in (1, 2, 3)]
    if long:
        tasks = [task("xhops-claim-1"), task("xhops-question-2")]
    planned = plan_units(
        list(discover(folder / "models")),
        tasks,
        Store(folder / "store"),
        RunOptions(device="cpu"),
        languages=["de"] if long else None,
    )
    started = time.perf_counter()
    written = fill(folder / "store", iter(planned.units), items)
    print(f"{folder}: {written:,} units of {items:,} items written in {time.perf_counter() - started:.0f} s")


def measure(name: str, arguments: list[str]) -> None:
    """Run a command of xeval and print what it took."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "xeval", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    output = process.stdout.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    last = (output.strip().splitlines() or [""])[-1][:100]
    print(
        f"{name:8} exit {os.waitstatus_to_exitcode(status)}, processor {used.ru_utime + used.ru_stime:.1f} s, wall "
        f"{time.perf_counter() - started:.1f} s, peak memory {used.ru_maxrss / 1024**2:.2f} GiB; {last}",
        flush=True,
    )


def commands(folder: Path, *, long: bool) -> dict[str, list[str]]:
    """What is measured, by name."""
    store, models = str(folder / "store"), str(folder / "models")
    report = ["report", store, "-o", str(folder / "report")]
    query = "select name, target, avg(num / den) from scores group by all order by all"
    if long:
        return {
            "show": ["show", store, "--intervals"],
            "compare": ["compare", store, "none", "mnli"],
            "report": report,
            "sql": ["sql", query, "--store", store],
        }
    tasks = ",".join(f"{training}-{hops}" for training in TRAINING for hops in (1, 2, 3))
    evaluation = [models, "--tasks", tasks, "--store", store, "--device", "cpu"]
    return {
        "show": ["show", store],
        "plan": ["plan", *evaluation],
        "run": ["run", *evaluation],
        "report": report,
        "compare": ["compare", store, "none", "mnli", "--task", "xhops-claim-2"],
        "sql": ["sql", query, "--store", store],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("stores", nargs="*", default=["many", "long"], help="many, long")
    parser.add_argument("--units", type=int, default=50_000)
    parser.add_argument("--items", type=int, default=2_000_000)
    parser.add_argument("--only", default="", help="commands joined by commas; empty: all")
    parser.add_argument("--keep", type=Path, help="folder to build in, or with stores of an earlier call")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = options.keep or Path(temporary)
        for kind in options.stores:
            folder, long = root / kind, kind == "long"
            if not folder.exists():
                runs = 2 if long else -(-options.units // UNITS_OF_A_RUN)
                # A process of its own: a child's peak memory begins at what its parent holds.
                building = multiprocessing.get_context("spawn").Process(
                    target=build, args=(folder, runs, options.items if long else ITEMS, long)
                )
                building.start()
                building.join()
                if building.exitcode:
                    sys.exit(1)
            for name, arguments in commands(folder, long=long).items():
                if options.only in ("", name) or name in options.only.split(","):
                    measure(name, arguments)


if __name__ == "__main__":
    main()
