"""What training a study takes, before it is trained: steps, tokens, time and disk, and what the figures rest on."""

import shutil
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from xeval.checkpoints import TOKENIZER_FILES, Checkpoint
from xeval.errors import XevalError
from xeval.examples import MultipleChoice
from xeval.failures import contained
from xeval.tasks import TrainingSet
from xeval.train.adapters import adapter_weights, inject
from xeval.train.e5_small import BUILT_IN
from xeval.train.grid import Node, is_begun, is_finished, nodes
from xeval.train.intermediates import load_examples
from xeval.train.lines import MLM_LENGTH
from xeval.train.mixture import mixture_shares
from xeval.train.recipes import AdapterSettings, total_steps
from xeval.train.reports import read_report
from xeval.train.study import Study

CHARACTERS_PER_TOKEN = 4.0  # XLM-R's pieces on English text; for estimates only
SAMPLE = 500
GPU, GPU_RATE = "A100", 312e12  # operations a second in bfloat16, from NVIDIA's data sheet
GPU_SHARE = 0.3  # of it that training reaches
MEASURED_ROWS, MEASURED_LENGTH, MEASURED_SECONDS = 4, 128, 3.0

State = Literal["finished", "begun", "to do", "cannot"]


@dataclass(frozen=True)
class PlannedNode:
    """What training will do for a node.

    Attributes:
        examples: of every set, after ``train_size``.
        steps: of the whole phase.
        done: steps that are saved already.
        tokens: of the whole phase, an estimate from the texts' lengths.
        problem: why it cannot be trained; None where nothing is known to hinder it.
    """

    node: Node
    state: State
    examples: tuple[int, ...] = ()
    steps: int = 0
    done: int = 0
    tokens: int = 0
    problem: str | None = None

    @property
    def tokens_left(self) -> int:
        """Tokens that are still to be trained on."""
        if self.state in ("finished", "cannot"):
            return 0
        return round(self.tokens * (1 - self.done / max(1, self.steps)))


def plan_study(study: Study, out: Path) -> list[PlannedNode]:
    """The state of every node below ``out`` and the work in it."""
    grid = nodes(study)
    texts: dict[str, tuple[int, list[int]]] = {}
    lines: list[str] = []
    problems: dict[str, str] = {}
    usable = [node for node in grid if node.problem is None]
    for data in {s.name: s for node in usable for s in node.sets}.values():
        with contained(out, data.name, partial(problems.setdefault, data.name)):
            texts[data.name] = _sizes(study, data)
    if study.mlm is not None and any(node.mlm is not None for node in usable):
        with contained(out, study.mlm.name, partial(problems.setdefault, study.mlm.name)):
            lines = study.mlm.lines(study.data_root)
    planned, lost = list[PlannedNode](), set[str]()
    for node in grid:
        state: State = "to do"
        names = [s.name for s in node.sets] + ([node.mlm.name] if node.mlm is not None else [])
        hindered = node.problem or next((problems[name] for name in names if name in problems), None)
        if hindered is None and node.parent is not None and node.parent.digest in lost:
            hindered = f"{node.parent.name} cannot, which it starts from."
        if hindered is not None and not is_finished(node, out):
            lost.add(node.digest)
            planned.append(PlannedNode(node, "cannot", problem=hindered))
            continue
        if is_finished(node, out):
            state = "finished"
        elif is_begun(node, out):
            state = "begun"
        if node.hyper is None or hindered is not None:
            planned.append(PlannedNode(node, state))
            continue
        hyper = node.hyper
        examples = tuple(min(texts[s.name][0], hyper.train_size or texts[s.name][0]) for s in node.sets)
        lengths = [_tokens(texts[s.name][1], s, hyper.max_length) for s in node.sets]
        mlm_rows = 0
        if node.mlm is not None:
            mlm_rows = len(lines)
            limit = hyper.max_length or MLM_LENGTH
            lengths.append(sum(min(limit, len(line) / CHARACTERS_PER_TOKEN) for line in lines) / mlm_rows)
        per_batch = None
        if hyper.batch_tokens is not None:
            per_batch = [max(1.0, hyper.batch_tokens / length) for length in lengths]
        steps = total_steps(hyper, examples, mlm_rows, per_batch)
        shares = mixture_shares(hyper, examples, mlm_rows, per_batch)
        a_batch = hyper.batch_tokens or hyper.batch_size * float(shares @ lengths)
        report = read_report(out, node.digest) if state == "begun" else None
        planned.append(
            PlannedNode(
                node,
                state,
                examples,
                steps,
                report.step if report is not None and report.steps == steps else 0,
                round(steps * hyper.accumulation * a_batch),
            )
        )
    return planned


def _sizes(study: Study, data: TrainingSet) -> tuple[int, list[int]]:
    """Examples of a set, and the number of characters of some: every choice counts with its context."""
    examples = load_examples(data, study.data_root, "train")
    characters = []
    for example in examples[:: max(1, len(examples) // SAMPLE)]:
        copies = len(example.choices) - 1 if isinstance(example, MultipleChoice) else 0
        texts = example.texts()
        characters.append(sum(map(len, texts)) + copies * len(texts[0]))
    return len(examples), characters


def _tokens(characters: Sequence[int], data: TrainingSet, max_length: int | None) -> float:
    """Mean tokens of an example, cut where its kind cuts; long answers' contexts make several rows instead."""
    limit = max_length or data.kind.defaults.max_length
    lengths = [count / CHARACTERS_PER_TOKEN for count in characters]
    if data.kind.name in ("classification", "tagging"):
        lengths = [min(length, limit) for length in lengths]
    return sum(lengths) / len(lengths)


# --- time and disk -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """What is left to do takes about this much; None where it cannot be told.

    Attributes:
        seconds: of every node that is not finished, by digest, on this machine.
        wall_seconds: of all, with so many workers; at least the longest path through the tree.
        gpu_hours: of one GPU of the kind that ``rests_on`` names.
        bytes: of every node's directory, by digest; those of finished nodes are counted.
        peak_bytes: of the whole folder, with the states of the nodes that are under way.
        rests_on: a sentence for every figure.
    """

    seconds: dict[str, float] | None
    wall_seconds: float | None
    gpu_hours: float | None
    bytes: dict[str, int] | None
    peak_bytes: int | None
    free_bytes: int
    rests_on: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """All figures but those of single nodes."""
        return {k: v for k, v in asdict(self).items() if k not in ("seconds", "bytes")} | {
            "seconds": None if self.seconds is None else sum(self.seconds.values()),
            "disk_bytes": None if self.bytes is None else sum(self.bytes.values()),
        }


def estimate(study: Study, out: Path, planned: Sequence[PlannedNode], workers: int = 1) -> Estimate:
    """Time and disk of a plan.

    A rate is taken from finished nodes' cards of the same device, the node's own training sets first; without
    any, from a short measurement on a processor, or on a GPU from its stated rate. Operations are 6 a weight
    and token (Kaplan et al. 2020, arXiv 2001.08361), embeddings left out.
    """
    rests_on = (
        []
        if all(p.state == "finished" for p in planned)
        else [
            f"tokens: {SAMPLE} texts of every set at {CHARACTERS_PER_TOKEN:.0f} characters a token, "
            "and the recipe's steps"
        ]
    )
    config, problem = _base_config(study, out, planned[0].node)
    seconds: dict[str, float] | None = None
    rates = _rates_of_cards(out, planned)
    left = {p.node.digest: p.tokens_left for p in planned if p.tokens_left}
    adapters = [p.node.hyper.adapter for p in planned if p.node.hyper is not None]
    shape = _Shape(study, config, adapters[0] if adapters else None) if config is not None else None
    if not left:
        seconds = {}
    elif rates:
        overall = rates[()]
        seconds = {
            p.node.digest: p.tokens_left / rates.get(tuple(s.name for s in p.node.sets), overall)
            for p in planned
            if p.tokens_left
        }
        rests_on.append(f"time: the finished nodes' {overall:,.0f} such tokens a second on this device")
    elif shape is None:
        rests_on.append(f"time: cannot be told before the base is there ({problem})")
    elif _has_gpu():
        rate = GPU_RATE * GPU_SHARE / shape.operations
        seconds = {digest: tokens / rate for digest, tokens in left.items()}
        rests_on.append(f"time: as the GPU hours below, {rate:,.0f} tokens a second")
    else:
        per_token, per_step = shape.measure()
        seconds = {
            p.node.digest: p.tokens_left * per_token + (p.steps - p.done) * per_step
            for p in planned
            if p.tokens_left
        }
        rests_on.append(
            f"time: measured just now with random weights, {1 / per_token:,.0f} tokens a second and "
            f"{per_step:.2f} s an update, as busy as it is; without dev scores and saves"
        )
    gpu_hours = None
    if shape is not None and left:
        gpu_hours = sum(left.values()) * shape.operations / (GPU_RATE * GPU_SHARE) / 3600
        rests_on.append(
            f"GPU hours: {shape.operations / 1e6:,.0f} million operations a token at {GPU_SHARE:.0%} of an "
            f"{GPU}'s {GPU_RATE / 1e12:.0f} TFLOP/s"
        )
    sizes = peak = None
    if shape is not None:
        sizes = {p.node.digest: _bytes_of(p, out, shape, study) for p in planned}
        under_way = [shape.state_bytes(p.node) for p in planned if p.state != "finished" and p.node.hyper]
        peak = sum(sizes.values()) + sum(sorted(under_way)[-workers:])
        exact = "" if not study.trim_vocabulary or planned[0].state == "finished" else ", at most"
        if under_way:
            rests_on.append(
                f"disk{exact}: {study.save_dtype or 'float32'} weights with head; at the peak also values, two "
                f"moments and the best state of {workers} node{'s' if workers > 1 else ''} under way, twice while "
                "they are replaced"
            )
    return Estimate(
        seconds,
        None if seconds is None else max(sum(seconds.values()) / workers, _longest_path(planned, seconds)),
        gpu_hours,
        sizes,
        peak,
        shutil.disk_usage(next(p for p in (out, *out.absolute().parents) if p.exists())).free,
        tuple(rests_on),
    )


def _longest_path(planned: Sequence[PlannedNode], seconds: Mapping[str, float]) -> float:
    def until_end(node: Node | None) -> float:
        return 0.0 if node is None else seconds.get(node.digest, 0.0) + until_end(node.parent)

    return max(until_end(p.node) for p in planned)


def _rates_of_cards(out: Path, planned: Sequence[PlannedNode]) -> dict[tuple[str, ...], float]:
    """Planned tokens a second of finished nodes on this device: by their sets, and of all under ``()``."""
    if not any(p.state == "finished" and p.tokens for p in planned):
        return {}
    import torch

    from xeval.train.card import device_name

    here = device_name(torch.device("cuda" if _has_gpu() else "cpu"))
    tokens, seconds = defaultdict[tuple[str, ...], float](float), defaultdict[tuple[str, ...], float](float)
    for p in planned:
        if p.state != "finished" or not p.tokens:
            continue
        card = Checkpoint(out / p.node.name, p.node.name).lineage
        if card is None or card.device != here or not card.wall_seconds:
            continue
        share = card.recipe["steps"] / p.steps  # less than 1 where patience ended it
        for key in (tuple(s.name for s in p.node.sets), ()):
            tokens[key] += p.tokens * share
            seconds[key] += card.wall_seconds
    return {key: tokens[key] / seconds[key] for key in tokens}


def _has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _bytes_of(planned: PlannedNode, out: Path, shape: "_Shape", study: Study) -> int:
    if planned.state == "finished":
        return sum(file.stat().st_size for file in (out / planned.node.name).iterdir())
    saved_small = study.save_dtype is not None and planned.node.hyper is not None
    adapted = planned.node.hyper is not None and planned.node.hyper.adapter is not None
    tokenizer = 0 if adapted else shape.tokenizer_bytes
    return shape.weights(planned.node) * (2 if saved_small else 4) + tokenizer


def _base_config(study: Study, out: Path, base: Node) -> tuple[Any, str]:
    """The base's configuration, or None and why there is none yet; nothing is fetched for it."""
    from transformers import AutoConfig

    from xeval.train.base import _cut_layers

    directory = out / base.name
    if is_finished(base, out):
        return AutoConfig.from_pretrained(directory, local_files_only=True), ""
    try:
        if study.base == BUILT_IN:
            from xeval.train.e5_small import unpack

            config = unpack(study.revision).config
        else:
            config = AutoConfig.from_pretrained(study.base, revision=study.revision, local_files_only=True)
        if study.layers is not None:
            _cut_layers(config, study.layers)
    except (OSError, ValueError, XevalError) as error:
        return None, " ".join(str(error).split())[:160]
    return config, ""


class _Shape:
    """Sizes of a study's models, from their configuration alone; ``adapter`` is the first phase's."""

    def __init__(self, study: Study, config: Any, adapter: AdapterSettings | None = None) -> None:
        import torch
        import transformers

        from xeval.train.models import flops_per_token, freeze

        self._config, self._study, self._adapter = config, study, adapter
        with torch.device("meta"):
            encoder = transformers.AutoModel.from_config(config)
        if study.freeze_embeddings:
            freeze(encoder)
        if adapter is not None:
            with torch.device("meta"):
                inject(encoder, adapter)
        self.operations = flops_per_token(encoder)
        self._frozen = sum(int(p.numel()) for p in encoder.parameters() if not p.requires_grad)
        folder = Path(study.base)
        files = [folder / name for name in TOKENIZER_FILES] if folder.is_dir() else []
        self.tokenizer_bytes = sum(file.stat().st_size for file in files if file.exists())
        self._weights: dict[tuple[str, AdapterSettings | None], int] = {}

    def weights(self, node: Node) -> int:
        """Numbers in the node's checkpoint."""
        import torch
        import transformers

        kinds = tuple(s.kind.auto_class for s in node.sets) if node.phase == "target" else ("AutoModel",)
        adapter = None if node.hyper is None else node.hyper.adapter
        key = (kinds[0], adapter)
        if key not in self._weights:
            with torch.device("meta"):
                model = getattr(transformers, kinds[0]).from_config(self._config)
                if adapter is not None:
                    inject(model.base_model, adapter)
            counted = model.parameters() if adapter is None else adapter_weights(model).values()
            self._weights[key] = sum(int(p.numel()) for p in counted)
        return self._weights[key]

    def state_bytes(self, node: Node) -> int:
        """Bytes of a node's states while it is trained, at most."""
        assert node.hyper is not None
        trained: int = self.weights(node) - (self._frozen if node.hyper.adapter is None else 0)
        return 4 * trained * (2 * 3 + (2 if node.hyper.keep == "best" else 0))

    def measure(self) -> tuple[float, float]:
        """Seconds a token of a step forward and back, and seconds an update, on this processor."""
        import torch
        import transformers

        from xeval.train.models import freeze

        encoder = transformers.AutoModel.from_config(self._config)
        if self._study.freeze_embeddings:
            freeze(encoder)
        if self._adapter is not None:
            inject(encoder, self._adapter)
        parameters = [p for p in encoder.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(parameters, fused=True)
        length = min(MEASURED_LENGTH, self._config.max_position_embeddings - 2)
        ids = torch.randint(self._config.vocab_size, (MEASURED_ROWS, length))
        inside, update = list[float](), list[float]()
        begun = time.perf_counter()
        while len(inside) < 2 or time.perf_counter() - begun < MEASURED_SECONDS:
            at = time.perf_counter()
            encoder(input_ids=ids).last_hidden_state.square().mean().backward()
            middle = time.perf_counter()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            inside.append((middle - at) / ids.numel())
            update.append(time.perf_counter() - middle)
        return min(inside[1:]), min(update[1:])
