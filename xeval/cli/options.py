"""Options that several commands share, under the same names everywhere, and what they mean together."""

import functools
import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xeval.cli import completion
from xeval.errors import UsageError

if TYPE_CHECKING:
    from xeval.evaluation.options import RunOptions
    from xeval.evaluation.plan import Plan
    from xeval.store import Store
    from xeval.tasks import Task

OWN = "A task of your own"
RETRIEVAL = "Retrieval and mining"

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
StoreOption = Annotated[
    Path, typer.Option("--store", "-s", help="Folder that keeps the results.", envvar="XEVAL_STORE")
]
StoreArgument = Annotated[
    Path, typer.Argument(help="Folder that keeps the results.", envvar="XEVAL_STORE", show_envvar=False)
]
DEFAULT_STORE = Path("xeval-store")


def _data_root(text: str) -> Path:
    from xeval.sources import data_root

    return data_root(text)


DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        "-d",
        help="Folder with the published data sets, or `hub` for the Hugging Face hub.",
        envvar="XEVAL_DATA",
        parser=_data_root,
        metavar="PATH",
    ),
]
MapOption = Annotated[
    Path | None,
    typer.Option(
        "--map",
        help="Results of other tools: TOML file that names each model's condition and seed, each task's target.",
        show_default=False,
    ),
]
Checkpoints = Annotated[Path, typer.Argument(help="A checkpoint, or a folder that holds some at any depth.")]
TasksOption = Annotated[
    str,
    typer.Option(
        "--tasks",
        "-t",
        autocompletion=completion.listed(completion.tasks),
        help="Task names joined by commas; empty: all that fit a checkpoint, but for diagnostic ones.",
    ),
]
LanguagesOption = Annotated[
    str,
    typer.Option(
        "--languages",
        "-l",
        autocompletion=completion.listed(completion.languages),
        help="Language codes joined by commas; empty: all of a task's.",
    ),
]
TasksFrom = Annotated[
    Path | None,
    typer.Option(
        help="Python file with task declarations of your own.", rich_help_panel=OWN, show_default=False
    ),
]
TaskFile = Annotated[
    Path | None,
    typer.Option(
        help="Rows of a task of your own (.jsonl, .csv, .tsv, .parquet), named after the file.",
        rich_help_panel=OWN,
        show_default=False,
    ),
]
TaskKind = Annotated[
    str,
    typer.Option(
        "--kind",
        help="What its rows are: classification, choice, tagging, span_qa or retrieval.",
        rich_help_panel=OWN,
    ),
]
TaskGroup = Annotated[
    str,
    typer.Option(
        "--group", help="What a report contrasts it as; empty: as is usual for its kind.", rich_help_panel=OWN
    ),
]
TrainedOn = Annotated[
    str,
    typer.Option(
        help="The English training set that a checkpoint's card has to name: of a --task-file (empty: any whose head "
        "fits), or of --tasks instead of their own (keep such results in a store apart).",
        rich_help_panel=OWN,
    ),
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Only the first N items of a unit; kept apart from full results.")
]
Setting = Annotated[
    list[str] | None,
    typer.Option(
        "--setting",
        metavar="NAME=VALUE",
        help="Where results with several settings are stored, those with this one, such as layer=7; can be repeated.",
        show_default=False,
    ),
]


def settings_of(given: Sequence[str] | None) -> dict[str, str]:
    """The settings that are asked for by ``--setting``."""
    asked: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UsageError(f"--setting {text}: give a name and a value, such as layer=7.")
        if asked.setdefault(name, value) != value:
            raise UsageError(f"--setting {text}: {name}={asked[name]} is asked for too; give one of them.")
    return asked


BasesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--base",
        help="A base that adapters adapt, or a folder of bases; can be repeated. Those beside an adapter are found.",
        show_default=False,
    ),
]
LabelPiece = Annotated[
    str | None,
    typer.Option(
        help="Of a tagged word, where no card says it: first (as XTREME), first_nonempty or last.",
        show_default=False,
    ),
]
MaxLength = Annotated[int | None, typer.Option(min=8, help="Longest sequence in tokens.")]
Layer = Annotated[
    int | None,
    typer.Option(
        min=0, help="Layer of the embeddings; 0 is the embedding output.", rich_help_panel=RETRIEVAL
    ),
]
Layers = Annotated[
    str, typer.Option(help="`all`: scores of every layer beside, from one pass.", rich_help_panel=RETRIEVAL)
]
Pooling = Annotated[
    str,
    typer.Option(
        help="mean (with special tokens), mean_no_special, cls, max, last or pooler; empty: the recipe's, or a "
        "sentence-transformers folder's own.",
        rich_help_panel=RETRIEVAL,
    ),
]
Prompt = Annotated[
    str, typer.Option(help="Text before every sentence, as `query: `.", rich_help_panel=RETRIEVAL)
]
RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe",
        autocompletion=completion.one_of(completion.recipes),
        help="Published settings: default, jiant, xtreme or laser; the options below change single ones.",
        rich_help_panel=RETRIEVAL,
    ),
]
Centring = Annotated[
    str, typer.Option(help="none, language_mean or mean_difference.", rich_help_panel=RETRIEVAL)
]
Similarity = Annotated[str, typer.Option(help="cosine or euclidean.", rich_help_panel=RETRIEVAL)]
Margin = Annotated[str, typer.Option(help="none, absolute, distance or ratio.", rich_help_panel=RETRIEVAL)]
Neighbourhood = Annotated[
    int | None,
    typer.Option("--k", min=1, help="Neighbours that a margin looks at.", rich_help_panel=RETRIEVAL),
]
Direction = Annotated[
    str, typer.Option(help="Who asks: foreign, english or both.", rich_help_panel=RETRIEVAL)
]
Matching = Annotated[
    str, typer.Option(help="For mining: max, intersect, forward or backward.", rich_help_panel=RETRIEVAL)
]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N; empty: a GPU where there is one.")]
Dtype = Annotated[str, typer.Option(help="float32 or bfloat16; empty: bfloat16 on a GPU, else float32.")]
Budget = Annotated[
    int, typer.Option(min=0, help="Padded tokens per batch; 0 fits the device. Changes no score.")
]


@dataclass(frozen=True)
class Embeddings:
    """How sentences become embeddings and are matched, where it differs from the default recipe."""

    recipe: RecipeName = ""
    layer: Layer = None
    pooling: Pooling = ""
    prompt: Prompt = ""
    centring: Centring = ""
    similarity: Similarity = ""
    margin: Margin = ""
    k: Neighbourhood = None
    matching: Matching = ""


@dataclass(frozen=True)
class Retrieval(Embeddings):
    """As for mining, and what only retrieval takes."""

    direction: Direction = ""
    layers: Layers = ""


@dataclass(frozen=True)
class OwnTasks:
    """Tasks that the user adds to the known ones."""

    tasks_from: TasksFrom = None
    task_file: TaskFile = None
    kind: TaskKind = ""
    group: TaskGroup = ""
    trained_on: TrainedOn = ""

    def add(self) -> str:
        """Add them; gives the name of the file's task, empty without a file."""
        from xeval.tasks import add_task, add_tasks_from

        if self.tasks_from is not None:
            add_tasks_from(self.tasks_from)
        if self.task_file is None:
            if self.kind or self.group:
                raise UsageError("--kind and --group say what a --task-file is; name the file.")
            return ""
        from xeval.tasks.user_file import task_from_file

        own = task_from_file(self.task_file, self.kind, self.group, self.trained_on)
        add_task(own)
        return own.name


@dataclass(frozen=True)
class Evaluation:
    """What is evaluated, on what, and how."""

    checkpoints: Checkpoints
    store: StoreOption = DEFAULT_STORE
    data: DataOption = None
    tasks: TasksOption = ""
    languages: LanguagesOption = ""
    limit: Limit = None
    max_length: MaxLength = None
    label_piece: LabelPiece = None
    base: BasesOption = None
    device: Device = ""
    dtype: Dtype = ""

    def options(self, retrieval: Retrieval, token_budget: int = 0) -> "RunOptions":
        """The options of a run; settings that are None or empty stay as the tasks have them."""
        from xeval.evaluation.options import RunOptions
        from xeval.sources import HUB

        if self.data is not None and self.data != HUB and not self.data.is_dir():
            raise UsageError(f"--data {self.data}: no such directory.")
        settings = given(**vars(retrieval), max_length=self.max_length, label_piece=self.label_piece)
        return RunOptions(self.data, settings, self.limit, self.device, self.dtype, token_budget)

    def plan(self, options: "RunOptions", own: OwnTasks) -> "tuple[list[Task], Store, Plan]":
        """The tasks that are looked at, the store, and the units."""
        from xeval.checkpoints import survey
        from xeval.evaluation.plan import plan_units
        from xeval.languages import language
        from xeval.store import Store
        from xeval.tasks import all_tasks, task

        name_bases(self.base)
        added = own.add()
        names = split(self.tasks or added)
        chosen = [task(name) for name in names] or [
            known for known in all_tasks().values() if known.group != "diagnostic"
        ]
        if own.trained_on:
            if not names:
                raise UsageError("--trained-on goes with a --task-file or with --tasks; name one.")
            if headless := next((one.name for one in chosen if not one.kind.head_suffix), None):
                raise UsageError(f"{headless} needs no training set; leave --trained-on out.")
            chosen = [replace(one, training=own.trained_on) for one in chosen]
        codes = [language(code).code for code in split(self.languages)] or None
        store, found = Store(self.store), survey(self.checkpoints)
        return chosen, store, plan_units(found, chosen, store, options, languages=codes, named=bool(names))


def name_bases(folders: Sequence[Path] | None) -> None:
    """Say where the bases of adapters lie, to this process and to those that it starts."""
    from xeval.checkpoints.adapters import BASES_VARIABLE

    for folder in folders or ():
        if not folder.is_dir():
            raise UsageError(f"--base {folder}: no such directory.")
    if folders:
        before = os.environ.get(BASES_VARIABLE)
        named = [str(folder.resolve()) for folder in folders]
        os.environ[BASES_VARIABLE] = os.pathsep.join([*named, *([before] if before else [])])


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose dataclass parameters stand for one option for each of their fields."""
    signature = inspect.signature(command)
    groups: dict[str, Any] = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if is_dataclass(parameter.annotation)
    }
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if name not in groups:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        for field in fields(groups[name]):
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(inspect.Parameter(field.name, kind, default=default, annotation=field.type))

    @functools.wraps(command)
    def call(**values: Any) -> None:
        made = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**made, **values)

    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return call


def given(**settings: int | str | None) -> dict[str, int | str]:
    """The settings that the user named; raises UsageError for a choice that does not exist."""
    from xeval.tasks.embedding import check_recipe

    named = {name: value for name, value in settings.items() if value is not None and value != ""}
    check_recipe(named)
    return named


def split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def check_parquet(out: Path) -> None:
    """Raises UsageError for a name under which no Parquet file can be written."""
    if out.suffix != ".parquet" or not out.parent.is_dir():
        raise UsageError(f"--out {out}: name a .parquet file in a folder that exists.")
