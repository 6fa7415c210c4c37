"""Which of several stored units of one checkpoint, task and language stands for it, and under which name.

Retrained weights, other settings, changed data and other cards all leave units behind, and clocks are wrong at times.
So the choice goes, as far as that decides: by what is asked for; by the newest definition of the task; by the weights
that lie at the checkpoint's path now; by the task's own settings before changed ones; by the settings that most results
of the task have. Only then the unit that was computed last is taken, and whenever results were left aside that could
have been meant, a remark says so and how to choose them.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from xeval.digests import known_digest
from xeval.errors import UsageError, XevalError, did_you_mean

if TYPE_CHECKING:
    from xeval.checkpoints import Checkpoint
    from xeval.store import UnitRecord

MOST_BYTES = (
    1 << 30
)  # of weights without a remembered digest that are read to choose by them, a second's work
FEW_BYTES = 1 << 26  # of those that are read only to say whether they have changed
SHORT = 8  # digits of a digest that are shown

Entry = tuple[Path, "UnitRecord"]


def choose(
    entries: Iterable[Entry], wanted: Mapping[str, str] | None = None
) -> tuple[list[Entry], list[str]]:
    """One unit for each checkpoint path, task and language, under names that are unique, and remarks on the choice.

    Args:
        entries: all readable units of a store.
        wanted: values that a unit's settings are to have, where it has the setting at all; beside the settings there
            are ``dtype``, ``weights`` and ``data`` (beginnings of digests).

    Raises:
        UsageError: no unit knows a name that is asked for, or none has the value.
    """
    cells: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    for entry in _at_home(_asked_for(list(entries), wanted or {})):
        record = entry[1]
        cells[record.checkpoint_path, record.task, record.language].append(entry)
    for key, candidates in cells.items():
        newest = max(_definition(record) for _, record in candidates)
        cells[key] = [entry for entry in candidates if _definition(entry[1]) == newest]
    present, remarks = _by_weights(cells)
    remarks += _by_card(cells, present)
    remarks += _by_settings(cells)
    chosen = sorted((entry for (entry,) in cells.values()), key=lambda entry: entry[0])
    return _named(chosen, remarks), remarks


def _asked_for(entries: list[Entry], wanted: Mapping[str, str]) -> list[Entry]:
    for name, value in wanted.items():
        known = {features[name] for _, record in entries if name in (features := _features(record))}
        if not known:
            names = sorted({name for _, record in entries for name in _features(record)})
            raise UsageError(
                f"--setting {name}={value}: no result has this setting{did_you_mean(name, names)}; there are "
                f"{', '.join(names)}."
            )
        digest = name in ("weights", "data")
        if not any(each == value or (digest and value.startswith(each)) for each in known):
            raise UsageError(
                f"--setting {name}={value}: no result has it{did_you_mean(value, known)}; there are "
                f"{', '.join(sorted(known)[:10])}{' ...' if len(known) > 10 else ''}."
            )
        short = value[:SHORT] if digest else value
        entries = [entry for entry in entries if _features(entry[1]).get(name, short) == short]
    return entries


def _at_home(entries: list[Entry]) -> list[Entry]:
    """The units with one path for a checkpoint that was moved or copied: same weights, same name, same card.

    Of its paths that which still exists is taken, and of several the one that was evaluated last.
    """
    paths: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    for _, record in entries:
        found = paths[record.checkpoint_digest, record.checkpoint, record.identity]
        found[record.checkpoint_path] = max(found.get(record.checkpoint_path, ""), record.finished)
    home = {
        key: max(found, key=lambda path: (Path(path).exists(), found[path], path))
        for key, found in paths.items()
        if len(found) > 1
    }
    moved = []
    for file, record in entries:
        path = home.get(
            (record.checkpoint_digest, record.checkpoint, record.identity), record.checkpoint_path
        )
        if path != record.checkpoint_path:
            record = record.model_copy(update={"checkpoint_path": path})
        moved.append((file, record))
    return moved


def _features(record: "UnitRecord") -> dict[str, str]:
    """What two units of one checkpoint path, task and language can differ in, as people give and read it."""
    return {
        **{name: str(value) for name, value in record.settings.items()},
        "dtype": record.dtype,
        "weights": record.checkpoint_digest[:SHORT],
        "data": record.data_digest[:SHORT],
    }


def _definition(record: "UnitRecord") -> tuple[int, int]:
    """What the task is and how it is scored: a later one takes the place of an earlier one."""
    return record.task_version, sum(version - 1 for version in record.metric_versions.values())


def _by_weights(
    cells: dict[tuple[str, str, str], list[Entry]],
) -> tuple[dict[str, "Checkpoint | None"], list[str]]:
    """Leave of every path the units of the weights that lie there now; gives what lies there and the remarks."""
    last: dict[str, dict[str, tuple[str, str]]] = defaultdict(
        dict
    )  # by path and digest: the last unit's time and name
    for (path, _, _), candidates in cells.items():
        for _, record in candidates:
            known = last[path].get(record.checkpoint_digest, ("", ""))
            last[path][record.checkpoint_digest] = max(known, (record.finished, record.checkpoint))
    look = _looker()
    present: dict[str, Checkpoint | None] = {}
    order: dict[str, list[str]] = {}
    remarks = []
    for path, digests in sorted(last.items(), key=lambda pair: -len(pair[1])):
        present[path], now, why = look(path, len(digests) > 1)
        order[path] = sorted(digests, key=lambda digest: (digest == now, digests[digest]), reverse=True)
        shown = order[path][0]
        name = digests[shown][1]
        others = " or ".join(f"--setting weights={digest[:SHORT]}" for digest in order[path][1:])
        if now and now not in digests:
            remarks.append(
                f"{name}: what is at {path} now has no results; these are of the weights that were there "
                f"({shown[:SHORT]}{', computed last' if others else ''}); run again."
            )
        elif others and not now:
            remarks.append(
                f"{name}: has results of {len(digests)} different weights, and {why}; shown are those computed last "
                f"({shown[:SHORT]}), {others} chooses."
            )
    for key, candidates in cells.items():
        if len(candidates) > 1:
            here = {record.checkpoint_digest for _, record in candidates}
            best = next(digest for digest in order[key[0]] if digest in here)
            cells[key] = [entry for entry in candidates if entry[1].checkpoint_digest == best]
    return present, remarks


def _looker() -> "Callable[[str, bool], tuple[Checkpoint | None, str, str]]":
    """Looks up what lies at a path: the checkpoint, its digest (empty where it is not known), and why it is not."""
    from xeval.checkpoints import Checkpoint

    rooms = {True: MOST_BYTES, False: FEW_BYTES}

    def look(path: str, needed: bool) -> tuple[Checkpoint | None, str, str]:
        checkpoint = Checkpoint(Path(path), PurePath(path).name)
        try:
            unread = [file for file in checkpoint.weight_files if known_digest(file) is None]
            size = sum(file.stat().st_size for file in unread)
            if size > rooms[needed]:
                return checkpoint, "", f"those at {path} now are too large to be read for this"
            rooms[needed] -= size
            return checkpoint, checkpoint.digest, ""
        except (XevalError, OSError):
            return None, "", f"there is no checkpoint at {path} now"

    return look


def _by_card(
    cells: dict[tuple[str, str, str], list[Entry]], present: "Mapping[str, Checkpoint | None]"
) -> list[str]:
    """Of units that differ in nothing but the checkpoint's name and card, leave that of the card that is there now;
    gives remarks on cards that were changed since."""
    from xeval.checkpoints import Checkpoint

    identities: dict[tuple[str, str], str] = {}

    def is_now(record: "UnitRecord") -> bool:
        key = record.checkpoint_path, record.checkpoint
        if (found := present[record.checkpoint_path]) is None:
            return False
        if key not in identities:
            try:
                identities[key] = Checkpoint(found.path, record.checkpoint).identity
            except (XevalError, OSError):
                identities[key] = ""
        return identities[key] == record.identity

    stale: dict[str, str] = {}
    for key, candidates in cells.items():
        alike: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
        for entry in candidates:
            alike[tuple(_features(entry[1]).values()) if len(candidates) > 1 else ()].append(entry)
        cells[key] = [
            max(group, key=lambda entry: (entry[1].schema_version, is_now(entry[1]), entry[1].finished))
            for group in alike.values()
        ]
        if present[key[0]] is not None and not any(is_now(record) for _, record in cells[key]):
            stale[key[0]] = cells[key][0][1].checkpoint
    return [
        f"{name}: the card at {path} is not the one that was there; run again, which computes nothing anew."
        for path, name in stale.items()
    ]


def _by_settings(cells: dict[tuple[str, str, str], list[Entry]]) -> list[str]:
    """Leave one unit in every cell; gives the remarks."""

    def key(record: "UnitRecord") -> tuple[Any, ...]:
        return (
            record.task,
            record.dtype,
            *sorted((name, str(value)) for name, value in record.settings.items()),
        )

    spread = Counter(key(record) for candidates in cells.values() for _, record in candidates)
    choices: Counter[tuple[str, str, tuple[str, ...]]] = Counter()
    for (path, task, language), candidates in cells.items():
        if len(candidates) == 1:
            continue
        candidates.sort(
            key=lambda entry: (
                entry[1].changed == {},
                entry[1].changed is None,
                spread[key(entry[1])],
                entry[1].finished,
            ),
            reverse=True,
        )
        texts = _differences([record for _, record in candidates])
        choices[task, texts[0], tuple(sorted(texts[1:]))] += 1
        cells[path, task, language] = candidates[:1]
    return [
        f"{task}: shown with {shown}; {count} result{'s are' if count > 1 else ' is'} stored with other settings too, "
        + " or ".join(f"--setting {text.replace(' ', ' --setting ')}" for text in others)
        + " chooses."
        for (task, shown, others), count in choices.items()
    ] + _mixed(cells)


def _mixed(cells: Mapping[tuple[str, str, str], Sequence[Entry]]) -> list[str]:
    """Remarks on checkpoints whose languages in one task were not evaluated alike."""
    rows: dict[tuple[str, str], list[UnitRecord]] = defaultdict(list)
    for (path, task, _), ((_, record),) in cells.items():
        rows[path, task].append(record)
    remarks = []
    for (_, task), records in rows.items():
        languages: dict[str, list[str]] = defaultdict(list)
        for record, text in zip(records, _differences(records, ignored=("data",)), strict=True):
            languages[text].append(record.language)
        if len(languages) > 1:
            parts = "; ".join(f"{text}: {' '.join(codes)}" for text, codes in languages.items())
            remarks.append(
                f"{records[0].checkpoint} · {task}: its languages were not evaluated alike ({parts})."
            )
    return remarks


def _differences(records: Sequence["UnitRecord"], ignored: Sequence[str] = ()) -> list[str]:
    """Of every unit, what it has that not all of them have: ``layer=7 dtype=float32``."""
    features = [_features(record) for record in records]
    names = [
        name
        for name in dict.fromkeys(name for each in features for name in each)
        if name not in ignored and len({each.get(name) for each in features}) > 1
    ]
    return [" ".join(f"{name}={each.get(name, '')}" for name in names) for each in features]


def _named(entries: Sequence[Entry], remarks: list[str]) -> list[Entry]:
    """The units with one name a checkpoint path: where two paths share one, each gets what tells its path apart."""
    given: dict[str, str] = {}
    for _, record in entries:
        path = record.checkpoint_path
        given[path] = max(given.get(path, ""), record.checkpoint, key=lambda name: (len(name), name))
    names, lengths = dict(given), {path: len(PurePath(name).parts) - 1 for path, name in given.items()}
    while clashing := {name for name, count in Counter(names.values()).items() if count > 1}:
        for path in [path for path, name in names.items() if name in clashing]:
            own = [part for part in PurePath(path).parts if part != PurePath(path).anchor]
            lengths[path] += 1
            names[path] = PurePath(*own[-lengths[path] :]).as_posix() if lengths[path] <= len(own) else path
    for name in sorted({given[path] for path in names if names[path] != given[path]}):
        told = sorted(names[path] for path in names if given[path] == name)
        remarks.append(f"{len(told)} checkpoints are named {name!r}: they are shown as {', '.join(told)}.")
    return [
        (file, record)
        if record.checkpoint == names[record.checkpoint_path]
        else (file, record.model_copy(update={"checkpoint": names[record.checkpoint_path]}))
        for file, record in entries
    ]
