"""Every hyper-parameter of a phase, and the named recipes. Sources of the values stand beside them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from xeval.errors import UsageError, did_you_mean
from xeval.tasks.base import TrainingSet

Phase = Literal["intermediate", "target"]

PHASE_VERSION = 1
"""Part of every node's digest: raise it when a change makes the same inputs give other weights."""


MOST_STEPS = 10_000_000
MOST_ROWS = 1_000_000_000
MOST_TOKENS = 1 << 17
MOST_IN_A_BATCH = 1 << 16
FEWEST_TOKENS = 8
"""Of a sequence: special tokens of a pair take 4, and of each text something has to be left."""


class AdapterSettings(BaseModel):
    """An adapter that is trained instead of the encoder's own weights; heads are trained whole.

    ``targets`` are the last parts of the names of the modules in the layers that it changes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)
    method: Literal["lora", "ia3"] = "lora"
    r: int = Field(default=8, ge=1, le=4096, description="of LoRA: rank")
    alpha: int = Field(default=16, ge=1, le=1_000_000, description="of LoRA: scale, divided by r")
    dropout: float = Field(default=0, ge=0, lt=1, description="of LoRA: of its input")
    targets: tuple[str, ...] = Field(default=("query", "key", "value", "dense"), min_length=1, strict=False)
    feedforward: tuple[str, ...] = Field(
        default=("output.dense",),
        min_length=1,
        strict=False,
        description="of IA3: second feed-forward modules",
    )

    def __str__(self) -> str:
        shape = f" r {self.r}, alpha {self.alpha}" if self.method == "lora" else ""
        return f"{self.method}{shape} on {' '.join(self.targets)}"


class Hyperparameters(BaseModel):
    """All values that decide what a phase does to the weights, except the seed and the data.

    A step is one update of the weights, made from ``batch_size * accumulation`` rows. The rate rises linearly
    over the warm-up and falls linearly towards 0 afterwards.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)
    learning_rate: float = Field(gt=0, le=1)
    epochs: float = Field(gt=0, le=10_000)
    max_steps: int | None = Field(default=None, ge=1, le=MOST_STEPS, description="replaces epochs")
    batch_size: int = Field(ge=1, le=MOST_IN_A_BATCH)
    accumulation: int = Field(default=1, ge=1, le=MOST_IN_A_BATCH)
    max_length: int | None = Field(
        default=None, ge=FEWEST_TOKENS, le=MOST_TOKENS, description="tokens; None takes the kind's default"
    )
    label_piece: Literal["first", "first_nonempty", "last"] = Field(
        default="first", description="of a tagged word; evaluation takes it from the lineage card"
    )
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    warmup_steps: int | None = Field(default=None, ge=0, le=MOST_STEPS, description="replaces warmup_share")
    weight_decay: float = Field(default=0.01, ge=0, le=10)
    adam_epsilon: float = Field(default=1e-8, gt=0, le=1)
    clip_norm: float = Field(default=1.0, gt=0, le=1e6)
    adapter: AdapterSettings | None = Field(
        default=None, description="trained in place of the encoder's weights; None trains those"
    )
    dropout: float | None = Field(default=None, ge=0, lt=1, description="None keeps the base model's own")
    train_size: int | None = Field(
        default=None, ge=1, le=MOST_ROWS, description="examples of each set; None takes all"
    )
    mixture_cap: int | None = Field(
        default=None, ge=1, le=MOST_ROWS, description="limit of a set's weight in a mixture"
    )
    mixture_temperature: float | None = Field(
        default=None,
        ge=0.05,
        le=1e6,
        description="T: a set of n rows, after the cap, has weight n**(1/T); None is T = 1",
    )
    mlm_share: float | None = Field(
        default=None,
        gt=0,
        le=0.99,
        description="of the steps, added for masked language modelling; None counts its lines as rows of a set",
    )
    group_by_length: bool = False
    batch_tokens: int | None = Field(
        default=None,
        ge=1,
        le=1 << 24,
        description="replaces batch_size: most tokens of a batch, padding included",
    )
    precision: Literal["float32", "bfloat16"] | None = Field(
        default=None, description="of the products; None is bfloat16 on a GPU that has it, float32 elsewhere"
    )
    gradient_checkpointing: bool | None = Field(
        default=None, description="compute the layers again in the backward pass: less memory, more time"
    )
    compile: bool | None = Field(default=None, description="torch.compile, for any length of batch")
    evaluate_every: int = Field(default=1000, ge=1, le=MOST_STEPS)
    dev_size: int = Field(default=500, ge=1, le=MOST_ROWS)
    keep: Literal["best", "last"] = "best"
    patience: int | None = Field(
        default=None, ge=1, le=MOST_STEPS, description="evaluations without a new best before stopping"
    )

    @field_validator("gradient_checkpointing", "compile")
    @classmethod
    def _off(cls, value: bool | None) -> bool | None:
        """Off is off, however it is written: one digest."""
        return value or None

    def digest_values(self) -> dict[str, Any]:
        """What a node's digest takes in. Values that are None are left out: a setting that is added later and off
        by default leaves finished nodes valid.
        """
        return self.model_dump(exclude_none=True)


def total_steps(
    hyper: Hyperparameters,
    rows: Sequence[int],
    mlm_rows: int = 0,
    rows_per_batch: Sequence[float] | None = None,
) -> int:
    """Steps of a phase: ``epochs`` over the rows that count of every set, or ``max_steps``.

    Steps of masked language modelling come on top: those of one more set of ``mlm_rows``, or, with
    ``mlm_share``, so many that they make up this share. The tasks see their data equally often either way.

    Args:
        rows: of every set of the tasks.
        mlm_rows: lines for masked language modelling; 0 is none.
        rows_per_batch: mean of every set and of the lines, where ``batch_tokens`` cuts the batches; else
            ``batch_size``.

    Raises:
        UsageError: they are more than ``MOST_STEPS``.
    """
    if hyper.max_steps is not None:
        return hyper.max_steps
    counted = mixture_weights(hyper, rows, mlm_rows)
    per_batch = rows_per_batch or [hyper.batch_size] * len(counted)
    steps = sum(
        max(1, math.ceil(hyper.epochs * size / (batch * hyper.accumulation)))
        for size, batch in zip(counted, per_batch, strict=False)
    )
    if hyper.mlm_share is not None:
        steps = round(steps / (1 - hyper.mlm_share))
    if steps > MOST_STEPS:
        raise UsageError(
            f"the recipe makes {steps:,} steps of this phase, and at most {MOST_STEPS:,} are taken; lower epochs or "
            "raise batch_size."
        )
    return steps


def mixture_weights(hyper: Hyperparameters, rows: Sequence[int], mlm_rows: int = 0) -> list[int]:
    """How many rows of every set count: all, or ``mixture_cap`` at most where several sets are mixed.

    The lines for masked language modelling are the last of the sets, unless they have a share of their own.
    """
    sizes = [*rows, mlm_rows] if mlm_rows and hyper.mlm_share is None else list(rows)
    if hyper.mixture_cap is None or len(sizes) == 1:
        return sizes
    return [min(size, hyper.mixture_cap) for size in sizes]


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters of both phases. The target phase's depend on the kind and then on the training set."""

    name: str
    intermediate: Hyperparameters
    target: Hyperparameters
    by_kind: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))
    by_training_set: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))

    def resolve(
        self, phase: Phase, sets: Sequence[TrainingSet], changes: Mapping[str, Any] | None = None
    ) -> Hyperparameters:
        """The values for one phase on ``sets``; ``changes`` come last.

        Raises:
            UsageError: ``changes`` make no valid recipe.
        """
        values = (self.intermediate if phase == "intermediate" else self.target).model_dump()
        if phase == "target":
            for training_set in sets:
                values |= self.by_kind.get(training_set.kind.name, {})
                values |= self.by_training_set.get(training_set.name, {})
        return _validated(values | dict(changes or {}), f"recipe {self.name!r}, {phase} phase")

    def check(self, phase: Phase, changes: Mapping[str, Any], table: str) -> None:
        """Raise UsageError when ``changes`` make no valid recipe; ``table`` is where they stand."""
        _validated(
            (self.intermediate if phase == "intermediate" else self.target).model_dump() | dict(changes),
            table,
        )


def _validated(values: Mapping[str, Any], where: str) -> Hyperparameters:
    try:
        return Hyperparameters.model_validate(values)
    except ValidationError as error:
        found = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")[0]
        key = str(found["loc"][0])
        if found["type"] == "extra_forbidden":
            near = did_you_mean(key, Hyperparameters.model_fields) or "."
            raise UsageError(f"unknown key {key!r} in {where}{near}") from error
        raise UsageError(f"{where}: {key}: {found['msg']}, not {shown(found['input'])}.") from error


def shown(value: object) -> str:
    """A value of a file, for a message."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits; a table nested too deep
        return "this"
    return text if len(text) <= 60 else text[:57] + "..."


RECIPES = {
    recipe.name: recipe
    for recipe in (
        # Phang et al. 2020 (arXiv 2005.13013) as their code runs it: jiant daa5a25, guide xstilts.md and
        # scripts/benchmarks/xtreme. Best of evaluations every 1000 steps on 500 English dev examples,
        # patience 30.
        Recipe(
            name="phang2020",
            # The guide's example has batch 4; 32 is the default of the run script, which it leaves unsaid.
            intermediate=Hyperparameters(
                learning_rate=1e-5,
                epochs=3,
                batch_size=4,
                accumulation=8,
                max_length=256,
                mixture_cap=2**17,  # from memory of the paper; the code's guide gives no value
                patience=30,
            ),
            target=Hyperparameters(
                learning_rate=1e-5, epochs=2, batch_size=4, accumulation=8, max_length=256, patience=30
            ),
            by_kind={
                "tagging": {"epochs": 10},
                "span_qa": {"epochs": 2, "accumulation": 4, "max_length": 384},
            },
            by_training_set={"pawsx-en": {"epochs": 5}},
        ),
        # The scripts of google-research/xtreme at 838c13b (2022). Weight decay 0 and no warm-up, but for QA.
        Recipe(
            name="xtreme",
            intermediate=Hyperparameters(
                # Its only intermediate phase is SIQA before COPA: lr 2e-5, 5 epochs, batch 32, length 128.
                learning_rate=2e-5,
                epochs=5,
                batch_size=32,
                max_length=128,
                warmup_share=0,
                weight_decay=0,
            ),
            target=Hyperparameters(
                learning_rate=2e-5,
                epochs=5,
                batch_size=32,
                max_length=128,
                warmup_share=0,
                weight_decay=0,
            ),
            by_kind={
                "tagging": {"epochs": 10},
                "span_qa": {
                    "learning_rate": 3e-5,
                    "epochs": 3,
                    "batch_size": 4,
                    "accumulation": 8,
                    "max_length": 384,
                    "warmup_steps": 500,
                    "weight_decay": 1e-4,
                    "keep": "last",  # the QA script evaluates after training only
                },
            },
        ),
        # Ours, for a small encoder on a CPU: short texts, a high rate, and no choice by dev scores.
        Recipe(
            name="small",
            intermediate=Hyperparameters(
                learning_rate=3e-4,
                epochs=2,
                batch_size=16,
                max_length=128,
                group_by_length=True,
                evaluate_every=100,
                dev_size=200,
                keep="last",
            ),
            target=Hyperparameters(
                learning_rate=3e-4,
                epochs=3,
                batch_size=16,
                max_length=128,
                group_by_length=True,
                evaluate_every=100,
                dev_size=200,
                keep="last",
            ),
            # Names were not learnt at 3e-4 with 12 layers: the loss stayed at that of tagging every word O.
            by_kind={"span_qa": {"max_length": 192}, "tagging": {"learning_rate": 1e-4}},
        ),
        # Ours: LoRA on every product of the layers. r and alpha are peft's usual ones; at this rate two hops were
        # learnt from the base alone in 300 steps by the encoder of 12 layers, which whole training never did.
        Recipe(
            name="lora",
            intermediate=Hyperparameters(
                learning_rate=1e-3,
                epochs=3,
                batch_size=16,
                max_length=128,
                warmup_share=0,
                dropout=0,
                adapter=AdapterSettings(),
                group_by_length=True,
                evaluate_every=100,
                dev_size=200,
                keep="last",
            ),
            target=Hyperparameters(
                learning_rate=1e-3,
                epochs=3,
                batch_size=16,
                max_length=128,
                warmup_share=0,
                dropout=0,
                adapter=AdapterSettings(),
                group_by_length=True,
                evaluate_every=100,
                dev_size=200,
                keep="last",
            ),
            by_kind={"span_qa": {"max_length": 192}},
        ),
    )
}
