"""Put all that a room without the network needs into one directory, to be copied to a stick.

    python notebooks/offline_kit.py [--out DIRECTORY]      build/offline-kit unless named

  slimnb/          the project: every file that git knows, shipped runs and notebooks too
  wheels/          all packages of `make setup` in the versions of constraints.txt, for this Python and system
  models/          the offline model
  install.sh       installs it all, with the network closed
  made-for         the Pythons and systems that the wheels are for, a line each
  SHA256SUMS       by which install.sh finds a damaged file

Run again, it renews the project and adds what is missing: with another Python it makes the kit good for both. It lies
beside the notebooks because it carries the room and not the package.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
KIT = PROJECT / "build" / "offline-kit"
MODEL = "smollm2-135m"
BUILD_BACKEND = ("hatchling", "editables")
"""What pip needs to install the project itself, in editable form."""
README = """slimnb, to be installed without the network.

    sh install.sh            into ~/slimnb
    sh install.sh PLACE      into a new directory PLACE

Linux; the Pythons that it is made for stand in the file made-for. Then: cd ~/slimnb && make notebooks
"""


class KitError(Exception):
    """The kit cannot be made; the text says why."""


def tracked_files(project: Path) -> list[Path]:
    """The files that git knows, relative to the project, as far as they are there.

    Raises:
        KitError: it is no git checkout.
    """
    outcome = subprocess.run(["git", "-C", str(project), "ls-files", "-z"], capture_output=True, text=True)
    if outcome.returncode:
        raise KitError(f"{project}: not a git checkout, so its own files cannot be told from others")
    return [Path(name) for name in outcome.stdout.split("\0") if name and (project / name).is_file()]


def copy_project(project: Path, target: Path) -> None:
    """The project as it is now, without what git ignores; an earlier copy goes."""
    files = tracked_files(project)
    shutil.rmtree(target, ignore_errors=True)
    for name in files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(project / name, target / name)


def wheel_command(project: Path, wheels: Path) -> list[str]:
    """What `make setup` installs, as wheels: those that there are, and the others built here."""
    return [
        sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--wheel-dir", str(wheels),
        "--find-links", str(wheels), "--constraint", str(project / "constraints.txt"), *BUILD_BACKEND,
        f"{project}[all]",
    ]  # fmt: skip


def check_command(project: Path, wheels: Path) -> list[str]:
    """Whether the wheels alone are enough."""
    return [
        sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--no-index",
        "--disable-pip-version-check", "--find-links", str(wheels), "--constraint", str(project / "constraints.txt"),
        *BUILD_BACKEND, f"{project}[all]",
    ]  # fmt: skip


def made_for() -> str:
    """This Python and system, as install.sh asks for them."""
    return f"{sys.version_info[0]}.{sys.version_info[1]} {platform.system()} {platform.machine()}"


def add_line(path: Path, line: str) -> None:
    """Unless it is there."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    path.write_text("".join(f"{one}\n" for one in sorted({*lines, line})), "utf-8")


def write_sums(kit: Path) -> None:
    """SHA-256 of every file but the list itself, as sha256sum reads them."""
    lines = []
    for path in sorted(path for path in kit.rglob("*") if path.is_file() and path.name != "SHA256SUMS"):
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        lines.append(f"{digest}  {path.relative_to(kit).as_posix()}\n")
    (kit / "SHA256SUMS").write_text("".join(lines), "utf-8")


def copy_model(kit: Path) -> None:
    """The offline model, prepared first if it is not."""
    from slimnb.models.load import get_model

    if not (kit / "models" / MODEL).is_dir():
        shutil.copytree(get_model(MODEL), kit / "models" / MODEL, symlinks=False)


def make_kit(kit: Path) -> None:
    """All parts, in the order in which they may fail.

    Raises:
        KitError: git or pip fails.
    """
    wheels = kit / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    print(f"project, into {kit}", flush=True)
    copy_project(PROJECT, kit / "slimnb")
    print("wheels: a gigabyte or more, some minutes", flush=True)
    for command in (wheel_command(PROJECT, wheels), check_command(PROJECT, wheels)):
        if subprocess.run(command).returncode:
            raise KitError(f"pip failed, with its reason above: {' '.join(command)}")
    for own in wheels.glob("slimnb-*.whl"):  # the project is installed from its directory
        own.unlink()
    print(f"model {MODEL}", flush=True)
    copy_model(kit)
    shutil.copy2(HERE / "offline_install.sh", kit / "install.sh")
    (kit / "README.txt").write_text(README, "utf-8")
    add_line(kit / "made-for", made_for())
    write_sums(kit)
    size = sum(path.stat().st_size for path in kit.rglob("*") if path.is_file())
    print(f"done: {size / 1e9:.1f} GB. Copy {kit} to a stick; on each machine: sh install.sh")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=KIT)
    try:
        make_kit(parser.parse_args().out.resolve())
    except KitError as error:
        sys.exit(f"offline_kit.py: {error}")


if __name__ == "__main__":
    main()
