"""A stand-in for ComfyUI's module of this name: graphs that nodes expand to, outputs that block."""

from __future__ import annotations


class GraphBuilder:
    """Nodes whose ids begin with a prefix of their own."""

    _next = 0

    def __init__(self, prefix=None):
        self.prefix = GraphBuilder.alloc_prefix() if prefix is None else prefix
        self.nodes = {}
        self.id_gen = 1

    @classmethod
    def alloc_prefix(cls, root=None, call_index=None, graph_index=None):
        GraphBuilder._next += 1
        return f"{root or ''}.{call_index or 0}.{GraphBuilder._next}."

    def node(self, class_type, id=None, **kwargs):
        if id is None:
            id = str(self.id_gen)
            self.id_gen += 1
        return self.nodes.setdefault(self.prefix + id, Node(self.prefix + id, class_type, kwargs))

    def finalize(self):
        return {id: node.serialize() for id, node in self.nodes.items()}


class Node:
    """One of them."""

    def __init__(self, id, class_type, inputs):
        self.id = id
        self.class_type = class_type
        self.inputs = inputs

    def out(self, index):
        return [self.id, index]

    def serialize(self):
        return {"class_type": self.class_type, "inputs": self.inputs}


class ExecutionBlocker:
    """What hangs on such an output does not run; the message says why."""

    def __init__(self, message):
        self.message = message
