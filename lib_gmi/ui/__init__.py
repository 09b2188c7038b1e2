"""The tab: one code for every generation of gradio, inside a host or alone."""
