"""Files that are whole or absent: written beside their place, synced, then moved there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from slimnb.errors import SlimnbError


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target`; move it there if the block ends well, remove it if not.

    The block may write a file or a directory. A directory replaces nothing: the first writer wins, and its copy
    stays.

    Raises:
        SlimnbError: the place cannot be written (no permission, full disk, read-only).
    """
    temporary = target.parent / f".{target.name}.{uuid4().hex[:8]}.tmp"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
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
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        elif temporary.exists():
            temporary.unlink()


def write_json(target: Path, document: Any) -> None:
    """Write a JSON document atomically; NaN and infinity are refused, since JSON has none."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def append_json_line(stream: IO[str], record: dict[str, Any]) -> None:
    """Append one record and flush it, so that a killed process leaves whole lines behind."""
    stream.write(json.dumps(record, allow_nan=False) + "\n")
    stream.flush()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
