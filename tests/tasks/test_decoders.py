"""Decoders with heads: the same predictions for any token budget, whatever config and tokenizer call padding."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from xeval.checkpoints import Checkpoint
from xeval.evaluation.options import RunOptions
from xeval.evaluation.plan import Unit, plan_units
from xeval.evaluation.run import run_units
from xeval.store import Store, UnitRecord
from xeval.tasks.user_file import task_from_file


class Silent:
    """A watcher that looks away."""

    def started(self, unit: Unit, items: int) -> None: ...
    def advanced(self, items: int) -> None: ...
    def finished(self, unit: Unit, record: UnitRecord, score: float) -> None: ...
    def failed(self, unit: Unit, reason: str) -> None: ...


WORDS = ["Anna", "arbeitet", "in", "Berlin", "und", "wohnt", "town", "fox"]
TEXTS = [" ".join(WORDS[: 1 + number % 8] * (1 + number % 5)) for number in range(24)]
ROWS: dict[str, list[dict[str, Any]]] = {
    "classification": [
        {"lang": "de", "first": text, "label": "ab"[number % 2]} for number, text in enumerate(TEXTS)
    ],
    "tagging": [
        {"lang": "de", "words": text.split(), "tags": ["ab"[number % 2]] * len(text.split())}
        for number, text in enumerate(TEXTS)
    ],
    "span_qa": [{"lang": "de", "question": "Wo?", "context": text, "answers": ["Anna"]} for text in TEXTS],
}
HEADS = {
    "classification": "ForSequenceClassification",
    "tagging": "ForTokenClassification",
    "span_qa": "ForQuestionAnswering",
}


def save(folder: Path, tokenizer: Any, head: str, pad: int | None, **changes: Any) -> None:
    """A tiny Llama with a tokenizer whose ``changes`` are made in its own config."""
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
        initializer_range=0.5,
        pad_token_id=pad,
        id2label={0: "a", 1: "b"},
        label2id={"a": 0, "b": 1},
    )
    torch.manual_seed(1)
    getattr(transformers, f"Llama{head}")(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    own = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({name: value for name, value in own.items() if value is not None}))


@pytest.mark.parametrize(
    ("kind", "pad", "changes"),
    [
        ("classification", 7, {"padding_side": "left"}),
        ("classification", None, {"pad_token": None}),
        ("tagging", None, {"pad_token": None}),
        ("span_qa", 7, {"padding_side": "left"}),
    ],
)
def test_a_decoders_predictions_do_not_depend_on_the_budget(
    kind: str,
    pad: int | None,
    changes: dict[str, Any],
    tmp_path: Path,
    tiny_tokenizer: Any,
) -> None:
    folder = tmp_path / "llama"
    save(folder, tiny_tokenizer, HEADS[kind], pad, **changes)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS[kind]))
    found = []
    for budget in (1, 64, 8192):
        store, options = Store(tmp_path / str(budget)), RunOptions(device="cpu", token_budget=budget)
        planned = plan_units([Checkpoint(folder, "llama")], [task_from_file(rows, kind)], store, options)
        assert run_units(planned, store, options, Silent()).ok
        ((unit, _),) = store.records()[0]
        found.append(store.read(unit)[1]["prediction"])
    assert found[0] == found[1] == found[2]
    assert len(set(found[0])) > 1
    if kind == "classification":
        assert found[0] == plain(folder)


def plain(folder: Path) -> list[str]:
    """What transformers predicts for one text at a time, without padding."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model, tokenizer = (
        c.from_pretrained(folder) for c in (AutoModelForSequenceClassification, AutoTokenizer)
    )
    with torch.inference_mode():
        logits = [model.eval()(**tokenizer(text, return_tensors="pt")).logits for text in TEXTS]
    return [model.config.id2label[int(one.argmax())] for one in logits]


def test_scores_that_depended_on_the_batch_are_computed_anew_and_others_stay(
    tmp_path: Path, tiny_tokenizer: Any, make_checkpoint: Any
) -> None:
    own = tiny_tokenizer.pad_token_id
    cases: dict[str, tuple[int | None, dict[str, Any]]] = {
        "agrees": (own, {}),
        "another": (7, {}),
        "none in the config": (None, {}),
        "none in the tokenizer": (own, {"pad_token": None}),
    }
    for name, (pad, changes) in cases.items():
        save(tmp_path / name, tiny_tokenizer, "ForSequenceClassification", pad, **changes)
    found = {name: Checkpoint(tmp_path / name, name).padding_agrees for name in cases}
    assert found == {"agrees": True, **dict.fromkeys([*cases][1:], False)}
    encoder = make_checkpoint(tmp_path / "encoder", "ForSequenceClassification", ("a", "b"))
    (encoder / "tokenizer_config.json").write_text("{}")
    assert Checkpoint(encoder, "encoder").padding_agrees
