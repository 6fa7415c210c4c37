"""Parts of speech and named entities."""

from dataclasses import replace

from xeval.sources import FileSource, FirstOf
from xeval.sources.tagging import (
    NER_TAGS,
    UPOS,
    read_conllu,
    read_conllu_words,
    read_universal_ner,
    read_word_tags,
)
from xeval.sources.xtreme import XTREME_SOURCES
from xeval.tasks.base import Task, TrainingSet
from xeval.tasks.tagging import TAGGING

_TREEBANK_PATTERNS = (
    "udpos/UD_*/{lang}_*-ud-{split}.conllu",
    "UD_*/{lang}_*-ud-{split}.conllu",
    "udpos/UD_*/{lang}_*-ud-{split}.*.conllu",
)
# Two readings of one set of files: ``udpos`` scores written tokens, which is XTREME's protocol, ``udpos-words`` the
# treebanks' syntactic words.
_TREEBANKS = FirstOf((FileSource(_TREEBANK_PATTERNS, read_conllu), *XTREME_SOURCES["udpos"]))
_TREEBANK_WORDS = FirstOf((FileSource(_TREEBANK_PATTERNS, read_conllu_words), *XTREME_SOURCES["udpos-words"]))
_PANX = FirstOf(
    (
        FileSource(("panx_dataset/{lang}/{split}", "panx_dataset/{lang}-{split}"), read_word_tags),
        *XTREME_SOURCES["panx"],
    )
)
_UNER = FileSource(
    (
        "uner/UNER_*/{lang}_*-ud-{split}.iob2",
        "UNER_*/{lang}_*-ud-{split}.iob2",
        "uner/UNER_*/{lang}_*-ud-{split}.*.iob2",
    ),
    read_universal_ner,
)

UDPOS_ENGLISH = TrainingSet(
    name="udpos-en",
    kind=TAGGING,
    labels=UPOS,
    source=_TREEBANKS,
    licence="per treebank, mostly CC BY-SA",
    citation="Nivre et al. 2020, LREC",
)
UDPOS = Task(
    name="udpos",
    kind=TAGGING,
    group="structured",
    languages=tuple(
        "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko lt mr nl pl pt ro ru ta te th tl tr uk ur vi wo "
        "yo zh".split()
    ),
    metrics=("tag_accuracy", "chunk_f1_legacy"),
    source=_TREEBANKS,
    training="udpos-en",
    labels=UPOS,
    chance="data",
    version=3,  # of earlier versions, units may hold the predictions of udpos-words, and the other way round
    licence="per treebank, mostly CC BY-SA",
    citation="Nivre et al. 2020, LREC",
)
UDPOS_WORDS_ENGLISH = replace(UDPOS_ENGLISH, name="udpos-words-en", source=_TREEBANK_WORDS)
UDPOS_WORDS = replace(UDPOS, name="udpos-words", source=_TREEBANK_WORDS, training="udpos-words-en", version=2)
PANX_ENGLISH = TrainingSet(
    name="panx-en",
    kind=TAGGING,
    labels=NER_TAGS,
    source=_PANX,
    licence="CC BY-SA (Wikipedia)",
    citation="Pan et al. 2017, P17-1178; Rahimi et al. 2019, P19-1015",
)
PANX = Task(
    name="panx",
    kind=TAGGING,
    group="structured",
    languages=tuple(
        "af ar az bg bn de el en es et eu fa fi fr gu he hi hu id it ja jv ka kk ko lt ml mr ms my nl pa pl pt qu ro "
        "ru sw ta te th tl tr uk ur vi yo zh".split()
    ),
    metrics=("chunk_f1_legacy", "tag_accuracy"),
    source=_PANX,
    training="panx-en",
    labels=NER_TAGS,
    chance=0.0,
    licence="CC BY-SA (Wikipedia)",
    citation="Pan et al. 2017, P17-1178; Rahimi et al. 2019, P19-1015",
)
UNER_ENGLISH = TrainingSet(
    name="uner-en",
    kind=TAGGING,
    labels=NER_TAGS,
    source=_UNER,
    licence="CC BY-SA 4.0",
    citation="Mayhew et al. 2024, 2024.naacl-long.243",
)
UNER = Task(
    name="uner",
    kind=TAGGING,
    group="structured",
    languages=tuple("da de en pt ru sr sv tl zh".split()),
    metrics=("chunk_f1_legacy", "tag_accuracy"),
    source=_UNER,
    training="uner-en",
    labels=NER_TAGS,
    chance=0.0,
    licence="CC BY-SA, 4.0 but for the PUD treebanks (3.0)",
    citation="Mayhew et al. 2024, 2024.naacl-long.243",
)
