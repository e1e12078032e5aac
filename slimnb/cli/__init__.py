"""The `slimnb` command: a thin skin over the package. With --json standard output holds one JSON document.

All that is heavy is imported within the commands, so that `slimnb --help` answers at once.
"""

import io
import sys
import traceback
from typing import Annotated

import typer

from slimnb.cli.advise import advise
from slimnb.cli.alignment import alignment
from slimnb.cli.anatomy import anatomy
from slimnb.cli.available import doctor, models_app
from slimnb.cli.compare import compare, items
from slimnb.cli.data import data_app
from slimnb.cli.exchange import export_app, import_app
from slimnb.cli.merge import merge
from slimnb.cli.output import say
from slimnb.cli.plan import plan
from slimnb.cli.report import report
from slimnb.cli.run import evaluate, run
from slimnb.cli.study import list_runs, study_app
from slimnb.errors import SlimnbError

app = typer.Typer(
    help="Fine-tune a language model cheaply, and know what you gained, what it cost and what was lost.",
    no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip
app.command("run")(run)
app.command("eval")(evaluate)
app.add_typer(study_app, name="study")
app.command("runs")(list_runs)
app.command("compare")(compare)
app.command("items")(items)
app.command("anatomy")(anatomy)
app.command("alignment")(alignment)
app.command("report")(report)
app.command("merge")(merge)
app.command("plan")(plan)
app.command("advise")(advise)
app.add_typer(import_app, name="import")
app.add_typer(export_app, name="export")
app.add_typer(models_app, name="models")
app.add_typer(data_app, name="data")
app.command("doctor")(doctor)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks (may stand anywhere).")] = False,
) -> None:
    """Only declares --debug, which main() has taken out by now."""


def main() -> None:
    """Entry point: a SlimnbError is told in words with exit status 1; --debug, anywhere, shows its traceback."""
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be no text
    try:
        app()
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, SlimnbError):
            say(f"Error: {error}")
        elif isinstance(error, OSError) and error.filename:
            say(f"Error: {error.filename!s:.300}: {error.strerror}")
        else:
            say(f"Error: {type(error).__name__}: {error} (a fault of slimnb's; --debug shows where)")
        sys.exit(1)
