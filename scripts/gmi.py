"""The web UI executes this file each time it loads its scripts; everything else is in lib_gmi."""

from lib_gmi.a1111 import start

__all__ = ["BestCheckpointScript"]

#: The web UI looks for classes of scripts in here.
BestCheckpointScript = start()
