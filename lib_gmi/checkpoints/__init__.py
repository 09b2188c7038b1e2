"""What a checkpoint file is, by its header, and which settings suit it."""
