"""Published numbers, as the files in ``analysis/data`` hold them with their sources."""

from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Row:
    """A published number and the key of its source."""

    condition: str
    target: str
    lang: str
    metric: str
    score: float
    source: str


def read_published(name: str) -> tuple[list[Row], dict[str, str]]:
    """The numbers, and the source behind every key."""
    rows, sources = [], {}
    lines = files("xeval.analysis").joinpath("data", f"{name}.tsv").read_text(encoding="utf-8").splitlines()
    header, *table = [line for line in lines if not line.startswith("#")]
    for line in lines:
        if line.startswith("# ["):
            key, _, text = line.removeprefix("# [").partition("] ")
            sources[key] = text
    columns = header.split("\t")
    for line in table:
        cells = dict(zip(columns, line.split("\t"), strict=True))
        rows.append(Row(**{**cells, "score": float(cells["score"])}))  # type: ignore[arg-type]
    return rows, sources
