"""The web UI executes this file each time it loads its scripts; everything else is in lib_gmi."""

from lib_gmi.a1111 import start
from lib_gmi.a1111.script import BestCheckpointScript

__all__ = ["BestCheckpointScript"]

start()
