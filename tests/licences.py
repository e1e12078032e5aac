"""`make licences`: the licence of every dependency from its installed metadata, held against tests/licences.toml.

With `--audit` pip-audit then looks up known holes in the versions of constraints.txt. It asks the network, so it says
where that cannot be reached instead of failing; a hole that it finds fails.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("dashboard", "notebooks", "dev", "cluster", "peers", "chaos")
KNOWN: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
MOST = 600
"""Seconds that pip-audit may take."""


def dependencies(root: str = "slimnb", extras: Iterable[str] = EXTRAS) -> dict[str, Distribution]:
    """All that is installed because slimnb or one of its extras needs it, by name."""
    found: dict[str, Distribution] = {}
    waiting, seen = [(root, frozenset(extras))], set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            one = distribution(name)
        except PackageNotFoundError:  # of another platform, or of an extra that is not installed
            continue
        found[canonicalize_name(name)] = one
        for line in one.requires or ():
            need = Requirement(line)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *wanted)):
                waiting.append((canonicalize_name(need.name), frozenset(need.extras)))
    found.pop(canonicalize_name(root), None)
    return dict(sorted(found.items()))


def licence(metadata: Any) -> str:
    """A package's licence as an SPDX expression, as far as its metadata tell."""
    if expression := metadata.get("License-Expression"):
        return expression
    told = [
        line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier") or () if line.startswith("License ::")
    ]
    told = [line for line in told if line != "OSI Approved"] or [(metadata.get("License") or "").strip().split("\n")[0]]
    return " AND ".join(KNOWN["spellings"].get(line.strip(), line.strip()) for line in told) or "not told"


def allowed(expression: str) -> bool:
    """Whether all parts of an expression are allowed, or one of those that may be chosen from."""
    if expression in KNOWN["allowed"]:
        return True
    for word, judge in (("OR", any), ("AND", all), ("WITH", all)):
        if len(parts := _divided(expression, word)) > 1:
            return judge(map(allowed, parts))
    return expression.startswith("(") and allowed(expression[1:-1].strip())


def _divided(expression: str, word: str) -> list[str]:
    """The parts between a word, but for what stands in parentheses."""
    parts, depth = [""], 0
    for token in re.findall(r"[()]|[^\s()]+", expression):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == word and not depth:
            parts.append("")
        else:
            parts[-1] = f"{parts[-1]} {token}".strip()
    return parts


def judged(name: str, expression: str) -> str | None:
    """Why a package is allowed; None where it is not."""
    if allowed(expression):
        return "allowed"
    return next((why for pattern, why in KNOWN["packages"].items() if fnmatch(name, pattern)), None)


Ask = Callable[[list[str]], "subprocess.CompletedProcess[str]"]


def _ask(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=MOST)


def audit(ask: Ask = _ask) -> tuple[bool, str]:
    """Whether no hole is known, and what to tell. What cannot be asked is no hole."""
    if importlib.util.find_spec("pip_audit") is None:
        return True, "pip-audit is not installed (pip install -e '.[chaos]'): nothing is known of holes"
    words = [sys.executable, "-m", "pip_audit", "--requirement", "constraints.txt", "--no-deps", "--disable-pip"]
    try:
        done = ask(words)
    except subprocess.TimeoutExpired:
        return True, f"pip-audit had no answer in {MOST} s: nothing is known of holes"
    if done.returncode == 0:
        return True, "pip-audit: no known holes in the versions of constraints.txt"
    if "Vulnerability" in done.stdout or "Fix Versions" in done.stdout:
        return False, done.stdout
    reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return True, f"pip-audit could not reach its database ({reason:.200}): nothing is known of holes"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audit", action="store_true", help="look up known holes, by the network")
    given = parser.parse_args()
    found = {name: (one.version, licence(one.metadata)) for name, one in dependencies().items()}
    wrong = [name for name, (_, told) in found.items() if judged(name, told) is None]
    for name, (version, told) in found.items():
        print(f"{name:32} {version:16} {told:.60}" + ("   NOT ALLOWED" if name in wrong else ""))
    print(f"{len(found)} dependencies, {len(wrong)} with a licence that tests/licences.toml does not allow")
    safe = True
    if given.audit:
        safe, said = audit()
        print(said)
    return int(bool(wrong) or not safe)


if __name__ == "__main__":
    sys.exit(main())
