"""An extension for real web UIs, in tests: which options are read while a sample is made.

Installed as ``scripts/record.py`` of an extension that is loaded after ours.
"""

import json
from pathlib import Path

from modules import shared

from lib_gmi.hosts import webui_options

FILE = Path(__file__).resolve().parents[1] / "read.json"
_read = set()


def _note(key):
    """Only in a thread that has options of its own, and only what is an option."""
    if webui_options._mine() and key in shared.opts.data_labels and key not in _read:
        _read.add(key)
        FILE.write_text(json.dumps(sorted(_read)))


class Recording(webui_options.OptionValues):
    """Notes what is asked for."""

    def __getitem__(self, key):
        _note(key)
        return super().__getitem__(key)

    def __contains__(self, key):
        _note(key)
        return super().__contains__(key)

    def get(self, key, default=None):
        _note(key)
        return super().get(key, default)


shared.opts.data = Recording(shared.opts.data)
