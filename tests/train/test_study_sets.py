"""Sets that a study file declares itself, and conditions with masked language modelling."""

import json
from pathlib import Path

import pytest
from support.tiny_studies import tiny_study

from xeval.checkpoints import Checkpoint, discover
from xeval.errors import UsageError
from xeval.evaluation.options import RunOptions
from xeval.evaluation.plan import plan_units as plan_units
from xeval.store import Store
from xeval.train.grid import nodes, study_texts
from xeval.train.loop import train_study
from xeval.train.plan import plan_study
from xeval.train.study import Study, load_study

OWN = """
[sets.mine]
file = "mine.jsonl"
kind = "classification"
[mlm]
files = ["wiki/{lang}.txt"]
languages = ["de", "ru"]
"""
CONDITIONS = 'conditions = ["none", "mine", "mine+mlm", "mine+xhops-lookup"]'


@pytest.fixture
def study(tmp_path: Path, tiny_encoder: Path) -> Study:
    rows = [
        {"lang": "en", "id": str(n), "first": f"text {n}", "label": ("no", "yes")[n % 2]} for n in range(60)
    ]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "wiki").mkdir()
    (tmp_path / "wiki/de.txt").write_text("Ein Haus am See.\n\nEin Hund.\n")
    (tmp_path / "wiki/ru.txt").write_text("Дом у озера.\n")
    return written(tmp_path, tiny_encoder)


def written(folder: Path, encoder: Path, old: str = "", new: str = "", own: str = OWN) -> Study:
    """The study with one change of the text."""
    path = tiny_study(folder, encoder).path
    text = (
        path.read_text().replace('conditions = ["none", "xhops-lookup"]', f'{CONDITIONS}\ndata = "."') + own
    )
    text = text.replace(
        "[recipe.intermediate]", "[recipe.intermediate]\nmlm_share = 0.5\nmixture_temperature = 2.0"
    )
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return load_study(path)


def test_a_set_of_ones_own_and_masked_language_modelling_are_trained(study: Study, tmp_path: Path) -> None:
    grid = {node.name.rsplit("-", 1)[0]: node for node in nodes(study)}
    plain, mixed = grid["mine/intermediate/seed-7"], grid["mine+mlm/intermediate/seed-7"]
    assert plain.sets == mixed.sets
    assert (plain.mlm, plain.hyper and plain.hyper.mlm_share) == (None, None)
    assert mixed.hyper is not None
    assert mixed.hyper.mlm_share == 0.5
    assert plain.digest != mixed.digest
    outcome = train_study(study, tmp_path / "out")
    assert outcome.failures == ()
    cards = {name: Checkpoint(tmp_path / "out" / node.name, name).lineage for name, node in grid.items()}
    card = cards["mine+mlm/intermediate/seed-7"]
    assert card is not None
    assert [data.name for data in card.data] == ["mine", "mlm"]
    assert card.condition == "mine+mlm"
    planned = {p.node.name: p.steps for p in plan_study(study, tmp_path / "out")}
    assert card.recipe["planned_steps"] == planned[mixed.name]
    assert "Дом у озера." in set(study_texts(study))


def test_the_text_and_the_rows_are_part_of_the_digests(study: Study, tmp_path: Path) -> None:
    def digests() -> dict[str, str]:
        return {node.name.rsplit("-", 1)[0]: node.digest for node in nodes(load_study(study.path))}

    before = digests()
    (tmp_path / "wiki/ru.txt").write_text("Другой дом.\n")
    changed = {name for name, digest in digests().items() if digest != before[name]}
    assert {name.split("/")[0] for name in changed} == {"mine+mlm"}
    with (tmp_path / "mine.jsonl").open("a") as file:
        file.write(json.dumps({"lang": "en", "id": "x", "first": "more", "label": "no"}) + "\n")
    changed = {name for name, digest in digests().items() if digest != before[name]}
    assert {name.split("/")[0] for name in changed} == {"mine", "mine+mlm", "mine+xhops-lookup"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"mine+mlm"', '"mlm"', "mlm stands once and beside a task"),
        ('"mine+mlm"', '"xhops-claim"', "no condition uses it"),
        ("[mlm]", "[sets.spare]", r"unknown key 'files' in \[sets.spare\]"),
        ("[sets.mine]", "[sets.mnli]", "the name is taken"),
        ('file = "mine.jsonl"\nkind = "classification"', "", "either file or translation_of"),
        ("[sets.mine]", "[sets.other]", "unknown training set 'mine'"),
        ("kind =", "kinds =", r"unknown key 'kinds' in \[sets.mine\]; did you mean 'kind'"),
        ('languages = ["de", "ru"]', "language = []", r"unknown key 'language' in \[mlm\]"),
        ('file = "mine.jsonl"', 'file = "none.jsonl"', "none.jsonl"),
    ],
)
def test_what_does_not_fit_is_said(
    study: Study, tmp_path: Path, tiny_encoder: Path, old: str, new: str, message: str
) -> None:
    del study
    with pytest.raises(UsageError, match=message):
        written(tmp_path, tiny_encoder, old, new)


def staged(folder: Path, encoder: Path, conditions: str) -> Study:
    """The tiny study with other conditions."""
    path = tiny_study(folder, encoder).path
    text = path.read_text().replace('conditions = ["none", "xhops-lookup"]', f"conditions = {conditions}")
    path.write_text(text)
    return load_study(path)


def test_stages_train_one_after_another_and_share_their_beginning(tmp_path: Path, tiny_encoder: Path) -> None:
    last = "xhops-lookup>xhops-choice-1hop+xhops-question"
    study = staged(tmp_path, tiny_encoder, f'["none", "xhops-lookup", "{last}"]')
    grid = {node.name.rsplit("-", 1)[0]: node for node in nodes(study)}
    first = grid["xhops-lookup/intermediate/seed-7"]
    folder = last.replace(">", "-then-")
    second, target = grid[f"{folder}/intermediate/seed-7"], grid[f"{folder}/xhops-claim/seed-7"]
    assert (second.parent, target.parent) == (first, second)
    assert [s.name for s in second.sets] == ["xhops-choice-1hop", "xhops-question"]
    assert len([node for node in grid.values() if node.phase == "intermediate"]) == 2
    assert train_study(study, tmp_path / "out").failures == ()
    cards = [Checkpoint(tmp_path / "out" / node.name, node.name).lineage for node in (first, second, target)]
    assert [card.condition for card in cards if card] == ["xhops-lookup", last, last]
    alone = staged(tmp_path, tiny_encoder, f'["none", "{last}"]')
    assert {first.name, second.name, target.name} < {node.name for node in nodes(alone)}


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("xhops-lookup>", "unknown training set ''"),
        ("none>xhops-lookup", "names 'none' beside others"),
        ("xhops-lookup>xhops-choise", "unknown training set 'xhops-choise'; did you mean 'xhops-choice'"),
        ("xhops-lookup>xhops-choice+xhops-choice", "names a set twice"),
    ],
)
def test_stages_that_cannot_be_are_refused(
    tmp_path: Path, tiny_encoder: Path, condition: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        staged(tmp_path, tiny_encoder, f'["none", "{condition}"]')


def with_training(folder: Path, encoder: Path, table: str, own: str = "") -> Study:
    """The tiny study with a table ``[training]``."""
    path = tiny_study(folder, encoder).path
    path.write_text(f"{path.read_text()}\n[training]\n{table}\n{own}")
    return load_study(path)


def test_a_target_is_trained_on_and_evaluated_after_the_set_that_the_file_names(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    study = with_training(tmp_path, tiny_encoder, 'xhops-question-1 = "xhops-question-1hop"')
    trained = {node.name.split("/")[1] for node in nodes(study) if node.phase == "target"}
    assert trained == {"xhops-claim", "xhops-question-1hop"}
    assert train_study(study, tmp_path / "out").failures == ()
    planned = plan_units(
        list(discover(tmp_path / "out")), study.targets, Store(tmp_path / "store"), RunOptions(limit=4)
    )
    assert {(unit.task.name, unit.task.training) for unit in planned.units} == {
        ("xhops-claim-1", "xhops-claim"),
        ("xhops-question-1", "xhops-question-1hop"),
    }


def test_a_set_of_ones_own_can_train_a_target(tmp_path: Path, tiny_encoder: Path) -> None:
    own = '[sets.mine]\nfile = "mine.jsonl"\nkind = "classification"'
    for labels, message in (
        (("true", "false"), ""),
        (("yes", "no"), "false, true, and mine .* no, yes; choose"),
    ):
        rows = [{"lang": "en", "id": str(n), "first": f"text {n}", "label": labels[n % 2]} for n in range(60)]
        (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        if message:
            with pytest.raises(UsageError, match=message):
                with_training(tmp_path, tiny_encoder, 'xhops-claim-1 = "mine"', own)
        else:
            study = with_training(tmp_path, tiny_encoder, 'xhops-claim-1 = "mine"', own)
            assert {s.name for s in study.target_sets()} == {"mine", "xhops-question"}
            assert any(node.name.startswith("none/mine/seed-0") for node in nodes(study))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            'xhops-question-2 = "xhops-question"',
            "'xhops-question-2' is no target of this study; did you mean",
        ),
        ('xhops-question-1 = "xhops-qestion"', "unknown training set 'xhops-qestion'; did you mean"),
        ('xhops-question-1 = "xhops-claim"', "is span_qa, and xhops-claim is classification with the labels"),
    ],
)
def test_a_training_set_that_does_not_fit_a_target_is_refused(
    tmp_path: Path, tiny_encoder: Path, table: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        with_training(tmp_path, tiny_encoder, table)


def test_a_condition_with_mlm_needs_text(study: Study, tmp_path: Path, tiny_encoder: Path) -> None:
    del study
    with pytest.raises(UsageError, match=r"'mine\+mlm' needs text; add \[mlm\]"):
        written(tmp_path, tiny_encoder, own=OWN[: OWN.index("[mlm]")])
