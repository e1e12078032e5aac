"""`slimnb models` and `slimnb doctor`: what there is and what works here."""

import typer

from slimnb.cli.options import DataDir, Json
from slimnb.cli.output import print_json, print_rows, say

models_app = typer.Typer(help="Models that are available, and how to get one.", invoke_without_command=True)


@models_app.callback()
def models(context: typer.Context, as_json: Json = False) -> None:
    """List the models that work without the Hub."""
    if context.invoked_subcommand is not None:
        return
    from slimnb.models.load import home
    from slimnb.models.offline import OFFLINE_MODELS

    rows = [
        {"name": m.name, "title": m.title, "parameters": m.parameters, "licence": m.licence, "source": m.source,
         "prepared": (home() / "models" / m.name).is_dir()} for m in OFFLINE_MODELS.values()
    ]  # fmt: skip
    print_rows(rows, as_json)
    if not as_json:
        say("A local directory in transformers' form or a Hub id works as well.")


@models_app.command("get")
def models_get(name: str, as_json: Json = False) -> None:
    """Prepare or download a model and print where it is."""
    from slimnb.models.load import get_model, weights_sha256

    place = get_model(name)
    if as_json:
        print_json({"name": name, "path": str(place), "sha256": weights_sha256(place)})
    else:
        print(place)


def doctor(data: DataDir = None) -> None:
    """Check versions, device, memory, model, data and Hub; exit status 1 when the demo could not run."""
    from slimnb.data.load import data_directory
    from slimnb.planning.doctor import examine

    findings = []
    for finding in examine(data_directory(data)):
        print(f"{'ok ' if finding.ok else 'NO '} {finding.name}: {finding.text}", flush=True)
        findings.append(finding)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
