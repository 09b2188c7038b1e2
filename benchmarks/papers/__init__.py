"""The parts of ``benchmarks/paper.py``: the paper's tables and figures, and more."""
