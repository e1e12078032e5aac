"""`slimnb report`."""

from pathlib import Path
from typing import Annotated

import typer

from slimnb.cli.output import say


def report(
    study: Annotated[Path, typer.Argument(help="A study's directory, such as data/runs/reference.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write there, e.g. FINDINGS.md; else print.")] = None,
) -> None:
    """Hold the paper's claims against a study's runs: a page in Markdown, written from the run folders alone."""
    from slimnb.findings import report as written
    from slimnb.findings import write_report

    text = written(study)
    if out is None:
        print(text, end="")
    else:
        write_report(text, out)
        say(f"wrote {out}")
