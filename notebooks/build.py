"""Run the notebooks and keep what they show: NN_name.py (edited, reviewed) -> NN_name.ipynb (with outputs).

    python notebooks/build.py [NAME ...]                         in replay mode, each .ipynb beside its .py
    python notebooks/build.py --mode quick --out build/notebooks   trained and measured here, put elsewhere

Where all have run in mode quick, their seconds are kept in data/perf/notebooks.json and told in README.md.
Each runs in a fresh kernel. A figure is kept twice: as Plotly's own, which a browser moves, and as a still image, which
GitHub shows. The image is drawn by kaleido, which needs Chrome or Chromium; nothing else here does.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from slimnb.io.files import write_json
from slimnb.machine.environment import describe

HERE = Path(__file__).resolve().parent
TIMES = HERE.parent / "data" / "perf" / "notebooks.json"
README = HERE / "README.md"
TOLD = re.compile(r"(?<=<!-- quick: begin -->\n).*?(?=<!-- quick: end -->)", re.DOTALL)
SOURCES = [*sorted(HERE.glob("[0-9]*.py")), *sorted((HERE / "solutions").glob("[0-9]*.py"))]
PLOTLY = "application/vnd.plotly.v1+json"
SECONDS = {"replay": 900, "quick": 1800, "full": None}
"""The longest that a cell may take, by mode; None for as long as it needs."""


def execute(source: Path, mode: str = "replay", **environment: str) -> nbformat.NotebookNode:
    """A notebook with its outputs, run from top to bottom in its own directory.

    Args:
        environment: more variables for the kernel.

    Raises:
        CellExecutionError: a cell failed.
    """
    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"  # not a random one, which would change with each build
    # plotly_mimetype: the bare figure, without plotly's own scripts of megabytes.
    environment = {**os.environ, "SLIMNB_MODE": mode, "PLOTLY_RENDERER": "plotly_mimetype", **environment}
    place = {"metadata": {"path": str(source.parent)}}
    client = NotebookClient(
        notebook, timeout=SECONDS[mode], record_timing=False, coalesce_streams=True, resources=place
    )
    with tempfile.TemporaryDirectory() as sockets:  # files, where there would be ports of the network
        manager = client.create_kernel_manager()
        manager.transport, manager.ip = "ipc", f"{sockets}/kernel"
        client.execute(env=environment)
    notebook.metadata.pop("language_info", None)  # the patch level of this machine's Python
    return notebook


def figures(notebook: nbformat.NotebookNode) -> list[Any]:
    """The outputs that are Plotly figures."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output for output in outputs if PLOTLY in output.get("data", {})]


def add_images(notebook: nbformat.NotebookNode) -> None:
    """Put a still image beside each figure, and its text alternative with both."""
    import plotly.graph_objects as go

    for output in figures(notebook):
        figure: Any = go.Figure(output["data"][PLOTLY])
        alt = figure.layout.meta["alt"]
        image = figure.to_image("png", width=800)
        output["data"] |= {"image/png": base64.b64encode(image).decode(), "text/plain": alt}
        output["metadata"] = {"image/png": {"alt": alt}}


def build(source: Path, mode: str, out: Path | None) -> float | None:
    """Run a notebook and write it: the seconds that it ran, or None, having said what was wrong, if a cell failed."""
    name = source.relative_to(HERE).with_suffix(".ipynb")
    start = time.perf_counter()
    try:
        notebook = execute(source, mode)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        print(f"{name}: a cell failed\n{error}", file=sys.stderr)
        return None
    seconds = time.perf_counter() - start
    add_images(notebook)
    place = (out or HERE) / name
    place.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, place)
    print(f"{name}: {seconds:.0f} s in mode {mode}, {place.stat().st_size / 1000:.0f} KB", flush=True)
    return seconds


def told(times: dict[str, Any]) -> str:
    """What README.md says of how long all notebooks take in mode quick."""
    environment, seconds = times["environment"], times["seconds"]
    parts = {"notebooks": {}, "solutions": {}}
    for name, took in seconds.items():
        parts["solutions" if name.startswith("solutions/") else "notebooks"][Path(name).name[:2]] = took
    lines = [f"All {len(seconds)} together took {times['total'] / 60:.0f} minutes on {environment['cores']} cores "
             f"({environment['processor']}), the longest {max(seconds.values())} s. In seconds:", ""]  # fmt: skip
    lines += [f"- {part}: {', '.join(f'{name} {took}' for name, took in found.items())}"
              for part, found in parts.items()]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of names, e.g. 01 or solutions/01; none for all")
    parser.add_argument("--mode", choices=SECONDS, default="replay")
    parser.add_argument("--out", type=Path, help="a directory to write to, instead of beside the sources")
    asked = parser.parse_args()
    if asked.mode != "replay" and asked.out is None:
        parser.error(f"--mode {asked.mode} needs --out: the notebooks beside the sources are those of replay mode")
    wanted = tuple(asked.names or [""])
    chosen = [one for one in SOURCES if f"{one.relative_to(HERE)}".startswith(wanted) or one.name.startswith(wanted)]
    if not chosen:
        parser.error(f"no notebook begins with {' or '.join(asked.names)}")
    built = {f"{path.relative_to(HERE).with_suffix('')}": build(path, asked.mode, asked.out) for path in chosen}
    seconds = {name: round(took) for name, took in built.items() if took is not None}
    if len(seconds) < len(built):
        sys.exit(f"{len(built) - len(seconds)} of {len(built)} notebooks failed")
    if asked.mode == "quick" and chosen == SOURCES:
        times = {"environment": describe(), "seconds": seconds, "total": sum(seconds.values())}
        write_json(TIMES, times)
        README.write_text(TOLD.sub(lambda _: told(times), README.read_text("utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
