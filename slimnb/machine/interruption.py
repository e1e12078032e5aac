"""Ctrl-C and SIGTERM as a wish, which work asks for where it is whole. Imports no torch."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

TOLD = b"\nstopping after this step, which is kept; the same again stops at once\n"


@contextmanager
def stop_noted(active: bool = True) -> Iterator[Callable[[], bool]]:
    """Within the block a first SIGINT or SIGTERM is only noted; the function given tells whether one was.

    The same signal a second time acts as it would without this. One that is noted and not asked for any more raises
    KeyboardInterrupt when the block ends. A signal that was ignored stays so, and outside of the main thread, which
    alone gets signals, nothing changes.

    Args:
        active: False changes nothing either.
    """
    before: dict[int, Callable[[int, FrameType | None], object] | signal.Handlers] = {}
    noted: set[int] = set()

    def note(number: int, frame: FrameType | None) -> None:
        if number not in noted:
            noted.add(number)
            with suppress(OSError):  # not by print, which this may have interrupted
                if os.isatty(2):
                    os.write(2, TOLD)
            return
        handler = before[number]
        if callable(handler):
            handler(number, frame)
        else:
            signal.signal(number, handler)
            signal.raise_signal(number)

    if active and threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if handler not in (None, signal.SIG_IGN):
                before[number] = handler  # pyright: ignore[reportArgumentType]  None is the only int there is
                signal.signal(number, note)
    try:
        yield lambda: bool(noted)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if noted:
        raise KeyboardInterrupt
