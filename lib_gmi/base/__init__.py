"""Files that cannot be half written, locks, errors, paths, pixels, texts: the ground of it all."""
