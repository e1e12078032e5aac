"""Files that are whole or absent: written beside their place, synced, then moved there."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from slimnb.errors import SlimnbError

_PROCESSES = Path("/proc/self/ns/pid")


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target`; move it there if the block ends well, remove it if not.

    The block may write a file or a directory. A directory replaces nothing: the first writer wins, and its copy
    stays.

    Raises:
        SlimnbError: the place cannot be written (no permission, full disk, read-only).
    """
    temporary = target.parent / f".{target.name}.{_here()}-{os.getpid()}-{uuid4().hex[:8]}.tmp"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear_away(target)
        yield temporary
        if temporary.is_dir():
            for file in temporary.rglob("*"):
                if file.is_file():
                    _sync(file)
            if not target.exists():
                temporary.replace(target)
        else:
            _sync(temporary)
            temporary.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise SlimnbError(f"{target}: cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(SlimnbError):  # where that fails too, the next writer of the same target removes it
            remove(temporary)


def write_json(target: Path, document: Any) -> None:
    """Write a JSON document atomically; NaN and infinity are refused, since JSON has none."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def append_json_line(stream: IO[str], record: dict[str, Any]) -> None:
    """Append one record and flush it, so that a killed process leaves whole lines behind.

    Raises:
        SlimnbError: the place cannot be written. The stream is closed, and may end in a part of a line.
    """
    line = json.dumps(record, allow_nan=False) + "\n"
    try:
        stream.write(line)
        stream.flush()
    except OSError as error:
        with suppress(OSError):
            stream.close()  # else it would try again when it is closed, and fail outside of this
        raise SlimnbError(f"{stream.name}: cannot be written ({error.strerror or error})") from error


def remove(path: Path) -> None:
    """Remove a file, or a directory with all that is in it; nothing where nothing is.

    Raises:
        SlimnbError: it cannot be removed (no permission, read-only).
    """
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        pass  # another process removes it as well
    except OSError as error:
        raise SlimnbError(f"{path}: cannot be removed ({error.strerror or error})") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _here() -> str:
    """What tells this machine's processes, or this container's, from others that may write to the same directory."""
    try:
        space = os.readlink(_PROCESSES)  # noqa: PTH115
    except OSError:
        space = ""
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:6]


def _clear_away(target: Path) -> None:
    """Remove what killed processes of this machine have left half-written of a target."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.{_here()}-*-*.tmp"):
        process = left.name.split("-")[-2]
        if process.isdecimal() and not _is_alive(int(process)):
            with suppress(SlimnbError):
                remove(left)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # another user's
    return True
