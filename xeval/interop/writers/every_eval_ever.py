"""Records of the Every Eval Ever schema, version 0.3.0 (github.com/evaleval/every_eval_ever, eval.schema.json)."""

import hashlib
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from xeval import __version__
from xeval.errors import StoreError, UsageError
from xeval.interop.writers.units import MetricScore, chosen_units, plain, unit_scores, write_text
from xeval.metrics import METRICS
from xeval.store import UnitRecord

SCHEMA = "0.3.0"
COLLECTION = "xeval"
Relationship = Literal["first_party", "third_party", "collaborative", "other"]
RELATIONSHIPS: tuple[Relationship, ...] = ("first_party", "third_party", "collaborative", "other")


def export_records(
    root: Path,
    out: Path,
    *,
    organization: str,
    relationship: str = "other",
    checkpoint: str = "",
    limit: int | None = None,
    settings: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write one record per checkpoint: ``out/data/xeval/<organization>/<checkpoint>/<uuid>.json``.

    That is the layout of the project's data store. A record holds every metric of every task and language, with the
    standard error and the interval over new items (clusters of items, for this very run); the curves of layer sweeps
    are left out. The same store gives the same bytes: the time of the newest result stands for that of the record,
    and the file's name, a version-4 UUID in form, is a digest of the record.

    Args:
        organization: who provides the results.
        relationship: of the evaluator to the developer of the model, one of ``RELATIONSHIPS``.

    Raises:
        StoreError: the store cannot be read or a file cannot be written.
        UsageError: an unknown checkpoint or relationship, or an organization without a name.
    """
    if relationship not in RELATIONSHIPS:
        raise UsageError(f"--relationship {relationship}: use one of {', '.join(RELATIONSHIPS)}.")
    if not organization.strip():
        raise UsageError("--organization is empty; name who provides the results.")
    by_checkpoint: dict[str, list[tuple[Path, UnitRecord]]] = {}
    for path, record in chosen_units(root, limit, checkpoint, settings):
        by_checkpoint.setdefault(record.checkpoint, []).append((path, record))
    written = []
    for name, units in by_checkpoint.items():
        made = _record(name, units, organization, relationship)
        if not made["evaluation_results"]:
            raise StoreError(
                f"{root}: no metric of checkpoint {name!r} has a score; there is nothing to export."
            )
        text = json.dumps(made, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        digest = uuid.UUID(bytes=hashlib.blake2b(text.encode(), digest_size=16).digest(), version=4)
        folder = out / "data" / COLLECTION / _component(organization) / _component(name)
        written.append(write_text(folder / f"{digest}.json", text))
    return written


def _record(
    name: str, units: Sequence[tuple[Path, UnitRecord]], organization: str, relationship: str
) -> dict[str, Any]:
    newest = max(_seconds(record.finished) for _, record in units)
    first = units[0][1]
    lineage = first.lineage or {}
    known = {key: lineage.get(key) for key in ("phase", "base", "condition", "target", "seed", "parent")}
    return {
        "schema_version": SCHEMA,
        "evaluation_id": f"{COLLECTION}/{name}/{first.checkpoint_digest[:12]}/{newest}",
        "retrieved_timestamp": str(newest),
        "source_metadata": {
            "source_name": "xeval",
            "source_type": "evaluation_run",
            "source_organization_name": organization,
            "evaluator_relationship": relationship,
        },
        "eval_library": {
            "name": "xeval",
            "version": first.software.get("xeval", __version__),
            "additional_details": {key: value for key, value in first.software.items() if key != "xeval"},
        },
        "model_info": {
            "name": name,
            "id": name,
            "additional_details": {
                "deployment_type": "self_deployed",
                "model_availability": "unknown",
                "checkpoint_digest": first.checkpoint_digest,
                **{key: plain(value) for key, value in known.items() if value is not None},
            },
        },
        "evaluation_results": [
            _result(record, score) for path, record in units for score in unit_scores(path, record)
        ],
    }


def _result(record: UnitRecord, score: MetricScore) -> dict[str, Any]:
    where = f"{record.task}.{record.language}"
    metric = METRICS.get(score.metric)
    details = {
        "signature": record.signatures.get(score.metric, ""),
        "constant": record.constant or "",
        "collapsed": record.run.collapsed,
        "remarks": " ".join(record.remarks),
    }
    if score.metric == record.main_metric and record.chance is not None:
        details["chance"] = repr(record.chance)
    found: dict[str, Any] = {"score": score.score, "uncertainty": {"num_samples": score.items}}
    if score.estimate is not None:
        low, high = score.estimate.items_interval()
        found["uncertainty"] |= {
            "standard_error": {
                "value": score.estimate.variance_items**0.5 / 100,
                "method": "analytic: linearised ratio over item clusters",
            },
            "confidence_interval": {
                "lower": low / 100,
                "upper": high / 100,
                "confidence_level": score.estimate.confidence,
                "method": "t interval over item clusters, for this run",
            },
        }
    return {
        "evaluation_result_id": f"{record.fingerprint}.{score.metric}",
        "evaluation_name": where,
        "source_data": {
            "dataset_name": record.task,
            "source_type": "other",
            "additional_details": {
                "language": record.language,
                "group": record.group,
                "task_version": str(record.task_version),
                "data_digest": record.data_digest,
                "items": "all" if record.limit is None else f"the first {record.limit}",
            },
        },
        "evaluation_timestamp": str(_seconds(record.finished)),
        "metric_config": {
            "evaluation_description": metric.summary if metric else score.metric,
            "metric_id": score.metric if score.metric == "accuracy" else f"xeval.{score.metric}",
            "metric_name": score.metric,
            "metric_kind": _kind(score.metric),
            "metric_unit": "proportion",
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0,
            "additional_details": {name: text for name, text in details.items() if text},
        },
        "score_details": found,
        "generation_config": {
            "additional_details": {
                "dtype": record.dtype,
                **{name: plain(value) for name, value in record.settings.items() if value != ""},
            }
        },
    }


def _kind(metric: str) -> str:
    for kind in ("f1", "precision", "recall", "accuracy"):
        if kind in metric:
            return kind
    return "exact_match" if metric.endswith("em") or metric.startswith("em") else metric


def _seconds(finished: str) -> int:
    """Seconds since 1970 of a unit's time of completion; 0 where an old file names none."""
    return int(datetime.fromisoformat(finished).timestamp()) if finished else 0


def _component(name: str) -> str:
    """A name as one folder that every file system takes."""
    cleaned = re.sub(r"[^\w.+-]+", "_", name.strip()).strip("._ ")
    return cleaned if cleaned and cleaned != "data" else f"{cleaned}_"
