"""From and to the state dicts of torch projects."""

import warnings

from keras_resnets.weights import (
    ecapa,
    fbnet,
    google,
    inception,
    mobile,
    plain_nets,
    simclr,
    swav,
    timm,
    wespeaker,
)
from keras_resnets.weights.assign import assign
from keras_resnets.weights.checkpoint import read_checkpoint
from keras_resnets.weights.parts import joined

_PROJECTS = (ecapa, wespeaker, timm, plain_nets, inception, mobile, fbnet, google, simclr, swav)
LAYOUTS = tuple(layout for project in _PROJECTS for layout in project.LAYOUTS)
# What the classifiers of our models are called.
CLASSIFIERS = ("predictions", "logits", "aux_predictions")


def from_torch(model, source, strict=True, skip_mismatch=False):
    """Load a torch project's state dict into a model of this package.

    The project is found from the names: the known layout that places most tensors in the model.

    Args:
        model: a model made by a factory of this package; a SwAV trainer's `projection_head` or
            `prototypes`; or a list of such parts that one checkpoint holds.
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
    return _load(model, read_checkpoint(source), LAYOUTS, strict, skip_mismatch)


def from_simclr_checkpoint(model, source, strict=True, skip_mismatch=False, ema=False):
    """Load a TensorFlow checkpoint of google-research/simclr (SimCLR and SimCLRv2).

    What the model has no place for is left out: the projection head, the classifier. The
    factories' `weights=` takes such checkpoints too.

    Args:
        model: of `kr.simclr_resnet`, with the checkpoint's depth, width and `sk_ratio`; a built
            `kr.layers.ProjectionHead`; or a list of both.
        source: the prefix of the checkpoint (`model.ckpt-250228`), the folder of the latest one or
            of a SavedModel, or a dict of arrays.
        strict, skip_mismatch: as in `from_torch`.
        ema: whether to take the momentum encoder's weights, which checkpoints of trainings with a
            memory hold under `ema_model/`.

    Returns:
        A `Report` as `from_torch` gives it; the optimizer's variables are among the ignored.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: lists every missing, unexpected and misshaped tensor; no weight has changed.

    Example:

    >>> model = kr.simclr_resnet(18, include_top=False)
    >>> state = kr.weights.to_torch(model, "simclr")
    >>> state["base_model/conv2d_1/kernel"].shape
    (1, 1, 64, 64)
    >>> len(from_simclr_checkpoint(model, state).loaded)
    105

    Reference:
        Chen et al. 2020, SimCLR (arXiv 2002.05709) and SimCLRv2 (arXiv 2006.10029).
    """
    arrays = read_checkpoint(source)
    if ema:
        arrays = simclr.momentum_encoder(arrays)
    return _load(model, arrays, simclr.LAYOUTS, strict, skip_mismatch)


def _load(model, arrays, layouts, strict, skip_mismatch):
    """Assign arrays by that of the layouts which places most of them."""
    model = joined(model)
    layout = max(layouts, key=lambda each: _placed(each, model, arrays))
    if not _placed(layout, model, arrays)[0]:
        layout = layout_of(model, layouts=layouts)
    kept, heads, buffers = layout.clean(arrays)
    slots, unnamed = layout.slots(model)
    skipped = _other_classifier(slots, kept) if skip_mismatch else []
    report = assign(slots, kept, strict, unnamed, [*heads, *buffers], skipped)
    layout.set_statistics(model)
    if skipped:
        warnings.warn(f"A classifier of another size is left out: {skipped}", stacklevel=3)
    if heads:
        message = f"Tensors of heads that are no part of the model are ignored: {heads}"
        warnings.warn(message, stacklevel=3)
    return report


def to_torch(model, layout=None):
    """The weights of a model under the names, and in the axis order, of a torch project.

    Args:
        model: as in `from_torch`.
        layout: the layout's name, as `"wespeaker"`; None takes the first of a torch project that
            names every weight of the model. `"google_bit"` and `"simclr"` give TensorFlow's names
            and axes.

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
    model = joined(model)
    layout = layout_of(model, layout)
    return {name: slot.write() for name, slot in layout.slots(model)[0].items()}


def layout_of(model, name=None, layouts=None):
    """The first layout (of that name; else of a torch project) that names every weight."""
    if layouts is None:
        layouts = LAYOUTS if name else [layout for layout in LAYOUTS if not layout.native]
    for layout in layouts:
        if name in (None, layout.name) and not layout.slots(model)[1]:
            return layout
    known = sorted({layout.name for layout in layouts})
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
