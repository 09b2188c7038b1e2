"""Values that cross borders: candidates, settings, prompt sets, specifications; protocols."""
