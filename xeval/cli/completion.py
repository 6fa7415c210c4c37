"""What a shell offers at the Tab key. Called at every key, so that nothing slow is imported here."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path


def listed(complete: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Completion of the last of several names joined by commas; names that are there already are not offered."""

    def offer(incomplete: str) -> list[str]:
        given, comma, last = incomplete.rpartition(",")
        there = given.split(",")
        return [given + comma + name for name in complete() if name.startswith(last) and name not in there]

    return offer


def one_of(complete: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Completion of one name."""
    return lambda incomplete: [name for name in complete() if name.startswith(incomplete)]


def tasks() -> Sequence[str]:
    """Names of the tasks, kept in a file until a module of the package, or what is installed, changes."""
    import sysconfig

    from xeval.digests import cache_root, text_digest

    package = Path(__file__).parents[1]
    sources = [package, *package.glob("tasks/*.py"), Path(sysconfig.get_path("purelib"))]
    state = text_digest(*(f"{path}:{path.stat().st_mtime_ns}" for path in sorted(sources)))
    kept = cache_root() / "completion.json"
    try:
        known = json.loads(kept.read_text(encoding="utf-8"))
        if known["state"] == state:
            return [str(name) for name in known["tasks"]]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none is kept yet, or it is damaged: it is made again
    from xeval.tasks import all_tasks

    names = list(all_tasks())
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps({"state": state, "tasks": names}), encoding="utf-8")
    except OSError:
        pass  # a read-only home makes the next Tab slower, no more
    return names


def languages() -> Sequence[str]:
    """Codes of the languages."""
    from xeval.languages import LANGUAGES

    return list(LANGUAGES)


def recipes() -> Sequence[str]:
    """Names of the recipes of retrieval and mining."""
    from xeval.retrieval.recipes import RECIPES

    return list(RECIPES)


def stored_tasks() -> Sequence[str]:
    """Tasks that the store on the command line holds."""
    return sorted({folder.name for part in _parts() for folder in part.iterdir() if folder.is_dir()})


def stored_names() -> Sequence[str]:
    """Conditions and checkpoints of the store on the command line."""
    from xeval.store import Store

    names: dict[str, None] = {}
    for part in _parts():
        limit = part.name.removeprefix("limited-")
        records, _ = Store(part.parent).records(int(limit) if limit.isdecimal() else None)
        names |= dict.fromkeys(unit.run.condition for _, unit in records)
        names |= dict.fromkeys(unit.checkpoint for _, unit in records)
    return list(names)


def _parts() -> list[Path]:
    """The folders with units of the first store that is named on the command line being typed."""
    # What comes before the option under the cursor is not parsed, so that the words themselves are looked at.
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    words = [*line.split(), os.environ.get("XEVAL_STORE"), "xeval-store"]
    for word in filter(None, words):
        store = Path(word).expanduser()
        if parts := [folder for folder in (store / "units", *store.glob("limited-*")) if folder.is_dir()]:
            return parts
    return []
