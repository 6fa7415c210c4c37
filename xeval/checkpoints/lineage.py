"""The lineage card: how a checkpoint came about."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xeval.checkpoints.reading import require_regular
from xeval.conditions import BASELINE
from xeval.errors import CheckpointError
from xeval.files import write_text

CARD_NAME = "xeval.json"


class TrainingData(BaseModel):
    """One data set that a phase was trained on."""

    model_config = ConfigDict(extra="forbid")
    name: str
    digest: str
    rows: int


class Lineage(BaseModel):
    """The lineage card ``xeval.json``: how a checkpoint came about.

    ``condition`` is the set of intermediate tasks joined by ``+`` (``none`` is the baseline); ``target`` is
    the name of the English training set of the target phase; ``parent`` is the parent's content digest; ``weights`` is
    the digest of the weight files that the card was written for; ``collapsed`` says why training taught nothing.
    """

    model_config = ConfigDict(extra="forbid")
    schema_version: Literal[1] = 1
    phase: Literal["base", "intermediate", "target"]
    base: str
    parent: str | None = None
    condition: str = BASELINE
    target: str | None = None
    seed: int | None = None
    recipe: dict[str, Any] = Field(default_factory=dict)
    data: list[TrainingData] = Field(default_factory=list)
    history: list[dict[str, Any]] = Field(default_factory=list)
    software: dict[str, str] = Field(default_factory=dict)
    device: str | None = None
    wall_seconds: float | None = None
    notes: str | None = None
    weights: str | None = None
    collapsed: str | None = None

    def write(self, directory: Path) -> Path:
        """Write the card beside the weights, replacing an older one in one step."""
        path = directory / CARD_NAME
        write_text(path, self.model_dump_json(indent=2) + "\n")
        return path


def read_card(directory: Path) -> Lineage | None:
    """The card in a directory, or None where there is none.

    Raises:
        CheckpointError: it is damaged.
    """
    path = directory / CARD_NAME
    if not path.exists():
        return None
    try:
        require_regular(path)
        return Lineage.model_validate_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"msg": str(error), "loc": ()}
        where = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(
            f"{path}: not a valid lineage card ({where + ': ' if where else ''}{first['msg']}); "
            "mend it or write a new one with `xeval checkpoints card`."
        ) from error
