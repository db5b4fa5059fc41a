"""Several layers that one checkpoint fills."""


class Parts:
    """A backbone and its heads, as if they were one model to be loaded.

    Args:
        parts: built layers and models; their own weights' paths must not meet.
    """

    def __init__(self, parts):
        self.parts = list(parts)
        self.name = "+".join(part.name for part in self.parts)
        self.weights = [weight for part in self.parts for weight in part.weights]

    def _flatten_layers(self, include_self=False):
        for part in self.parts:
            yield from part._flatten_layers()


def joined(model):
    """The model itself, or the `Parts` of a list."""
    return Parts(model) if isinstance(model, list | tuple) else model
