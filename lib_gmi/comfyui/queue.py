"""Builds in ComfyUI's own prompt queue.

The queue is a heap that runs the smallest number first. People's prompts are numbered from 0 (or
negatively, when queued at the front), so a large number runs only when nobody else wants anything.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from ..builds import Job

#: Beyond any number that people's prompts reach.
LOW_PRIORITY = 1_000_000_000
#: The node that a job's prompt consists of, and its id: no node on anybody's canvas is called so.
NODE_CLASS = "GMI_BuildPass"
NODE_ID = "gmi_build"
_MARK = "gmi"
#: Finished jobs that stay in the history.
_KEPT_HISTORY = 20


class ComfyQueue:
    """See :class:`..builds.JobQueue`."""

    def __init__(self) -> None:
        self._numbers: Iterator[int] = itertools.count(LOW_PRIORITY)
        self._submitted: list[str] = []

    def submit(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            inputs = {"checkpoint": job.name, "samples": job.samples}
            prompt = {NODE_ID: {"class_type": NODE_CLASS, "inputs": inputs}}
            extra = {_MARK: {"job": job.name}, "create_time": int(time.time() * 1000)}
            # Nobody's id: without one, ComfyUI sends progress and previews to everybody.
            extra["client_id"] = "gmi-build"
            # Newer versions expect a sixth element (secrets, none here), older ones ignore it.
            number, prompt_id = next(self._numbers), str(uuid.uuid4())
            item: tuple[Any, ...] = (number, prompt_id, prompt, extra, [NODE_ID], {})
            self._submitted.append(prompt_id)
            _queue().put(item)

    def tidy(self) -> None:
        """Take finished jobs out of the history, where people look for their images."""
        running, queued = self._items()
        waiting = {item[1] for item in (*running, *queued)}
        finished = [prompt_id for prompt_id in self._submitted if prompt_id not in waiting]
        for prompt_id in finished[: -_KEPT_HISTORY or None]:
            _queue().delete_history_item(prompt_id)
            self._submitted.remove(prompt_id)

    def withdraw(self) -> None:
        while _queue().delete_queue_item(_is_ours):
            pass

    def interrupt(self) -> None:
        if any(_is_ours(item) for item in self._items()[0]):
            import nodes

            nodes.interrupt_processing()

    def pending(self) -> int:
        running, queued = self._items()
        return sum(map(_is_ours, running)) + sum(map(_is_ours, queued))

    def _items(self) -> tuple[list[Any], list[Any]]:
        queue = _queue()
        # the other copies every prompt of the queue
        look = getattr(queue, "get_current_queue_volatile", queue.get_current_queue)
        running, queued = look()
        return list(running), list(queued)


def _is_ours(item: Any) -> bool:
    return isinstance(item[3], dict) and _MARK in item[3]


def _queue() -> Any:
    from server import PromptServer

    return PromptServer.instance.prompt_queue
