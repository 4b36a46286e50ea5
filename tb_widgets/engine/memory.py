"""Memory that a step gives back is kept for the next step."""

from __future__ import annotations

import ctypes
import sys

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST = 2**30  # bytes
_LARGEST_ONCE = 2**25  # what older versions of glibc allow


def keep_freed_memory() -> bool:
    """Let this process keep the main memory that it frees, up to 2 GB; return whether that could be arranged.

    Every training step asks for the same large blocks. By its own choice glibc gives those over 32 MB back to the
    system at once, and the next step pays for every page of them again: filling 64 MB takes ten times as long, and a
    step of a small model on a CPU a tenth longer. Other C libraries have no such choice; nothing changes there.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    kept = mallopt(_M_MMAP_THRESHOLD, _LARGEST) or mallopt(_M_MMAP_THRESHOLD, _LARGEST_ONCE)
    return bool(kept and mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
