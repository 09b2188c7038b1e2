"""Builds and spot checks in ComfyUI's own prompt queue.

The queue is a heap that runs the smallest number first. People's prompts are numbered from 0 (or
negatively, when queued at the front), so a large number runs only when nobody else wants anything.

Of a build, one job at a time is there. The others wait here until it has ended and nobody has
generated anything for a while: a queue panel shows what runs, not what is planned, and no job of
ours begins between two prompts of somebody's.
"""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..hosts.installed import title_of_file
from ..service.jobs import Job
from .graphs import Graph, what_loads

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


@dataclass
class _Queued:
    """The job that ComfyUI's queue holds, or runs."""

    prompt_id: str
    job: Job
    begun: bool = False


class ComfyQueue:
    """See :class:`..service.jobs.JobQueue`. All methods may be called from any thread.

    Args:
        gate: why the next job has to wait, in one sentence, or ``None`` when it may run.
        before: called when somebody has asked for jobs.
        wanted: whether the build still wants a job; an earlier one may have found out that its
            checkpoint cannot be used.
        watch: called when jobs begin to wait for something that nobody tells; then
            :meth:`look` has to be called every now and then, until it says that it need not.
        told: called when :attr:`waiting_for` has changed, or somebody removed the job.
        keep: what the next job's prompt shall hold so that ComfyUI does not forget it: given the
            job and the last prompt of somebody's.
    """

    def __init__(
        self,
        gate: Callable[[], str | None] = lambda: None,
        before: Callable[[], None] = lambda: None,
        wanted: Callable[[Job], bool] = lambda job: True,
        watch: Callable[[], None] = lambda: None,
        told: Callable[[], object] = lambda: None,
        keep: Callable[[Job, Graph], Graph] = lambda job, graph: {},
    ) -> None:
        self._gate, self._before, self._wanted = gate, before, wanted
        self._watch, self._told, self._keep = watch, told, keep
        self._numbers: Iterator[int] = itertools.count(LOW_PRIORITY)
        self._check_numbers: Iterator[int] = itertools.count(CHECK_PRIORITY)
        self._lock = threading.RLock()
        self._waiting: deque[Job] = deque()
        self._queued: _Queued | None = None
        self._goals: dict[str, int] = {}
        self._said: str | None = None
        self._submitted: list[str] = []
        #: Of jobs that gave way: they have done nothing that a history need tell.
        self._forgotten: list[str] = []

    # -- what builds ask for ----------------------------------------------------------------------

    def submit(self, jobs: Sequence[Job]) -> None:
        self._before()
        with self._lock:
            self._waiting.extend(jobs)
            for job in self._waiting:
                self._goals[job.name] = max(job.samples, self._goals.get(job.name, 0))
        self.pump()
        self._watch()

    def withdraw(self) -> None:
        with self._lock:
            self._waiting.clear()
            self._goals.clear()
            while _queue().delete_queue_item(_is_ours):
                self._queued = None

    def interrupt(self) -> None:
        if any(_is_ours(item) for item in _items()[0]):
            import nodes

            nodes.interrupt_processing()

    def pending(self) -> int:
        with self._lock:
            self._notice()
            running, queued = _items()
            there = sum(map(_is_ours, running)) + sum(map(_is_ours, queued))
            return len(self._waiting) + there

    # -- a job's turn -----------------------------------------------------------------------------

    def pump(self) -> None:
        """Hand the next job to ComfyUI, if its turn has come."""
        while True:
            with self._lock:
                self._notice()
                if self._queued is not None or not self._waiting:
                    return
                job = self._waiting[0]
            # neither question may be asked under the lock: a build holds its own and asks us
            wanted = self._wanted(job)
            if wanted and self._gate() is not None:
                return
            with self._lock:
                if self._queued is not None or not self._waiting or self._waiting[0] is not job:
                    continue  # somebody else was here meanwhile
                self._waiting.popleft()
                if wanted:
                    self._put_job(job)
                    return

    def begin(self) -> str | None:
        """A job's node is executed: why it has to give way after all, or ``None``."""
        with self._lock:
            if not self._runs():
                return None  # the node in a prompt of somebody's own
            assert self._queued is not None
            self._queued.begun = True
        reason = self._gate()
        if reason is not None:
            with self._lock:
                self._put_back()
        return reason

    def yields(self, job: Job) -> bool:
        """Whether a job that runs gives way after this image; then it is queued once more."""
        if self._gate() is None:
            return False
        with self._lock:
            if not self._runs() or self._queued is None or self._queued.job != job:
                return False
            self._put_back()
        return True

    def end(self) -> None:
        """A job's node has been executed."""
        with self._lock:
            if self._runs():
                self._queued = None
        self.pump()
        self._watch()

    @property
    def resting(self) -> bool:
        """Whether no job is queued, running, or about to be."""
        with self._lock:
            return self._queued is None and not self._waiting

    @property
    def waiting_for(self) -> str | None:
        """Why nothing happens although there are jobs, or ``None``."""
        with self._lock:
            if self._queued is not None or not self._waiting:
                return None
        return self._gate()

    def look(self) -> bool:
        """Hand over a job whose turn has come, notice what was removed, forget what gave way.

        Returns:
            Whether to look again.
        """
        with self._lock:
            before = self._queued
            self._notice()
            removed = before is not None and self._queued is None
        self.pump()
        self._forget()
        said = self.waiting_for
        if removed or said != self._said:
            self._said = said
            self._told()
        with self._lock:
            return bool(self._queued or self._waiting or self._forgotten)

    # -- spot checks ------------------------------------------------------------------------------

    def submit_check(self, name: str) -> None:
        """Queue the images of a spot check; it ends in :meth:`..checks.Checks.run`."""
        node = {"class_type": CHECK_CLASS, "inputs": {"checkpoint": name}}
        with self._lock:
            number = next(self._check_numbers)
            self._put(number, CHECK_ID, {CHECK_ID: node}, {_CHECK_MARK: name}, check_title(name))

    def checks(self) -> list[str]:
        """Names of the checkpoints whose spot checks are queued or running."""
        items = itertools.chain(*_items())
        return [str(item[3][_CHECK_MARK]) for item in items if _is_ours(item, _CHECK_MARK)]

    # -- ComfyUI's queue --------------------------------------------------------------------------

    def job_title(self, job: Job) -> str:
        """What queue panels call a job."""
        goal = max(job.samples, self._goals.get(job.name, 0))
        return f"Find Best Model: profiles of {title_of_file(job.name)}, {job.samples} of {goal}"

    def _put_job(self, job: Job) -> None:
        inputs = {"checkpoint": job.name, "samples": job.samples}
        node = {"class_type": NODE_CLASS, "inputs": inputs}
        last = _last_prompt()
        kept = {} if last is None else self._keep(job, last)
        title = self.job_title(job)
        mark = {_MARK: {"job": job.name, "title": title}}
        prompt = {**kept, NODE_ID: node}
        prompt_id = self._put(next(self._numbers), NODE_ID, prompt, mark, title)
        self._queued = _Queued(prompt_id, job)

    def _put(self, number: int, id_: str, prompt: Graph, mark: dict[str, Any], title: str) -> str:
        extra = {**mark, "create_time": int(time.time() * 1000)}
        # Nobody's id: without one, ComfyUI sends progress and previews to everybody.
        extra["client_id"] = "gmi-build"
        extra["extra_pnginfo"] = {"workflow": _workflow(id_, title)}
        # Newer versions expect a sixth element (secrets, none here), older ones ignore it.
        prompt_id = str(uuid.uuid4())
        item: tuple[Any, ...] = (number, prompt_id, prompt, extra, [id_], {})
        self._submitted.append(prompt_id)
        _queue().put(item)
        return prompt_id

    def _runs(self) -> bool:
        """Whether the job that we queued is what ComfyUI runs."""
        queued = self._queued
        return queued is not None and any(i[1] == queued.prompt_id for i in _items()[0])

    def _put_back(self) -> None:
        assert self._queued is not None
        self._waiting.appendleft(self._queued.job)
        self._forgotten.append(self._queued.prompt_id)
        self._queued = None

    def _notice(self) -> None:
        """A job that vanished before it began was removed, and with it the build."""
        queued = self._queued
        if queued is None:
            return
        if all(item[1] != queued.prompt_id for item in itertools.chain(*_items())):
            self._queued = None
            if not queued.begun:
                self._waiting.clear()

    def _forget(self) -> None:
        with self._lock:
            there = {item[1] for item in itertools.chain(*_items())}
            self._clear([known for known in self._forgotten if known not in there])

    def tidy(self) -> None:
        """Take finished jobs out of the history, where people look for their images."""
        with self._lock:
            waiting = {item[1] for item in itertools.chain(*_items())}
            finished = [prompt_id for prompt_id in self._submitted if prompt_id not in waiting]
            self._clear(finished[:-_KEPT_HISTORY])

    def _clear(self, prompt_ids: Sequence[str]) -> None:
        """Take jobs out of the history."""
        for prompt_id in prompt_ids:
            _queue().delete_history_item(prompt_id)
            self._submitted.remove(prompt_id)
            if prompt_id in self._forgotten:
                self._forgotten.remove(prompt_id)


def somebody_works() -> bool:
    """Whether a prompt of somebody's is queued or running."""
    return any(_is_somebodys(item) for item in itertools.chain(*_items()))


def check_title(name: str) -> str:
    """What queue panels call a spot check."""
    return f"Find Best Model: check of {title_of_file(name)}"


def keep_models(room: Callable[[Job], bool]) -> Callable[[Job, Graph], Graph]:
    """For a :class:`ComfyQueue`'s ``keep``: what loads the models that somebody has just used.

    Between two prompts ComfyUI forgets the outputs of nodes that the next prompt does not hold,
    and the models with them; the next run would read them from the disk again.

    Args:
        room: whether there is memory for them and for a job's checkpoint.
    """

    def keep(job: Job, last: Graph) -> Graph:
        import nodes

        return what_loads(last, nodes.NODE_CLASS_MAPPINGS) if room(job) else {}

    return keep


def _workflow(id_: str, title: str) -> dict[str, Any]:
    """Carries a job's name to queue panels.

    The newer one shows, where the pointer rests on a job, the id of its workflow (unless that is
    open); the older one, of a job that has run, the type of the node that made something.
    """
    node = {"id": id_, "type": title}
    return {"id": title, "nodes": [node], "links": [], "version": 0.4}


def _last_prompt() -> Graph | None:
    """The newest prompt of somebody's that has run; ``None`` if the history knows none."""
    history: Mapping[str, Any] = _queue().get_history()
    items = (row["prompt"] for row in reversed(list(history.values())))
    return next((item[2] for item in items if _is_somebodys(item)), None)


def _is_ours(item: Any, mark: str = _MARK) -> bool:
    return isinstance(item[3], dict) and mark in item[3]


def _is_somebodys(item: Any) -> bool:
    return not _is_ours(item) and not _is_ours(item, _CHECK_MARK)


def _items() -> tuple[list[Any], list[Any]]:
    """What runs, and what is queued."""
    queue = _queue()
    # the other copies every prompt of the queue
    look = getattr(queue, "get_current_queue_volatile", queue.get_current_queue)
    running, queued = look()
    return list(running), list(queued)


def _queue() -> Any:
    from server import PromptServer

    return PromptServer.instance.prompt_queue
