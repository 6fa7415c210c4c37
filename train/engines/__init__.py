"""Where a study's nodes are trained: this process, workers on this machine, a Ray cluster, or Slurm jobs.

Each walks the same tree of nodes below the same shared folder, with the same locks and the same saved states:
what one has begun another can go on with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xeval.errors import UsageError, did_you_mean
from xeval.train.engines.devices import Devices, devices_of_workers, gpus_named, present_gpus
from xeval.train.loop import TrainingOutcome, TrainingProgress, train_study
from xeval.train.study import Study

ENGINES = ("local", "ray", "slurm")


@dataclass(frozen=True)
class EngineOptions:
    """What the user asked for.

    Attributes:
        gpus: ``all``, a number of them, or their numbers joined by commas; one worker each, or each group.
        workers: processes on this machine's processor; 0 trains in this one.
        processes: that train one node together.
        ray, slurm: settings by name; a value True is an option without a value.
    """

    engine: str = "local"
    gpus: str = ""
    workers: int = 0
    processes: int = 1
    ray: Mapping[str, str | bool] = field(default_factory=dict)
    slurm: Mapping[str, str | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise UsageError(
                f"--engine {self.engine}: unknown{did_you_mean(self.engine, ENGINES) or '.'} "
                f"There are {', '.join(ENGINES)}."
            )
        if self.engine != "local" and (self.gpus or self.workers or self.processes > 1):
            raise UsageError(
                f"--gpus, --workers and --processes are for this machine; use --{self.engine} KEY=VALUE."
            )
        if self.gpus and self.workers:
            raise UsageError("--workers is for processors; --gpus starts one worker for every GPU or group.")
        for engine, settings in (("ray", self.ray), ("slurm", self.slurm)):
            if settings and self.engine != engine:
                raise UsageError(f"--{engine} is for --engine {engine}.")

    @property
    def nodes_at_a_time(self) -> int:
        """How many nodes are trained side by side on this machine; 1 where a cluster decides."""
        if self.engine != "local":
            return 1
        return len(self.devices()) if self.in_workers else 1

    @property
    def in_workers(self) -> bool:
        """Whether processes of their own train."""
        return bool(self.gpus) or self.workers > 0 or self.processes > 1

    def devices(self) -> list[Devices]:
        """Those of every worker."""
        gpus = gpus_named(self.gpus, present_gpus()) if self.gpus else ()
        return devices_of_workers(gpus, max(1, self.workers), self.processes)


def train_with(
    options: EngineOptions,
    study: Study,
    out: Path,
    progress: TrainingProgress | None = None,
    save_seconds: float = 300.0,
) -> TrainingOutcome:
    """Train what is not finished below ``out`` on the chosen engine; see :func:`xeval.train.loop.train_study`."""
    if options.engine == "ray":
        from xeval.train.engines.ray_cluster import RESOURCES, train_on_ray

        resources = {name: _number(name, value, RESOURCES) for name, value in options.ray.items()}
        return train_on_ray(study, out, resources=resources, progress=progress, save_seconds=save_seconds)
    if options.engine == "slurm":
        from xeval.train.engines.slurm_jobs import train_on_slurm

        return train_on_slurm(study, out, options=options.slurm, progress=progress, save_seconds=save_seconds)
    if options.in_workers:
        from xeval.train.engines.workers import WorkerPool

        pool = WorkerPool(study, out, options.devices(), options.processes, save_seconds)
        return pool.train(progress)
    return train_study(study, out, progress=progress, save_seconds=save_seconds)


def _number(name: str, value: str | bool, known: Mapping[str, str]) -> float:
    if name not in known:
        raise UsageError(
            f"--ray {name}: unknown{did_you_mean(name, known) or '.'} It takes {', '.join(known)}."
        )
    try:
        return float(value)
    except ValueError as error:
        raise UsageError(f"--ray {name}={value}: give a number.") from error
