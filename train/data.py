"""The data of one phase as token sequences: training rows, English dev data, and endless batches."""

import math
from dataclasses import dataclass

from xeval.conditions import Group
from xeval.encoder.tokens import TextEncoder
from xeval.errors import CheckpointError, DataError, UsageError
from xeval.examples import Example
from xeval.tasks.base import Encoded, Settings, Task, TrainingSet
from xeval.train.intermediates import DEV_METRICS as SET_METRICS
from xeval.train.intermediates import has_dev, load_examples
from xeval.train.job import PhaseJob
from xeval.train.lines import MLM_LENGTH, MlmData
from xeval.train.mlm import MaskedFeed, mlm_rows, special_ids
from xeval.train.rows import BatchOrder, Feed, Rows, stream_seed

# What a dev score is, by kind: the group to declare, and the metrics whose mean picks the best state
# (the mean of F1 and EM for question answering, as in jiant).
DEV_METRICS: dict[str, tuple[Group, tuple[str, ...]]] = {
    "classification": ("classification", ("accuracy",)),
    "tagging": ("structured", ("chunk_f1_legacy",)),
    "span_qa": ("single-hop QA", ("squad_f1", "squad_em")),
    "choice": ("classification", ("accuracy",)),
}


@dataclass(frozen=True)
class Dev:
    """English dev data of one set, declared as a task so that they are scored as tasks are."""

    task: Task
    examples: list[Example]
    encoded: Encoded
    settings: Settings


class PhaseData:
    """Everything that a phase reads.

    Attributes:
        names: of the sets, masked language modelling last.
        sizes: examples by name.
        rows: training rows of every set, without masked language modelling.
        lines: rows for masked language modelling; None without.
        dev: English dev data of the sets that have some.

    Raises:
        UsageError, DataError, CheckpointError: the data cannot be used with this recipe or parent.
    """

    def __init__(self, job: PhaseJob) -> None:
        self.job = job
        self.text_encoder = TextEncoder(job.parent.load_tokenizer())
        self.sizes: dict[str, int] = {}
        self.rows = [self._rows(training_set) for training_set in job.sets]
        self.lines = self._lines(job.mlm) if job.mlm is not None else None
        self.names = [s.name for s in job.sets] + ([job.mlm.name] if job.mlm is not None else [])
        self.dev = [self._dev(training_set) for training_set in job.sets if self._wants_dev(training_set)]

    def _settings(self, training_set: TrainingSet) -> Settings:
        hyper = self.job.hyper
        changes: dict[str, int | str] = {"label_piece": hyper.label_piece}
        if hyper.max_length is not None:
            changes["max_length"] = hyper.max_length
        settings = training_set.kind.defaults.changed(changes)
        self._check_room(settings.max_length)
        return settings

    def _check_room(self, max_length: int) -> None:
        config, tokenizer = self.job.parent.config, self.text_encoder.tokenizer
        room = min(config.get("max_position_embeddings", math.inf), tokenizer.model_max_length)
        if max_length > room:
            raise UsageError(
                f"max_length is {max_length}, but {self.job.parent.name} reads {room} tokens; "
                "lower it in the recipe."
            )

    def _rows(self, training_set: TrainingSet) -> Rows:
        examples = load_examples(training_set, self.job.data_root, "train", self.job.hyper.train_size)
        self.sizes[training_set.name] = len(examples)
        encoded = training_set.kind.encode(examples, self.text_encoder, self._settings(training_set))
        return Rows.of(training_set, encoded, examples)

    def _lines(self, data: MlmData) -> Rows:
        if self.text_encoder.tokenizer.mask_token_id is None:
            raise CheckpointError(
                f"{self.job.parent.name}: the tokenizer has no mask token, which masked language modelling "
                "needs; use another base."
            )
        max_length = self.job.hyper.max_length or MLM_LENGTH
        self._check_room(max_length)
        rows = mlm_rows(data, self.job.data_root, self.text_encoder, max_length)
        self.sizes[data.name] = len(rows)
        return rows

    def feeds(self, stream: tuple[int, int]) -> list[Feed]:
        """The batches of every set, masked language modelling last; ``stream`` is seed and attempt."""
        hyper, pad_id, job = self.job.hyper, self.text_encoder.pad_id, self.job

        def order(rows: Rows, name: str) -> BatchOrder:
            budget = hyper.batch_tokens
            if budget is not None:
                budget = max(1, budget // len(rows.rows[0]))
            seed = stream_seed("order", name, *stream)
            return BatchOrder(rows.lengths, hyper.batch_size, hyper.group_by_length, seed, budget)

        feeds = [Feed(rows, order(rows, s.name), pad_id) for s, rows in zip(job.sets, self.rows, strict=True)]
        if job.mlm is not None and self.lines is not None:
            tokenizer = self.text_encoder.tokenizer
            feeds.append(
                MaskedFeed(
                    self.lines,
                    order(self.lines, job.mlm.name),
                    pad_id,
                    seed=stream_seed("mask", job.mlm.name, *stream),
                    special=special_ids(self.text_encoder),
                    mask_id=tokenizer.mask_token_id,
                    vocabulary=min(len(tokenizer), job.parent.config.get("vocab_size", len(tokenizer))),
                )
            )
        return feeds

    def _wants_dev(self, training_set: TrainingSet) -> bool:
        if has_dev(training_set, self.job.data_root):
            return True
        if self.job.hyper.keep == "best":
            raise DataError(
                f"{training_set.name}: there are no English dev data to choose the best step by; add them or "
                "set keep = 'last' in the recipe."
            )
        return False

    def _dev(self, training_set: TrainingSet) -> Dev:
        kind = training_set.kind
        group, metrics = DEV_METRICS[kind.name]
        metrics = SET_METRICS.get(training_set.name, metrics)
        examples = load_examples(training_set, self.job.data_root, "dev", self.job.hyper.dev_size)
        settings = self._settings(training_set)
        task = Task(
            name=training_set.name,
            kind=kind,
            group=group,
            languages=("en",),
            metrics=metrics,
            source=training_set.source,
            training=training_set.name,
            labels=training_set.labels,
            split="dev",
        )
        return Dev(task, examples, kind.encode(examples, self.text_encoder, settings), settings)
