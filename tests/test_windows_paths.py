"""Windows, where most users are, without Windows: its paths by the standard library's pure ones and
``ntpath``, and the few calls that differ through seams that are exchanged here. What only the real
thing shows (sharing violations, antivirus, code pages) is not tested.
"""

from __future__ import annotations

import errno
import importlib.util
import ntpath
import os
import subprocess
import sys
from pathlib import Path, PureWindowsPath
from types import ModuleType
from typing import Any

import pytest
from conftest import SOURCE_ROOT, make_specification
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import own_task
from lib_gmi.base import files
from lib_gmi.base.errors import HostError
from lib_gmi.checkpoints.file_index import FileIndex
from lib_gmi.hosts.installed import file_candidate
from lib_gmi.library.catalogue import Library
from lib_gmi.library.entries import stem
from lib_gmi.library.packs.writing import _without_folders
from lib_gmi.library.samples import SampleStore
from lib_gmi.metadata import CheckpointMention
from lib_gmi.metadata.mentions import Installed
from lib_gmi.records.protocols import Candidate
from lib_gmi.search import pictures

MAX_PATH = 260
NAMES = st.text(max_size=150) | st.sampled_from(
    ["CON", "nul.txt", "Com1 .x", "a.", "lpt\u00b2", "con."]
)


def possible(name: str) -> bool:
    """Whether Windows can have a file or folder of this name."""
    path = PureWindowsPath(name)
    reserved = getattr(ntpath, "isreserved", lambda each: PureWindowsPath(each).is_reserved())
    strange = set('<>:"/\\|?*') & set(name) or any(ord(letter) < 32 for letter in name)
    return not (strange or reserved(name) or name != name.rstrip(" .")) and path.name == name


@given(NAMES)
def test_a_folder_of_a_candidate_can_be_made(name: str) -> None:
    assert possible(own_task._safe(name)), own_task._safe(name)


def test_candidates_whose_names_differ_in_case_do_not_share_a_folder() -> None:
    candidates = [Candidate(n, f"sha256:{n}", f"{n}.ckpt") for n in ("Dream", "dream")]
    with pytest.raises(HostError, match="share the folder"):
        own_task._folder_names(candidates)


def test_files_of_a_library_are_named_for_windows_too(tmp_path: Path) -> None:
    r"""By hash: so short that ``C:\Users\…`` and a deep folder leave room, in one case."""
    specification = make_specification("C:\\models\\Con.safetensors " + "x" * 500)
    library = Library(tmp_path)
    library.add(specification)
    kept = SampleStore(tmp_path / "samples").path(stem(specification.key), "Prompt: 1?", 7)
    for path in [kept, *(p for p in tmp_path.rglob("*") if p.is_file())]:
        inside = path.relative_to(tmp_path)
        assert all(possible(part) for part in inside.parts), inside
        assert len(str(inside)) < MAX_PATH - 100
        assert inside.name == inside.name.lower() or inside.parent == Path()


@pytest.mark.parametrize(
    "said", ["XL\\mine", "xl/MINE.safetensors", "D:\\sd\\XL\\Mine.safetensors"]
)
def test_a_name_from_windows_is_found_whatever_its_case(said: str) -> None:
    mine = Candidate("XL/mine", "sha256:1", "XL\\mine.safetensors")
    other = Candidate("other", "sha256:2", "other.safetensors")
    assert Installed([mine, other]).find(CheckpointMention(said)) == mine


def test_titles_and_names_lose_their_folders(tmp_path: Path) -> None:
    assert _without_folders("D:\\models\\XL\\mine.safetensors") == "mine.safetensors"
    gone = file_candidate(FileIndex(tmp_path / "index.json"), "XL\\mine.safetensors", None)
    assert gone.title == "XL/mine"


class Windows:
    """The module ``os`` as Windows has it, as far as a module of ours looks."""

    name, path, sep = "nt", ntpath, "\\"

    def __getattr__(self, name: str) -> Any:
        if name in ("mkfifo", "O_NONBLOCK", "O_CLOEXEC"):
            raise AttributeError(name)
        return getattr(os, name)


def test_only_what_is_below_a_folder_has_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "os", Windows())
    monkeypatch.setattr(pictures, "Path", PureWindowsPath)
    assert pictures._plain("day/one.png")
    for strange in (
        "C:/x.png",
        "C:x.png",
        "day\\one.png",
        "../x.png",
        "//server/x.png",
        "a//b",
        "",
    ):
        assert not pictures._plain(strange), strange
    assert pictures._same_drive("C:\\a", "c:\\b")
    assert not pictures._same_drive("C:\\a", "D:\\a")


def test_a_file_that_somebody_reads_is_replaced_a_little_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = [3]

    class Busy(Windows):
        def replace(self, source: Path, target: Path) -> None:
            if refused[0]:
                refused[0] -= 1
                raise PermissionError(errno.EACCES, "is in use by another process")
            os.replace(source, target)

        def fsync(self, handle: int) -> None:
            os.fsync(handle)

    monkeypatch.setattr(files, "os", Busy())
    monkeypatch.setattr(files.time, "sleep", lambda seconds: None)
    files.write_atomic(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").read_bytes() == b"new"
    assert refused == [0]
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_without_flags_of_unix_only_files_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "os", Windows())
    (tmp_path / "a").write_bytes(b"x\r\n\x1a")
    assert files.read_regular(tmp_path / "a") == b"x\r\n\x1a"
    with pytest.raises(files.NotRegularError):
        files.read_regular(tmp_path)


_PORTABLE = """
import sys
sys.dont_write_bytecode = True
from lib_gmi.library.embedded import embedded_library
print(len(embedded_library().snapshot().specifications))
"""


@pytest.mark.skipif(os.name == "nt", reason="its folders are not read-only by their mode")
def test_a_portable_python_without_git_and_with_read_only_packages(tmp_path: Path) -> None:
    """Nothing is written into the packages, and no program is looked for on the path."""
    (tmp_path / "empty").mkdir()
    environment = {k: v for k, v in os.environ.items() if k in ("SYSTEMROOT", "LD_LIBRARY_PATH")}
    environment |= {"PATH": str(tmp_path / "empty"), "HOME": str(tmp_path / "home")}
    before = _state(Path(SOURCE_ROOT) / "lib_gmi")
    said = subprocess.run(
        [sys.executable, "-c", _PORTABLE],
        cwd=SOURCE_ROOT, env=environment, capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    assert int(said.stdout) > 60
    assert _state(Path(SOURCE_ROOT) / "lib_gmi") == before
    assert list((tmp_path / "empty").iterdir()) == []


def _state(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*") if "__pycache__" not in str(p)}


def test_the_installer_asks_for_packages_only_and_leaves_refusals_to_the_web_ui(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A site-packages that cannot be written is pip's to say, in the web UI's own words."""
    launch = ModuleType("launch")
    asked: list[str] = []

    def run_pip(command: str, what: str) -> None:
        asked.append(command)
        raise RuntimeError(f"Couldn't install {what}: access is denied")

    launch.is_installed, launch.run_pip = lambda module: False, run_pip  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "launch", launch)
    spec = importlib.util.spec_from_file_location("installer", Path(SOURCE_ROOT) / "install.py")
    assert spec is not None
    assert spec.loader is not None
    installer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(installer)
    with pytest.raises(RuntimeError, match="access is denied"):
        installer.main()
    assert asked == ["install --no-deps filelock"]
