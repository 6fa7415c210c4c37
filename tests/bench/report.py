"""Time, memory and size of the report of a made-up study, by the number of its scored items.

    python tests/bench/report.py small|medium|large -o FOLDER [--seed 1]

Writes the tidy scores to FOLDER/scores.parquet (about 1,000, 30,000 or 1,000,000 rows, the same for the same seed),
runs ``xeval report FOLDER/scores.parquet -o FOLDER/report`` as a process of its own, and prints its wall time,
processor time and peak memory and the sizes of what it wrote. With ``--scores-only`` it stops after the scores.

The truth: in every group of targets a condition adds the points of ``GAINS``; on multi-hop QA it adds ``SHRINKS``
points less in the medium and the large study, and as much as elsewhere in the small one.
"""

import argparse
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.synthetic import Task, frame

LANGUAGES = ("en", "de", "es", "ru", "ar", "zh", "hi", "sw", "tr", "vi", "th", "ur", "fi", "ko")
GAINS = {"nli": 3.0, "questions": 4.0, "paraphrases": 1.5, "stories": 2.0}
SHRINKS = 3.0


@dataclass(frozen=True)
class Size:
    """A study: its targets' clusters, languages and runs.

    Attributes:
        conditions: intermediate tasks. ``baseline``, ``runs``: seeds of the baseline and of every condition.
        clusters: item clusters of every target; ``languages`` of every target.
        repeats: targets of every group.
        shrinks: points by which the gain on multi-hop QA is smaller.
    """

    conditions: int
    baseline: int
    runs: int
    clusters: int
    languages: int
    repeats: int
    shrinks: float


SIZES = {
    "small": Size(conditions=1, baseline=3, runs=3, clusters=7, languages=3, repeats=1, shrinks=0.0),
    "medium": Size(conditions=2, baseline=4, runs=3, clusters=94, languages=4, repeats=1, shrinks=SHRINKS),
    "large": Size(conditions=4, baseline=5, runs=3, clusters=263, languages=14, repeats=2, shrinks=SHRINKS),
}


def tidy_scores(size: Size, seed: int) -> pd.DataFrame:
    """Tidy scores; two items a cluster, and multi-hop questions of 2 to 4 hops."""
    rng = np.random.default_rng(seed)
    gains = dict(list(GAINS.items())[: size.conditions])
    less = {name: gain - size.shrinks for name, gain in gains.items()}
    groups = [
        ("sentence-pairs", "classification", 70.0, gains),
        ("tagged-words", "structured", 75.0, gains),
        ("one-hop-questions", "single-hop QA", 65.0, gains),
        ("many-hop-questions", "multi-hop QA", 55.0, less),
    ]
    tasks = [
        Task(
            f"{name}-{number}" if size.repeats > 1 else name,
            group,
            base - 4 * (number - 1),
            gain,
            langs=LANGUAGES[: size.languages],
            clusters=size.clusters,
            cluster_size=2,
        )
        for name, group, base, gain in groups
        for number in range(1, size.repeats + 1)
    ]
    scores = frame(tasks, rng, {"none": size.baseline} | dict.fromkeys(gains, size.runs))
    many = scores["group"] == "multi-hop QA"
    scores.loc[many, "hops"] = 2 + scores.loc[many, "item_id"].str[-5:].astype(int) % 3
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scores-only", action="store_true", help="write the scores and stop")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    scores = tidy_scores(SIZES[options.size], options.seed)
    path = options.out / "scores.parquet"
    scores.to_parquet(path, index=False)
    print(f"{path}: {len(scores):,} scored items, {path.stat().st_size / 1e6:.2f} MB")
    if options.scores_only:
        return
    folder = options.out / "report"
    command = [sys.executable, "-m", "xeval", "report", str(path), "-o", str(folder)]
    command += ["--title", f"A made-up study of {len(scores):,} scored items"]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"xeval report: {wall:.1f} s, processor {used.ru_utime + used.ru_stime:.1f} s, "
        f"peak memory {used.ru_maxrss / 1024**2:.2f} GiB"
    )
    for name in ("report.html", "report.md", "results.json"):
        print(f"{name}: {(folder / name).stat().st_size:,} bytes")
    total = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"all files: {total:,} bytes")


if __name__ == "__main__":
    main()
