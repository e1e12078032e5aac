"""How much memory a phase of a run took at its highest."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class PeakMemory:
    """The highest memory since it was made: of the process on CPU, of the allocator on CUDA. In bytes.

    On CPU the kernel's own high-water mark of resident memory is used (Linux); it is set back at the start of a phase
    where the kernel allows it, and else covers the whole life of the process.
    """

    def __init__(self, device: torch.device):
        self.cuda = device.type == "cuda"
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
        elif _CLEAR.exists():
            try:
                _CLEAR.write_text("5")
            except OSError:
                return

    def read(self) -> int:
        if self.cuda:
            return torch.cuda.max_memory_allocated()
        if _STATUS.exists():
            for line in _STATUS.read_text().splitlines():
                if line.startswith("VmHWM"):
                    return int(line.split()[1]) * 1024
        return psutil.Process().memory_info().rss
