"""A running web UI (A1111, Forge, reForge) over its own HTTP API, started with ``--api``.

For long batches from outside, such as :mod:`.own_checkpoints`: it generates with each checkpoint
through ``/sdapi/v1/txt2img``, saves nothing in the web UI's folders, and changes no option for
good. The web UI has to run on this machine, since its checkpoint files are looked into for their
settings.
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_gmi.base.errors import HostError
from lib_gmi.base.images import decode_image
from lib_gmi.checkpoints.header import inspect
from lib_gmi.checkpoints.presets import find
from lib_gmi.records.protocols import Candidate, GenerationRequest, GenerationSettings

if TYPE_CHECKING:
    from PIL import Image

#: Seconds that one image may take; a checkpoint may have to be loaded first.
TIMEOUT = 1800.0
_PATIENCE = 30.0
_MAX_BYTES = 256 << 20


class WebUIApi:
    """See the module's docstring.

    Args:
        address: for instance ``http://127.0.0.1:7860``.
        login: ``user:password`` of ``--api-auth``, or ``None``.

    Raises:
        HostError: nobody answers there, or it is no web UI with ``--api``.
    """

    name = "webui-api"

    def __init__(self, address: str, login: str | None = None) -> None:
        if not address.startswith(("http://", "https://")):
            raise HostError(f"{address}: is no address of a web UI. Give http://127.0.0.1:7860.")
        self.address = address.rstrip("/")
        self._login = login
        self._models: dict[str, dict[str, Any]] = {}
        self.list_checkpoints()
        self._samplers = _labels(self._get("/sdapi/v1/samplers"), "name")
        # web UIs before 1.9 know no schedulers: there the sampler decides
        self._schedulers = _labels(self._get("/sdapi/v1/schedulers", missing=[]), "label")

    def list_checkpoints(self) -> list[Candidate]:
        """What the web UI lists; files that are not on this machine are unsupported."""
        candidates = []
        for row in self._get("/sdapi/v1/sd-models"):
            path = Path(str(row["filename"]))
            name = path.name
            self._models[name] = row
            identity = f"sha256:{row['sha256']}" if row.get("sha256") else f"webui:{name}"
            if not path.is_file():
                reason = "its file is not on this machine, so nobody can tell its settings"
                candidates.append(Candidate(path.stem, identity, name, unsupported=reason))
                continue
            facts = inspect(path)
            candidates.append(
                Candidate(
                    path.stem,
                    identity,
                    name,
                    path,
                    path.stat().st_size,
                    facts.architecture,
                    unsupported=facts.unsupported,
                )
            )
        return candidates

    def default_settings(self, candidate: Candidate) -> GenerationSettings:
        """The preset for this file.

        Raises:
            HostError: it is not on this machine.
        """
        if candidate.path is None:
            raise HostError(f"{candidate.title}: is not on this machine.")
        return find(inspect(candidate.path), candidate.path).settings

    @contextmanager
    def session(self, candidate: Candidate) -> Iterator[_ApiSession]:
        if candidate.name not in self._models:
            raise HostError(f"{candidate.title}: the web UI does not list it.")
        yield _ApiSession(self, candidate)

    def switch(self, candidate: Candidate) -> None:
        """Not over this host: it leaves what people have chosen alone.

        Raises:
            HostError: always.
        """
        raise HostError("A web UI is not switched from outside; choose the checkpoint in it.")

    def current(self) -> Candidate | None:
        """Unknown from here."""
        return None

    def interrupted(self) -> bool:
        """The command line stops with Ctrl+C; what the web UI's user interrupts is an error."""
        return False

    def generate(
        self, candidate: Candidate, request: GenerationRequest, settings: GenerationSettings
    ) -> Image.Image:
        """One image.

        Raises:
            HostError: the web UI refused, was interrupted, or another checkpoint generated.
        """
        row = self._models[candidate.name]
        body: dict[str, Any] = {
            "prompt": request.text,
            "negative_prompt": request.negative,
            "seed": request.seed,
            "width": settings.width or 512,
            "height": settings.height or 512,
            "steps": settings.steps or 20,
            "cfg_scale": 7.0 if settings.cfg is None else settings.cfg,
            "sampler_name": self._sampler(settings.sampler),
            "save_images": False,
            "do_not_save_samples": True,
            "do_not_save_grid": True,
            "override_settings": {
                "sd_model_checkpoint": row["title"],
                "CLIP_stop_at_last_layers": settings.clip_skip or 1,
            },
            "override_settings_restore_afterwards": True,
        }
        scheduler = self._schedulers.get((settings.scheduler or "").lower())
        if scheduler is not None:
            body["scheduler"] = scheduler
        answer = self._ask("/sdapi/v1/txt2img", body)
        try:
            info = json.loads(answer["info"])
            image = decode_image(base64.b64decode(answer["images"][0]), candidate.title)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise HostError(f"{candidate.title}: the web UI's answer is no image.") from error
        self._verify(candidate, row, info)
        return image

    def _verify(self, candidate: Candidate, row: dict[str, Any], info: dict[str, Any]) -> None:
        """An unknown checkpoint is silently ignored by web UIs: look who generated."""
        names = {str(row.get("model_name")), Path(candidate.name).stem}
        same_name = info.get("sd_model_name") in names
        if not same_name and (not row.get("hash") or info.get("sd_model_hash") != row["hash"]):
            raise HostError(
                f"{candidate.title}: the web UI generated with '{info.get('sd_model_name')}' "
                "instead. Its log says why."
            )
        state = self._get("/sdapi/v1/progress?skip_current_image=true").get("state", {})
        if state.get("interrupted") or state.get("stopping_generation"):
            raise HostError(f"{candidate.title}: somebody interrupted the web UI; start again.")

    def _sampler(self, name: str | None) -> str:
        """The web UI's label of a sampler of the presets; Euler where it has none like it."""
        wanted = (name or "euler").lower()
        short = wanted.replace("_ancestral", "_a")
        for key in (f"k_{wanted}", f"k_{short}", wanted):
            if key in self._samplers:
                return self._samplers[key]
        return self._samplers.get("k_euler", "Euler")

    def _get(self, path: str, missing: Any = None) -> Any:
        return self._ask(path, None, missing)

    def _ask(self, path: str, body: dict[str, Any] | None, missing: Any = None) -> Any:
        request = urllib.request.Request(self.address + path)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if self._login is not None:
            token = base64.b64encode(self._login.encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        try:
            wait = _PATIENCE if body is None else TIMEOUT
            with urllib.request.urlopen(request, timeout=wait) as response:
                return json.loads(response.read(_MAX_BYTES))
        except urllib.error.HTTPError as error:
            if error.code == 404 and missing is not None:
                return missing
            raise HostError(f"{self.address}: {_refusal(error.code)}") from None
        except (OSError, ValueError) as error:
            raise HostError(
                f"{self.address}: no web UI with --api answers there ({error})."
            ) from None


def _labels(rows: Sequence[dict[str, Any]], label: str) -> dict[str, str]:
    """Label by name and alias, in lower case."""
    return {
        str(alias).lower(): str(row[label])
        for row in rows
        for alias in (row["name"], *(row.get("aliases") or ()))
    }


def _refusal(code: int) -> str:
    if code in (401, 403):
        return "wants a login. Give it in the variable GMI_WEBUI_LOGIN as user:password."
    if code == 404:
        return "has no API. Start the web UI with --api."
    return f"the web UI refused (HTTP {code}); its log says why."


class _ApiSession:
    def __init__(self, host: WebUIApi, candidate: Candidate) -> None:
        self._host, self._candidate = host, candidate

    def prepare(self, requests: Sequence[GenerationRequest], settings: GenerationSettings) -> None:
        return None

    def generate(self, request: GenerationRequest, settings: GenerationSettings) -> Image.Image:
        return self._host.generate(self._candidate, request, settings)
