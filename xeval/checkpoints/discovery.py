"""Which checkpoints lie below a folder."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from xeval.checkpoints.adapters import ADAPTER_CONFIG
from xeval.checkpoints.checkpoint import PARTIAL_SUFFIX, Checkpoint
from xeval.checkpoints.layouts import MODULES_FILE, is_module_folder, is_sentence_folder
from xeval.errors import CheckpointError
from xeval.failures import explained
from xeval.files import real_folders

STEP_FOLDER = "checkpoint-"
"""How Trainer names the states of a run inside the folder of the run."""
WEIGHT_NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "adapter_model.safetensors",
)


@dataclass(frozen=True)
class Discovery:
    """What is below a folder.

    Attributes:
        checkpoints: sorted by name; the broken and unusable ones among them.
        left_out: checkpoints that are not looked at, by name, with the reason.
        unreadable: folders that could not be listed, by name, with the reason.
    """

    checkpoints: tuple[Checkpoint, ...]
    left_out: dict[str, str]
    unreadable: dict[str, str]


def survey(root: Path) -> Discovery:
    """Every real directory at or below ``root`` that holds a model or a part of one, however linked; hidden folders and
    unfinished saves are skipped.

    Trainer's ``checkpoint-<step>`` folders are left out inside a checkpoint that has weights of its own, as they are
    its history; inside one that has none they stand for it.

    Raises:
        CheckpointError: ``root`` does not exist or holds no checkpoint.
    """
    if not root.is_dir():
        raise CheckpointError(f"{root}: no such directory; give a checkpoint or a folder of checkpoints.")
    found: dict[Path, set[str]] = {}
    left_out: dict[str, str] = {}
    unreadable: dict[str, str] = {}

    def enter(folder: Path) -> bool:
        if folder.name.startswith(".") or folder.name.endswith(PARTIAL_SUFFIX):
            return False
        if folder.parent in found and is_module_folder(folder):
            return False
        if folder.name.startswith(STEP_FOLDER) and _has_weights(found.get(folder.parent, set())):
            left_out[_name_below(root, folder)] = (
                f"a state of the run in {folder.parent.name}, which is evaluated; give its path to evaluate it too"
            )
            return False
        return True

    def tell(folder: Path, error: OSError) -> None:
        unreadable[_name_below(root, folder)] = explained(error, folder, folder.name)

    for folder, names in real_folders(root, enter, tell):
        if MODULES_FILE in names and is_sentence_folder(folder):
            found[folder] = {*names, WEIGHT_NAMES[0]}  # which may lie in the folder of its Transformer
        elif {"config.json", ADAPTER_CONFIG, *WEIGHT_NAMES}.intersection(names):
            found[folder] = set(names)
    stand_ins = Counter(
        f.parent for f, names in found.items() if f.name.startswith(STEP_FOLDER) and _has_weights(names)
    )
    for folder, count in stand_ins.items():
        if folder in found:
            del found[folder]
            left_out[_name_below(root, folder)] = (
                f"has no weights of its own; its {count} {STEP_FOLDER}* folder{'s are' if count > 1 else ' is'} taken"
            )
    checkpoints = sorted((Checkpoint(path, _name_below(root, path)) for path in found), key=lambda c: c.name)
    if not checkpoints and not unreadable:
        raise CheckpointError(
            f"{root}: no checkpoint here (no directory with a config.json); "
            "make one with `xeval checkpoints base e5-small --out DIR`."
        )
    return Discovery(tuple(checkpoints), left_out, unreadable)


def discover(root: Path) -> Iterator[Checkpoint]:
    """The checkpoints of :func:`survey`."""
    yield from survey(root).checkpoints


def _has_weights(names: Iterable[str]) -> bool:
    return bool({*WEIGHT_NAMES}.intersection(names))


def _name_below(root: Path, path: Path) -> str:
    return path.resolve().name if path == root else path.relative_to(root).as_posix()
