"""A stand-in for ComfyUI's module of this name."""

from __future__ import annotations

from standin import seen


class ProgressBar:
    """Reports to the node that is running."""

    def __init__(self, total, node_id=None):
        self.total = total
        self.current = 0

    def update_absolute(self, value, total=None, preview=None):
        self.total = self.total if total is None else total
        self.current = min(value, self.total)
        seen.progress.append((self.current, self.total))
