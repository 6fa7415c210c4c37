"""The commands that are tried, the folders they start from, and what they leave behind."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from support.published import sentence, write_all
from trials import COUNT, Ended, Fault, Server

STUDY = """
[study]
name = "tiny"
base = "models/encoder"
data = "data"
conditions = ["none", "mine"]
targets = ["pawsx", "xquad"]
languages = ["en", "de"]
freeze_embeddings = true
seeds = {{ baseline = {seeds}, intermediate = {seeds} }}

[training]
xquad = "asked"

[sets.mine]
file = "rows.jsonl"
kind = "classification"
dev = "rows.jsonl"

[sets.asked]
file = "questions.jsonl"
kind = "span_qa"
dev = "questions.jsonl"

[recipe]
name = "small"
intermediate = {{ max_steps = 2, batch_size = 4, max_length = 64, evaluate_every = 1, keep = "best" }}
target = {{ max_steps = 2, batch_size = 4, max_length = 64 }}
"""
GERMAN = ["Anna wohnt in Berlin.", "Die Lisa springt.", "Boris arbeitet.", "Wo ist er?", "Der alte Fluss."]
ENGLISH = ["Anna works in Berlin.", "the quick brown fox", "Lisa jumps", "Who lives here?", "An old river."]
LANGUAGES = (
    "deu spa fra rus ell bul tur ara vie tha hin swh urd afr nld ita por jpn fin est kor kat tam heb".split()
)
# What a command says of the moment and of the machine, and therefore says differently the next time.
OF_THE_MOMENT = re.compile(
    r"(finished|identity|tokens|seconds|wall_seconds|digest_of_unit|tokens_per_second|model_flops_per_second|.*timestamp.*)$"
)


@dataclass(frozen=True)
class Scene:
    """A command, the part of the world that it starts from, and whether it goes on from what a killed one left."""

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...]
    prepare: str = ""


RUN = "run models --data data --store store --tasks pawsx,tatoeba,bucc2018,xquad --languages de"
SCENES = {
    scene.name: scene
    for scene in (
        Scene("run", tuple(RUN.split()), ("models", "data")),
        Scene(
            "run many",
            tuple("run models/encoder --data data --store store --tasks tatoeba".split()),
            ("models", "data"),
        ),
        Scene(
            "train",
            ("train", "train.toml", "--out", "out"),
            ("models", "data", "rows.jsonl", "questions.jsonl", "train.toml"),
            "scenes:save_every_step",
        ),
        Scene(
            "study",
            ("study", "study.toml", "--out", "out"),
            ("models", "data", "rows.jsonl", "questions.jsonl", "study.toml"),
            "scenes:save_every_step",
        ),
        Scene(
            "mine",
            tuple("mine text.de text.en --checkpoint models/encoder --k 2 -o pairs.tsv".split()),
            ("models", "text.de", "text.en"),
        ),
        Scene("mine embeddings", tuple("mine x.npy y.npy -o pairs.tsv".split()), ("x.npy", "y.npy")),
        Scene(
            "base",
            tuple("base models/encoder --out cut --layers 1 --trim-to text.en".split()),
            ("models", "text.en"),
        ),
        Scene("card", tuple("card models/encoder --phase base --base e5-small".split()), ("models",)),
        Scene("report", tuple("report out/store -o report".split()), ("out", "models")),
        Scene("export csv", tuple("export csv out/store -o scores.csv".split()), ("out",)),
        Scene("export parquet", tuple("export parquet out/store -o scores.parquet".split()), ("out",)),
        Scene("export latex", tuple("export latex out/store -o scores.tex".split()), ("out",)),
        Scene(
            "export xtreme", tuple("export xtreme store -o submission --data data".split()), ("store", "data")
        ),
        Scene("export eee", tuple("export eee store -o records".split()), ("store",)),
        Scene(
            "export model-card",
            tuple("export model-card store --checkpoint ask --readme README.md".split()),
            ("store", "README.md"),
        ),
        Scene("depth", tuple("depth depth-store --out depth.parquet".split()), ("depth-store",)),
        *(
            Scene(
                f"xhops write {form}",
                tuple(
                    f"xhops write grid --format {form} --formats question --hops 1 --languages en,de --train 3 "
                    "--dev 2 --test 2".split()
                ),
                (),
            )
            for form in ("jsonl", "parquet", "squad", "hf")
        ),
    )
}


def save_every_step() -> None:
    """Have training save its state after every step, so that there is one to lose."""
    from xeval.train import engines

    engines.train_with = partial(engines.train_with, save_seconds=0.0)


class World:
    """The folders that scenes start from, made once, and how each scene ends when nothing disturbs it."""

    def __init__(self, root: Path, make_checkpoint: Callable[..., Path]) -> None:
        from xeval.tasks.catalogue.classification import PARAPHRASE_LABELS

        self.root = root
        make_checkpoint(root / "models/encoder")
        make_checkpoint(root / "models/classify", "ForSequenceClassification", PARAPHRASE_LABELS, 1)
        make_checkpoint(root / "models/ask", "ForQuestionAnswering", (), 2)
        data = write_all(root / "data", items=4)
        (data / "bucc2018").mkdir()
        for part in ("dev", "test"):
            for code, lines in (("de", GERMAN), ("en", ENGLISH)):
                text = "".join(f"{code}-{number}\t{line}\n" for number, line in enumerate(lines))
                (data / f"bucc2018/de-en.{part}.{code}").write_text(text, encoding="utf-8")
            (data / f"bucc2018/de-en.{part}.gold").write_text("de-0\ten-0\nde-4\ten-4\n", encoding="utf-8")
        for part in ("train", "dev_2k"):
            shutil.copy(data / "x-final/en/test_2k.tsv", data / f"x-final/en/{part}.tsv")
        rows = [{"lang": "en", "first": f"text {n}", "label": ("no", "yes")[n % 2]} for n in range(8)]
        questions = [
            {"lang": "en", "question": "Who?", "context": f"Anna is {n}.", "answers": ["Anna"]}
            for n in range(8)
        ]
        for name, lines in (("rows", rows), ("questions", questions)):
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (root / f"{name}.jsonl").write_text(text, encoding="utf-8")
        for seeds, name in ((1, "train.toml"), (2, "study.toml")):
            (root / name).write_text(STUDY.format(seeds=seeds), encoding="utf-8")
        for name, lines in (("text.de", GERMAN), ("text.en", ENGLISH)):
            (root / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        (root / "README.md").write_text("---\nlicense: mit\n---\n# A model\n", encoding="utf-8")
        draw = np.random.default_rng(0).standard_normal((2, 12, 8)).astype(np.float32)
        np.save(root / "x.npy", draw[0])
        np.save(root / "y.npy", draw[1])
        for code in LANGUAGES:
            for side, of in ((code, "de"), ("eng", "en")):
                lines = (sentence(of, number + len(code) + ord(code[0])) for number in range(4))
                path = data / f"tatoeba/tatoeba.{code}-eng.{side}"
                path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        self.ends: dict[str, dict[str, str]] = {}
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, tuple[str, ...]] = {}

    def place(self, server: Server, scene: Scene) -> None:
        """Put a server's folder into the state that the scene starts from."""
        shutil.rmtree(server.folder)
        server.folder.mkdir()
        for name in scene.needs:
            copy = shutil.copytree if (self.root / name).is_dir() else shutil.copy2
            copy(self.root / name, server.folder / name)

    def run(
        self, server: Server, scene: Scene, fault: Fault | None = None, kill_after: float | None = None
    ) -> Ended:
        """Give the scene's command in the state that the server's folder is in."""
        return server.xeval(*scene.command, fault=fault, kill_after=kill_after, prepare=scene.prepare)

    def know(self, servers: Sequence[Server], names: Sequence[str], *, thorough: bool = False) -> None:
        """Run scenes undisturbed and remember their calls and how they end.

        Args:
            thorough: have the servers import whatever these import, which takes time and saves more over many trials.
        """
        server, modules = servers[0], set[str]()
        new = [SCENES[name] for name in names if name not in self.ends]
        for scene in new:
            self._provide(server, scene)
            if thorough:
                self.place(server, scene)
                modules.update(server.modules(*scene.command, prepare=scene.prepare))
        for each in servers if thorough else ():
            each.learn(sorted(modules))
        for scene in new:
            self.place(server, scene)
            ended = self.run(server, scene, Fault(0, COUNT))
            if ended.code != 0:
                raise RuntimeError(f"{scene.name} fails undisturbed: {ended.text}")
            self.ends[scene.name], self.calls[scene.name] = state(server.folder), ended.calls
            self.seconds[scene.name] = ended.seconds

    def _provide(self, server: Server, scene: Scene) -> None:
        """Have what a scene needs made by the commands that make it."""
        for name, made_by in (("out", "study"), ("store", "run"), ("depth-store", "")):
            if name not in scene.needs or (self.root / name).exists():
                continue
            if made_by:
                self.place(server, SCENES[made_by])
                ended = self.run(server, SCENES[made_by])
            else:
                self.place(server, SCENES["run"])
                command = (
                    "run models/ask --data data --store depth-store --tasks xquad,xquad-depth --languages de"
                )
                ended = server.xeval(*command.split())
            if ended.code != 0:
                raise RuntimeError(f"{name} cannot be made: {ended.text}")
            shutil.copytree(server.folder / name, self.root / name)

    def differences(self, server: Server, scene: Scene, *, kept: Sequence[str] = ()) -> str:
        """How a folder differs from the undisturbed end; empty where it does not.

        Args:
            kept: parts of the names of what a command may keep aside.
        """
        found = state(server.folder)
        counted = {name: value for name, value in found.items() if not any(part in name for part in kept)}
        return differences(self.ends[scene.name], counted)


def differences(wanted: dict[str, str], found: dict[str, str]) -> str:
    """The names that are lost, doubled or wrong; empty where there are none."""
    kinds = {
        "lost": sorted(wanted.keys() - found.keys()),
        "doubled or left over": sorted(found.keys() - wanted.keys()),
        "wrong": sorted(name for name in wanted.keys() & found.keys() if wanted[name] != found[name]),
    }
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names)


def state(folder: Path) -> dict[str, str]:
    """Every file below a folder but locks and log files, with a digest of what is in it, moments left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and not _is_aside(path):
            name = _name(path, folder)
            while name in found:
                name += " again"
            found[name] = hashlib.sha256(_content(path, folder)).hexdigest()[:16]
    return found


def _name(path: Path, folder: Path) -> str:
    """The name of a file below a folder; of a unit with its checkpoint's name and not its card's digest, which is of
    the moment."""
    name = path.relative_to(folder).as_posix()
    if path.suffix == ".parquet" and path.name.count("-") == 1 and (record := _record(path)):
        return f"{name.rpartition('-')[0]} of {record['checkpoint']}"
    return name


def _record(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((pq.read_schema(path).metadata or {})[b"xeval"]))
    except (OSError, ValueError, KeyError):
        return {}


def _is_aside(path: Path) -> bool:
    # A PDF's identifier and the names of its fonts are drawn anew each time.
    return (
        path.suffix in (".lock", ".pdf")
        or path.parent.name in ("locks", ".locks", "errors")
        or path.name == "lock"
    )


def _content(path: Path, folder: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".parquet" and content.endswith(b"PAR1"):
        table = pq.read_table(path)
        metadata = table.schema.metadata or {}
        if b"xeval" in metadata:
            kept = {
                key.decode(): _plain(json.loads(value), folder)
                for key, value in metadata.items()
                if key == b"xeval"
            }
            return json.dumps([kept, table.to_pydict()], default=str, sort_keys=True).encode()
    if path.suffix == ".json":
        try:
            return json.dumps(_plain(json.loads(content), folder), sort_keys=True).encode()
        except ValueError:
            return content
    return content.replace(str(folder).encode(), b"FOLDER")


def _plain(value: Any, folder: Path) -> Any:
    """A value of JSON without what is of the moment, and without the folder's own name."""
    if isinstance(value, dict):
        return {key: _plain(v, folder) for key, v in value.items() if not OF_THE_MOMENT.match(key)}
    if isinstance(value, list):
        return [_plain(v, folder) for v in value]
    return value.replace(str(folder), "FOLDER") if isinstance(value, str) else value
