"""One phase of training: from a parent checkpoint and English data to a child checkpoint.

The loop is plain. It reads examples through the task kinds' own ``encode``, so that training and evaluation
see the same tokens, and scores English dev data through the evaluation's own loop. Only the encoder is
carried over from the parent: heads, and a pooler where the architecture has one, start from the seed.

Everything is written under ``<out>.partial``, which is renamed when it is complete. A run that was killed
continues from its last saved state and ends, on a CPU, with the same weights bit for bit.
"""

import json
import math
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from train.intermediates import data_digest, has_dev, load_examples
from train.recipes import PHASE_VERSION, Hyperparameters, Phase, mixture_weights, total_steps
from xeval.checkpoints import PARTIAL_SUFFIX, TOKENIZER_FILES, Checkpoint, Lineage, TrainingData, publish
from xeval.digests import text_digest, value_digest
from xeval.encoder.batches import Sequences
from xeval.encoder.loop import Loop
from xeval.encoder.tokens import TextEncoder
from xeval.errors import CheckpointError, DataError, UsageError, XevalError
from xeval.examples import Example
from xeval.tasks.base import IGNORED_LABEL, Encoded, Group, Settings, Task, TrainingSet

STATE_NAME = "state.safetensors"
FINISHED_NAME = "checkpoint"
SOFTWARE = ("xeval", "torch", "transformers", "tokenizers", "accelerate", "numpy")
LENGTH_POOL = 50  # batches that are sorted by length together
ATTEMPTS = 2
# What a dev score is, by kind: the group to declare, and the metrics whose mean picks the best state
# (the mean of F1 and EM for question answering, as in jiant).
DEV_METRICS: dict[str, tuple[Group, tuple[str, ...]]] = {
    "classification": ("classification", ("accuracy",)),
    "tagging": ("structured", ("chunk_f1_legacy",)),
    "span_qa": ("single-hop QA", ("squad_f1", "squad_em")),
    "choice": ("classification", ("accuracy",)),
}


class PhaseStoppedError(XevalError):
    """The run was asked to stop; its state is saved and the same command continues it."""


class NotFiniteError(XevalError):
    """The loss became infinite or not a number."""


@dataclass(frozen=True)
class PhaseJob:
    """What one phase does; equal jobs give equal weights.

    Attributes:
        sets: one training set, or several that share the encoder and are mixed in proportion to their rows.
        base: name of the base checkpoint, for the card.
        freeze_embeddings: keep the embedding block (tables and its normalisation) as the parent has it.
        data_root: folder that the sources' patterns start from.
        recipe: name of the recipe that ``hyper`` came from, for the card.
    """

    phase: Phase
    parent: Checkpoint
    sets: tuple[TrainingSet, ...]
    hyper: Hyperparameters
    seed: int
    data_root: Path | None
    base: str
    condition: str = "none"
    freeze_embeddings: bool = False
    recipe: str = "custom"

    @cached_property
    def data_digests(self) -> dict[str, str]:
        """Digest of the training and dev files of every set."""
        return {s.name: data_digest(s, self.data_root) for s in self.sets}

    @cached_property
    def digest(self) -> str:
        """Digest of everything that decides the weights."""
        return value_digest(
            {
                "version": PHASE_VERSION,
                "phase": self.phase,
                "parent": self.parent.digest,
                "data": self.data_digests,
                "hyper": self.hyper.digest_values(),
                "seed": self.seed,
                "freeze_embeddings": self.freeze_embeddings,
            }
        )


@dataclass(frozen=True)
class Step:
    """Progress of a phase: ``step`` of ``steps`` is done, from ``tokens`` tokens, with mean ``loss``."""

    step: int
    steps: int
    loss: float
    tokens: int


def train_phase(
    job: PhaseJob,
    out: Path,
    *,
    progress: Callable[[Step], None] | None = None,
    stop: Callable[[], bool] | None = None,
    save_seconds: float = 300.0,
) -> Path:
    """Train, write the checkpoint with its lineage card to ``out``, and return ``out``.

    Args:
        progress: called after every step.
        stop: asked after every step; when true the state is saved and :class:`PhaseStoppedError` raised.
        save_seconds: the state is saved when this much time has passed since the last save.

    Raises:
        UsageError: ``out`` exists, or the job makes no sense.
        DataError, CheckpointError: data or parent cannot be used.
        NotFiniteError: the loss was not finite, also with a second stream of random numbers.
    """
    if out.exists():
        raise UsageError(f"{out}: already exists; delete it to train it again.")
    partial = out.with_name(out.name + PARTIAL_SUFFIX)
    partial.mkdir(parents=True, exist_ok=True)
    run = _Run(job, partial, progress or (lambda _: None), stop or (lambda: False), save_seconds)
    run.train()
    publish(run.save_checkpoint(), out)
    shutil.rmtree(partial)
    return out


# --- data --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """Training rows of one set: ``rows[i]`` are the sequences that row ``i`` puts side by side.

    ``targets`` holds for each keyword of the model's forward one number, or one list over tokens, a row.
    """

    sequences: Sequences
    rows: list[list[int]]
    targets: dict[str, list[Any]]

    @classmethod
    def of(cls, training_set: TrainingSet, encoded: Encoded, examples: Sequence[Example]) -> "Rows":
        rows = training_set.kind.training_rows(encoded)
        if len({len(row) for row in rows}) > 1:
            raise DataError(
                f"{training_set.name}: examples have different numbers of choices; split the set by number."
            )
        return cls(encoded.sequences, rows, training_set.kind.targets(examples, encoded, training_set.labels))

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of the longest sequence of every row."""
        lengths = self.sequences.lengths
        return np.asarray([lengths[row].max() for row in self.rows], np.int64)

    def batch(self, chosen: NDArray[np.int64], pad_id: int) -> dict[str, torch.Tensor]:
        """Padded inputs and targets: [rows, tokens], or [rows, choices, tokens] where sequences compete."""
        side_by_side = len(self.rows[0])
        members = [sequence for row in chosen for sequence in self.rows[row]]
        width = int(self.lengths[chosen].max())
        ids = np.full((len(members), width), pad_id, np.int64)
        mask = np.zeros((len(members), width), np.int64)
        types = None if self.sequences.types is None else np.zeros((len(members), width), np.int64)
        for at, member in enumerate(members):
            length = len(self.sequences.ids[member])
            ids[at, :length] = self.sequences.ids[member]
            mask[at, :length] = 1
            if types is not None and self.sequences.types is not None:
                types[at, :length] = self.sequences.types[member]
        inputs: dict[str, NDArray[np.int64]] = {"input_ids": ids, "attention_mask": mask}
        if types is not None:
            inputs["token_type_ids"] = types
        if side_by_side > 1:
            inputs = {name: v.reshape(len(chosen), side_by_side, width) for name, v in inputs.items()}
        for name, values in self.targets.items():
            inputs[name] = _padded([values[row] for row in chosen], width)
        return {name: torch.from_numpy(values) for name, values in inputs.items()}


def _padded(values: list[Any], width: int) -> NDArray[np.int64]:
    if not isinstance(values[0], list):
        return np.asarray(values, np.int64)
    padded = np.full((len(values), width), IGNORED_LABEL, np.int64)
    for at, numbers in enumerate(values):
        padded[at, : len(numbers)] = numbers
    return padded


class BatchOrder:
    """The endless sequence of batches of a set; batch ``i`` depends on ``i`` and ``seed`` alone.

    Every epoch is a new permutation. With ``by_length`` each run of 50 batches is sorted by length before it
    is cut into batches, and the batches are shuffled: less padding, the same rows per epoch.
    """

    def __init__(self, lengths: NDArray[np.int64], batch_size: int, by_length: bool, seed: int) -> None:
        self.lengths, self.batch_size, self.by_length, self.seed = lengths, batch_size, by_length, seed
        self.per_epoch = math.ceil(len(lengths) / batch_size)
        self._epoch, self._batches = -1, list[NDArray[np.int64]]()

    def batch(self, index: int) -> NDArray[np.int64]:
        """Rows of batch ``index``."""
        epoch, at = divmod(index, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, list(self._cut(np.random.default_rng([self.seed, epoch])))
        return self._batches[at]

    def _cut(self, random: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        order = random.permutation(len(self.lengths))
        if not self.by_length:
            yield from np.split(order, range(self.batch_size, len(order), self.batch_size))
            return
        pool = LENGTH_POOL * self.batch_size
        batches = []
        for run in np.split(order, range(pool, len(order), pool)):
            run = run[np.argsort(self.lengths[run], kind="stable")]
            batches += np.split(run, range(self.batch_size, len(run), self.batch_size))
        for at in random.permutation(len(batches)):
            yield batches[at]


def stream_seed(*parts: str | int) -> int:
    """Seed of one stream of random numbers; streams with different names are unrelated."""
    return int(text_digest(*map(str, parts))[:12], 16)


def mixture(hyper: Hyperparameters, rows: Sequence[int], steps: int, seed: int) -> NDArray[np.int64]:
    """Which set every step draws from: proportional to the sets' rows, up to ``mixture_cap`` (jiant)."""
    weights = np.asarray(mixture_weights(hyper, rows), np.float64)
    return np.random.default_rng(seed).choice(len(weights), size=steps, p=weights / weights.sum())


def rate_factor(step: int, steps: int, warmup: int) -> float:
    """Share of the highest learning rate at ``step`` (from 0): linear to 1, then linear towards 0."""
    if step < warmup:
        return (step + 1) / warmup
    return (steps - step) / (steps - warmup)


# --- model -------------------------------------------------------------------------------------------------


def load_encoder(parent: Checkpoint) -> Any:
    """The parent's encoder in float32, every weight of it found but for a pooler."""
    return parent.load("AutoModel")


def with_head(encoder: Any, training_set: TrainingSet, seed: int) -> Any:
    """A model of the set's kind around ``encoder``'s own modules; head and pooler are drawn from ``seed``."""
    import transformers

    config = deepcopy(encoder.config)
    labels = training_set.labels or ("LABEL_0", "LABEL_1")  # start and end of an answer; choices need none
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    config.problem_type = None
    torch.manual_seed(seed)
    model = getattr(transformers, training_set.kind.auto_class).from_config(config)
    inner = model.base_model
    if type(inner) is not type(encoder) or inner is model:
        raise CheckpointError(
            f"{type(encoder).__name__} has no separate head for {training_set.kind.name}; use another base."
        )
    for name, module in encoder.named_children():
        if name != "pooler":
            setattr(inner, name, module)
    return model


def freeze(encoder: Any) -> None:
    """Take the embedding block out of training; nothing below the first layer then needs a gradient."""
    block = getattr(encoder, "embeddings", None) or encoder.get_input_embeddings()
    for parameter in block.parameters():
        parameter.requires_grad_(False)


def set_dropout(model: torch.nn.Module, share: float) -> None:
    """Give every dropout of a model the same share; the saved config keeps the base model's own."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = share


def optimiser(parameters: dict[str, torch.nn.Parameter], hyper: Hyperparameters) -> torch.optim.AdamW:
    """AdamW; biases and normalisation weights, the vectors among the parameters, do not decay."""
    groups = [
        {"params": [p for p in parameters.values() if p.ndim > 1], "weight_decay": hyper.weight_decay},
        {"params": [p for p in parameters.values() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=hyper.learning_rate, eps=hyper.adam_epsilon, fused=True)


# --- the run -----------------------------------------------------------------------------------------------


@dataclass
class Position:
    """Where a run is; with the tensors of the state file it is all that a continued run needs."""

    job: str
    attempt: int = 0
    step: int = 0
    tokens: int = 0
    loss_sum: float = 0.0
    loss_steps: int = 0
    seconds: float = 0.0
    best_step: int = 0
    best_score: float = -math.inf
    evaluations_since_best: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Dev:
    """English dev data of one set, declared as a task so that they are scored as tasks are."""

    task: Task
    examples: list[Example]
    encoded: Encoded
    settings: Settings


class _Run:
    """A phase under way in ``directory``."""

    def __init__(
        self,
        job: PhaseJob,
        directory: Path,
        progress: Callable[[Step], None],
        stop: Callable[[], bool],
        save_seconds: float,
    ) -> None:
        from accelerate import Accelerator
        from transformers.utils import logging

        logging.disable_progress_bar()
        bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        self.accelerator = Accelerator(mixed_precision="bf16" if bf16 else "no")
        if self.accelerator.num_processes > 1:
            raise UsageError(
                "a phase trains in one process; instead of `accelerate launch` start several processes on "
                "the same study, each with a GPU of its own: they share out the phases."
            )
        self.device = self.accelerator.device
        self.job, self.directory, self.save_seconds = job, directory, save_seconds
        self.progress, self.stop = progress, stop
        self.text_encoder = TextEncoder(job.parent.load_tokenizer())
        self.sizes: dict[str, int] = {}
        self.rows = [self._rows(training_set) for training_set in job.sets]
        self.dev = [self._dev(training_set) for training_set in job.sets if self._wants_dev(training_set)]
        self.steps = total_steps(job.hyper, [len(rows.rows) for rows in self.rows])

    # Data.

    def _settings(self, training_set: TrainingSet) -> Settings:
        settings = dict(training_set.kind.defaults)
        if self.job.hyper.max_length is not None:
            settings["max_length"] = self.job.hyper.max_length
        if "label_piece" in settings:
            settings["label_piece"] = self.job.hyper.label_piece
        config, tokenizer = self.job.parent.config, self.text_encoder.tokenizer
        room = min(config.get("max_position_embeddings", math.inf), tokenizer.model_max_length)
        if int(settings["max_length"]) > room:
            raise UsageError(
                f"max_length is {settings['max_length']}, but {self.job.parent.name} reads {room} tokens; "
                "lower it in the recipe."
            )
        return settings

    def _rows(self, training_set: TrainingSet) -> Rows:
        examples = load_examples(training_set, self.job.data_root, "train", self.job.hyper.train_size)
        self.sizes[training_set.name] = len(examples)
        encoded = training_set.kind.encode(examples, self.text_encoder, self._settings(training_set))
        return Rows.of(training_set, encoded, examples)

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

    # Training.

    def train(self) -> None:
        """All steps; a loss that is not finite restarts the phase once with other random numbers."""
        self.position = self._saved_position() or Position(self.job.digest)
        while True:
            try:
                return self._attempt()
            except NotFiniteError as error:
                step, attempt = self.position.step + 1, self.position.attempt + 1
                (self.directory / STATE_NAME).unlink(missing_ok=True)
                if attempt == ATTEMPTS:
                    raise NotFiniteError(
                        f"{error} again after a restart with other random numbers; lower learning_rate."
                    ) from error
                note = f"restarted with other random numbers: the loss was not finite at step {step}"
                self.position = Position(
                    self.job.digest, attempt, seconds=self.position.seconds, notes=[note]
                )

    def _attempt(self) -> None:
        job, hyper, position = self.job, self.job.hyper, self.position
        stream = (job.seed, position.attempt)
        self.encoder = load_encoder(job.parent)
        self.models = [
            with_head(self.encoder, s, stream_seed("head", s.name, *stream)).to(self.device).train()
            for s in job.sets
        ]
        if job.freeze_embeddings:
            freeze(self.encoder)
        modules = torch.nn.ModuleList(self.models)
        if hyper.dropout is not None:
            set_dropout(modules, hyper.dropout)
        self.parameters = {name: p for name, p in modules.named_parameters() if p.requires_grad}
        self.optimiser = optimiser(self.parameters, hyper)
        torch.manual_seed(stream_seed("dropout", *stream))
        if position.step:
            self._load_state()
        orders = [
            BatchOrder(
                rows.lengths, hyper.batch_size, hyper.group_by_length, stream_seed("order", s.name, *stream)
            )
            for s, rows in zip(job.sets, self.rows, strict=True)
        ]
        draws = mixture(
            hyper, [len(rows.rows) for rows in self.rows], self.steps, stream_seed("mixture", *stream)
        )
        warmup = hyper.warmup_steps
        if warmup is None:
            warmup = round(hyper.warmup_share * self.steps)
        warmup = min(warmup, self.steps - 1)

        started = last_save = time.monotonic()
        seconds_before = position.seconds
        while position.step < self.steps and not self._out_of_patience():
            for group in self.optimiser.param_groups:
                group["lr"] = hyper.learning_rate * rate_factor(position.step, self.steps, warmup)
            drawn = int(draws[position.step])
            first = int((draws[: position.step] == drawn).sum()) * hyper.accumulation
            loss = self._step(drawn, [orders[drawn].batch(first + i) for i in range(hyper.accumulation)])
            position.step += 1
            position.loss_sum += loss
            position.loss_steps += 1
            position.seconds = seconds_before + time.monotonic() - started
            new_best = False
            if position.step % hyper.evaluate_every == 0 or position.step == self.steps:
                new_best = self._evaluate()
            self.progress(Step(position.step, self.steps, loss, position.tokens))
            stopping = self.stop() and position.step < self.steps
            if new_best or stopping or time.monotonic() - last_save >= self.save_seconds:
                self._save_state()
                last_save = time.monotonic()
            if stopping:
                raise PhaseStoppedError(
                    f"stopped at step {position.step} of {self.steps}, state saved; run it again to continue."
                )

    def _step(self, drawn: int, batches: list[NDArray[np.int64]]) -> float:
        """One update from ``batches``; gives their mean loss."""
        model, rows = self.models[drawn], self.rows[drawn]
        loss_sum = torch.zeros((), device=self.device)
        try:
            for chosen in batches:
                inputs = rows.batch(chosen, self.text_encoder.pad_id)
                self.position.tokens += int(inputs["attention_mask"].sum())
                with self.accelerator.autocast():
                    output = model(**{name: tensor.to(self.device) for name, tensor in inputs.items()})
                loss = output.loss / len(batches)
                self.accelerator.backward(loss)
                loss_sum += loss.detach()
        except torch.OutOfMemoryError as error:
            raise XevalError(
                f"{self.device} runs out of memory at batch_size {self.job.hyper.batch_size}; "
                "halve batch_size and double accumulation in the recipe."
            ) from error
        value = float(loss_sum)
        if not math.isfinite(value):
            raise NotFiniteError(f"the loss was not finite at step {self.position.step + 1}")
        self.accelerator.clip_grad_norm_(self.parameters.values(), self.job.hyper.clip_norm)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return value

    # Dev scores.

    def _evaluate(self) -> bool:
        """Score the dev data, extend the history; true when a new best state was written."""
        position, scores = self.position, list[float]()
        entry: dict[str, Any] = {"step": position.step, "loss": position.loss_sum / position.loss_steps}
        position.loss_sum, position.loss_steps = 0.0, 0
        for dev in self.dev:
            found = self._dev_scores(dev)
            entry |= {f"{dev.task.name}.{name}": score for name, score in found.items()}
            scores.append(float(np.mean([found[name] for name in dev.task.metrics])))
        position.history.append(entry)
        if self.job.hyper.keep == "last":
            return False
        entry["score"] = float(np.mean(scores))
        if entry["score"] <= position.best_score:
            position.evaluations_since_best += 1
            return False
        position.best_score, position.best_step = entry["score"], position.step
        position.evaluations_since_best = 0
        _write_tensors(self._best_file(), {name: p.detach() for name, p in self.parameters.items()}, {})
        return True

    def _dev_scores(self, dev: Dev) -> dict[str, float]:
        task, kind = dev.task, dev.task.kind
        model = self.models[[s.name for s in self.job.sets].index(task.name)].eval()
        loop = Loop(self.device, self.text_encoder.pad_id)
        with self.accelerator.autocast():
            reduced = loop.run(dev.encoded.sequences, lambda batch: kind.reduce(model, batch, dev.settings))
        model.train()
        found = kind.predict(dev.examples, dev.encoded, reduced, task.labels, task, "en").metrics
        return {name: float(num.sum() / den.sum()) for name, (num, den) in found.items()}

    def _out_of_patience(self) -> bool:
        patience = self.job.hyper.patience
        return patience is not None and self.position.evaluations_since_best >= patience

    # State.

    def _best_file(self) -> Path:
        return self.directory / f"best-{self.position.best_step}.safetensors"

    def _save_state(self) -> None:
        """Replace the state file in one step, then drop best states that it no longer names."""
        tensors = {f"value/{name}": p.detach() for name, p in self.parameters.items()}
        for name, parameter in self.parameters.items():
            for key, tensor in self.optimiser.state.get(parameter, {}).items():
                tensors[f"{key}/{name}"] = tensor
        tensors["random/cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random/cuda"] = torch.cuda.get_rng_state(self.device)
        _write_tensors(self.directory / STATE_NAME, tensors, asdict(self.position))
        for file in self.directory.glob("best-*.safetensors"):
            if file != self._best_file():
                file.unlink()

    def _saved_position(self) -> Position | None:
        """The position in the state file; None where there is none, or it belongs to another job."""
        from safetensors import safe_open

        path = self.directory / STATE_NAME
        if not path.exists():
            return None
        with safe_open(path, framework="pt") as file:
            position = Position(**json.loads(file.metadata()["position"]))
        return position if position.job == self.job.digest else None

    def _load_state(self) -> None:
        from safetensors.torch import load_file

        tensors = load_file(self.directory / STATE_NAME)
        random = {name: tensors.pop(f"random/{name}", None) for name in ("cpu", "cuda")}
        with torch.no_grad():
            for key, tensor in tensors.items():
                entry, name = key.split("/", 1)
                parameter = self.parameters[name]
                if entry == "value":
                    parameter.copy_(tensor)
                else:
                    self.optimiser.state[parameter][entry] = tensor.to(self.device).clone()
        assert random["cpu"] is not None
        torch.set_rng_state(random["cpu"])
        if random["cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(random["cuda"], self.device)

    # The result.

    def save_checkpoint(self) -> Path:
        """Write weights, tokenizer and card to a directory below the partial one and return it.

        A target checkpoint holds encoder and head; an intermediate one the encoder alone, in the parent's
        architecture, with the parent's own pooler where it has one.
        """
        job, position = self.job, self.position
        finished = self.directory / FINISHED_NAME
        if finished.exists():
            shutil.rmtree(finished)
        if job.hyper.keep == "best":
            self._load_best()
        if job.phase == "target":
            self.models[0].save_pretrained(finished)
        else:
            weights = self.encoder.state_dict()
            if not _has_pooler(job.parent):
                weights = {name: tensor for name, tensor in weights.items() if not name.startswith("pooler.")}
            self.encoder.save_pretrained(finished, state_dict=weights)
        for name in TOKENIZER_FILES:
            if (job.parent.path / name).exists():
                shutil.copyfile(job.parent.path / name, finished / name)
        recipe = job.hyper.model_dump() | {
            "name": job.recipe,
            "steps": position.step,
            "planned_steps": self.steps,
            "freeze_embeddings": job.freeze_embeddings,
            "phase_version": PHASE_VERSION,
        }
        if job.hyper.keep == "best":
            recipe |= {"best_step": position.best_step, "best_score": position.best_score}
        Lineage(
            phase=job.phase,
            base=job.base,
            parent=job.parent.digest,
            condition=job.condition,
            target="+".join(s.name for s in job.sets) if job.phase == "target" else None,
            seed=job.seed,
            recipe=recipe,
            data=[
                TrainingData(name=s.name, digest=job.data_digests[s.name], rows=self.sizes[s.name])
                for s in job.sets
            ],
            history=position.history,
            software={package: metadata.version(package) for package in SOFTWARE},
            device=device_name(self.device),
            wall_seconds=round(position.seconds, 3),
            notes="; ".join(position.notes) or None,
        ).write(finished)
        return finished

    def _load_best(self) -> None:
        from safetensors.torch import load_file

        best = load_file(self._best_file())
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(best[name])


def device_name(device: torch.device) -> str:
    """The device in words, for the card."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"


def _has_pooler(checkpoint: Checkpoint) -> bool:
    from safetensors import safe_open

    for path in checkpoint.weight_files:
        with safe_open(path, framework="pt") as file:
            if any("pooler" in name for name in list(file.keys())):
                return True
    return False


def _write_tensors(path: Path, tensors: dict[str, torch.Tensor], position: dict[str, Any]) -> None:
    """A safetensors file, written under a temporary name and renamed."""
    from safetensors.torch import save_file

    temporary = path.with_suffix(".writing")
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, temporary, metadata={"position": json.dumps(position)})
    temporary.replace(path)
