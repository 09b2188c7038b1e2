"""The tab alone, without a program around it: ``gmi ui``."""
