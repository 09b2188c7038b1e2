from types import SimpleNamespace

#: A ``torch.device``, as far as its name is concerned.
device = SimpleNamespace(type="cpu")


def torch_gc():
    pass
