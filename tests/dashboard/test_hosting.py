"""What a host that runs nothing but the dashboard must install, and what the app tells others: nothing."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT
from tests.dashboard.app import PAGES

LINES = (ROOT / "dashboard" / "requirements.txt").read_text("utf-8").splitlines()
REQUIRED = [Requirement(line) for line in LINES if line and not line.startswith("#")]


def with_all_they_need(names: list[str]) -> set[str]:
    found: set[str] = set()
    while names:
        name = canonicalize_name(names.pop())
        if name not in found:
            found.add(name)
            try:
                needed = [Requirement(line) for line in requires(name) or []]
            except PackageNotFoundError:  # of another platform
                continue
            names += [one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


def test_every_page_opens_with_what_the_requirements_name_and_nothing_else():
    program = f"""
import importlib.abc, sys
from importlib.metadata import packages_distributions
from packaging.utils import canonicalize_name
known, allowed = packages_distributions(), {with_all_they_need([one.name for one in REQUIRED])!r}
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        homes = dict.fromkeys(map(canonicalize_name, known.get(name.partition(".")[0], [])))
        if homes and not homes.keys() & (allowed | {{"slimnb"}}):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
sys.argv = ["app.py", "--runs", "data/runs"]
from streamlit.testing.v1 import AppTest
for page in {PAGES!r}:
    app = AppTest.from_file("dashboard/app.py", default_timeout=120)
    app.run().switch_page(f"views/{{page}}.py").run()
    assert not app.exception, (page, app.exception)
from dashboard.widgets import to_latex
import pandas
to_latex(pandas.DataFrame({{"a": [1]}}))
for name in ("torch", "transformers", "typer"):
    assert name not in sys.modules, name
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_requirements_have_the_projects_bounds_and_no_torch():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["dashboard"]]
    bounds = {one.name: one.specifier for one in map(Requirement, lines)}
    assert all(one.specifier == bounds[one.name] for one in REQUIRED)
    assert "torch" not in with_all_they_need([one.name for one in REQUIRED])


def test_the_app_listens_on_this_machine_only_and_tells_nobody():
    settings = tomllib.loads((ROOT / "dashboard" / ".streamlit" / "config.toml").read_text("utf-8"))
    assert settings["server"]["address"] == "localhost"
    assert settings["browser"]["gatherUsageStats"] is False


def test_the_apps_code_asks_no_other_host():
    for path in (ROOT / "dashboard").rglob("*.py"):
        assert not re.search(r"https?://|requests|urllib|socket", path.read_text("utf-8")), path
