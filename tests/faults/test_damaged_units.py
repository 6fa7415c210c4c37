"""A damaged unit file is read exactly as it was, or refused by its name and computed anew."""

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from scenes import SCENES, World
from trials import Campaign, Seen, Server, sentence_problem

SCENE = "run many"
TRIALS = 5000
DAMAGES: dict[str, Callable[[random.Random, bytearray, list[bytes]], bytes]] = {}


def damages(function: Callable[[random.Random, bytearray, list[bytes]], bytes]) -> Any:
    """Registers a way to damage a file, given its content and those of all units."""
    DAMAGES[function.__name__.replace("_", " ")] = function
    return function


@damages
def one_bit(draw: random.Random, content: bytearray, _: list[bytes]) -> bytes:
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return content


@damages
def some_bits(draw: random.Random, content: bytearray, others: list[bytes]) -> bytes:
    for _ in range(draw.randint(2, 20)):
        one_bit(draw, content, others)
    return content


@damages
def one_bit_near_the_end(draw: random.Random, content: bytearray, _: list[bytes]) -> bytes:
    content[-draw.randint(1, 64)] ^= 1 << draw.randrange(8)
    return content


@damages
def cut_off(draw: random.Random, content: bytearray, _: list[bytes]) -> bytes:
    return content[: draw.randrange(len(content))]


@damages
def cut_out(draw: random.Random, content: bytearray, _: list[bytes]) -> bytes:
    start, end = sorted(draw.sample(range(len(content)), 2))
    return content[:start] + content[end:]


@damages
def zeroed(draw: random.Random, content: bytearray, _: list[bytes]) -> bytes:
    start = draw.randrange(len(content))
    end = min(len(content), start + draw.choice((1, 16, 512, 4096)))
    content[start:end] = bytes(end - start)
    return content


@damages
def overwritten(draw: random.Random, content: bytearray, _: list[bytes]) -> bytes:
    start = draw.randrange(len(content))
    end = min(len(content), start + draw.randint(1, 64))
    content[start:end] = draw.randbytes(end - start)
    return content


@damages
def blocks_swapped(draw: random.Random, content: bytearray, _: list[bytes]) -> bytes:
    size = draw.choice((1, 8, 64, 512))
    first, second = (draw.randrange(0, max(1, len(content) - size)) // size * size for _ in range(2))
    one, other = content[first : first + size], content[second : second + size]
    content[first : first + len(other)], content[second : second + len(one)] = other, one
    return content


@damages
def lengthened(draw: random.Random, content: bytearray, _: list[bytes]) -> bytes:
    return content + draw.choice((bytes(512), draw.randbytes(100), content[-200:], content))


@damages
def of_another_unit(draw: random.Random, content: bytearray, others: list[bytes]) -> bytes:
    return draw.choice([other for other in others if other != content])


@damages
def halves_of_two_units(draw: random.Random, content: bytearray, others: list[bytes]) -> bytes:
    at = draw.randrange(len(content))
    return bytes(content[:at]) + draw.choice(others)[at:]


@damages
def rows_of_another_unit(draw: random.Random, content: bytearray, others: list[bytes]) -> bytes:
    """What another program does that reads the rows of one file and writes them with the metadata of another."""
    import io

    import pyarrow.parquet as pq

    own, other = (pq.read_table(io.BytesIO(bytes(each))) for each in (content, draw.choice(others)))
    written = io.BytesIO()
    pq.write_table(other.replace_schema_metadata(own.schema.metadata), written, compression="zstd")
    return written.getvalue()


@damages
def of_no_unit(draw: random.Random, _: bytearray, __: list[bytes]) -> bytes:
    return draw.choice(
        (b"", b"PAR1PAR1", b"PAR1" + bytes(100) + b"PAR1", b"condition,lang\nnone,de\n", b"\n", b"{}")
    )


@dataclass(frozen=True)
class Batch:
    """Every unit of a store is damaged, each in its way; then the store is read, shown and filled again."""

    seed: str


def test_a_damaged_unit_is_refused_or_read_as_it_was_and_computed_anew(
    servers: list[Server], world: World, campaign: Callable[[str, float], Campaign], faults_seed: int
) -> None:
    world.know(servers, [SCENE])
    units = campaign("units", 1)
    units.run(
        [Batch(f"quick {faults_seed}/{n}") for n in range(2)], lambda s, batch: damaged(world, s, batch)
    )
    assert units.counts.tried > 40
    assert not units.counts.failures, "\n".join(units.counts.failures)


@pytest.mark.slow
def test_five_thousand_damaged_units(
    servers: list[Server], world: World, campaign: Callable[[str, float], Campaign], faults_seed: int
) -> None:
    world.know(servers, [SCENE], thorough=True)
    units, number = campaign("damaged unit files", 0.2), 0
    while units.counts.tried < TRIALS and not units.late:
        batches = [Batch(f"{faults_seed}/{number + n}") for n in range(4 * len(servers))]
        units.run(batches, lambda server, batch: damaged(world, server, batch))
        number += len(batches)
    assert not units.counts.failures
    assert units.counts.tried


def damaged(world: World, server: Server, batch: Batch) -> Iterator[Seen]:
    """Damage all units, read them one by one in a process of their own, show and run."""
    scene, draw = SCENES[SCENE], random.Random(batch.seed)
    world.place(server, scene)
    original = server.folder / "original"
    if not (world.root / "many").exists():
        world.run(server, scene)
        shutil.copytree(server.folder / "store", world.root / "many")
    for folder in (original, server.folder / "store"):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(world.root / "many", folder)
    paths = sorted((server.folder / "store").rglob("*.parquet"))
    contents = [path.read_bytes() for path in paths]
    how: dict[str, str] = {}
    for path, content in zip(paths, contents, strict=True):
        kind = draw.choice(list(DAMAGES))
        path.write_bytes(DAMAGES[kind](draw, bytearray(content), contents))
        how[path.relative_to(server.folder / "store").as_posix()] = kind
    where = f"{batch}"
    try:
        read = server.call(
            "unit_reader:read_units", damaged=str(server.folder / "store"), original=str(original)
        )
    except RuntimeError as error:
        yield Seen("crashed", f"{where}: reading one of {how}: {error}", len(how))
        return
    for name, kind in how.items():
        result = read[name]
        wrong = result not in ("refused", "read as it was")
        yield Seen(result if not wrong else "wrong", f"{where}: {name}, {kind}: {result}" if wrong else "")
    shown = server.xeval("show", "store")
    if problem := sentence_problem(shown):
        yield Seen("show", f"{where}: show: {problem}", 0)
    ended = world.run(server, scene)
    shutil.rmtree(original)
    problem = sentence_problem(ended) or ("" if ended.code == 0 else ended.text)
    if problem := problem or world.differences(server, scene):
        yield Seen("run", f"{where}: damaged {how}: run: {problem}", 0)
