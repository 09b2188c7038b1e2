"""Hosts: the programs that have the checkpoints and can generate."""
