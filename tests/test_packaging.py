"""What is installed is what is in the repository: a sub-package that `pyproject.toml` forgets is dropped silently."""

import importlib
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import celosia
import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("boards", "host", "hw", "sim")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())


def package_folders():
    """Name and folder of every package on disk."""
    found = {"celosia": ROOT / "host" / "_root"}
    for room in ROOMS:
        for file in (ROOT / room).rglob("*.py"):
            folder = file.parent
            if folder != found["celosia"]:
                found[".".join(("celosia", *folder.relative_to(ROOT).parts))] = folder
    return found


def sources():
    """Path in an installation, and path on disk, of every file that must be installed."""
    patterns = {"celosia": ["py.typed"], **SETTINGS["tool"]["setuptools"]["package-data"]}
    return {
        f"{package.replace('.', '/')}/{file.name}": file
        for package, folder in package_folders().items()
        for pattern in ["*.py", *patterns.get(package, ())]
        for file in folder.glob(pattern)
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder with the wheel and the source distribution, built without a network from a copy of the repository."""
    pytest.importorskip("build", reason="build is not installed")
    folder = tmp_path_factory.mktemp("repository")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ROOMS:
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    command = [sys.executable, "-m", "build", "--no-isolation", "--sdist", "--wheel", "--outdir", "dist", "."]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "dist"


def test_packages_are_those_on_disk():
    assert sorted(SETTINGS["tool"]["setuptools"]["packages"]) == sorted(package_folders())


def test_every_package_says_what_it_is():
    for name, folder in package_folders().items():
        text = (folder / "__init__.py").read_text()
        assert text.startswith('"""'), f"{name} has no docstring"
        assert "TODO" not in text, f"{name} is not finished"


def test_rooms_know_each_other_downwards_only():
    """Nothing imports boards; sim knows nothing of host or hw; hw knows nobody."""
    forbidden = {"hw": ("sim", "host", "boards"), "sim": ("host", "boards"), "host": ("boards",)}
    for room, others in forbidden.items():
        for file in (ROOT / room).rglob("*.py"):
            found = re.search(rf"^\s*(from|import)\s+(\.\.+|celosia\.)({'|'.join(others)})\b.*", file.read_text(), re.M)
            assert not found, f"{file.relative_to(ROOT)} looks upwards: {found and found[0].strip()}"


def test_links_for_type_checks_are_whole():
    links = ROOT / "tests" / "_typing" / "celosia"
    for name in ROOMS:
        assert (links / name).resolve() == ROOT / name
    assert (links / "__init__.py").resolve() == ROOT / "host" / "_root" / "__init__.py"


def test_every_dependency_says_why():
    text = (ROOT / "pyproject.toml").read_text()
    groups = SETTINGS["project"]["optional-dependencies"].values()
    for requirement in [*SETTINGS["project"]["dependencies"], *(item for group in groups for item in group)]:
        (line,) = [line for line in text.splitlines() if line.strip().startswith(f'"{requirement}"')]
        assert "  # " in line, f"{requirement} does not say why it is there"


def test_wheel_holds_every_file(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        (licence,) = [name for name in archive.namelist() if name.endswith("LICENSE")]
        fields = Parser().parsestr(archive.read(metadata).decode())
        assert b"Apache License" in archive.read(licence)
        assert b"celosia = celosia.__main__:main" in archive.read(metadata.replace("METADATA", "entry_points.txt"))
    assert names == set(sources())
    assert (fields["Name"], fields["Version"]) == ("celosia", celosia.__version__)
    assert fields["License-Expression"] == "Apache-2.0"


def test_source_distribution_holds_every_file(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {str(file.relative_to(ROOT)) for file in sources().values()}
    assert needed | {"LICENSE", "README.md", "pyproject.toml"} <= names


def test_every_module_imports():
    """With the development tools installed; `test_installations` does it without them."""
    for name, folder in package_folders().items():
        for file in folder.glob("*.py"):
            importlib.import_module(name if file.stem == "__init__" else f"{name}.{file.stem}")


IMPORT_ALL = """
import importlib, pkgutil, celosia
for module in pkgutil.walk_packages(celosia.__path__, "celosia."):
    importlib.import_module(module.name)
print(celosia.__file__)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
def test_installations(built, tmp_path, kind):
    """A fresh environment with nothing but Celosia and what it depends on: the command and every module work."""
    (archive,) = built.glob(kind)
    subprocess.run([sys.executable, "-m", "venv", "env"], cwd=tmp_path, check=True)
    programs = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin")
    install = [programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", archive]
    result = subprocess.run(install, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    version = subprocess.run([programs / "celosia", "--version"], capture_output=True, text=True, check=True)
    assert version.stdout == f"celosia {celosia.__version__}\n"
    modules = subprocess.run([programs / "python", "-c", IMPORT_ALL], cwd=tmp_path, capture_output=True, text=True)
    assert modules.returncode == 0, modules.stderr
    assert str(tmp_path) in modules.stdout
