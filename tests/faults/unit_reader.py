"""Reads units in the process of a trial, which may crash."""

import traceback
from pathlib import Path

from xeval.errors import XevalError
from xeval.store import Store


def read_units(damaged: str, original: str) -> dict[str, str]:
    """How each unit of a damaged store is read, compared with the original one: by its path below the store."""
    found = {}
    for path in sorted(Path(damaged).rglob("*.parquet")):
        name = path.relative_to(damaged).as_posix()
        try:
            record, rows = Store(Path(damaged)).read(path)
        except XevalError as error:
            text = str(error)
            found[name] = (
                "refused" if path.name in text and "\n" not in text else f"refused without its name: {text}"
            )
        except BaseException:  # noqa: BLE001  (a panic too is to be told)
            found[name] = traceback.format_exc()
        else:
            same = (record, rows) == Store(Path(original)).read(Path(original, name))
            found[name] = "read as it was" if same else "read otherwise than it was"
    return found
