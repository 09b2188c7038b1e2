"""The HTTP API: its routes, what they accept and answer, and whom they serve."""
