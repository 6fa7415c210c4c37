"""Bitext retrieval, and mining for it."""

from dataclasses import replace

from xeval.sources import DjangoSource, FileSource, FirstOf
from xeval.sources.bitext import read_tatoeba
from xeval.sources.bucc import BuccSource, PlantedSource
from xeval.sources.xtreme import XTREME_SOURCES
from xeval.tasks.base import Task
from xeval.tasks.mining import MINING
from xeval.tasks.retrieval import RETRIEVAL

_XTREME_LANGUAGES = tuple(
    "af ar bg bn de el es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr nl pt ru sw ta te th tl tr ur vi "
    "zh".split()
)
_ADDED_BY_XTREME_R = ("az", "lt", "pl", "ro", "uk")
_TATOEBA_SOURCE = FirstOf(
    (
        FileSource(
            ("tatoeba/tatoeba.{iso3}-eng.*", "LASER/data/tatoeba/v1/tatoeba.{iso3}-eng.*"), read_tatoeba
        ),
        *XTREME_SOURCES["tatoeba"],
    )
)
_PAIR_METRICS = ("pair_f1", "pair_f1_oracle", "pair_precision", "pair_recall")

TATOEBA = Task(
    name="tatoeba",
    kind=RETRIEVAL,
    group="retrieval",
    languages=tuple(sorted(_XTREME_LANGUAGES + _ADDED_BY_XTREME_R)),
    metrics=("accuracy",),
    source=_TATOEBA_SOURCE,
    training=None,
    chance="data",
    licence="CC BY 2.0 FR",
    citation="Artetxe and Schwenk 2019, Q19-1038",
)
DJANGO = Task(
    name="django",
    kind=RETRIEVAL,
    group="retrieval",
    languages=tuple(code for code in _XTREME_LANGUAGES if code not in ("jv", "tl")),
    metrics=("accuracy",),
    source=DjangoSource(),
    training=None,
    chance="data",
    licence="BSD 3-Clause",
    citation="Django's translators, https://www.djangoproject.com",
)
BUCC = Task(
    name="bucc2018",
    kind=MINING,
    group="retrieval",
    languages=("de", "fr", "ru", "zh"),
    metrics=_PAIR_METRICS,
    source=BuccSource(),
    training=None,
    chance=0.0,
    licence="as its texts: Wikipedia CC BY-SA 3.0, News Commentary unstated",
    citation="Zweigenbaum, Sharoff and Rapp 2018, BUCC shared task; dev = sample, test = training, as in XTREME",
)
# Pairs of Tatoeba among the English sentences of its other languages: none of them, some thousands, all.
PLANTED_SMALL = Task(
    name="bucc-planted-small",
    kind=MINING,
    group="diagnostic",
    languages=TATOEBA.languages,
    metrics=_PAIR_METRICS,
    source=PlantedSource(_TATOEBA_SOURCE, TATOEBA.languages, distractors=0),
    training=None,
    chance=0.0,
    licence=TATOEBA.licence,
    citation=TATOEBA.citation,
)
PLANTED_MEDIUM = replace(
    PLANTED_SMALL,
    name="bucc-planted-medium",
    source=PlantedSource(_TATOEBA_SOURCE, TATOEBA.languages, distractors=4000),
)
PLANTED = replace(
    PLANTED_SMALL, name="bucc-planted", source=PlantedSource(_TATOEBA_SOURCE, TATOEBA.languages)
)
