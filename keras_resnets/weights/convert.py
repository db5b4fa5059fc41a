"""From and to the state dicts of torch projects."""

import warnings

from keras_resnets.weights import ecapa, google, inception, mobile, plain_nets, timm, wespeaker
from keras_resnets.weights.assign import assign
from keras_resnets.weights.checkpoint import read_checkpoint

_PROJECTS = (ecapa, wespeaker, timm, plain_nets, inception, mobile, google)
LAYOUTS = tuple(layout for project in _PROJECTS for layout in project.LAYOUTS)


# What the classifiers of our models are called.
CLASSIFIERS = ("predictions", "logits", "aux_predictions")


def from_torch(model, source, strict=True, skip_mismatch=False):
    """Load a torch project's state dict into a model of this package.

    The project is found from the names: the known layout that places most tensors in the model.

    Args:
        model: a model made by a factory of this package.
        source: what `read_checkpoint` takes: a file, `"hf://owner/name"`, or a dict of arrays.
        strict: with False, missing and unexpected tensors are skipped. A wrong shape is an error
            all the same.
        skip_mismatch: with True, a classifier of another size, as of a checkpoint with other
            classes, keeps the model's weights; a warning tells.

    Returns:
        A `Report` of the names loaded, missing, unexpected, ignored (heads that the model does not
        have, of which a warning tells, and buffers) and skipped (by `skip_mismatch`).

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: lists every missing, unexpected and misshaped tensor; no weight has changed.

    Example:

    >>> model = kr.ecapa_tdnn(channels=16, variant="wespeaker")
    >>> state = kr.weights.to_torch(model)
    >>> report = from_torch(model, {f"module.{k}": v for k, v in state.items()})
    >>> len(report.loaded), report.missing, report.unexpected
    (192, [], [])
    """
    arrays = read_checkpoint(source)
    layout = max(LAYOUTS, key=lambda each: _placed(each, model, arrays))
    if not _placed(layout, model, arrays)[0]:
        layout = layout_of(model)
    kept, heads, buffers = layout.clean(arrays)
    slots, unnamed = layout.slots(model)
    skipped = _other_classifier(slots, kept) if skip_mismatch else []
    report = assign(slots, kept, strict, unnamed, [*heads, *buffers], skipped)
    layout.set_statistics(model)
    if skipped:
        warnings.warn(f"A classifier of another size is left out: {skipped}", stacklevel=2)
    if heads:
        message = f"Tensors of heads that are no part of the model are ignored: {heads}"
        warnings.warn(message, stacklevel=2)
    return report


def to_torch(model, layout=None):
    """The weights of a model under the names, and in the axis order, of a torch project.

    Args:
        model: a model made by a factory of this package.
        layout: the layout's name, as `"wespeaker"`; None takes the first that names every weight
            of the model.

    Returns:
        A dict of tensor name to float32 array, to be saved by `safetensors.numpy.save_file`,
        `np.savez` or `torch.save`.

    Raises:
        ValueError: no layout, or not the one asked for, names every weight of the model.

    Example:

    >>> state = to_torch(kr.ecapa_tdnn(channels=64, variant="taoruijie"))
    >>> state["conv1.weight"].shape, state["layer3.se.se.1.bias"].shape
    ((64, 80, 5), (128,))
    """
    layout = layout_of(model, layout)
    return {name: slot.write() for name, slot in layout.slots(model)[0].items()}


def layout_of(model, name=None):
    """The first layout (of that name) that names every weight of a model."""
    for layout in LAYOUTS:
        if name in (None, layout.name) and not layout.slots(model)[1]:
            return layout
    known = [layout.name for layout in LAYOUTS]
    raise ValueError(
        f"No torch layout ({name or known}) names every weight of the model {model.name!r}."
    )


def _placed(layout, model, arrays):
    """How many tensors have a place, and, for layouts that are equal in that, how few have none."""
    places, kept = layout.slots(model)[0].keys(), layout.clean(arrays)[0].keys()
    return len(places & kept), -len(kept - places)


def _other_classifier(slots, arrays):
    """The classifier's tensors, all of them, if one has another shape than in the checkpoint."""
    tensors = [
        name
        for name, slot in slots.items()
        if name in arrays and slot.weights[0].path.split("/")[-2] in CLASSIFIERS
    ]
    same = all(slots[name].shape == arrays[name].shape for name in tensors)
    return [] if same else tensors
