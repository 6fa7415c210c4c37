"""Answers in one passage."""

from xeval.sources import FileSource, FirstOf
from xeval.sources.questions import read_squad, read_tydiqa, read_xquad
from xeval.sources.xtreme import XTREME_SOURCES
from xeval.tasks.base import Task, TrainingSet
from xeval.tasks.span_qa import SPAN_QA

SQUAD = TrainingSet(
    name="squad",
    kind=SPAN_QA,
    source=FirstOf(
        (
            FileSource(
                ("squad/{split}-v1.1.json", "SQuAD/{split}-v1.1.json", "squad/{split}.json"), read_squad
            ),
            *XTREME_SOURCES["squad"],
        )
    ),
    licence="CC BY-SA 4.0",
    citation="Rajpurkar et al. 2016, D16-1264",
)
XQUAD = Task(
    name="xquad",
    kind=SPAN_QA,
    group="single-hop QA",
    languages=tuple("ar de el en es hi ro ru th tr vi zh".split()),  # ro is in XTREME-R only
    metrics=("squad_f1", "squad_em", "f1_mixed"),
    source=FirstOf(
        (
            FileSource(("xquad/xquad.{lang}.json", "xquad.{lang}.json"), read_xquad),
            *XTREME_SOURCES["xquad"],
        )
    ),
    training="squad",
    chance=0.0,
    parallel=True,
    licence="CC BY-SA 4.0",
    citation="Artetxe et al. 2020, 2020.acl-main.421",
)
# Context and question in one language, as in XTREME. Questions that are translations of each other have one id, but
# their passages are cut from different articles, so passages are resampled per language.
MLQA = Task(
    name="mlqa",
    kind=SPAN_QA,
    group="single-hop QA",
    languages=tuple("ar de en es hi vi zh".split()),
    metrics=("mlqa_f1", "mlqa_em", "f1_mixed"),
    source=FirstOf(
        (
            FileSource(("MLQA_V1/{split}/{split}-context-{lang}-question-{lang}.json",), read_squad),
            *XTREME_SOURCES["mlqa"],
        )
    ),
    training="squad",
    chance=0.0,
    licence="CC BY-SA 3.0",
    citation="Lewis et al. 2020, 2020.acl-main.653",
)
_TYDIQA_FILES = (
    "tydiqa-goldp-v1.1-{split}.json",
    "tydiqa/tydiqa-goldp-v1.1-{split}.json",
    "tydiqa-goldp-v1.1-{split}/tydiqa-goldp-{split}-*.json",
    "tydiqa/tydiqa-goldp-v1.1-{split}/tydiqa-goldp-{split}-*.json",
)
# The true test set is private: XTREME tests on the dev set. Its English part is all there is to choose a step of
# the English training by, as SQuAD's dev set holds XQuAD's English questions.
TYDIQA_ENGLISH = TrainingSet(
    name="tydiqa-en",
    kind=SPAN_QA,
    source=FirstOf((FileSource(_TYDIQA_FILES, read_tydiqa), *XTREME_SOURCES["tydiqa-en"])),
    licence="Apache 2.0",
    citation="Clark et al. 2020, 2020.tacl-1.30",
)
TYDIQA = Task(
    name="tydiqa",
    kind=SPAN_QA,
    group="single-hop QA",
    languages=tuple("ar bn en fi id ko ru sw te".split()),
    metrics=("squad_f1", "squad_em", "f1_mixed"),
    source=FirstOf((FileSource(_TYDIQA_FILES, read_tydiqa, {"test": "dev"}), *XTREME_SOURCES["tydiqa"])),
    training="tydiqa-en",
    chance=0.0,
    licence="Apache 2.0",
    citation="Clark et al. 2020, 2020.tacl-1.30",
)
