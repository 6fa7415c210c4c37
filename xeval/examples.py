"""What a reader yields and a task consumes: one frozen record per test item, one type per task kind.

Common fields:
    item_id: unique inside one (task, language); identical across languages where items are parallel.
    cluster_id: what is resampled together: the passage of a question, else the item itself. Identical
        across languages where items are parallel, so that one draw moves all languages together.
    hops: number of facts that have to be combined; 0 where the data set does not say.
    category: the data set's own word for the sort of item (bridge, comparison, qa2); empty where it has none.

Every record says, whatever its kind:
    texts(): the texts that an encoder reads; words where a sentence is cut in words.
    labels(): the label names or tags of the item; empty where it has none.
    answer_keys(): what is one and the same in all items of a set whose answers are blanked, and nowhere else.
    gold_texts(): the right answers, for people; several where any of them is right.
    passages(): what to show of the item: a name, the text, and the part of it that holds the answer.
    shown(prediction): a stored prediction, for people.
"""

from dataclasses import dataclass

OUTSIDE = "O"  # tag of a word outside all entities
Passage = tuple[str, str, tuple[int, int] | None]


def isolated(word: str) -> str:
    """A word that leaves the direction of the text around it alone (Unicode Standard Annex 9, section 2.4)."""
    return f"\u2068{word}\u2069"


class _Example:
    """What most kinds have in common."""

    __slots__ = ()

    def labels(self) -> tuple[str, ...]:
        return ()

    def answer_keys(self) -> tuple[object, ...]:
        return self.labels()

    def shown(self, prediction: str) -> str:
        return prediction


@dataclass(frozen=True, slots=True)
class TextPair(_Example):
    """Classification of one text (``second`` is None) or of a pair of texts; ``label`` is a label name."""

    item_id: str
    cluster_id: str
    first: str
    second: str | None
    label: str
    hops: int = 0
    category: str = ""

    def texts(self) -> tuple[str, ...]:
        return (self.first,) if self.second is None else (self.first, self.second)

    def labels(self) -> tuple[str, ...]:
        return (self.label,)

    def gold_texts(self) -> tuple[str, ...]:
        return (self.label,)

    def passages(self) -> tuple[Passage, ...]:
        if self.second is None:
            return (("text", self.first, None),)
        return (("first text", self.first, None), ("second text", self.second, None))


@dataclass(frozen=True, slots=True)
class MultipleChoice(_Example):
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

    def texts(self) -> tuple[str, ...]:
        return (self.context, *self.choices)

    def answer_keys(self) -> tuple[object, ...]:
        return (self.label,)

    def gold_texts(self) -> tuple[str, ...]:
        return (self.shown(str(self.label)),)

    def passages(self) -> tuple[Passage, ...]:
        choices = "\n".join(self.shown(str(number)) for number in range(len(self.choices)))
        return (("context", self.context, None), ("choices", choices, None))

    def shown(self, prediction: str) -> str:
        """The choice with its text, numbered from 1."""
        return f"{int(prediction) + 1}. {self.choices[int(prediction)]}"


@dataclass(frozen=True, slots=True)
class TaggedSentence(_Example):
    """A sentence cut in words, one tag a word."""

    item_id: str
    cluster_id: str
    words: tuple[str, ...]
    tags: tuple[str, ...]
    hops: int = 0
    category: str = ""

    def texts(self) -> tuple[str, ...]:
        return self.words

    def labels(self) -> tuple[str, ...]:
        return self.tags

    def gold_texts(self) -> tuple[str, ...]:
        tagged = zip(self.words, self.tags, strict=True)
        return (
            "; ".join(f"{isolated(word)} {tag}" for word, tag in tagged if tag != OUTSIDE)
            or f"{OUTSIDE} everywhere",
        )

    def passages(self) -> tuple[Passage, ...]:
        return (("sentence", " ".join(self.words), None),)

    def shown(self, prediction: str) -> str:
        """The wrong words only."""
        read = zip(self.words, self.tags, prediction.split(" "), strict=True)
        wrong = [f"{isolated(word)} {gold} → {tag}" for word, gold, tag in read if tag != gold]
        return "; ".join(wrong) or "all tags right"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; ``start`` is a character (code point) offset into the context.

    It is -1 where the text stands nowhere in the context: scored by its text, trained at no token.
    """

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Question(_Example):
    """Extractive question answering; an empty ``answers`` means that the passage has no answer."""

    item_id: str
    cluster_id: str
    question: str
    context: str
    answers: tuple[Answer, ...]
    hops: int = 0
    category: str = ""

    def texts(self) -> tuple[str, ...]:
        return (self.question, self.context)

    def answer_keys(self) -> tuple[object, ...]:
        return (self.item_id,) if self.answers else ("no answer",)

    def gold_texts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(answer.text for answer in self.answers)) or ("",)

    def passages(self) -> tuple[Passage, ...]:
        found = next((answer for answer in self.answers if answer.start >= 0), None)
        mark = None if found is None else (found.start, found.start + len(found.text))
        return (("question", self.question, None), ("passage", self.context, mark))


@dataclass(frozen=True, slots=True)
class Translation(_Example):
    """A sentence in a foreign language (``source``) and its English translation (``target``)."""

    item_id: str
    cluster_id: str
    source: str
    target: str
    hops: int = 0
    category: str = ""

    def texts(self) -> tuple[str, ...]:
        return (self.source, self.target)

    def gold_texts(self) -> tuple[str, ...]:
        return (self.target,)

    def passages(self) -> tuple[Passage, ...]:
        return (("sentence", self.source, None),)


Example = TextPair | MultipleChoice | TaggedSentence | Question | Translation
