class TotalTQDM:
    def __init__(self):
        self._steps = 0

    def update(self):
        self._steps += 1

    def clear(self):
        self._steps = 0
