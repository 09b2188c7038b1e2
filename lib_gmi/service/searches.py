"""Search inside a host: one searcher, and a thread that reads what is new.

Nothing is encoded inside a request but the query itself. Where samples have no vectors yet, a
request starts reading them, and says how far that is; faces ask again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import GMIError, SearchError
from ..encoders import load_joint
from ..search.folder_images import FolderImages, OpenFolders
from ..search.index import FolderIndex, indexed_folders
from ..search.pictures import FolderPictures
from ..search.searcher import Searcher
from ..search.style import Style

if TYPE_CHECKING:
    from ..records.protocols import Candidate, JointEncoder
    from ..search.hits import CheckpointAnswer, SampleAnswer
    from ..search.query import Query
    from .service import Service


class Searches:
    """See the module's docstring. All methods may be called from any thread.

    Args:
        service: of the host.

    Attributes:
        load: the encoder of images and texts.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.load: Callable[[], JointEncoder] = load_joint
        self._lock = threading.Lock()
        self._searcher: Searcher | None = None
        self._opened = OpenFolders()
        self._thread: threading.Thread | None = None
        self._stop, self._samples_first = threading.Event(), threading.Event()
        self._waiting: list[Path] = []
        self._lines = False
        self._pictures = FolderPictures(service.home)
        self._progress = (0, 0, "")
        self._error: str | None = None

    def update(self, done: int, total: int, message: str = "") -> None:
        """See :class:`.protocols.Progress`."""
        self._progress = (done, total, message)

    def state(self) -> dict[str, Any]:
        """JSON-ready: ``reading`` (``done``, ``total``, ``what``) or null, the last ``error``, and
        ``folders``: what the host's configuration names, with ``images`` that can be searched."""
        return {**self.reading(), "folders": self._folders()}

    def reading(self) -> dict[str, Any]:
        """:meth:`state` without the folders, for those who ask often."""
        thread, (done, total, what) = self._thread, self._progress
        busy = thread is not None and thread.is_alive()
        return {
            "reading": {"done": done, "total": total, "what": what} if busy else None,
            "error": self._error,
        }

    def read(self, folders: Sequence[str] = (), lines: bool = False) -> dict[str, Any]:
        """Read what is new, in a thread: the library's samples, then some folders.

        While something is being read, this is read as well: samples before the rest of a folder.

        Args:
            folders: as :meth:`state` names them.
            lines: samples as line drawings, too.

        Returns:
            :meth:`state`.

        Raises:
            SearchError: a folder is not one that the host's configuration names.
        """
        known = {str(folder): folder for folder in self.service.host.image_folders()}
        for name in folders:
            if name not in known:
                raise SearchError(f"'{name}' is not a folder that this program saves images in.")
        chosen = [known[name] for name in folders]
        with self._lock:
            alive = self._thread is not None and self._thread.is_alive()
            if not alive or self._stop.is_set():
                self._waiting, self._lines = [], False
            self._lines = self._lines or lines
            self._waiting += [folder for folder in chosen if folder not in self._waiting]
            self._samples_first.set()
            self._stop.clear()
            if not alive:
                self._error, self._progress = None, (0, 0, "")
                self._thread = threading.Thread(target=self._work, name="gmi-search", daemon=True)
                self._thread.start()
        return self.state()

    def cancel(self) -> dict[str, Any]:
        """Stop reading after the images at hand; what was read is kept."""
        self._stop.set()
        return self.state()

    def waiting(self) -> list[Path]:
        """Folders that are being read, or will be when others are done."""
        return [] if self._thread is None else list(self._waiting)

    def wait(self, seconds: float) -> None:
        """Wait until nothing is being read any more, at most so many seconds."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def ready(self, query: Query, start: bool = True) -> bool:
        """Whether every sample that a query goes through has been read.

        Args:
            query: what is looked for.
            start: begin to read if not.

        Raises:
            MissingExtraError: a text is given and the text encoder is not installed: said before
                samples are read for an answer that cannot come.
        """
        searcher, lines = self.searcher(), "sketch" in query.parts
        if start and "text" in query.parts:
            searcher.joint.encode_texts([query.text.strip()])
        missing = searcher.embeddings.missing
        if not (self.service.samples.uncopied() or missing() or (lines and missing(True))):
            return True
        if start:
            self.read(lines=lines)
        return False

    def picture(self, folder: str, file: str) -> Path | None:
        """The file of a hit in a folder, by names; ``None`` for all that a search cannot find."""
        return self._pictures.find(folder, file, self.service.host.image_folders())

    def checkpoints(
        self, query: Query, wanted: Callable[[Candidate], bool], having: Sequence[str] = ()
    ) -> CheckpointAnswer:
        """Installed checkpoints by content; see :meth:`.Searcher.checkpoints`."""
        return self.searcher().checkpoints(query, self._installed(wanted), having)

    def samples(
        self,
        query: Query,
        top: int,
        wanted: Callable[[Candidate], bool] | None,
        folders: bool = True,
    ) -> SampleAnswer:
        """Samples and, with ``folders``, images of the host's; see :meth:`.Searcher.samples`."""
        passing = None if wanted is None else self._installed(wanted)
        searcher = self.searcher()  # before the folders: its encoder says which indexes fit
        return searcher.samples(query, top, passing, self._open_folders() if folders else ())

    def searcher(self) -> Searcher:
        """The searcher of this host's library, loaded on first use.

        Raises:
            EncoderError: damaged weights.
            MissingExtraError: the weights are not installed.
        """
        with self._lock:
            if self._searcher is None:
                service = self.service
                self._searcher = Searcher(
                    service.library, self.load(), self._style, service.candidates.all
                )
            return self._searcher

    def _style(self) -> Style | None:
        try:
            return Style(self.service.snapshots.snapshot().identifier)
        except GMIError:  # too little to rank: what images show counts all the same
            return None

    def _installed(self, wanted: Callable[[Candidate], bool]) -> Callable[[Candidate], bool]:
        """Whether a candidate of the library is installed and passes, under today's name."""
        passing = {c.identity for c in self.service.candidates.all() if wanted(c)}
        return lambda candidate: candidate.identity in passing

    def _folders(self) -> list[dict[str, Any]]:
        sizes = {images.index.folder: len(images) for images in self._open_folders()}
        folders = self.service.host.image_folders()
        return [{"folder": str(f), "images": sizes.get(f.absolute(), 0)} for f in folders]

    def _open_folders(self) -> list[FolderImages]:
        """What can be searched of the folders that the host's configuration names now."""
        searcher, allowed = self._searcher, self.service.host.image_folders()
        # by whichever encoder, as long as it is not loaded which of them searches here
        encoder_id = None if searcher is None else searcher.joint.id
        return self._opened.open(indexed_folders(self.service.home, encoder_id, allowed))

    def _work(self) -> None:
        try:
            joint, home = self.searcher().joint, self.service.home
            while not self._finished():
                if self._samples_first.is_set():
                    self._samples_first.clear()
                    self._read_samples()
                    continue
                folder = self._waiting[0]
                index = FolderIndex(home, folder, joint.id, joint.dim)
                index.update(joint, self, self._interrupted)
                if not self._interrupted() and folder in self._waiting:
                    self._waiting.remove(folder)
        except GMIError as error:
            self._error = str(error)
        except Exception:
            logging.exception("Find Best Model: reading images for the search failed")
            self._error = "Reading stopped because of an error; the program's log says more."
        with self._lock:
            if self._thread is threading.current_thread():
                self._thread = None

    def _finished(self) -> bool:
        """Whether the thread may end; who asks for more after that gets another thread."""
        with self._lock:
            more = bool(self._waiting) or self._samples_first.is_set()
            if more and not self._stop.is_set():
                return False
            self._thread = None
            return True

    def _interrupted(self) -> bool:
        return self._stop.is_set() or self._samples_first.is_set()

    def _read_samples(self) -> None:
        embeddings = self.searcher().embeddings
        self.service.samples.copy_for_search(self, self._stop.is_set)
        embeddings.read(False, self, self._stop.is_set)
        if self._lines:
            embeddings.read(True, self, self._stop.is_set)
