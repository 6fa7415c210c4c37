"""The grid as tasks: equal in everything but format and hops, and in groups that do not mix the two."""

from dataclasses import replace

import pytest

from xeval.sources import JoinedSource
from xeval.sources.generated import GeneratedBitext, GeneratedSource
from xeval.tasks import all_tasks, task, training_set
from xeval.xhops import FORMATS, HOPS, LANGUAGES, generate
from xeval.xhops.worlds import CHAINS, DEPTH

SMALL = {"chains": 2, "depth": 2}

GROUPS = {
    "claim": ("classification", "multi-hop classification", "multi-hop classification"),
    "question": ("single-hop QA", "multi-hop QA", "multi-hop QA"),
    "choice": ("classification", "multi-hop classification", "multi-hop classification"),
}


def test_every_cell_of_the_grid_is_a_task_in_its_group() -> None:
    named = {f"xhops-{format}-{hops}" for format in FORMATS for hops in HOPS} | {"xhops-bitext"}
    named |= {f"xhops-small-{format}-{hops}" for format in FORMATS for hops in (1, 2)}
    assert {name for name in all_tasks() if name.startswith("xhops")} == named
    for format in FORMATS:
        cells = [task(f"xhops-{format}-{hops}") for hops in HOPS]
        assert tuple(cell.group for cell in cells) == GROUPS[format]
        for hops, cell in zip(HOPS, cells, strict=True):
            assert cell.source == GeneratedSource(format, hops, 1000, family="work")
            alike = replace(cell, name=cells[0].name, group=cells[0].group, source=cells[0].source)
            assert alike == cells[0]
            assert cell.languages == LANGUAGES


@pytest.mark.parametrize("format", FORMATS)
def test_training_sets_take_one_and_two_hops_in_turn(format: str) -> None:
    source = training_set(f"xhops-{format}").source
    assert isinstance(source, JoinedSource)
    assert [(part.hops, part.family) for part in source.parts] == [(1, "work"), (2, "work")]  # type: ignore[attr-defined]
    assert task(f"xhops-{format}-3").training == f"xhops-{format}"


def test_the_sets_of_one_hop_are_of_one_hop() -> None:
    assert training_set("xhops-lookup").source == GeneratedSource("question", 1, 4000, family="dogs")
    for format in FORMATS:
        one_hop = training_set(f"xhops-{format}-1hop")
        assert one_hop.source == GeneratedSource(format, 1, 4000, family="work")
        assert (one_hop.kind, one_hop.labels) == (
            training_set(f"xhops-{format}").kind,
            training_set(f"xhops-{format}").labels,
        )


@pytest.mark.parametrize("format", FORMATS)
def test_small_worlds_differ_in_their_shape_alone(format: str) -> None:
    for hops in (1, 2):
        small, whole = task(f"xhops-small-{format}-{hops}"), task(f"xhops-{format}-{hops}")
        assert small.source == replace(whole.source, **SMALL)  # type: ignore[type-var]
        assert (small.group, small.metrics, small.languages) == (whole.group, whole.metrics, whole.languages)
        assert (small.labels, small.chance) == (whole.labels, 1 / 2)
        assert small.training == f"xhops-small-{format}"
    small_parts, parts = (
        training_set(name).source.parts  # type: ignore[attr-defined]
        for name in (f"xhops-small-{format}", f"xhops-{format}")
    )
    assert small_parts == tuple(replace(part, **SMALL) for part in parts)


@pytest.mark.parametrize("name", ["xhops-lookup", *(f"xhops-{format}-1hop" for format in FORMATS)])
def test_small_sets_of_one_hop_differ_in_their_shape_alone(name: str) -> None:
    small, whole = training_set(name.replace("xhops-", "xhops-small-")), training_set(name)
    assert small.source == replace(whole.source, **SMALL)  # type: ignore[type-var]


def test_a_source_has_the_shape_and_the_rows_of_the_generator() -> None:
    source = GeneratedSource("choice", 2, 12)
    assert (source.chains, source.depth) == (CHAINS, DEPTH)
    assert source.load(None, "ur", "dev") == generate("choice", 2, "ur", "dev", 12)
    small = GeneratedSource("choice", 2, 12, seed=4, family="dogs", chains=2, depth=2)
    rows = generate("choice", 2, "ur", "dev", 12, seed=4, family="dogs", chains=2, depth=2)
    assert small.load(None, "ur", "dev") == rows
    assert len({shape.digest(None, "ur", "dev") for shape in (source, small, replace(small, chains=3))}) == 3


def test_bitext_is_pinned_by_its_parameters_and_has_every_language_but_english() -> None:
    bitext = task("xhops-bitext")
    assert bitext.languages == tuple(code for code in LANGUAGES if code != "en")
    assert len(bitext.source.load(None, "ko", "test")) == 1000
    assert bitext.source.files(None, "ko", "test") == ()
    sources = GeneratedBitext(8), GeneratedBitext(9), GeneratedBitext(8, seed=1)
    assert len({source.digest(None, "ko", "test") for source in sources}) == 3
    assert sources[0].digest(None, "ko", "test") != sources[0].digest(None, "ja", "test")
