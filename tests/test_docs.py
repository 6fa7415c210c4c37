"""The page made from the declarations is up to date and complete."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from xeval.languages import LANGUAGES
from xeval.metrics import METRICS
from xeval.retrieval.recipes import RECIPES as RETRIEVAL_RECIPES
from xeval.tasks import all_tasks, all_training_sets
from xeval.tasks.catalogue.intermediate import INTERMEDIATES
from xeval.train.recipes import RECIPES, Hyperparameters

DOCS = Path(__file__).parents[1] / "docs"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"make_{name}_page", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    return load("tasks")


@pytest.mark.parametrize("name", ["tasks", "api"])
def test_the_page_is_up_to_date(name: str) -> None:
    module = load(name)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run: make docs"


def test_everything_declared_is_on_the_page(maker: ModuleType) -> None:
    page = maker.page()
    declared = [*all_tasks(), *all_training_sets(), *INTERMEDIATES, *LANGUAGES, *METRICS]
    for name in (*declared, *RECIPES, *RETRIEVAL_RECIPES, *Hyperparameters.model_fields):
        assert f"`{name}`" in page, name
    for task in all_tasks().values():
        assert task.licence in page
        assert task.citation in page


def test_cells_stay_in_their_column(maker: ModuleType) -> None:
    table: list[int] = []
    for line in maker.page().splitlines():
        if not line.startswith("|"):
            table = []
            continue
        table.append(line.replace("\\|", "").count("|"))
        assert table[-1] == table[0], line


def test_the_sources_of_a_recipe_are_those_written_beside_it(maker: ModuleType) -> None:
    page = maker.page()
    for fact in (
        "- `phang2020`: Phang et al. 2020 (arXiv 2005.13013)",
        "- `xtreme`: The scripts of google-research/xtreme",
        "- `jiant`: Hidden state 14",
        "google-research/xtreme 838c13b",
        "| `learning_rate` | 1e-05 | 1e-05 | 2e-05 | 2e-05 |",
    ):
        assert fact in page
