"""The wheel and the sdist: they build, hold what they should, and work in a clean virtual environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import wormsig

ROOT = Path(__file__).resolve().parents[2]
INHERITED = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


def run(*argv, **options):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=INHERITED, **options)
    assert done.returncode == 0, f"{argv}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(wheel, sdist); the wheel is built out of the sdist, as a packager would."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", out, ROOT)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory, built):
    """A new virtual environment with nothing but the wheel and what it asks for."""
    venv = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", venv)
    python = venv / "bin" / "python"
    run(python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", built[0])
    return python


def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_the_wheel_holds_the_package_and_nothing_else(built):
    with zipfile.ZipFile(built[0]) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"wormsig", f"wormsig-{wormsig.__version__}.dist-info"}
    assert "wormsig/py.typed" in names
    assert not [name for name in names if "__pycache__" in name]
    modules = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src/wormsig").rglob("*.py")}
    assert modules <= set(names)


def test_the_sdist_holds_what_a_packager_needs(built):
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    pages = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "docs/tutorial.md"}
    assert pages | {"pyproject.toml", "Makefile", "scripts/setup.sh", "tests/e2e/test_packaging.py"} <= names


def test_the_metadata_says_what_pypi_shows(built):
    about = metadata(built[0])
    assert about["Version"] == wormsig.__version__
    assert about["Requires-Python"] == ">=3.11"
    assert about["License-Expression"] == "MIT"
    assert about.get_payload().startswith("# wormsig")
    assert "python-bitcointx==1.1.5" in about.get_all("Requires-Dist")


def test_the_version_stands_in_the_changelog():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(wormsig.__version__)}\b", changelog, re.MULTILINE)


def test_a_plain_install_is_enough(clean_python):
    command = clean_python.parent / "wormsig"
    assert run(command, "--version") == f"wormsig {wormsig.__version__}\n"
    assert run(clean_python, "-m", "wormsig", "--version") == f"wormsig {wormsig.__version__}\n"
    assert run(clean_python, "-m", "pip", "check").strip() == "No broken requirements found."


def test_libsecp256k1_comes_with_the_install(clean_python):
    one = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    probe = "from wormsig.bitcoin import secp; print(secp.pubkey_of((1).to_bytes(32, 'big')).hex())"
    assert run(clean_python, "-c", probe).strip() == one


def test_every_module_imports_with_the_run_time_dependencies_alone(clean_python):
    probe = (
        "import importlib, pkgutil, wormsig\n"
        "names = [module.name for module in pkgutil.walk_packages(wormsig.__path__, 'wormsig.')]\n"
        "for name in set(names) - {'wormsig.__main__'}: importlib.import_module(name)\n"
        "print(len(names))"
    )
    assert int(run(clean_python, "-c", probe)) > 10
