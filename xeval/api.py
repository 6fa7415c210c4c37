"""The functions of ``import xeval``: checkpoints in, scores, gains and a verdict out.

Every result has a short ``repr``, an HTML one for notebooks, and ``to_frame()``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xeval.errors import UsageError, XevalError, remarks_to

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from xeval.analysis import Analysis
    from xeval.analysis.compare import Comparison
    from xeval.analysis.estimate.estimands import Contrast
    from xeval.analysis.estimate.gains import Gain
    from xeval.analysis.verdict import Verdict
    from xeval.checkpoints import Checkpoint, Discovery
    from xeval.retrieval import Index
    from xeval.tasks import Task
    from xeval.train.plan import PlannedNode
    from xeval.train.study import Study as StudyFile

PathLike = str | Path


class _Table:
    """What is shown as a table: in a notebook as HTML."""

    def to_frame(self) -> "pd.DataFrame":
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>{self.to_frame().to_html(max_rows=20, float_format='{:.2f}'.format)}"


# --- checkpoints -------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Checkpoints(_Table, Sequence["Checkpoint"]):
    """The checkpoints below some folders, sorted by name.

    Example:
        >>> runs = xeval.discover("runs")
        >>> runs.to_frame()[["name", "condition", "target", "seed"]]
    """

    found: "Discovery"

    def __len__(self) -> int:
        return len(self.found.checkpoints)

    def __getitem__(self, at: Any) -> Any:
        return self.found.checkpoints[at]

    def __repr__(self) -> str:
        left = f", {len(self.found.left_out)} left out" if self.found.left_out else ""
        broken = f", {len(self.found.unreadable)} unreadable" if self.found.unreadable else ""
        return f"<{len(self)} checkpoints{left}{broken}>"

    def to_frame(self) -> "pd.DataFrame":
        """A row per checkpoint: name, lineage, architecture, size, and what is wrong with a broken one."""
        import pandas as pd

        return pd.DataFrame([_described(checkpoint) for checkpoint in self])


def _described(checkpoint: "Checkpoint") -> dict[str, Any]:
    row: dict[str, Any] = {"name": checkpoint.name, "path": str(checkpoint.path), "problem": None}
    try:
        checkpoint.check()
        lineage = checkpoint.lineage
        row |= {"architecture": checkpoint.architecture, "bytes": checkpoint.bytes}
    except XevalError as error:
        return row | {"problem": str(error)}
    if lineage is not None:
        row |= {part: getattr(lineage, part) for part in ("phase", "base", "condition", "target", "seed")}
    return row


def discover(root: PathLike) -> Checkpoints:
    """The checkpoints at or below a folder.

    Raises:
        CheckpointError: there is no such folder, or no checkpoint in it.

    Example:
        >>> xeval.discover("runs")
    """
    from xeval.checkpoints import survey

    return Checkpoints(survey(Path(root)))


# --- scores ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Scores(_Table):
    """Tidy scores: a row per run, language, item and metric.

    Attributes:
        frame: the rows; a metric is ``sum(num) / sum(den)``.
        source: the store or file that they come from.
        remarks: what is to be read with them.
        problems: what a run could not evaluate, as ``(name, reason)``.

    Example:
        >>> scores = xeval.scores("results")
        >>> scores.table().loc["pawsx"]
    """

    frame: "pd.DataFrame"
    source: Path | None = None
    remarks: tuple[str, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    limit: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        counts = {part: self.frame[part].nunique() for part in ("condition", "target", "lang")}
        seeds = self.frame[["condition", "target", "seed"]].drop_duplicates().shape[0]
        first = f", first {self.limit} items only" if self.limit else ""
        return (
            f"<scores of {seeds} runs: {counts['condition']} conditions, {counts['target']} tasks, "
            f"{counts['lang']} languages, {len(self.frame):,} rows{first}>"
        )

    def to_frame(self) -> "pd.DataFrame":
        """The rows."""
        return self.frame

    def table(self) -> "pd.DataFrame":
        """Main metric in percent, mean over seeds: tasks and conditions by languages."""
        main = self.frame[self.frame["main"]] if "main" in self.frame else self.frame
        keys = ["target", "condition", "seed", "lang"]
        sums = main.groupby(keys, observed=True)[["num", "den"]].sum()
        percent = (100 * sums["num"] / sums["den"]).groupby(["target", "condition", "lang"], observed=True)
        return percent.mean().unstack("lang")

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>{self.table().to_html(float_format='{:.1f}'.format)}"


def evaluate(
    checkpoints: "Checkpoints | PathLike",
    tasks: "Iterable[str | Task]" = (),
    *,
    data: PathLike | None = None,
    store: PathLike = "xeval-store",
    languages: Iterable[str] = (),
    limit: int | None = None,
    settings: Mapping[str, int | str] | None = None,
    device: str = "",
    dtype: str = "",
    progress: bool = True,
) -> Scores:
    """Evaluate checkpoints zero-shot; what the store already holds is not computed again.

    Args:
        checkpoints: of :func:`discover`, or a folder.
        tasks: names or :class:`Task` values; empty takes all that fit, but for diagnostic ones.
        data: folder with the published data sets, or ``"hub"``; None leaves the built-in ones.
        languages: restricts every task to these; empty takes all of a task's.
        limit: only the first items of every unit; such results are kept apart.
        settings: changes to the tasks' settings, such as ``{"max_length": 128, "layer": 7}``.
        device, dtype: empty takes a GPU and bfloat16 where there is one, else the CPU and float32.
        progress: show how it goes on.

    Returns:
        The scores of everything that the store holds now; ``problems`` says what could not be evaluated.

    Raises:
        UsageError, CheckpointError, StoreError: nothing can be evaluated; the message says why.

    Example:
        >>> xeval.evaluate("runs", tasks=["pawsx"], data="data", store="results")
    """
    from xeval.console.display import Steps
    from xeval.console.evaluation import EvaluationSteps
    from xeval.evaluation.options import RunOptions
    from xeval.evaluation.plan import plan_units
    from xeval.evaluation.run import run_units
    from xeval.languages import language
    from xeval.sources import data_root
    from xeval.store import Store
    from xeval.tasks import all_tasks, task

    found = checkpoints.found if isinstance(checkpoints, Checkpoints) else discover(checkpoints).found
    named = [task(name) if isinstance(name, str) else name for name in tasks]
    chosen = named or [known for known in all_tasks().values() if known.group != "diagnostic"]
    root = None if data is None else data_root(str(data))
    options = RunOptions(root, dict(settings or {}), limit, device, dtype)
    kept = Store(Path(store))
    codes = [language(code).code for code in languages] or None
    planned = plan_units(found, chosen, kept, options, languages=codes, named=bool(named))
    left = planned.count("todo") + planned.count("copy")
    with Steps("evaluate", left, quiet=not progress, pieces=left) as steps:
        outcome = run_units(planned, kept, options, EvaluationSteps(steps))
    problems = tuple((problem.subject, problem.reason) for problem in outcome.problems)
    if not (outcome.done or outcome.reused):
        failed = next((p for p in outcome.problems if p.fatal), None)
        reason = f" {failed.subject}: {failed.reason}" if failed else ""
        raise UsageError(f"nothing could be evaluated.{reason}")
    return _read(Path(store), limit, {}, problems)


def scores(
    source: PathLike,
    *,
    limit: int | None = None,
    settings: Mapping[str, str] | None = None,
    mapping: PathLike | None = None,
) -> Scores:
    """Tidy scores of a store, a CSV or Parquet file, or the results of another tool.

    Args:
        limit: of a store, the results on the first ``limit`` items.
        settings: of a store that holds several settings, those to read: ``{"layer": "7"}``.
        mapping: for another tool, the file that says which condition and seed each model is.

    Raises:
        UsageError, StoreError, DataError: there are none, or they cannot be read.

    Example:
        >>> xeval.scores("results").table()
    """
    return _read(Path(source), limit, dict(settings or {}), (), mapping)


def _read(
    source: Path,
    limit: int | None,
    settings: Mapping[str, str],
    problems: tuple[tuple[str, str], ...],
    mapping: PathLike | None = None,
) -> Scores:
    from xeval.reporting import read_frame

    remarks: list[str] = []
    with remarks_to(remarks.append):
        frame = read_frame(source, limit, None if mapping is None else Path(mapping), settings or None)
    return Scores(frame, source, tuple(remarks), problems, limit, settings)


def _frame(given: "Scores | pd.DataFrame | PathLike") -> "pd.DataFrame":
    if isinstance(given, str | Path):
        return scores(given).frame
    return given.frame if isinstance(given, Scores) else given


# --- analysis ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Gains(_Table, Sequence["Gain"]):
    """Gains over the baseline: of tasks in each language, of tasks, and of groups of tasks.

    Example:
        >>> gains = xeval.analyse("scores.parquet").gains.to_frame()
        >>> gains[gains["level"] == "group"]
    """

    levels: Mapping[str, "tuple[Gain, ...]"]

    def __iter__(self) -> "Iterator[Gain]":
        return (gain for gains in self.levels.values() for gain in gains)

    def __len__(self) -> int:
        return sum(map(len, self.levels.values()))

    def __getitem__(self, at: Any) -> Any:
        return tuple(self)[at]

    def __repr__(self) -> str:
        return (
            "<gains: " + ", ".join(f"{len(gains)} of {level}s" for level, gains in self.levels.items()) + ">"
        )

    def to_frame(self) -> "pd.DataFrame":
        """A row per gain: points and log-odds with their intervals; ``lang`` is empty for means over languages."""
        import pandas as pd

        rows = []
        for level, gains in self.levels.items():
            for gain in gains:
                row: dict[str, Any] = {
                    "level": level,
                    "condition": gain.condition,
                    "subject": gain.subject,
                    "lang": gain.lang,
                }
                for scale, estimate in (("points", gain.points), ("logit", gain.logit)):
                    row |= {
                        scale: estimate.value,
                        f"{scale}_low": estimate.low,
                        f"{scale}_high": estimate.high,
                    }
                rows.append(row)
        return pd.DataFrame(rows)


@dataclass(frozen=True, repr=False)
class Result(_Table):
    """The analysis of a study: gains, contrasts and the verdict.

    Example:
        >>> result = xeval.analyse("scores.parquet")
        >>> result.contrasts["C"].points.interval()
    """

    analysis: "Analysis"
    scores: Scores

    @property
    def verdict(self) -> "Verdict":
        """What may be claimed, and what not."""
        return self.analysis.verdict

    @property
    def gains(self) -> Gains:
        """All gains over the baseline."""
        found = self.analysis
        return Gains({"cell": found.gains.cells, "task": found.gains.tasks, "group": found.gains.groups})

    @property
    def contrasts(self) -> "Mapping[str, Contrast]":
        """Differences between groups' gains by name; ``C`` is multi-hop QA minus classification."""
        return self.analysis.contrasts

    def __repr__(self) -> str:
        key = self.contrasts.get("C")
        if key is None:
            return f"<result: {self.verdict.headline}>"
        low, high = key.points.interval()
        return (
            f"<result: {self.verdict.headline}; C = {key.points.value:+.1f} points [{low:.1f}, {high:.1f}]>"
        )

    def _repr_html_(self) -> str:
        shown = self.gains.to_frame()
        groups = shown[shown["level"] == "group"].drop(columns=["level", "lang"])
        return self.verdict._repr_html_() + groups.to_html(index=False, float_format="{:.2f}".format)

    def to_frame(self) -> "pd.DataFrame":
        """The gains."""
        return self.gains.to_frame()

    def to_dict(self) -> dict[str, Any]:
        """Every number, ready for JSON."""
        return self.analysis.to_dict()

    def write_report(self, folder: PathLike, *, title: str = "Cross-lingual transfer study") -> Path:
        """Write report.html, report.md, results.json, tables and figures; gives the page's path.

        Raises:
            StoreError: the files cannot be written.
        """
        from xeval import reporting

        out = Path(folder)
        made = reporting.build(self.analysis, self.scores.frame, title=title, notes=self.scores.remarks)
        reporting.save(made, out)
        return out / "report.html"


def analyse(
    given: "Scores | pd.DataFrame | PathLike",
    *,
    margin_points: float = 1.0,
    margin_logit: float = 0.05,
    incomplete: bool = False,
) -> Result:
    """Gains over the baseline, the contrast between groups of tasks, and the verdict.

    Args:
        given: scores, or where they lie.
        margin_points, margin_logit: half-widths of what counts as no difference; fix them before training.
        incomplete: go on where runs lack languages, or a target lacks runs of others.

    Raises:
        XevalError: the scores cannot be analysed; the message names the first offending cell.

    Example:
        >>> xeval.analyse("scores.parquet").verdict
    """
    from xeval.reporting import analyse_frame

    read = scores(given) if isinstance(given, str | Path) else given
    held = read if isinstance(read, Scores) else Scores(read)
    found = analyse_frame(held.frame, margin_points, margin_logit, incomplete=incomplete, quiet=True)
    return Result(found, held)


def compare(given: "Scores | pd.DataFrame | PathLike", a: str, b: str, *, task: str = "") -> "Comparison":
    """B against A, each a condition or the name of a checkpoint, item by item.

    Args:
        given: scores, or where they lie.
        task: only this one; empty: all that both have.

    Raises:
        UsageError: a name is unknown, or nothing is shared.
        DataError: the scores cannot be compared.

    Example:
        >>> xeval.compare("scores.parquet", "none", "mnli").to_frame()
    """
    from xeval.analysis.compare import compare as compare_frame

    return compare_frame(_frame(given), a, b, task=task)


# --- mining ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class MinedPairs(_Table):
    """Translation pairs, best first.

    Attributes:
        pairs: columns score, source, target: sentences, or row numbers of embeddings.
        recipe: how they were mined.
        index: what found the neighbours.
        recall: share of the exact neighbours that it found, measured on a sample; 1 of an exact search.
        remarks: what is to be read with them.

    Example:
        >>> xeval.mine("news.de", "news.en", checkpoint="base/e5-small").to_frame()
    """

    pairs: "pd.DataFrame"
    recipe: str
    index: str
    recall: float
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pairs)

    def __repr__(self) -> str:
        return f"<{len(self):,} pairs [{self.recipe}]>"

    def to_frame(self) -> "pd.DataFrame":
        """A row per pair."""
        return self.pairs


def mine(
    source: "PathLike | NDArray[np.float32]",
    target: "PathLike | NDArray[np.float32]",
    *,
    checkpoint: PathLike | None = None,
    index: "Index" = "auto",
    effort: int = 64,
    device: str = "",
    progress: bool = False,
    **settings: int | str,
) -> MinedPairs:
    """Mine translation pairs out of two sides.

    Args:
        source, target: text files with one sentence a line, ``.npy`` files, or arrays with one embedding a row.
        checkpoint: encoder of text; embeddings need none.
        index: ``auto``, ``flat`` and ``one-pass`` are exact; ``ivf`` and ``hnsw`` miss some neighbours, fewer with a
            larger ``effort``, and measure how many.
        settings: changes to the recipe, such as ``k=4``, ``margin="ratio"``, ``matching="max"``.

    Raises:
        UsageError, DataError: a side does not exist, is damaged, or the sides do not fit each other.

    Example:
        >>> xeval.mine(german, english, k=4).to_frame().head()
    """
    import tempfile

    import numpy as np
    import pandas as pd

    from xeval.console.display import Steps
    from xeval.evaluation.options import RunOptions
    from xeval.tasks.mined_files import mine_files

    where, precision = RunOptions(device=device).resolve()
    with tempfile.TemporaryDirectory() as folder:

        def file(name: str, side: "PathLike | NDArray[np.float32]") -> Path:
            if isinstance(side, str | Path):
                return Path(side)
            np.save(Path(folder) / name, side)
            return Path(folder) / name

        files = file("source.npy", source), file("target.npy", target)
        encoder = None if checkpoint is None else Path(checkpoint)
        with (
            Steps("mine", 1.0, quiet=not progress) as steps,
            mine_files(
                *files, encoder, settings, where, precision, 0, steps, index=index, effort=effort
            ) as mined,
        ):
            rows = [
                (
                    score,
                    a if mined.source is None else mined.source[a],
                    b if mined.target is None else mined.target[b],
                )
                for score, a, b in mined.pairs.tolist()
            ]
            found = pd.DataFrame(rows, columns=["score", "source", "target"])
            return MinedPairs(found, mined.recipe, mined.index, mined.recall, tuple(mined.remarks))


# --- studies -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Study:
    """A study file: what to train, evaluate and report.

    Example:
        >>> study = xeval.Study.read("study.toml")
        >>> study.plan().to_frame()
    """

    file: "StudyFile" = field(repr=False)
    path: Path

    @classmethod
    def read(cls, path: PathLike) -> "Study":
        """Read and check a study file.

        Raises:
            UsageError: it cannot be read, or a name or value in it is wrong.
        """
        from xeval.train.study import load_study

        return cls(load_study(Path(path)), Path(path))

    @property
    def folder(self) -> Path:
        """Where checkpoints, store and report go unless another folder is named."""
        return self.path.with_suffix("")

    def plan(self, out: PathLike | None = None) -> "StudyPlan":
        """What training would do: the tree of phases, their state and work."""
        from xeval.train.plan import plan_study

        return StudyPlan(tuple(plan_study(self.file, Path(out or self.folder) / "checkpoints")))

    def train(self, out: PathLike | None = None) -> Checkpoints:
        """Train what is not finished, in this process.

        Raises:
            XevalError: something could not be trained; what is finished is kept.
        """
        from xeval import study
        from xeval.train.engines import EngineOptions

        folder = Path(out or self.folder)
        if study.train(self.path, folder, EngineOptions()) != 0:
            raise XevalError(f"{folder}: not everything could be trained; the lines above say why.")
        return discover(folder / "checkpoints")

    def run(self, out: PathLike | None = None) -> Result:
        """Train, evaluate, analyse and report, each part only where it is not done yet.

        Raises:
            XevalError: something failed; the rest is done and kept.
        """
        from xeval import study

        folder = Path(out or self.folder)
        if study.run_study(self.path, folder) != 0:
            raise XevalError(f"{folder}: not everything could be done; the lines above say why.")
        margins = self.file.analysis
        return analyse(
            scores(folder / "store", limit=self.file.evaluation.limit),
            margin_points=margins.margin_points,
            margin_logit=margins.margin_logit,
        )


@dataclass(frozen=True, repr=False)
class StudyPlan(_Table):
    """The phases of a study, and what is left of each."""

    nodes: "tuple[PlannedNode, ...]"

    def __repr__(self) -> str:
        left = sum(node.state != "finished" for node in self.nodes)
        return f"<{len(self.nodes)} phases, {left} to train>"

    def to_frame(self) -> "pd.DataFrame":
        """A row per phase: name, state, steps, tokens, and why it cannot be trained."""
        import pandas as pd

        columns = ("state", "steps", "done", "tokens", "problem")
        return pd.DataFrame(
            [
                {"name": planned.node.name} | {column: getattr(planned, column) for column in columns}
                for planned in self.nodes
            ]
        )
