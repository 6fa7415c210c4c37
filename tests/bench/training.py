"""Tokens per second of our training loop against Hugging Face's Trainer with its defaults, on the same data.

    python tests/bench/training.py CHECKPOINT DATA [--set conjnli] [--steps 40] [--rounds 3] [--freeze]
        [--precision bfloat16] [--compile]

Both train the same model from the same checkpoint in one process, alternating, with equal steps of 16 rows of the
same rows cut at 128 tokens, float32 on a CPU unless --precision says otherwise (for ours only; the Trainer keeps
its defaults). Ours runs as the recipe "small" does, rows grouped by length, and once more without grouping, which
tells what padding and what the rest of the loop contribute. Tokens are those that count, padding excluded;
processor seconds are of the whole process during the steps, model building and saving left out.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from xeval.checkpoints import Checkpoint
from xeval.encoder.tokens import TextEncoder
from xeval.train.intermediates import load_examples, training_set
from xeval.train.models import freeze, with_head
from xeval.train.phases import PhaseJob, Step, train_phase
from xeval.train.recipes import RECIPES
from xeval.train.rows import Rows


@dataclass
class Clock:
    """Processor and wall seconds, tokens and places of the steps after the first, which warms up."""

    processor: float = 0.0
    wall: float = 0.0
    tokens: int = 0
    places: int = 0

    def start(self) -> None:
        self._processor, self._wall = time.process_time(), time.perf_counter()

    def stop(self) -> None:
        self.processor = time.process_time() - self._processor
        self.wall = time.perf_counter() - self._wall


def ours(job: PhaseJob) -> Clock:
    """The phase as ``xeval train`` runs it; dev scores are not computed before the last step."""
    clock = Clock()
    before = 0

    def progress(step: Step) -> None:
        nonlocal before
        if step.step == 1:
            before = step.tokens
            clock.start()
        elif step.step == step.steps - 1:
            clock.stop()
            clock.tokens = step.tokens - before

    with tempfile.TemporaryDirectory() as folder:
        out = train_phase(job, Path(folder) / "out", progress=progress, save_seconds=1e9)
        card = Checkpoint(out, "out").lineage
        assert card is not None
        clock.places = round(clock.tokens / (1 - card.history[-1]["padding_share"]))
    return clock


def trainer(job: PhaseJob) -> Clock:
    """The same rows through ``transformers.Trainer``: its sampler, its collator, its optimiser."""
    from transformers import (
        DataCollatorForTokenClassification,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    (data,) = job.sets
    encoder = TextEncoder(job.parent.load_tokenizer())
    examples = load_examples(data, job.data_root, "train", job.hyper.train_size)
    encoded = data.kind.encode(
        examples, encoder, data.kind.defaults.changed({"max_length": job.hyper.max_length})
    )
    rows = Rows.of(data, encoded, examples)
    labels = rows.targets["labels"]
    dataset = [
        {"input_ids": encoded.sequences.ids[row].tolist(), "labels": labels[row]} for row in range(len(rows))
    ]
    model = with_head(job.parent.load("AutoModel"), data, 0)
    if job.freeze_embeddings:
        freeze(model.base_model)
    clock, steps = Clock(), job.hyper.max_steps
    of_tokens = data.kind.name == "tagging"
    padded = (DataCollatorForTokenClassification if of_tokens else DataCollatorWithPadding)(encoder.tokenizer)
    counting = False

    def collate(features: list[dict[str, Any]]) -> Any:
        batch = padded(features)
        if counting:
            clock.tokens += int(batch["attention_mask"].sum())
            clock.places += batch["attention_mask"].numel()
        return batch

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            nonlocal counting
            del args, control
            if state.global_step == 1:
                counting = True
                clock.start()
            elif state.global_step == steps - 1:
                clock.stop()
                counting = False

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=steps,
            per_device_train_batch_size=job.hyper.batch_size,
            learning_rate=job.hyper.learning_rate,
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            report_to="none",
            use_cpu=not torch.cuda.is_available(),
        )
        Trainer(model, arguments, data_collator=collate, train_dataset=dataset, callbacks=[Watch()]).train()
    return clock


def matrix_rate() -> float:
    """FLOP/s of a matrix product as large as a layer's, in float32, the best of ten."""
    a, b = torch.randn(640, 384), torch.randn(384, 1536)
    best = 0.0
    for _ in range(10):
        started = time.process_time()
        for _ in range(20):
            a @ b
        best = max(best, 20 * 2 * 640 * 384 * 1536 / (time.process_time() - started))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--set", default="conjnli", help="a classification or tagging set")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--freeze", action="store_true", help="freeze the embeddings on both sides")
    parser.add_argument("--precision", choices=["float32", "bfloat16"])
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    data = training_set(options.set)
    changes = {
        "max_steps": options.steps,
        "dev_size": 1,
        "evaluate_every": options.steps,
        "precision": options.precision,
        "compile": options.compile,
    }
    job = PhaseJob(
        phase="target",
        parent=Checkpoint(options.checkpoint, options.checkpoint.name),
        sets=(data,),
        hyper=RECIPES["small"].resolve("target", (data,), changes),
        seed=0,
        data_root=options.data,
        base=options.checkpoint.name,
        freeze_embeddings=options.freeze,
    )
    loose = replace(job, hyper=job.hyper.model_copy(update={"group_by_length": False}))
    sides = {
        "ours": lambda: ours(job),
        "ours, not grouped": lambda: ours(loose),
        "Trainer": lambda: trainer(job),
    }
    found: dict[str, list[Clock]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, side in sides.items():
            found[name].append(side())
    print(f"{torch.get_num_threads()} threads, matrix products {matrix_rate() / 1e9:.0f} GFLOP/s")
    for name, clocks in found.items():
        rates = [clock.tokens / clock.processor for clock in clocks]
        wall = statistics.median(clock.tokens / clock.wall for clock in clocks)
        padding = 1 - sum(c.tokens for c in clocks) / sum(c.places for c in clocks)
        places = statistics.median(clock.places / clock.processor for clock in clocks)
        print(
            f"{name:18} {statistics.median(rates):6.0f} tokens per processor second ({min(rates):.0f} to "
            f"{max(rates):.0f}), {wall:6.0f} per second, padding {padding:.0%}, {places:6.0f} with padding"
        )
    for name in ("ours", "ours, not grouped"):
        pairs = [
            (a.tokens / a.processor) / (b.tokens / b.processor)
            for a, b in zip(found[name], found["Trainer"], strict=True)
        ]
        print(
            f"{name} against Trainer: {statistics.median(pairs):.2f} times ({min(pairs):.2f} to {max(pairs):.2f})"
        )


if __name__ == "__main__":
    main()
