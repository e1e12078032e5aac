"""The project's own files agree with each other and keep to its rules."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import slimnb

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "pyproject.toml").read_text("utf-8")
PROJECT: dict[str, Any] = tomllib.loads(TEXT)["project"]
APART = ("peers", "cluster", "chaos")
"""Extras that neither `all` nor the conda environment holds."""


def requirements(*, apart: bool) -> dict[str, Requirement]:
    """Dependencies and extras of pyproject.toml by name; `all` only repeats them."""
    extras = PROJECT["optional-dependencies"]
    lines = [
        *PROJECT["dependencies"],
        *(line for name, extra in extras.items() if apart or name not in APART for line in extra),
    ]
    parsed = [Requirement(line) for line in lines]
    return {canonicalize_name(one.name): one for one in parsed if one.name != "slimnb"}


def tracked() -> list[Path]:
    outcome = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True)
    if outcome.returncode:
        pytest.skip("not a git checkout")
    return [path for name in outcome.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_conda_gets_the_same_packages_with_the_same_bounds() -> None:
    wanted = {name: str(one.specifier) for name, one in requirements(apart=False).items()}
    wanted["pytorch"] = wanted.pop("torch")  # its name on conda-forge
    wanted["playwright-python"] = wanted.pop("playwright")
    wanted["python-kaleido"] = wanted.pop("kaleido")
    wanted["python"] = str(Requirement("python" + PROJECT["requires-python"]).specifier)
    listed = [line for line in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"] if line != "pip"]
    parsed = [Requirement(line) for line in listed if isinstance(line, str)]
    assert {canonicalize_name(one.name): str(one.specifier) for one in parsed} == wanted
    assert [line for line in listed if not isinstance(line, str)] == [{"pip": ["--no-deps -e ."]}]


@pytest.mark.parametrize("name", requirements(apart=True))
def test_every_dependency_says_why_it_is_there_and_from_which_version(name: str) -> None:
    one = requirements(apart=True)[name]
    lines = [line for line in TEXT.splitlines() if re.search(rf'"{re.escape(one.name)}[\[=><~!]', line)]
    assert lines and all(re.search(r"#\s*\w+", line) for line in lines)
    assert any(part.operator in (">=", "==", "~=") for part in one.specifier)


def test_constraints_pin_every_dependency_at_or_above_its_bound() -> None:
    path = ROOT / "constraints.txt"
    if not path.exists():
        pytest.skip("no constraints.txt")
    lines = [line.partition("#")[0].strip() for line in path.read_text().splitlines()]
    pins = [Requirement(line) for line in lines if line and not line.startswith("-")]
    pinned = {canonicalize_name(one.name): next(iter(one.specifier)) for one in pins}
    assert len(pinned) == len(pins)
    assert all(pin.operator == "==" and "*" not in pin.version for pin in pinned.values())
    assert not set(requirements(apart=False)) - set(pinned)
    for name, one in requirements(apart=True).items():
        if name in pinned:
            # +cpu and the like come after the version that the bound speaks of
            assert one.specifier.contains(Version(pinned[name].version).public, prereleases=True), name


def test_no_file_names_a_registrys_or_hubs_host() -> None:
    # Put together here, so that this file does not name them either.
    hosts = [
        ("pypi", "org"), ("python" + "hosted", "org"), ("hugging" + "face", "co"), ("hf", "co"), ("conda", "io"),
        ("ana" + "conda", "org"), ("ana" + "conda", "com"), ("download.py" + "torch", "org"), ("npm" + "js", "org"),
    ]  # fmt: skip
    named = re.compile("|".join(rf"\b{re.escape(name)}\.{suffix}\b" for name, suffix in hosts), re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in tracked()
        for number, line in enumerate(path.read_text("utf-8", errors="ignore").splitlines(), start=1)
        if named.search(line)
    ]
    assert not found


@pytest.mark.parametrize("path", sorted((ROOT / "slimnb").rglob("*.py")), ids=lambda path: path.name)
def test_no_source_file_is_too_long_to_read(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 300


def test_importing_slimnb_and_what_the_dashboard_stands_on_imports_no_torch() -> None:
    code = (
        "import sys, slimnb; light = sorted(sys.modules)\n"
        "import slimnb.config, slimnb.store.runs, slimnb.stats, slimnb.analysis.comparison, slimnb.data.load\n"
        "import slimnb.analysis.tables\n"
        "assert 'pandas' not in light and 'pydantic' not in light\n"
        "print([name for name in ('torch', 'transformers', 'peft', 'datasets') if name in sys.modules])"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert outcome.stdout.strip() == "[]", outcome.stderr


def test_every_public_name_is_there() -> None:
    assert {"run", "evaluate", "compare", "RunConfig", "__version__"} <= set(dir(slimnb))
    assert all(getattr(slimnb, name) is not None for name in slimnb.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = slimnb.no_such_name


def test_the_version_is_told_in_one_way() -> None:
    assert slimnb.__version__ == PROJECT["version"]


def test_no_module_hides_a_public_name() -> None:
    rooms = {path.stem for path in (ROOT / "slimnb").iterdir()}
    assert not rooms & set(slimnb.__all__)
