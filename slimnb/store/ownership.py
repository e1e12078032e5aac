"""Who works on a run's folder, and how an attempt is taken up that nobody works on any more. Imports no torch."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import psutil

from slimnb.errors import SlimnbError
from slimnb.io.documents import read_json, validated
from slimnb.io.files import remove
from slimnb.io.lock import Lock, LockedError, Owner, held, owner
from slimnb.store.records import SCHEMA_VERSION, RunRecord

STALE_AFTER_SECONDS = 120.0
LOCK = "lock"
_NOTHING_THERE = FileNotFoundError, NotADirectoryError


class NewerSchemaError(SlimnbError):
    """A run of a newer slimnb: neither read nor replaced."""


def record_now(path: Path) -> RunRecord:
    """A run's record; `interrupted` where it says `running` and nobody works on it.

    Raises:
        SlimnbError: it is missing, damaged, or of a newer slimnb.
    """
    record = _stored(path)
    if record.status == "running" and not _is_worked_on(record, path):
        record = _stored(path)  # it may have ended since
        if record.status == "running":
            record.status = "interrupted"
    return record


def take_up(path: Path) -> tuple[Lock, RunRecord | None]:
    """Lock a run's folder, which is made where there is none, and clear away what is half-written in it.

    Returns:
        The lock, and the record of the attempt that is to go on; None where there was none.

    Raises:
        SlimnbError: the run is complete, of a newer slimnb, another process works on it (the message says which), or
            the place cannot be written.
    """
    record = _earlier(path)  # what is complete, or another's, is not even touched
    if record and record.status == "running":
        told = Owner(record.process, record.host, record.started) if record.process and record.host else None
        raise SlimnbError(f"{path}: this run is being worked on by {owner(path / LOCK) or told or 'another process'}")
    lock = Lock(path / LOCK)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.take()
    except LockedError as error:  # both came at the same moment
        raise SlimnbError(f"{path}: this run is being worked on ({error})") from error
    except OSError as error:
        raise SlimnbError(f"{path}: cannot be written ({error.strerror or error})") from error
    try:
        record = _earlier(path)  # while the lock was waited for, another may have come and gone
        _clear_away(path, record)
    except BaseException:
        lock.release(leave_file=True)
        raise
    return lock, record


def _stored(path: Path) -> RunRecord:
    """What run.json says."""
    fields = read_json(path / "run.json")
    if not isinstance(fields, dict):
        raise SlimnbError(f"{path / 'run.json'}: not a run's record")
    version = fields.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise SlimnbError(f"{path / 'run.json'}: schema_version must be a whole number, not {version!r}")
    if version > SCHEMA_VERSION:
        raise NewerSchemaError(
            f"{path / 'run.json'}: written by a newer slimnb (schema {version}, this one reads {SCHEMA_VERSION}): "
            "upgrade slimnb"
        )
    return validated(RunRecord, fields, str(path / "run.json"))


def _is_worked_on(record: RunRecord, path: Path) -> bool:
    """Whether the process that wrote `running` still works: by its lock; on this host by its process, where it has
    none; elsewhere by its heartbeat, since not every shared directory shows another host's lock."""
    locked = held(path / LOCK)
    if locked:
        return True
    if record.host == socket.gethostname() and record.process is not None:
        try:
            # A process that began after the run did is another one that got the same number.
            return locked is None and psutil.Process(record.process).create_time() <= record.started
        except (psutil.Error, ValueError, OverflowError):
            return False
    return time.time() - record.heartbeat < STALE_AFTER_SECONDS


def _earlier(path: Path) -> RunRecord | None:
    """The record of a run that is not complete; None where there is none, or a damaged one.

    Raises:
        SlimnbError: the run is complete, of a newer slimnb, or its record cannot be read now, so that nobody knows.
    """
    try:
        record = record_now(path)
    except NewerSchemaError:
        raise
    except SlimnbError as error:
        if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, _NOTHING_THERE):
            raise  # no permission, a disk that fails: what is there may be whole
        return None
    if record.status == "completed":
        raise SlimnbError(f"{path}: this run is complete; give another --name to run it again")
    return record


def _clear_away(path: Path, record: RunRecord | None) -> None:
    """Remove what is half-written (see slimnb.io.files); all, where not even the run's first file was whole."""
    for part in list(path.rglob(".*.tmp") if record else path.iterdir()):
        if part.name != LOCK:
            remove(part)
