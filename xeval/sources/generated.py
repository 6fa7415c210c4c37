"""Examples made by the built-in generator: the format x hops grid of ``xeval.xhops`` and its sentences."""

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

from xeval.digests import value_digest
from xeval.examples import Example

KEPT_SETS = 8  # of the nodes of a study, which are trained on few sets


@dataclass(frozen=True)
class GeneratedSource:
    """A cell of the grid.

    Attributes:
        format: how the task is posed.
        hops: number of facts to combine.
        size: number of items.
        seed: another seed gives other items.
        family: what the worlds are about; None takes all families in turn.
        chains: chains of facts in a context: the number of candidates.
        depth: links of a chain.
    """

    format: Literal["claim", "question", "choice"]
    hops: Literal[1, 2, 3]
    size: int
    seed: int = 0
    family: str | None = None
    chains: int = 3
    depth: int = 3

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        """None: nothing is read."""
        return ()

    def digest(self, root: Path | None, language: str, split: str) -> str:
        """Digest of the generator's version and of all parameters."""
        from xeval import xhops

        return value_digest({"xhops": xhops.VERSION, "language": language, "split": split, **asdict(self)})

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        """The generated items: equal parameters give equal items."""
        return list(_generated(self, language, split))


@lru_cache(maxsize=KEPT_SETS)
def _generated(source: GeneratedSource, language: str, split: str) -> tuple[Example, ...]:
    from xeval.xhops import generate

    known_split = cast(Any, split)  # the generator itself refuses an unknown one
    parameters = {name: value for name, value in asdict(source).items() if name not in ("format", "hops")}
    return tuple(generate(source.format, source.hops, language, known_split, **parameters))


@dataclass(frozen=True)
class GeneratedBitext:
    """Sentences of the grid with their English translations; there is one split.

    Attributes:
        size: number of sentences.
        seed: another seed pairs other names.
    """

    size: int
    seed: int = 0

    def files(self, root: Path | None, language: str, split: str) -> tuple[Path, ...]:
        """None: nothing is read."""
        return ()

    def digest(self, root: Path | None, language: str, split: str) -> str:
        """Digest of the generator's version and of all parameters."""
        from xeval import xhops

        return value_digest({"xhops-bitext": xhops.VERSION, "language": language, **asdict(self)})

    def load(self, root: Path | None, language: str, split: str) -> list[Example]:
        """The generated pairs: equal parameters give equal pairs."""
        from xeval.xhops import sentence_pairs

        return list(sentence_pairs(language, self.size, self.seed))
