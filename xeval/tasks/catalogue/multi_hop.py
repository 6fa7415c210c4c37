"""Targets whose items say how many facts they combine, each beside the English training set it is trained on.

Which sets are fit for what:

- babi-1 to babi-3 are the graded ladder: one kind of story, 1, 2 and 3 supporting facts, six parallel languages.
  babi-4 asks about one stated relation of two rooms. bAbI's other types have no closed set that is fair in all
  languages: qa5 mixes persons and things, so that the question word gives half of them away; qa6, qa9 and qa10
  have two or three answers for 100 items, and blanks in the German file; 96 % of qa7 are two of its answers; qa8
  lists things in another order in every language.
- hotpotqa, 2wikimultihopqa and musique are the published settings, whose passages are far longer than a window:
  all supporting facts stand in one window of 512 tokens for 40 of 100 HotpotQA and 15 of 100 MuSiQue questions,
  and windows are read one by one, so for the others no encoder can combine the facts. The tasks named
  ``-supporting`` keep the paragraphs with supporting facts only: these fit one window for 99 and 91 of 100.
  xhotpotqa is such a one from the start.
- mintaka-multihop and mintaka-generic are closed-book: what the encoder knows, not what it reads.
- jemhopqa gives the facts, among others like them.

HotpotQA, 2WikiMultihopQA and MuSiQue do not publish the answers of their test sets: the dev sets are evaluated,
and training sets hold out their own dev data.
"""

from dataclasses import replace
from functools import partial

from xeval.sources import FileSource, FirstOf, HubSource
from xeval.sources.multihop import (
    BABI_ROOMS,
    MINTAKA_LANGUAGES,
    HeldOutSource,
    read_babi_stories,
    read_hotpotqa,
    read_jemhopqa,
    read_mintaka,
    read_musique,
    read_translated_babi,
    read_xhotpotqa,
)
from xeval.tasks.base import Task, TrainingSet
from xeval.tasks.choice import CHOICE, PASSAGE_CHOICE
from xeval.tasks.span_qa import SPAN_QA

# bAbI. The translated items are questions of the English test files, which are therefore never trained on.


def _stories(kinds: str) -> HeldOutSource:
    folders = (f"{parent}tasks_1-20_v1-2/{size}" for size in ("en-10k", "en") for parent in ("", "babi/"))
    return HeldOutSource(
        FileSource(tuple(f"{folder}/qa{kinds}_*_{{split}}.txt" for folder in folders), read_babi_stories)
    )


def _translated(kind: str) -> FileSource:
    patterns = ("mlrbench/{lang}.csv", "mlrbench/data/{lang}.csv")
    return FileSource(patterns, partial(read_translated_babi, kind=kind))


BABI_ENGLISH = TrainingSet(
    name="babi-en",
    kind=PASSAGE_CHOICE,
    source=_stories("[123]"),
    licence="CC BY 3.0",
    citation="Weston et al. 2015, arXiv 1502.05698",
)
BABI_4_ENGLISH = replace(BABI_ENGLISH, name="babi-4-en", source=_stories("4"))
BABI_1 = Task(
    name="babi-1",
    kind=PASSAGE_CHOICE,
    group="single-hop QA",
    languages=tuple(BABI_ROOMS),
    metrics=("accuracy",),
    source=_translated("qa1"),
    training="babi-en",
    chance=1 / 6,
    parallel=True,
    version=2,  # of the first version, units may hold the predictions of another task on the same files
    licence="MIT",
    citation="MLRBench, arXiv 2504.12845",
)
BABI_2 = replace(BABI_1, name="babi-2", group="multi-hop QA", source=_translated("qa2"))
BABI_3 = replace(BABI_1, name="babi-3", group="multi-hop QA", source=_translated("qa3"))
BABI_4 = replace(BABI_1, name="babi-4", source=_translated("qa4"), training="babi-4-en")

# HotpotQA.


def _hotpotqa(supporting_only: bool, training: bool) -> FirstOf:
    """The authors' JSON, OpenSPG's cut of it, or the Parquet of the hub."""
    reader = partial(read_hotpotqa, supporting_only=supporting_only, keep_unlocated=not training)
    return FirstOf(
        (
            FileSource(
                (
                    "hotpotqa/hotpot_{split}_distractor_v1.json",
                    "hotpotqa/hotpot_{split}_v1.1.json",
                    "hotpotqa/qa_{split}*.json",
                ),
                reader,
                {"test": "dev"},
            ),
            HubSource(
                "hotpotqa/hotpot_qa",
                "1908d6afbbead072334abe2965f91bd2709910ab",
                ("distractor/{split}-*.parquet",),
                reader,
                {"test": "validation"},
            ),
        )
    )


HOTPOTQA_ENGLISH = TrainingSet(
    name="hotpotqa-en",
    kind=SPAN_QA,
    source=HeldOutSource(_hotpotqa(supporting_only=False, training=True)),
    licence="CC BY-SA 4.0",
    citation="Yang et al. 2018, D18-1259",
)
HOTPOTQA_SUPPORTING_ENGLISH = replace(
    HOTPOTQA_ENGLISH,
    name="hotpotqa-supporting-en",
    source=HeldOutSource(_hotpotqa(supporting_only=True, training=True)),
)
HOTPOTQA = Task(
    name="hotpotqa",
    kind=SPAN_QA,
    group="multi-hop QA",
    languages=("en",),
    metrics=("squad_f1", "squad_em", "f1_mixed"),
    source=_hotpotqa(supporting_only=False, training=False),
    training="hotpotqa-en",
    chance=0.0,
    version=2,  # see babi-1
    licence="CC BY-SA 4.0",
    citation="Yang et al. 2018, D18-1259",
)
HOTPOTQA_SUPPORTING = replace(
    HOTPOTQA,
    name="hotpotqa-supporting",
    source=_hotpotqa(supporting_only=True, training=False),
    training="hotpotqa-supporting-en",
    overrides={"max_length": 512},
)


def _xhotpotqa(repository: str, revision: str, pattern: str) -> HubSource:
    reader = partial(read_xhotpotqa, supporting_only=True)
    return HubSource(repository, revision, (pattern,), reader, {"test": "validation"})


# The release that its authors recommend, then the newer release candidate; revisions as in their data cards.
_XHOTPOTQA_RELEASES = (
    _xhotpotqa(
        "Iman998/XhotpotQA",
        "1d29e7918cf1acc045726c70fddba82371833090",
        "data/xhotpotqa_v1_1_audited/{split}-*.parquet",
    ),
    _xhotpotqa("Iman998/XhotpotQA-V2", "b05ba394ad7312e85625624c90d10258cbab31af", "data/{split}-*.parquet"),
)
XHOTPOTQA = Task(
    name="xhotpotqa",
    kind=SPAN_QA,
    group="multi-hop QA",
    languages=tuple("ar bn de el en es fa fr hi id it ja ko nl pl pt ru sv sw th tr ur vi zh".split()),
    metrics=("f1_mixed", "em_mixed", "squad_f1", "squad_em"),
    source=FirstOf(_XHOTPOTQA_RELEASES),
    training="hotpotqa-supporting-en",
    chance=0.0,
    overrides={"max_length": 512},
    licence="CC BY-SA 4.0",
    citation="XHotpotQA, github.com/Iman998/XhotpotQA",
)

# 2WikiMultihopQA.


def _two_wiki(supporting_only: bool, training: bool) -> FirstOf:
    reader = partial(read_hotpotqa, supporting_only=supporting_only, keep_unlocated=not training)
    files = tuple(f"{folder}/{{split}}.json" for folder in ("2wikimultihopqa", "2wikimultihopqa/data"))
    return FirstOf(
        (
            FileSource(files, reader, {"test": "dev"}),
            HubSource(
                "framolfese/2WikiMultihopQA",
                "fe713bfbd1afbca1a65246741a75890405d56a3a",
                ("data/{split}-*.parquet",),
                reader,
                {"test": "validation", "dev": "validation"},
            ),
        )
    )


TWO_WIKI_ENGLISH = TrainingSet(
    name="2wikimultihopqa-en",
    kind=SPAN_QA,
    source=HeldOutSource(_two_wiki(supporting_only=False, training=True)),
    licence="Apache 2.0",
    citation="Ho et al. 2020, 2020.coling-main.580",
)
TWO_WIKI_SUPPORTING_ENGLISH = replace(
    TWO_WIKI_ENGLISH,
    name="2wikimultihopqa-supporting-en",
    source=HeldOutSource(_two_wiki(supporting_only=True, training=True)),
)
TWO_WIKI = replace(
    HOTPOTQA,
    name="2wikimultihopqa",
    source=_two_wiki(supporting_only=False, training=False),
    training="2wikimultihopqa-en",
    licence="Apache 2.0",
    citation="Ho et al. 2020, 2020.coling-main.580",
)
TWO_WIKI_SUPPORTING = replace(
    TWO_WIKI,
    name="2wikimultihopqa-supporting",
    source=_two_wiki(supporting_only=True, training=False),
    training="2wikimultihopqa-supporting-en",
    overrides={"max_length": 512},
)

# MuSiQue.


def _musique(supporting_only: bool, training: bool) -> FirstOf:
    """The authors' JSON lines, OpenSPG's cut of them as a JSON list, or a copy of the former on the hub."""
    reader = partial(read_musique, supporting_only=supporting_only, keep_unlocated=not training)
    files = (
        "musique/musique_ans_v1.0_{split}.jsonl",
        "musique/data/musique_ans_v1.0_{split}.jsonl",
        "musique/qa_{split}*.json",
    )
    return FirstOf(
        (
            FileSource(files, reader, {"test": "dev"}),
            HubSource(
                "bdsaglam/musique",
                "22873a405dd809893b22ada0b499299fb612d2df",
                ("musique_ans_v1.0_{split}.jsonl",),
                reader,
                {"test": "dev"},
            ),
        )
    )


MUSIQUE_ENGLISH = TrainingSet(
    name="musique-en",
    kind=SPAN_QA,
    source=HeldOutSource(_musique(supporting_only=False, training=True)),
    licence="CC BY 4.0",
    citation="Trivedi et al. 2022, 2022.tacl-1.31",
)
MUSIQUE_SUPPORTING_ENGLISH = replace(
    MUSIQUE_ENGLISH,
    name="musique-supporting-en",
    source=HeldOutSource(_musique(supporting_only=True, training=True)),
)
MUSIQUE = replace(
    HOTPOTQA,
    name="musique",
    source=_musique(supporting_only=False, training=False),
    training="musique-en",
    licence="CC BY 4.0",
    citation="Trivedi et al. 2022, 2022.tacl-1.31",
)
MUSIQUE_SUPPORTING = replace(
    MUSIQUE,
    name="musique-supporting",
    source=_musique(supporting_only=True, training=False),
    training="musique-supporting-en",
    overrides={"max_length": 512},
)

# Mintaka.

_MINTAKA_MULTIHOP = ("multihop", "intersection", "difference")
_MINTAKA_GENERIC = ("generic",)


def _mintaka(kinds: tuple[str, ...]) -> FileSource:
    patterns = ("mintaka/mintaka_{split}.json", "mintaka/data/mintaka_{split}.json")
    return FileSource(patterns, partial(read_mintaka, kinds=kinds))


MINTAKA_ENGLISH = TrainingSet(
    name="mintaka-en",
    kind=CHOICE,
    source=_mintaka((*_MINTAKA_GENERIC, *_MINTAKA_MULTIHOP)),
    licence="CC BY 4.0",
    citation="Sen et al. 2022, 2022.coling-1.138",
)
MINTAKA_MULTIHOP = Task(
    name="mintaka-multihop",
    kind=CHOICE,
    group="multi-hop QA",
    languages=MINTAKA_LANGUAGES,
    metrics=("accuracy",),
    source=_mintaka(_MINTAKA_MULTIHOP),
    training="mintaka-en",
    chance=0.25,
    parallel=True,
    version=2,  # see babi-1
    licence="CC BY 4.0",
    citation="Sen et al. 2022, 2022.coling-1.138",
)
MINTAKA_GENERIC = replace(
    MINTAKA_MULTIHOP, name="mintaka-generic", group="single-hop QA", source=_mintaka(_MINTAKA_GENERIC)
)

# JEMHopQA.

JEMHOPQA = Task(
    name="jemhopqa",
    kind=SPAN_QA,
    group="multi-hop QA",
    languages=("ja",),
    metrics=("f1_mixed", "em_mixed"),
    source=FileSource(
        ("jemhopqa/{split}_ver1.2.json", "jemhopqa/corpus_ver1.2/{split}_ver1.2.json"),
        read_jemhopqa,
        {"test": "dev"},
    ),
    training="hotpotqa-supporting-en",
    chance=0.0,
    licence="CC BY-SA 4.0",
    citation="Ishii et al. 2024, 2024.lrec-main.831",
)
