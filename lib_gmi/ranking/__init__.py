"""The identification stage: a requirement and a library become a ranking."""
