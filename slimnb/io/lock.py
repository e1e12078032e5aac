"""A lock with an owner: who works on a directory is known, and the kernel takes the lock from whoever dies.

A process that is killed leaves the file behind, and no lock: what is in the file counts only while it is held. No clock
and no process number decides. Imports no torch.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from slimnb.errors import SlimnbError

PATIENCE = 1.0
"""Seconds that `take` tries: whoever asks `held` holds the lock for a moment."""


@dataclass(frozen=True)
class Owner:
    process: int
    host: str
    since: float
    """Seconds since 1970."""

    def __str__(self) -> str:
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.process} on {self.host}, since {started}"


class LockedError(SlimnbError):
    """Another process holds it."""


class Lock:
    """Held from `take` until `release`, or until this process ends. A file system without locks gives none: `take`
    then changes nothing.
    """

    def __init__(self, path: Path):
        self._path = path
        self._close: weakref.finalize | None = None

    def take(self) -> None:
        """
        Raises:
            LockedError: another process (or another part of this one) holds it; the message says who.
            SlimnbError: the place cannot be written.
        """
        end = time.monotonic() + PATIENCE
        while True:
            try:
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise SlimnbError(f"{self._path}: cannot be written ({error.strerror})") from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _lies_at(descriptor, self._path):
                    break
            except BlockingIOError as error:
                if time.monotonic() > end:
                    os.close(descriptor)
                    raise LockedError(f"held by {owner(self._path) or 'another process'}") from error
                time.sleep(0.02)
            except OSError:  # no locks here
                os.close(descriptor)
                return
            os.close(descriptor)  # its last owner has removed it meanwhile, or it is held
        self._close = weakref.finalize(self, os.close, descriptor)
        mine = {"process": os.getpid(), "host": socket.gethostname(), "since": time.time()}
        with suppress(OSError):  # on a full disk it holds without words
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(mine).encode(), 0)

    def release(self, leave_file: bool = False) -> None:
        """Let go, and remove the file. Does nothing where nothing is held.

        Args:
            leave_file: a file that nobody holds tells that its last owner is gone, whatever else it has left.
        """
        if self._close is not None and self._close.alive:
            if not leave_file:
                with suppress(OSError):
                    self._path.unlink(missing_ok=True)
            self._close()


def held(path: Path) -> bool | None:
    """Whether a living process holds the lock; None where there is none, or none can be told."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


def owner(path: Path) -> Owner | None:
    """Who the file says holds the lock; None where it says nothing."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Owner(int(fields["process"]), str(fields["host"]), float(fields["since"]))
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return None


def _lies_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))  # noqa: PTH116
    except FileNotFoundError:
        return False
