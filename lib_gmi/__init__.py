"""Find which of your checkpoints makes images like the one you have.

Importing this package loads neither torch nor a model.
"""

from __future__ import annotations

__version__ = "0.1.0"
