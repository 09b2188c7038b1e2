"""The submitting stage: a host's images become specifications."""
