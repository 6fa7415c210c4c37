"""Malformed inputs: a valid file of every format, changed in a way that a seed draws."""

import io
import json
import os
import random
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from support.published import write_all
from support.submissions import write_submission
from support.synthetic import Task, frame
from test_foreign import RUNS, right, write_harness, write_map

Change = Callable[[random.Random, bytes], bytes]
DEEP = 100_000
JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3, 2**31, 2**63, 10**30, 0.5, -1e308, float("nan"), float("inf"), "", " ", "x",
    "-1", "1e9", "\x00", "\ud800", "a" * 300_000, "../../etc/passwd", "LABEL_0", [], {}, [None], [[]], {"": ""},
    {"a": {"b": []}}, [1, "a"],
)  # fmt: skip
TOML_JUNK = (
    "-1", "0", "1", "7.5", "1e400", "nan", "inf", "true", "false", "[]", "{}", '""', '"x"', '"\\u0000"', "2000000000",
    "[[1]]", "99999999999999999999", "1979-05-27", '["none", "none"]', '["none", "mine", "mine>"]', '"../x"', "[-7]",
    "[true]", "1_0", '{ a = 1 }', "'''", "=", '["a+b", "a>b>", "+", ">"]',
)  # fmt: skip


# --- changes -----------------------------------------------------------------------------------------------


def _text(content: bytes) -> str:
    return content.decode("utf-8")


def of_bytes(draw: random.Random, content: bytes) -> bytes:
    """What a broken copy, another editor or another program leaves."""
    changed = bytearray(content)
    kind = draw.randrange(13)
    if kind == 0:
        return b""
    if kind == 1:
        return content[: draw.randrange(len(content))]
    if kind == 2:
        return b"\xef\xbb\xbf" + content
    if kind == 3:
        return content.decode("utf-8", "replace").encode("utf-16")
    if kind == 4:
        return b" \n\t\n"
    if kind == 5:
        at = draw.randrange(len(content))
        return (
            content[:at]
            + draw.choice((b"\x00", b"\xff", b"\xe4", b"\xed\xa0\x80", b"\r", b"\x1b[2J"))
            + content[at:]
        )
    if kind == 6:
        return draw.randbytes(draw.randint(1, 2000))
    if kind == 7:
        return content + content
    if kind == 8:
        return b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"
    if kind == 9:
        return b"<!DOCTYPE html><html><body>404</body></html>\n"
    if kind == 10:
        start = draw.randrange(len(content))
        return content[:start] + bytes(min(512, len(content) - start)) + content[start + 512 :]
    if kind == 11:
        return content.replace(b"\n", b"\r\n")
    for _ in range(draw.randint(1, 5)):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a value of JSON."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        keys = (
            list(inner) if isinstance(inner, dict) else range(len(inner)) if isinstance(inner, list) else ()
        )
        found += [(inner, key) for key in keys]
        waiting += [inner[key] for key in keys]
    return found


def _of_value(draw: random.Random, value: Any) -> Any:
    places = _places(value)
    if not places or draw.random() < 0.05:
        return draw.choice(JUNK)
    shallow = [place for place in places if place[0] is value]
    container, key = draw.choice(shallow if draw.random() < 0.5 and shallow else places)
    kind = draw.randrange(8)
    if kind < 5:
        container[key] = draw.choice(JUNK)
    elif kind == 5:
        del container[key]
    elif kind == 6:
        container[key] = [container[key]]
    elif isinstance(container, dict):
        container[f"{key}x"] = container.pop(key)
    else:
        container.append(container[key])
    return value


def of_json(draw: random.Random, content: bytes) -> bytes:
    """One value replaced, taken away or renamed; now and then the text itself."""
    kind = draw.random()
    if kind < 0.2:
        return of_bytes(draw, content)
    if kind < 0.25:
        return (b"[" * DEEP) if draw.random() < 0.5 else b'{"a":' * DEEP + b"1" + b"}" * DEEP
    if kind < 0.28:
        return b'{"a": ' + b"9" * 6000 + b"}"
    return json.dumps(_of_value(draw, json.loads(content))).encode()


def of_json_lines(draw: random.Random, content: bytes) -> bytes:
    """As :func:`of_json`, of one line."""
    lines = content.splitlines()
    at = draw.randrange(len(lines))
    if draw.random() < 0.3:
        return of_lines(draw, content)
    lines[at] = of_json(draw, lines[at])
    return b"\n".join(lines) + b"\n"


def of_lines(draw: random.Random, content: bytes) -> bytes:
    """One line of a text or table changed."""
    if draw.random() < 0.3:
        return of_bytes(draw, content)
    lines = _text(content).split("\n")
    at = draw.randrange(max(1, len(lines) - 1))
    separator = "\t" if "\t" in lines[at] else "," if "," in lines[at] else " "
    cells = lines[at].split(separator)
    kind = draw.randrange(9)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(at, lines[at])
    elif kind == 2:
        lines.insert(at, "")
    elif kind == 3:
        del cells[draw.randrange(len(cells))]
    elif kind == 4:
        cells.insert(draw.randrange(len(cells)), draw.choice(("", "x", "-1", '"')))
    elif kind == 5:
        return content.splitlines()[0] + b"\n"
    elif kind == 6:
        draw.shuffle(cells)
    else:
        cells[draw.randrange(len(cells))] = draw.choice(
            ("", " ", "x", "-1", "1e400", "nan", "inf", '"', "NA", "9" * 5000)
        )
    if kind > 2:
        lines[at] = separator.join(cells)
    return "\n".join(lines).encode()


def of_toml(draw: random.Random, content: bytes) -> bytes:
    """One setting changed to a value of another type or size, misspelt, doubled or left out."""
    if draw.random() < 0.15:
        return of_bytes(draw, content)
    lines = _text(content).splitlines()
    settings = [number for number, line in enumerate(lines) if "=" in line]
    at = draw.choice(settings)
    key, _, value = lines[at].partition(" = ")
    kind = draw.randrange(8)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(at, lines[at])
    elif kind == 2:
        lines[at] = f"{key}x = {value}"
    elif value.startswith("{") and kind < 6:
        inner = [part.strip() for part in value.strip("{} ").split(",")]
        number = draw.randrange(len(inner))
        inner[number] = f"{inner[number].partition(' = ')[0]} = {draw.choice(TOML_JUNK)}"
        lines[at] = f"{key} = {{ {', '.join(inner)} }}"
    else:
        lines[at] = f"{key} = {draw.choice(TOML_JUNK)}"
    return "\n".join(lines).encode()


def of_safetensors(draw: random.Random, content: bytes) -> bytes:
    """The header, a tensor's place, type or shape, or the numbers themselves."""
    (length,) = struct.unpack("<Q", content[:8])
    header, body = json.loads(content[8 : 8 + length]), bytearray(content[8 + length :])
    kind = draw.randrange(8)
    if kind == 0:
        return of_bytes(draw, content)
    if kind == 1:
        return struct.pack("<Q", draw.choice((0, 1, 2**31, 2**63, length - 1, length + 8))) + content[8:]
    if kind == 2:
        body[: len(body) // 4 * 4] = np.full(
            len(body) // 4, draw.choice((np.nan, np.inf)), np.float32
        ).tobytes()
    elif kind == 3:
        start = draw.randrange(len(body) // 4) * 4
        body[start : start + 4] = struct.pack("<f", draw.choice((np.nan, -np.inf, 3e38)))
    elif kind == 4:
        tensor = header[draw.choice([name for name in header if name != "__metadata__"])]
        tensor[draw.choice(("dtype", "shape", "data_offsets"))] = draw.choice(
            ("F16", "I64", "F99", [], [1], [2**40, 2**40], [-1, 4], [0, 4], [4, 0], None, "x")
        )
    elif kind == 5:
        del header[draw.choice(list(header))]
    elif kind == 6:
        name = draw.choice([name for name in header if name != "__metadata__"])
        header[draw.choice((f"module.{name}", f"{name}.x", "x", ""))] = header.pop(name)
    else:
        header = _of_value(draw, header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(body)


def of_array(draw: random.Random, content: bytes) -> bytes:
    """An array of another type, shape or order, with numbers that are none, or a header that is wrong."""
    rows = np.load(io.BytesIO(content))
    kind = draw.randrange(12)
    if kind < 3:
        return of_bytes(draw, content)
    if kind == 3:
        at = draw.randrange(10, 60)
        return content[:at] + draw.choice((b"9", b"}", b"'", b"-", b"\xff")) + content[at + 1 :]
    if kind == 4:
        rows = rows.astype(draw.choice((">f4", "<f8", "<f2", "<i4", "?", "<c8", "<U3", "S3")))
    elif kind == 5:
        rows = draw.choice((rows[0], rows[None], rows[:0], rows[:, :0], rows[:, :3], np.float32(3)))
    elif kind == 6:
        rows = np.asfortranarray(rows)
    elif kind == 7:
        rows[draw.randrange(len(rows)), draw.randrange(rows.shape[1])] = draw.choice(
            (np.nan, np.inf, -np.inf)
        )
    elif kind == 8:
        rows[draw.randrange(len(rows))] = 0
    elif kind == 9:
        rows *= np.float32(draw.choice((1e-40, 1e30, 0.0)))
    elif kind == 10:
        rows = np.array([{"a": 1}, None], dtype=object)
    else:
        rows = np.zeros(3, dtype=[("a", "<f4"), ("b", "<i4")])
    written = io.BytesIO()
    np.save(written, rows, allow_pickle=True)
    return written.getvalue()


def of_parquet(draw: random.Random, content: bytes) -> bytes:
    """A table without a column, without rows, or with a column of another type."""
    if draw.random() < 0.3:
        return of_bytes(draw, content)
    table = pq.read_table(io.BytesIO(content))
    name = draw.choice(table.column_names)
    number, rows = table.column_names.index(name), len(table)
    kind = draw.randrange(6)
    if kind == 0:
        table = table.drop_columns([name])
    elif kind == 1:
        table = table.slice(0, 0)
    elif kind == 2:
        table = table.append_column(name, table[name])
    elif kind == 3:
        table = table.rename_columns([f"{each}x" if each == name else each for each in table.column_names])
    else:
        junk = draw.choice(
            (
                pa.nulls(rows), pa.array([True] * rows), pa.array([b"\xff"] * rows), pa.array([[1]] * rows),
                pa.array([{"a": 1}] * rows), pa.array([float("nan")] * rows), pa.array([-1] * rows),
                pa.array([2**62] * rows), pa.array(["\x00"] * rows), pa.array(["x"] * rows).dictionary_encode(),
                pa.array([None, *[1.5] * (rows - 1)]), pa.array([0] * rows, pa.timestamp("us")),
            )
        )  # fmt: skip
        table = table.set_column(number, name, junk)
    written = io.BytesIO()
    pq.write_table(table, written)
    return written.getvalue()


def special(draw: random.Random, path: Path) -> str:
    """Something else where a file is expected."""
    path.unlink()
    kind = draw.choice(
        ("a folder", "a link to nothing", "a link to itself", "a FIFO", "nothing", "a link to a folder")
    )
    if kind == "a folder":
        path.mkdir()
    elif kind == "a link to nothing":
        path.symlink_to("nowhere")
    elif kind == "a link to itself":
        path.symlink_to(path.name)
    elif kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a link to a folder":
        path.symlink_to("..")
    return kind


# --- formats -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Format:
    """Files of one format, the change that fits it, and the command that reads them.

    ``good`` are parts of names of units that have to be in the store whatever is wrong with the file.
    """

    name: str
    files: tuple[str, ...]
    change: Change
    command: str
    good: tuple[str, ...] = ()


RUN = "run models --data data --store store --tasks pawsx,tatoeba,xquad --languages de,zh"
GOOD = ("pawsx/de", "pawsx/zh", "tatoeba/de", "tatoeba/zh", "xquad/de", "xquad/zh")
OWN = {
    "classification": [
        {"lang": code, "id": str(n), "first": f"a {n}", "second": f"b {n}", "label": ("different", "paraphrase")[n % 2]}
        for code in ("de", "zh") for n in range(4)
    ],
    "choice": [{"lang": "de", "context": f"Anna {n}", "choices": ["a", "b"], "label": n % 2} for n in range(4)],
    "tagging": [{"lang": "de", "words": ["Anna", "lebt"], "tags": ["B-PER", "O"]} for _ in range(4)],
    "span_qa": [{"lang": "de", "question": "Wer?", "context": f"Anna ist {n}.", "answers": ["Anna"]} for n in range(4)],
    "retrieval": [{"lang": "de", "source": f"Satz {n}", "target": f"sentence {n}", "hops": 1} for n in range(4)],
}  # fmt: skip
MODEL = "models/other"
FORMATS = [
    *(
        Format(f"checkpoint: {name}", (f"{MODEL}/{name}",), change, RUN, GOOD)
        for name, change in (
            ("config.json", of_json),
            ("tokenizer.json", of_json),
            ("tokenizer_config.json", of_json),
            ("model.safetensors", of_safetensors),
            ("xeval.json", of_json),
        )
    ),
    Format("data: TSV of PAWS-X", ("data/x-final/de/test_2k.tsv",), of_lines, RUN, GOOD[1:]),
    Format("data: SQuAD", ("data/xquad/xquad.de.json",), of_json, RUN, (*GOOD[:4], GOOD[5])),
    Format("data: lines of Tatoeba", ("data/tatoeba/tatoeba.deu-eng.deu",), of_lines, RUN, (*GOOD[:2], *GOOD[3:])),
    Format("data: XNLI, CoNLL-U, XCOPA",
           ("data/XNLI-1.0/xnli.test.tsv", "data/udpos/UD_de-Tiny/*.conllu", "data/xcopa/zh/test.zh.jsonl"),
           of_lines, "data check data --tasks xnli,udpos,xcopa"),
    *(
        Format(f"own {kind}, {ending}", (f"own-{kind}.{ending}",),
               {"jsonl": of_json_lines, "parquet": of_parquet}.get(ending, of_lines),
               f"run models --store store --task-file own-{kind}.{ending} --kind {kind}")
        for kind in OWN
        for ending in ("jsonl", "csv", "tsv", "parquet")
    ),
    Format("study file", ("train.toml",), of_toml, "train train.toml --out out --dry-run"),
    Format("study file, trained", ("train.toml", "rows.jsonl"), of_toml, "train train.toml --out out"),
    Format("map of another tool", ("map.toml",), of_toml, "compare harness none mnli --map map.toml --json"),
    Format("results of another tool", ("harness/base/*",), of_json, "compare harness none mnli --map map.toml --json"),
    Format("tidy CSV", ("scores.csv",), of_lines, "compare scores.csv none mnli --json"),
    Format("tidy Parquet", ("scores.parquet",), of_parquet, "compare scores.parquet none mnli --json"),
    Format("embeddings", ("x.npy",), of_array, "mine x.npy y.npy -o pairs.tsv"),
    Format("sentences", ("text.de",), of_lines, "mine text.de text.en --checkpoint models/encoder -o pairs.tsv"),
    Format("submission", ("predictions/*/*",), of_lines, "score predictions labels --json"),
    Format("labels of a submission", ("labels/*/*",), of_lines, "score predictions labels --json"),
]  # fmt: skip


def write_inputs(world: Path, folder: Path) -> None:
    """A valid file of every format, and what the commands need beside them."""
    shutil.copytree(world / "models", folder / "models")
    shutil.copytree(world / "models/classify", folder / MODEL)
    (folder / MODEL / "xeval.json").write_text(
        json.dumps(
            {
                "schema_version": 1,
                "phase": "target",
                "base": "tiny",
                "condition": "none",
                "target": "pawsx-en",
                "seed": 0,
            }
        )
    )
    write_all(folder / "data", items=4)
    for name in ("train.toml", "rows.jsonl", "questions.jsonl", "x.npy", "y.npy", "text.de", "text.en"):
        shutil.copy(world / name, folder / name)
    for part in ("train", "dev_2k", "test_2k"):
        shutil.copy(world / f"data/x-final/en/{part}.tsv", folder / f"data/x-final/en/{part}.tsv")
    for kind, rows in OWN.items():
        table = pd.DataFrame(rows)
        pq.write_table(pa.Table.from_pylist(rows), folder / f"own-{kind}.parquet")
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"own-{kind}.jsonl").write_text(lines, encoding="utf-8")
        for name in table.columns:
            if isinstance(table[name][0], list):
                table[name] = [json.dumps(value) for value in table[name]]
        table.to_csv(folder / f"own-{kind}.csv", index=False)
        table.to_csv(folder / f"own-{kind}.tsv", index=False, sep="\t")
    for model in ("base", "tuned"):
        write_harness(folder / "harness" / model, model, {"xnli_en": right(4), "xnli_de": right(2)})
    write_map(folder / "map.toml", RUNS)
    scores = frame(
        [Task("nli", "classification", 60.0, {"mnli": 5.0}, clusters=4)],
        np.random.default_rng(0),
        {"none": 2, "mnli": 2},
    )
    scores.to_csv(folder / "scores.csv", index=False)
    scores.to_parquet(folder / "scores.parquet", index=False)
    write_submission(folder, items=3)


def malform(draw: random.Random, form: Format, folder: Path) -> str:
    """Change one file of a format; gives which and, in a few words, how."""
    path = draw.choice(sorted(found for pattern in form.files for found in folder.glob(pattern)))
    name = path.relative_to(folder).as_posix()
    if draw.random() < 0.06:
        return f"{name} is {special(draw, path)}"
    content, change = path.read_bytes(), form.change
    if change in (of_json, of_lines, of_toml):  # several files of one format may be written differently
        change = {".json": of_json, ".jsonl": of_json_lines, ".toml": of_toml}.get(path.suffix, of_lines)
    changed = change(draw, content)
    path.write_bytes(changed)
    return f"{name} changed: {_difference(content, changed)}"


def _difference(before: bytes, after: bytes) -> str:
    at = next(
        (n for n, (one, other) in enumerate(zip(before, after, strict=False)) if one != other),
        min(len(before), len(after)),
    )
    shown = slice(max(0, at - 20), at + 40)
    return f"from byte {at} of {len(after)}: {before[shown]!r} is now {after[shown]!r}"
