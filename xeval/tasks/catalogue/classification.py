"""Natural-language inference, paraphrases and topics."""

from xeval.sources import DjangoTopicSource, FileSource, FirstOf
from xeval.sources.classification import read_mnli, read_pawsx, read_xnli
from xeval.sources.django import TOPIC_LABELS
from xeval.sources.xtreme import XTREME_SOURCES
from xeval.tasks.base import Task, TrainingSet
from xeval.tasks.classification import CLASSIFICATION

NLI_LABELS = ("entailment", "neutral", "contradiction")
PARAPHRASE_LABELS = ("different", "paraphrase")

_MNLI_FILES = FileSource(
    (
        "multinli_1.0/multinli_1.0_{split}.jsonl",
        "multinli_1.0/multinli_1.0_{split}.txt",
        "mnli/multinli_1.0_{split}.jsonl",
        "XNLI-MT-1.0/multinli/multinli.{split}.{lang}.tsv",
    ),
    read_mnli,
    {"dev": "dev_matched"},
)
MNLI = TrainingSet(
    name="mnli",
    kind=CLASSIFICATION,
    labels=NLI_LABELS,
    source=FirstOf((_MNLI_FILES, *XTREME_SOURCES["mnli"])),
    licence="OANC and others, see the MultiNLI paper",
    citation="Williams et al. 2018, N18-1101",
)
_XNLI_FILES = FileSource(("XNLI-1.0/xnli.{split}.tsv", "xnli/xnli.{split}.tsv"), read_xnli)
XNLI = Task(
    name="xnli",
    kind=CLASSIFICATION,
    group="classification",
    languages=tuple("ar bg de el en es fr hi ru sw th tr ur vi zh".split()),
    metrics=("accuracy",),
    source=FirstOf((_XNLI_FILES, *XTREME_SOURCES["xnli"])),
    training="mnli",
    labels=NLI_LABELS,
    chance="data",
    parallel=True,
    licence="CC BY-NC 4.0",
    citation="Conneau et al. 2018, D18-1269",
)
_PAWSX_FILES = FileSource(
    ("x-final/{lang}/{split}.tsv", "pawsx/{lang}/{split}.tsv"),
    read_pawsx,
    {"dev": "dev_2k", "test": "test_2k"},
)
PAWSX_ENGLISH = TrainingSet(
    name="pawsx-en",
    kind=CLASSIFICATION,
    labels=PARAPHRASE_LABELS,
    source=FirstOf((_PAWSX_FILES, *XTREME_SOURCES["pawsx-en"])),
    licence="free for any purpose, with acknowledgement of Google LLC",
    citation="Zhang et al. 2019, N19-1131",
)
PAWSX = Task(
    name="pawsx",
    kind=CLASSIFICATION,
    group="classification",
    languages=tuple("de en es fr ja ko zh".split()),
    metrics=("accuracy",),
    source=FirstOf((_PAWSX_FILES, *XTREME_SOURCES["pawsx"])),
    training="pawsx-en",
    labels=PARAPHRASE_LABELS,
    chance="data",
    parallel=True,
    licence="free for any purpose, with acknowledgement of Google LLC",
    citation="Yang et al. 2019, D19-1382",
)

DJANGO_TOPIC_ENGLISH = TrainingSet(
    name="django-topic-en",
    kind=CLASSIFICATION,
    labels=TOPIC_LABELS,
    source=DjangoTopicSource(),
    licence="BSD 3-Clause",
)
DJANGO_TOPIC = Task(
    name="django-topic",
    kind=CLASSIFICATION,
    group="classification",
    languages=tuple(
        "af ar bg bn de el en es et eu fa fi fr he hi hu id it ja ka kk ko ml mr nl pt ru sw ta te th tr ur vi "
        "zh".split()
    ),
    metrics=("accuracy",),
    source=DjangoTopicSource(),
    training="django-topic-en",
    labels=TOPIC_LABELS,
    chance="data",
    licence="BSD 3-Clause",
    citation="Django's translators, https://www.djangoproject.com",
)
