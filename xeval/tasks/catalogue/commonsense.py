"""Choice among causes and effects."""

from xeval.sources import FileSource, FirstOf
from xeval.sources.choice import read_xcopa
from xeval.sources.xtreme import XTREME_SOURCES
from xeval.tasks.base import Task, TrainingSet
from xeval.tasks.choice import CHOICE

_COPA_FILES = FileSource(
    ("copa/{split}.{lang}.jsonl", "copa/{split}.jsonl", "COPA/{split}.jsonl"), read_xcopa, {"dev": "val"}
)
COPA = TrainingSet(
    name="copa",
    kind=CHOICE,
    source=FirstOf((_COPA_FILES, *XTREME_SOURCES["copa"])),
    licence="BSD 2-Clause",
    citation="Roemmele et al. 2011, AAAI Spring Symposium",
)
_XCOPA_FILES = FileSource(
    ("xcopa/{lang}/{split}.{lang}.jsonl", "xcopa/data/{lang}/{split}.{lang}.jsonl"),
    read_xcopa,
    {"dev": "val"},
)
XCOPA = Task(
    name="xcopa",
    kind=CHOICE,
    group="classification",
    languages=tuple("et ht id it qu sw ta th tr vi zh".split()),
    metrics=("accuracy",),
    source=FirstOf((_XCOPA_FILES, *XTREME_SOURCES["xcopa"])),
    training="copa",
    chance=0.5,
    parallel=True,
    licence="CC BY 4.0",
    citation="Ponti et al. 2020, 2020.emnlp-main.185",
)
