"""What a reader yields and a task consumes: one frozen record per test item, one type per task kind.

Common fields:
    item_id: unique inside one (task, language); identical across languages where items are parallel.
    cluster_id: what is resampled together: the passage of a question, else the item itself. Identical
        across languages where items are parallel, so that one draw moves all languages together.
    hops: number of facts that have to be combined; 0 where the data set does not say.
    category: the data set's own word for the sort of item (bridge, comparison, qa2); empty where it has none.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TextPair:
    """Classification of one text (``second`` is None) or of a pair of texts; ``label`` is a label name."""

    item_id: str
    cluster_id: str
    first: str
    second: str | None
    label: str
    hops: int = 0
    category: str = ""


@dataclass(frozen=True, slots=True)
class MultipleChoice:
    """Choose among continuations of a context; ``label`` is the row of the right one in ``choices``.

    ``choice_first`` puts each choice before the context, where a question about it stands.
    """

    item_id: str
    cluster_id: str
    context: str
    choices: tuple[str, ...]
    label: int
    hops: int = 0
    category: str = ""
    choice_first: bool = False


@dataclass(frozen=True, slots=True)
class TaggedSentence:
    """A sentence cut in words, one tag a word."""

    item_id: str
    cluster_id: str
    words: tuple[str, ...]
    tags: tuple[str, ...]
    hops: int = 0
    category: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; ``start`` is a character (code point) offset into the context.

    It is -1 where the text stands nowhere in the context: scored by its text, trained at no token.
    """

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Question:
    """Extractive question answering; an empty ``answers`` means that the passage has no answer."""

    item_id: str
    cluster_id: str
    question: str
    context: str
    answers: tuple[Answer, ...]
    hops: int = 0
    category: str = ""


@dataclass(frozen=True, slots=True)
class Translation:
    """A sentence in a foreign language (``source``) and its English translation (``target``)."""

    item_id: str
    cluster_id: str
    source: str
    target: str
    hops: int = 0
    category: str = ""


Example = TextPair | MultipleChoice | TaggedSentence | Question | Translation
