"""Builds and spot checks in ComfyUI's own prompt queue.

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
#: Behind people's prompts as well; but a check is asked for by a click and waits for no build.
CHECK_PRIORITY = 500_000_000
#: The node that a job's prompt consists of, and its id: no node on anybody's canvas is called so.
NODE_CLASS = "GMI_BuildPass"
NODE_ID = "gmi_build"
_MARK = "gmi"
#: The same of a spot check. Another mark than a build's: pausing a build must not take it away.
CHECK_CLASS = "GMI_SpotCheck"
CHECK_ID = "gmi_check"
_CHECK_MARK = "gmi_check"
#: Finished jobs that stay in the history.
_KEPT_HISTORY = 20


class ComfyQueue:
    """See :class:`..builds.JobQueue`."""

    def __init__(self) -> None:
        self._numbers: Iterator[int] = itertools.count(LOW_PRIORITY)
        self._check_numbers: Iterator[int] = itertools.count(CHECK_PRIORITY)
        self._submitted: list[str] = []

    def submit(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            inputs = {"checkpoint": job.name, "samples": job.samples}
            node = {"class_type": NODE_CLASS, "inputs": inputs}
            self._put(next(self._numbers), NODE_ID, node, {_MARK: {"job": job.name}})

    def submit_check(self, name: str) -> None:
        """Queue the images of a spot check; it ends in :meth:`..checks.Checks.run`."""
        node = {"class_type": CHECK_CLASS, "inputs": {"checkpoint": name}}
        self._put(next(self._check_numbers), CHECK_ID, node, {_CHECK_MARK: name})

    def checks(self) -> list[str]:
        """Names of the checkpoints whose spot checks are queued or running."""
        items = itertools.chain(*self._items())
        return [str(item[3][_CHECK_MARK]) for item in items if _is_ours(item, _CHECK_MARK)]

    def _put(self, number: int, id_: str, node: dict[str, Any], mark: dict[str, Any]) -> None:
        extra = {**mark, "create_time": int(time.time() * 1000)}
        # Nobody's id: without one, ComfyUI sends progress and previews to everybody.
        extra["client_id"] = "gmi-build"
        # Newer versions expect a sixth element (secrets, none here), older ones ignore it.
        prompt_id = str(uuid.uuid4())
        item: tuple[Any, ...] = (number, prompt_id, {id_: node}, extra, [id_], {})
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


def _is_ours(item: Any, mark: str = _MARK) -> bool:
    return isinstance(item[3], dict) and mark in item[3]


def _queue() -> Any:
    from server import PromptServer

    return PromptServer.instance.prompt_queue
