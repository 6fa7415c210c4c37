"""Which intermediate tasks are (nearly) a target's own English training data.

Such a pair trains twice on the same data, so its gain says little about transfer from another task. The rule looks
at data only and is the same for all groups of targets.

``xhops-lookup`` and ``xhops-small-lookup`` are not of one source with the question targets: they are made of another
family of worlds with other relations, so that neither facts nor questions of the targets are in them.
"""

from collections.abc import Mapping
from itertools import product

from xeval.conditions import training_sets

FORMATS = ("claim", "question", "choice")


def _nearly_xhops() -> dict[str, dict[str, str]]:
    """Of each set of the grid those of the same worlds and format: larger or smaller, or with one hop only."""
    sizes = {"": "larger", "small-": "smaller"}
    nearly: dict[str, dict[str, str]] = {}
    for form, size in product(FORMATS, sizes):
        name = f"xhops-{size}{form}"
        others = product(sizes, ("", "-1hop"))
        nearly[name] = {
            f"xhops-{other}{form}{hops}": ", ".join(
                ["the same worlds"]
                + ([sizes[other]] if other != size else [])
                + (["one hop only"] if hops else [])
            )
            for other, hops in others
            if (other, hops) != (size, "")
        }
    return nearly


OWN: Mapping[str, str] = {
    "xnli": "mnli",
    "pawsx": "pawsx-en",
    "django-topic": "django-topic-en",
    "udpos": "udpos-en",
    "udpos-words": "udpos-words-en",
    "panx": "panx-en",
    "uner": "uner-en",
    "xquad": "squad",
    "mlqa": "squad",
    "tydiqa": "tydiqa-en",
    "xcopa": "copa",
    **{f"xhops-{form}-{hops}": f"xhops-{form}" for form in FORMATS for hops in (1, 2, 3)},
    **{f"xhops-small-{form}-{hops}": f"xhops-small-{form}" for form in FORMATS for hops in (1, 2)},
    **{f"babi-{number}": "babi-en" for number in (1, 2, 3)},
    "babi-4": "babi-4-en",
    **{
        f"{name}{reading}": f"{name}{reading}-en"
        for name in ("hotpotqa", "2wikimultihopqa", "musique")
        for reading in ("", "-supporting")
    },
    "xhotpotqa": "hotpotqa-supporting-en",
    "jemhopqa": "hotpotqa-supporting-en",
    "mintaka-multihop": "mintaka-en",
    "mintaka-generic": "mintaka-en",
}
"""Target -> its English training set."""

NEARLY: Mapping[str, Mapping[str, str]] = {
    "mnli": {
        "anli-plus": "ANLI+ joins SNLI, MNLI and the three rounds of ANLI",
        "anli+": "ANLI+ joins SNLI, MNLI and the three rounds of ANLI",
        "mnli-translated": "MNLI and its machine translations",
    },
    "pawsx-en": {"pawsx-translated": "PAWS-X's English training set and its machine translations"},
    "squad": {
        "squad-v2": "SQuAD 2.0 holds the questions of SQuAD 1.1",
        "squad-translated": "SQuAD 1.1 and its machine translations",
    },
    "udpos-en": {"udpos-words-en": "the same sentences with other word boundaries"},
    "udpos-words-en": {"udpos-en": "the same sentences with other word boundaries"},
    **_nearly_xhops(),
    "babi-en": {"babi-4-en": "the same simulated world"},
    "babi-4-en": {"babi-en": "the same simulated world"},
    **{
        f"{name}{reading}-en": {f"{name}{other_reading}-en": "the same questions with other paragraphs"}
        for name in ("hotpotqa", "2wikimultihopqa", "musique")
        for reading, other_reading in (("", "-supporting"), ("-supporting", ""))
    },
}
"""Training set -> other sets that are nearly the same data, and why."""


def same_source(condition: str, target: str) -> str:
    """Why the condition holds (nearly) the target's own English training data; empty where it does not.

    A condition of several sets, mixed (``a+b``) or one after another (``a>b``), holds the data of each. Of targets and
    sets that are not listed nothing is known, and the pair stays.
    """
    data = OWN.get(target)
    if data is None:
        return ""
    for name in (condition, *training_sets(condition)):
        if name == data:
            return "the target's own English training set"
        if name in NEARLY.get(data, {}):
            return NEARLY[data][name]
    return ""
