"""The kit for a room without the network: what is in it, what install.sh refuses, and an installation from it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from notebooks import offline_kit
from notebooks.offline_kit import KIT, PROJECT, KitError

NOBODY = "http://127.0.0.1:9"
"""A proxy at which nobody listens."""


def install(kit: Path, place: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(kit / "install.sh"), str(place)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


@pytest.fixture
def small_kit(tmp_path: Path) -> Path:
    """A whole kit of one file, for this Python."""
    kit = tmp_path / "kit"
    (kit / "slimnb").mkdir(parents=True)
    (kit / "slimnb" / "constraints.txt").write_text("")
    (kit / "install.sh").write_bytes((PROJECT / "notebooks" / "offline_install.sh").read_bytes())
    offline_kit.add_line(kit / "made-for", offline_kit.made_for())
    offline_kit.write_sums(kit)
    return kit


def test_the_project_is_what_git_knows_and_is_renewed(tmp_path: Path) -> None:
    project, target = tmp_path / "project", tmp_path / "kit" / "slimnb"
    (project / "data").mkdir(parents=True)
    for name, text in {
        "a.py": "1",
        "data/b.txt": "2",
        "gone.py": "3",
        "secret.txt": "4",
        ".gitignore": "secret.txt",
    }.items():
        (project / name).write_text(text)
    for words in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", "-C", str(project), *words], check=True)
    (project / "gone.py").unlink()
    (project / "a.py").write_text("not committed yet")
    target.mkdir(parents=True)
    (target / "of an earlier kit.py").write_text("")
    offline_kit.copy_project(project, target)
    there = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    assert there == [".gitignore", "a.py", "data/b.txt"]
    assert (target / "a.py").read_text() == "not committed yet"


def test_the_installer_asks_slimnb_for_what_there_is() -> None:
    (asked,) = re.findall(r"-c '(from slimnb.*)'\)", (PROJECT / "notebooks" / "offline_install.sh").read_text())
    outcome = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60)
    assert outcome.returncode == 0 and Path(outcome.stdout.strip()).name == "models", outcome.stderr


def test_without_git_nothing_is_copied(tmp_path: Path) -> None:
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "kept").write_text("")
    with pytest.raises(KitError, match="not a git checkout"):
        offline_kit.copy_project(tmp_path, tmp_path / "kit")
    assert (tmp_path / "kit" / "kept").exists()


def test_wheels_are_those_of_make_setup() -> None:
    words = offline_kit.wheel_command(PROJECT, Path("wheels"))
    assert words[:4] == [sys.executable, "-m", "pip", "wheel"]
    assert words[words.index("--constraint") + 1] == str(PROJECT / "constraints.txt")
    assert words[-1] == f"{PROJECT}[all]" and "-e '.[all]' -c constraints.txt" in (PROJECT / "Makefile").read_text()
    checked = offline_kit.check_command(PROJECT, Path("wheels"))
    assert "--no-index" in checked and checked[-3:] == words[-3:]


def test_a_second_python_is_added_and_none_twice(tmp_path: Path) -> None:
    for line in ("3.12 Linux x86_64", "3.11 Linux x86_64", "3.12 Linux x86_64"):
        offline_kit.add_line(tmp_path / "made-for", line)
    assert (tmp_path / "made-for").read_text() == "3.11 Linux x86_64\n3.12 Linux x86_64\n"


def test_the_sums_are_those_that_sha256sum_reads(small_kit: Path) -> None:
    outcome = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=small_kit, capture_output=True, text=True)
    assert outcome.returncode == 0 and outcome.stdout.count(": OK") == 3


def test_a_place_that_is_there_is_left_alone(small_kit: Path, tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    outcome = install(small_kit, tmp_path / "place")
    assert outcome.returncode == 1 and "is there already" in outcome.stderr
    assert not list((tmp_path / "place").iterdir())


def test_another_python_is_told_which_one_the_kit_is_for(small_kit: Path, tmp_path: Path) -> None:
    (small_kit / "made-for").write_text("3.99 Linux x86_64\n")
    outcome = install(small_kit, tmp_path / "place", PYTHON=sys.executable)
    assert outcome.returncode == 1 and "made for Python 3.99 Linux x86_64, not 3." in outcome.stderr
    outcome = install(small_kit, tmp_path / "place", PYTHON="no-such-python")
    assert outcome.returncode == 1 and "no Python called no-such-python" in outcome.stderr
    assert not (tmp_path / "place").exists()


def test_a_damaged_stick_is_noticed_before_anything_is_installed(small_kit: Path, tmp_path: Path) -> None:
    (small_kit / "slimnb" / "constraints.txt").write_text("torch==0.0")
    outcome = install(small_kit, tmp_path / "place", PYTHON=sys.executable)
    assert outcome.returncode == 1 and "slimnb/constraints.txt" in outcome.stdout + outcome.stderr
    assert "copy it anew" in outcome.stderr and not (tmp_path / "place").exists()


@pytest.mark.slow
def test_it_installs_with_the_network_closed_and_the_doctor_is_content(tmp_path: Path) -> None:
    if not (KIT / "SHA256SUMS").exists():
        pytest.skip("there is no kit: `make offline-kit` makes it")
    closed = ["unshare", "--map-root-user", "--net"]  # no network at all, where the system lets anybody do that
    if subprocess.run([*closed, "true"], capture_output=True).returncode:
        closed = []
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOBODY)
    environment = {**os.environ, **proxies, "PYTHON": sys.executable, "SLIMNB_HOME": str(tmp_path / "home")}
    command = [*closed, "sh", str(KIT / "install.sh"), str(tmp_path / "place")]
    outcome = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert outcome.returncode == 0, outcome.stderr
    said = outcome.stdout.splitlines()
    assert [line for line in said if line.startswith("ok  model")], outcome.stdout
    # A busy machine may be short of memory for the demo, which is no fault of the kit.
    assert [line for line in said if line.startswith("NO ") and not line.startswith("NO  memory")] == []
    ready = tmp_path / "place" / ".venv" / ".ready"
    assert ready.stat().st_mtime >= (tmp_path / "place" / "pyproject.toml").stat().st_mtime, "make would set up again"
