"""The command line, ``gmi``."""
