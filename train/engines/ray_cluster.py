"""A study on a Ray cluster: one task a node, which waits for the task of its parent.

Ray decides where a task runs, and starts it again elsewhere when its machine is lost; the node then goes on from
its last saved state in the shared folder.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from xeval.errors import UsageError, require_package
from xeval.train.engines.task import NodeTask, mark_file
from xeval.train.engines.watch import Watch
from xeval.train.grid import nodes
from xeval.train.loop import Silent, TrainingOutcome, TrainingProgress, stop_on_signal
from xeval.train.study import Study

RESOURCES = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
"""What a task may ask for, and Ray's own names for it."""
RETRIES = 3  # of a task whose machine or process is lost
POLL_SECONDS = 1.0
MARK_SECONDS = 1.0
STOP_SECONDS = 120.0  # for the tasks to save their states
SHARED_SECONDS = 30.0  # that a network file system may take to show a new file


def train_on_ray(
    study: Study,
    out: Path,
    *,
    resources: Mapping[str, float] | None = None,
    progress: TrainingProgress | None = None,
    save_seconds: float = 300.0,
) -> TrainingOutcome:
    """Train every node that is not finished below ``out`` on the cluster that ``RAY_ADDRESS`` names, or this one's.

    SIGTERM or SIGINT has every task save its state and end.

    Args:
        resources: of a task: ``num_cpus``, ``num_gpus``, ``memory`` in bytes. By default one processor, and one
            GPU where the cluster has any.

    Raises:
        UsageError: Ray is not installed, there is no cluster, or a machine of it does not see ``out``.
    """
    ray = _ray()
    try:
        ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
    except ConnectionError as error:
        raise UsageError(
            "there is no Ray cluster here; start one with `ray start --head`, or name one in RAY_ADDRESS."
        ) from error
    run, out = uuid.uuid4().hex, out.resolve()
    mark = mark_file(out, run)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    try:
        _check_shared(ray, mark)
        asked = {"num_cpus": 1.0} | ({"num_gpus": 1.0} if ray.cluster_resources().get("GPU") else {})
        asked |= study.engines.ray | dict(resources or {})
        watch = Watch(nodes(study), out, run, progress or Silent())
        if not any(_offers(machine["Resources"], asked) for machine in ray.nodes() if machine["Alive"]):
            named = ", ".join(f"{name} {amount:g}" for name, amount in asked.items())
            watch.progress.say(f"no machine of the cluster has {named}; Ray waits for one")
        remote = ray.remote(_train).options(**asked, max_retries=RETRIES)
        tasks: dict[str, Any] = {}
        for node in list(watch.waiting):
            task = NodeTask(
                study.path.resolve(), study.save_dtype, out, node.digest, run, None, save_seconds, node.name
            )
            after = tasks.get(node.parent.digest) if node.parent is not None else None
            tasks[node.digest] = remote.remote(task, after)
        with stop_on_signal() as stop:
            while watch.waiting and not stop.is_set():
                stop.wait(POLL_SECONDS)
                ended, _ = ray.wait(
                    [tasks[n.digest] for n in watch.waiting], num_returns=len(watch.waiting), timeout=0
                )
                watch.look()  # a task writes before it ends
                for node in list(watch.waiting):
                    if tasks[node.digest] in ended and node in watch.waiting:
                        watch.fail(node, _problem(ray, tasks[node.digest]))
            mark.unlink()
            if watch.waiting:
                ray.wait(list(tasks.values()), num_returns=len(tasks), timeout=STOP_SECONDS)
        watch.look()
        return watch.outcome()
    finally:
        mark.unlink(missing_ok=True)
        ray.shutdown()


def _ray() -> Any:
    require_package("ray", "--engine ray")
    import ray

    return ray


def _check_shared(ray: Any, mark: Path) -> None:
    """Every machine of the cluster has to see a file that was written here."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    machines = [machine for machine in ray.nodes() if machine["Alive"]]
    seen = ray.get(
        [
            ray.remote(_sees)
            .options(
                num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(machine["NodeID"], soft=False)
            )
            .remote(mark)
            for machine in machines
        ]
    )
    blind = [machine["NodeManagerHostname"] for machine, sees in zip(machines, seen, strict=True) if not sees]
    if blind:
        raise UsageError(
            f"{mark.parent.parent}: is not seen on {', '.join(blind)}; give a folder that all machines share."
        )


def _offers(has: Mapping[str, float], asked: Mapping[str, float]) -> bool:
    return all(has.get(RESOURCES[name], 0.0) >= amount for name, amount in asked.items())


def _sees(mark: Path) -> bool:
    until = time.monotonic() + SHARED_SECONDS
    while not mark.exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.5)
    return True


def _ended(ray: Any, tasks: Any) -> set[Any]:
    waiting = list(tasks)
    return set(ray.wait(waiting, num_returns=len(waiting), timeout=0)[0])


def _problem(ray: Any, task: Any) -> str:
    """Why a task has ended without a finished node."""
    try:
        return f"its task ended as {ray.get(task)}."
    except ray.exceptions.RayTaskError as error:
        return str(error.cause)
    except ray.exceptions.RayError as error:
        return " ".join(str(error).split())[:300]


def _train(task: NodeTask, parent: str | None) -> str:
    """Runs on the cluster; ``parent`` is the parent's result, which Ray waits for."""
    del parent
    return task.train(_until_gone(mark_file(task.out, task.run)))


def _until_gone(mark: Path) -> Callable[[], bool]:
    """Whether the mark is gone, looked at once a second."""
    last, gone = -MARK_SECONDS, False

    def stop() -> bool:
        nonlocal last, gone
        if not gone and time.monotonic() - last >= MARK_SECONDS:
            last, gone = time.monotonic(), not mark.exists()
        return gone

    return stop
