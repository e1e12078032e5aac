"""How much memory a phase of a run took at its highest, and how freed memory is kept for the next batch."""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import suppress
from pathlib import Path

import psutil
import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def reset_peak(device: torch.device) -> None:
    """Start a phase: let the peak count from here.

    The kernel's high-water mark of resident memory (Linux) is set back where it allows that; elsewhere the peak covers
    the whole life of the process.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif _CLEAR.exists():
        try:
            _CLEAR.write_text("5")
        except OSError:
            return


def peak_bytes(device: torch.device) -> int:
    """The highest memory of the phase: of the process on a CPU, of the allocator on CUDA."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    return memory_bytes(device)


def memory_bytes(device: torch.device) -> int:
    """Memory now, of the process on a CPU or of the allocator on CUDA."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated()
    return psutil.Process().memory_info().rss


def keep_freed_memory() -> bool:
    """Let the C library keep freed blocks for the next batch instead of giving them back to the system.

    glibc maps a large tensor anew each time, which costs a page fault for every 4 KB of it, and leaves holes where its
    threshold has grown in between. No more than a quarter of a gigabyte is kept: with more, full fine-tuning grows step
    by step. True where the C library is glibc, the only one that is asked.
    """
    mmap_threshold, trim_threshold = -3, -1  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD in malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(mmap_threshold, 2**25) and mallopt(trim_threshold, 2**28))


def give_back_memory() -> None:
    """Give freed blocks back to the system once a model is gone: what is left between others grows from run to run."""
    gc.collect()
    with suppress(AttributeError, OSError, TypeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def keep_few_kernels() -> None:
    """Let oneDNN keep few of the kernels that it makes on a CPU, one for each shape of product.

    It keeps 1,024 with their working memory, batches of many lengths fill them, and the process grows by gigabytes. A
    batch has a few dozen shapes. Read when the first product is computed; what the environment says already stays.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
