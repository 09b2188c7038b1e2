"""One running host: its candidates and their states, the snapshot that answers, builds."""
