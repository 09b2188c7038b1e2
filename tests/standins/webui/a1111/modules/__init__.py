"""Stand-ins for the modules of AUTOMATIC1111's web UI that this extension uses.

A few lines each, with the names, parameters and behaviour of the real functions. Whatever is public
in them imitates something real (a test with a real web UI compares them); names with an underscore,
and :mod:`.standin`, are the stand-ins' own. The folder ``forge`` beside this one holds what is
different in Forge.
"""
