"""One phase of training: from a parent checkpoint and English data to a child checkpoint.

The loop is plain. It reads examples through the task kinds' own ``encode``, so that training and evaluation
see the same tokens, and scores English dev data through the evaluation's own loop. Only the encoder is
carried over from the parent: heads, and a pooler where the architecture has one, start from the seed.

Everything is written under ``<out>.partial``, which is renamed when it is complete. A run that was killed
continues from its last saved state and ends, on a CPU, with the same weights bit for bit.
"""

import math
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from xeval.checkpoints import PARTIAL_SUFFIX, TOKENIZER_FILES, Checkpoint
from xeval.encoder.loop import Loop
from xeval.errors import UsageError, XevalError
from xeval.files import make_folders, publish
from xeval.metrics import corpus_score
from xeval.tasks.base import Scoring
from xeval.train.adapters import adapter_weights, save_adapter
from xeval.train.card import device_name, kept_losses, lineage_card, recent_losses
from xeval.train.data import Dev, PhaseData
from xeval.train.intermediates import with_labels
from xeval.train.job import NotFiniteError, PhaseJob
from xeval.train.mixture import mixture
from xeval.train.mlm import with_mlm_head
from xeval.train.models import (
    flops_per_token,
    freeze,
    load_encoder,
    optimiser,
    rate_factor,
    recompute_layers,
    set_dropout,
    with_head,
)
from xeval.train.processes import Processes
from xeval.train.recipes import Hyperparameters, total_steps
from xeval.train.rows import Inputs, stream_seed
from xeval.train.state import (
    STATE_NAME,
    WRITING,
    DamagedStateError,
    Interval,
    Position,
    read_position,
    read_state,
    read_tensors,
    read_values,
    write_state,
    write_tensors,
)

__all__ = [
    "NotFiniteError",
    "PhaseJob",
    "PhaseStoppedError",
    "Step",
    "device_name",
    "train_phase",
]
FINISHED_NAME = "checkpoint"
ATTEMPTS = 2


class PhaseStoppedError(XevalError):
    """The run was asked to stop; its state is saved and the same command continues it."""


@dataclass(frozen=True)
class Step:
    """Progress of a phase: ``step`` of ``steps`` is done, from ``tokens`` tokens, with mean ``loss``."""

    step: int
    steps: int
    loss: float
    tokens: int


@dataclass(frozen=True)
class _Options:
    """How a run goes about its job and what it leaves behind; nothing of it changes what is trained."""

    progress: Callable[[Step], None]
    say: Callable[[str], None]
    stop: Callable[[], bool]
    save_seconds: float
    save_dtype: Literal["bfloat16"] | None


def train_phase(
    job: PhaseJob,
    out: Path,
    *,
    progress: Callable[[Step], None] | None = None,
    say: Callable[[str], None] | None = None,
    stop: Callable[[], bool] | None = None,
    save_seconds: float = 300.0,
    save_dtype: Literal["bfloat16"] | None = None,
) -> Path:
    """Train, write the checkpoint with its lineage card to ``out``, and return ``out``.

    Under ``accelerate launch`` every process calls this with the same arguments: they share out each batch,
    and the first one writes.

    Args:
        progress: called after every step.
        say: told, in a sentence, that a saved state is damaged and training begins anew.
        stop: asked after every step; when true the state is saved and :class:`PhaseStoppedError` raised.
        save_seconds: the state is saved when this much time has passed since the last save.
        save_dtype: number format of the finished weights, half as large; None keeps float32. What is trained
            from them starts from the rounded weights.

    Raises:
        UsageError: ``out`` exists, or the job makes no sense.
        DataError, CheckpointError: data or parent cannot be used.
        NotFiniteError: the loss was not finite, also with a second stream of random numbers.
    """
    if out.exists():
        raise UsageError(f"{out}: already exists; delete it to train it again.")
    _check(job)
    job = replace(job, sets=tuple(with_labels(training_set, job.data_root) for training_set in job.sets))
    partial = out.with_name(out.name + PARTIAL_SUFFIX)
    make_folders(partial)
    options = _Options(
        progress or (lambda _: None),
        say or (lambda _: None),
        stop or (lambda: False),
        save_seconds,
        save_dtype,
    )
    try:
        run = _Run(job, partial, options)
        run.train()
        if run.processes.main:
            publish(run.save_checkpoint(), out)
            shutil.rmtree(partial)
        run.processes.wait()
    except Exception:
        if not (partial / STATE_NAME).exists():  # nothing that a later call could go on from
            shutil.rmtree(partial, ignore_errors=True)
        raise
    return out


def _check(job: PhaseJob) -> None:
    if job.mlm is None and job.hyper.mlm_share is not None:
        raise UsageError(
            "the recipe sets mlm_share, but there is no text for masked language modelling; name files with "
            "text, or drop mlm_share."
        )
    if job.mlm is not None and job.phase == "target":
        raise UsageError("masked language modelling is mixed into intermediate phases only; drop it here.")


# --- the run -----------------------------------------------------------------------------------------------


class _Run:
    """A phase under way in ``directory``."""

    def __init__(self, job: PhaseJob, directory: Path, options: _Options) -> None:
        from accelerate import Accelerator
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.accelerator = Accelerator(
            mixed_precision="no",  # the recipe's precision decides, see _autocast
        )
        self.processes = Processes(self.accelerator)
        self.device = self.accelerator.device
        self.job, self.directory, self.options = job, directory, options
        self.data = PhaseData(job)

    # Training.

    def train(self) -> None:
        """All steps; a loss that is not finite restarts the phase once with other random numbers."""
        saved = self._saved_position() if self.processes.main else None
        self.position = self.processes.from_main(saved) or Position(self.job.digest)
        while True:
            try:
                return self._attempt()
            except DamagedStateError as error:
                self.position = self._from_the_start(error)
            except NotFiniteError as error:
                attempt = self.position.attempt + 1
                (self.directory / STATE_NAME).unlink(missing_ok=True)
                if attempt == ATTEMPTS:
                    raise NotFiniteError(
                        f"{error} again after a restart with other random numbers; lower learning_rate."
                    ) from error
                note = f"restarted with other random numbers: {error}"
                self.position = Position(
                    self.job.digest, attempt, seconds=self.position.seconds, notes=[note]
                )

    def _from_the_start(self, damage: DamagedStateError) -> Position:
        """A new position in the place of a saved one that cannot be used."""
        note = f"began anew, because the saved {damage}"
        if self.processes.main:
            self.options.say(note)
            for file in self.directory.glob(f"*{Path(STATE_NAME).suffix}"):
                file.unlink()
        return Position(self.job.digest, notes=[note])

    def _build(self, stream: tuple[int, int]) -> None:
        """Encoder, a model for every set around it, their trainable parameters and the optimiser."""
        job, hyper = self.job, self.job.hyper
        self.encoder = load_encoder(job.parent, hyper.adapter, stream_seed("adapter", *stream))
        self.models: list[Any] = [
            with_head(self.encoder, s, stream_seed("head", s.name, *stream)) for s in job.sets
        ]
        if job.mlm is not None:
            seed = stream_seed("head", job.mlm.name, *stream)
            model, self.mlm_head_drawn = with_mlm_head(self.encoder, job.parent, seed)
            self.models.append(model)
        # What is saved is the configuration as it is now: a forward pass may write into it, and a run that goes on
        # from its last step has none.
        self.saved = self.models[0] if job.phase == "target" else self.encoder
        self.config = deepcopy(self.saved.config)
        self.models = [model.to(self.device).train() for model in self.models]
        if job.freeze_embeddings:
            freeze(self.encoder)
        modules = torch.nn.ModuleList(self.models)
        if hyper.dropout is not None:
            set_dropout(modules, hyper.dropout)
        if hyper.gradient_checkpointing:
            recompute_layers(self.encoder)
        self.calls = [torch.compile(m, dynamic=True) for m in self.models] if hyper.compile else self.models
        self.flops = flops_per_token(self.encoder)
        self.parameters = {name: p for name, p in modules.named_parameters() if p.requires_grad}
        self.optimiser = optimiser(self.parameters, hyper)

    def _attempt(self) -> None:
        hyper, position, options = self.job.hyper, self.position, self.options
        stream = (self.job.seed, position.attempt)
        self._build(stream)
        torch.manual_seed(stream_seed("dropout", *stream))
        if position.step:
            read_state(self.directory / STATE_NAME, self.parameters, self.optimiser, self.device)
            if position.best_step:
                read_tensors(self._best_file())
        self.feeds = self.data.feeds(stream)
        counted = [len(rows) for rows in self.data.rows]
        lines = len(self.data.lines) if self.data.lines is not None else 0
        per_batch = [f.order.rows_per_batch for f in self.feeds] if hyper.batch_tokens is not None else None
        self.steps = total_steps(hyper, counted, lines, per_batch)
        draws = mixture(
            hyper,
            counted,
            self.steps,
            stream_seed("mixture", *stream),
            mlm_rows=lines,
            rows_per_batch=per_batch,
        )
        warmup = hyper.warmup_steps
        if warmup is None:
            warmup = round(hyper.warmup_share * self.steps)
        warmup = min(warmup, self.steps - 1)

        remembered = kept_losses(hyper.evaluate_every, self.steps)
        started = last_save = time.monotonic()
        seconds_before = position.seconds
        while position.step < self.steps and not self._out_of_patience():
            for group in self.optimiser.param_groups:
                group["lr"] = hyper.learning_rate * rate_factor(position.step, self.steps, warmup)
            drawn = int(draws[position.step])
            begun = time.monotonic()
            if self.processes.count > 1:  # the same in a run that was continued, without a state per process
                torch.manual_seed(stream_seed("dropout", *stream, position.step, self.processes.rank))
            loss = self._step(drawn, int((draws[: position.step] == drawn).sum()) * hyper.accumulation)
            position.step += 1
            position.loss_sum += loss
            position.loss_steps += 1
            position.recent = [*position.recent, (drawn, loss)][-remembered:]
            position.interval.seconds += time.monotonic() - begun
            position.seconds = seconds_before + time.monotonic() - started
            new_best = False
            if position.step % hyper.evaluate_every == 0 or position.step == self.steps:
                new_best = self._evaluate()
            options.progress(Step(position.step, self.steps, loss, position.tokens))
            wanted = any(self.processes.total([options.stop()]))
            stopping = wanted and position.step < self.steps
            if new_best or stopping or time.monotonic() - last_save >= options.save_seconds:
                self._save_state()
                last_save = time.monotonic()
            if stopping:
                raise PhaseStoppedError(
                    f"stopped at step {position.step} of {self.steps}, state saved; run it again to continue."
                )

    def _step(self, drawn: int, first: int) -> float:
        """One update from the drawn set's batches from number ``first`` on; gives their mean loss."""
        hyper, model, feed = self.job.hyper, self.calls[drawn], self.feeds[drawn]
        loss_sum = torch.zeros((), device=self.device)
        try:
            for number in range(first, first + hyper.accumulation):
                inputs = feed.batch(number)
                self._count(drawn, inputs)
                inputs, share = self.processes.part(inputs)
                if share == 0:
                    continue
                with self._autocast():
                    output = model(**{name: tensor.to(self.device) for name, tensor in inputs.items()})
                loss = output.loss / hyper.accumulation * share
                loss.backward()
                loss_sum += loss.detach()
        except torch.OutOfMemoryError as error:
            raise XevalError(
                f"{self.device} runs out of memory at {_batch_size(hyper)}; halve it and double accumulation "
                "in the recipe, or set gradient_checkpointing."
            ) from error
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = " ".join(str(error).split())[:200]
            raise XevalError(
                f"torch.compile fails here ({reason}); install a C++ compiler, or drop compile from the recipe."
            ) from error
        (value,) = self.processes.total([float(loss_sum)])
        if not math.isfinite(value):
            raise NotFiniteError(f"the loss was not finite at step {self.position.step + 1}")
        self.processes.add_gradients(list(self.parameters.values()))
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), hyper.clip_norm)
        if not torch.isfinite(norm):
            raise NotFiniteError(f"a gradient was not finite at step {self.position.step + 1}")
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return value

    def _autocast(self) -> AbstractContextManager[Any]:
        """Products in bfloat16 where the recipe, or else the device, says so; weights stay in float32."""
        wanted = self.job.hyper.precision == "bfloat16"
        if self.job.hyper.precision is None:
            wanted = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.autocast(self.device.type, torch.bfloat16) if wanted else nullcontext()

    def _count(self, drawn: int, inputs: Inputs) -> None:
        tokens = int(inputs["attention_mask"].sum())
        interval = self.position.interval
        self.position.tokens += tokens
        interval.tokens += tokens
        interval.places += inputs["attention_mask"].numel()
        interval.flops += tokens * self.flops
        if drawn == len(self.job.sets):
            interval.flops += self.models[drawn].head_flops * int((inputs["labels"] >= 0).sum())

    # Dev scores.

    def _evaluate(self) -> bool:
        """Score the dev data, extend the history; true when a new best state was written."""
        position, scores = self.position, list[float]()
        entry: dict[str, Any] = {"step": position.step, "loss": position.loss_sum / position.loss_steps}
        entry |= _throughput(position.interval)
        if len(self.data.names) > 1:
            losses = recent_losses(self.data, position, self.job.hyper.evaluate_every)
            entry["loss_by_set"] = {name: float(np.mean(values)) for name, values in losses.items()}
        position.loss_sum, position.loss_steps, position.interval = 0.0, 0, Interval()
        constant = []
        for dev in self.data.dev:
            found, is_constant = self.processes.from_main(
                self._dev_scores(dev) if self.processes.main else ({}, False)
            )
            entry |= {f"{dev.task.name}.{name}": score for name, score in found.items()}
            scores.append(float(np.mean([found[name] for name in dev.task.metrics])))
            constant += [dev.task.name] * is_constant
        if constant:
            entry["constant"] = constant
        if self.job.hyper.keep == "best":
            entry["score"] = float(np.mean(scores))
        position.history.append(entry)
        if self.job.hyper.keep == "last":
            return False
        if entry["score"] <= position.best_score:
            position.evaluations_since_best += 1
            return False
        position.best_score, position.best_step = entry["score"], position.step
        position.evaluations_since_best = 0
        if self.processes.main:
            write_tensors(self._best_file(), {name: p.detach() for name, p in self.parameters.items()}, {})
        return True

    def _dev_scores(self, dev: Dev) -> tuple[dict[str, float], bool]:
        """The metrics, and whether all predictions are one and the same label or answer."""
        task, kind = dev.task, dev.task.kind
        model = self.models[self.data.names.index(task.name)].eval()
        loop = Loop(self.device, self.data.text_encoder.pad_id)
        with self._autocast():
            reduced = loop.run(dev.encoded.sequences, lambda batch: kind.reduce(model, batch, dev.settings))
        model.train()
        scoring = Scoring(task, "en", task.labels, dev.settings)
        predicted = kind.predict(dev.examples, dev.encoded, reduced, scoring)
        scores = {name: corpus_score(num, den) for name, (num, den) in predicted.metrics.items()}
        texts = predicted.texts
        answers = {answer for text in texts for answer in kind.answers(text)}
        return scores, len(texts) > 1 and len(answers) == 1 and kind.chance(dev.examples) != 1

    def _out_of_patience(self) -> bool:
        patience = self.job.hyper.patience
        return patience is not None and self.position.evaluations_since_best >= patience

    # State.

    def _best_file(self) -> Path:
        return self.directory / f"best-{self.position.best_step}.safetensors"

    def _save_state(self) -> None:
        """Replace the state file in one step, then drop best states that it no longer names."""
        if not self.processes.main:
            return
        for file in self.directory.glob(f"*{WRITING}"):  # of a process that was killed
            file.unlink()
        write_state(self.directory / STATE_NAME, self.position, self.parameters, self.optimiser, self.device)
        for file in self.directory.glob("best-*.safetensors"):
            if file != self._best_file():
                file.unlink()

    def _saved_position(self) -> Position | None:
        """The position in the state file; None where there is none, or it belongs to another job."""
        try:
            position = read_position(self.directory / STATE_NAME)
        except DamagedStateError as error:
            return self._from_the_start(error)
        return position if position is not None and position.job == self.job.digest else None

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
            read_values(self._best_file(), self.parameters)
        model = self.saved
        model.config = self.config
        adapter = job.hyper.adapter
        if self.options.save_dtype is not None:
            model.to(torch.bfloat16)
        weights = model.state_dict() if adapter is None else adapter_weights(model)
        if bad := next(
            (n for n, t in weights.items() if t.is_floating_point() and not t.isfinite().all()), None
        ):
            (self.directory / STATE_NAME).unlink(missing_ok=True)
            raise NotFiniteError(f"{bad} is not finite after training; lower learning_rate.")
        if adapter is not None:  # its tokenizer is the base's
            out = self.directory.with_name(self.directory.name.removesuffix(PARTIAL_SUFFIX))
            save_adapter(model, self.config, adapter, job.parent, finished, out)
        else:
            if job.phase == "intermediate" and not _has_pooler(job.parent):
                weights = {name: tensor for name, tensor in weights.items() if not name.startswith("pooler.")}
            model.save_pretrained(finished, state_dict=weights)
            for name in TOKENIZER_FILES:
                if (job.parent.tokenizer_folder / name).exists():
                    shutil.copyfile(job.parent.tokenizer_folder / name, finished / name)
        card = lineage_card(
            job,
            self.data,
            position,
            planned_steps=self.steps,
            device=device_name(self.device, self.processes.count),
            mlm_head=None if job.mlm is None else "drawn" if self.mlm_head_drawn else "parent",
            save_dtype=self.options.save_dtype,
        )
        card.weights = Checkpoint(finished, finished.name).weights_digest
        card.write(finished)
        return finished


def _throughput(interval: Interval) -> dict[str, float]:
    return {
        "tokens_per_second": round(interval.tokens / interval.seconds, 1),
        "padding_share": round(1 - interval.tokens / interval.places, 4),
        "model_flops_per_second": float(f"{interval.flops / interval.seconds:.4g}"),
    }


def _batch_size(hyper: Hyperparameters) -> str:
    if hyper.batch_tokens is not None:
        return f"batch_tokens {hyper.batch_tokens}"
    return f"batch_size {hyper.batch_size}"


def _has_pooler(checkpoint: Checkpoint) -> bool:
    from safetensors import safe_open

    for path in checkpoint.weight_files:
        with safe_open(path, framework="pt") as file:
            if any("pooler" in name for name in list(file.keys())):
                return True
    return False
