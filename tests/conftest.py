"""Fixtures: no network, a cache of its own, tiny checkpoints with random weights, the folder of real data."""

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from support.tiny_models import byte_pair_tokenizer

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # parallel test workers share few cores
settings.register_profile("any machine", deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections other than to this machine's own sockets fail at once."""
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            raise OSError(f"network access in a test: {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XEVAL_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of published data sets; tests that need it are skipped where it is absent."""
    configured = os.environ.get("XEVAL_TEST_DATA")
    root = Path(configured) if configured else Path(__file__).parents[2] / "shared" / "data"
    if not root.is_dir():
        pytest.skip("no published data sets here; set XEVAL_TEST_DATA to a folder that holds them")
    return root


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Any:
    """A byte-pair tokenizer with XLM-R's special tokens, trained on a few lines in six scripts."""
    return byte_pair_tokenizer()


@pytest.fixture(scope="session")
def make_checkpoint(tiny_tokenizer: Any) -> Callable[..., Path]:
    """``make_checkpoint(directory, head="Model", labels=(), seed=0, layers=2)`` writes a tiny random BERT."""

    def make(
        directory: Path, head: str = "Model", labels: tuple[str, ...] = (), seed: int = 0, layers: int = 2
    ) -> Path:
        import torch
        import transformers

        config = transformers.BertConfig(
            vocab_size=len(tiny_tokenizer),
            hidden_size=32,
            num_hidden_layers=layers,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=512,
            pad_token_id=1,
            # Larger than usual, so that random models differ clearly from each other.
            initializer_range=0.3,
        )
        if labels:
            config.id2label = dict(enumerate(labels))
            config.label2id = {label: number for number, label in enumerate(labels)}
        torch.manual_seed(seed)
        model = getattr(transformers, f"Bert{head}")(config)
        model.save_pretrained(directory)
        tiny_tokenizer.save_pretrained(directory)
        return directory

    return make


@pytest.fixture(scope="session")
def tiny_encoder(make_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random encoder without a head."""
    return make_checkpoint(tmp_path_factory.mktemp("tiny") / "encoder")


@pytest.fixture
def xeval(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """``xeval("run", path, ...)`` gives exit code, standard output and standard error."""
    from xeval import cli

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["xeval", *map(str, arguments)])
        code: object = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
        captured = capsys.readouterr()
        return (code if isinstance(code, int) else 0), captured.out, captured.err

    return call


@pytest.fixture(scope="session")
def example_folder(tmp_path_factory: pytest.TempPathFactory, make_checkpoint: Callable[..., Path]) -> Path:
    """What the examples name: checkpoints, data, scores, a study, an encoder, two texts."""
    import numpy as np
    from support.published import write_all
    from support.synthetic import Task, frame
    from support.tiny_studies import tiny_study

    import xeval
    from xeval.checkpoints import Lineage

    root = tmp_path_factory.mktemp("examples")
    data = write_all(root / "data")
    for seed, condition in enumerate(("none", "mnli")):
        path = make_checkpoint(
            root / "runs" / condition,
            "ForSequenceClassification",
            labels=("different", "paraphrase"),
            seed=seed,
        )
        Lineage(phase="target", base="tiny", target="pawsx-en", condition=condition, seed=0).write(path)
    make_checkpoint(root / "base" / "e5-small")
    tiny_study(root, root / "base" / "e5-small")
    for code, name in (("de", "deu.deu"), ("en", "deu.eng")):
        language, suffix = name.split(".")
        text = (data / f"tatoeba/tatoeba.{language}-eng.{suffix}").read_text()
        (root / f"news.{code}").write_text(text)
    tasks = [Task("pairs", "classification", 70, {"mnli": 4}), Task("hops", "multi-hop QA", 40, {"mnli": 1})]
    drawn = frame(tasks, np.random.default_rng(0), {"none": 3, "mnli": 3})
    drawn.to_parquet(root / "scores.parquet")
    xeval.evaluate(root / "runs", tasks=["pawsx"], data=data, store=root / "results", progress=False)
    return root
