"""Search by content: checkpoints, samples, and the images of folders."""
