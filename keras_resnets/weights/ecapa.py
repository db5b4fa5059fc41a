"""Three projects' names for ECAPA-TDNN, and its configuration read off the shapes."""

from keras_resnets.weights.layout import TorchLayout

_HEADS = r"projection\..*|speaker_loss\..*|classifier\..*"
_PREFIXES = ("module.", "speaker_encoder.", "embedding_model.")

WESPEAKER = TorchLayout(
    "wespeaker",
    {
        "conv1": "layer1.conv",
        "bn1": "layer1.bn",
        "block{i}/conv1": "layer{i+1}.se_res2block.0.conv",
        "block{i}/bn1": "layer{i+1}.se_res2block.0.bn",
        "block{i}/res2/conv{j}": "layer{i+1}.se_res2block.1.convs.{j-1}",
        "block{i}/res2/bn{j}": "layer{i+1}.se_res2block.1.bns.{j-1}",
        "block{i}/conv2": "layer{i+1}.se_res2block.2.conv",
        "block{i}/bn2": "layer{i+1}.se_res2block.2.bn",
        "block{i}/se/fc1": "layer{i+1}.se_res2block.3.linear1",
        "block{i}/se/fc2": "layer{i+1}.se_res2block.3.linear2",
        "mfa": "conv",
        "pool/attention_frames": "pool.linear1[1]",
        "pool/attention_context": "pool.linear1[1]",
        "pool/attention_out": "pool.linear2[1]",
        "pool_bn": "bn",
        "fc": "linear",
        "embedding_bn": "bn2",
    },
    _PREFIXES,
    _HEADS,
)

SPEECHBRAIN = TorchLayout(
    "speechbrain",
    {
        "conv1": "blocks.0.conv.conv",
        "bn1": "blocks.0.norm.norm",
        "block{i}/conv1": "blocks.{i}.tdnn1.conv.conv",
        "block{i}/bn1": "blocks.{i}.tdnn1.norm.norm",
        "block{i}/res2/conv{j}": "blocks.{i}.res2net_block.blocks.{j-1}.conv.conv",
        "block{i}/res2/bn{j}": "blocks.{i}.res2net_block.blocks.{j-1}.norm.norm",
        "block{i}/conv2": "blocks.{i}.tdnn2.conv.conv",
        "block{i}/bn2": "blocks.{i}.tdnn2.norm.norm",
        "block{i}/se/fc1": "blocks.{i}.se_block.conv1.conv[1]",
        "block{i}/se/fc2": "blocks.{i}.se_block.conv2.conv[1]",
        "block{i}/shortcut": "blocks.{i}.shortcut.conv",
        "mfa": "mfa.conv.conv",
        "mfa_bn": "mfa.norm.norm",
        "pool/attention_frames": "asp.tdnn.conv.conv[1]",
        "pool/attention_context": "asp.tdnn.conv.conv[1]",
        "pool/attention_bn": "asp.tdnn.norm.norm",
        "pool/attention_out": "asp.conv.conv[1]",
        "pool_bn": "asp_bn.norm",
        "fc": "fc.conv[1]",
    },
    _PREFIXES,
    _HEADS,
)

TAORUIJIE = TorchLayout(
    "taoruijie",
    {
        "conv1": "conv1",
        "bn1": "bn1",
        "block{i}/conv1": "layer{i}.conv1",
        "block{i}/bn1": "layer{i}.bn1",
        "block{i}/res2/conv{j}": "layer{i}.convs.{j-1}",
        "block{i}/res2/bn{j}": "layer{i}.bns.{j-1}",
        "block{i}/conv2": "layer{i}.conv3",
        "block{i}/bn2": "layer{i}.bn3",
        "block{i}/se/fc1": "layer{i}.se.se.1[1]",
        "block{i}/se/fc2": "layer{i}.se.se.3[1]",
        "mfa": "layer4",
        "pool/attention_frames": "attention.0[1]",
        "pool/attention_context": "attention.0[1]",
        "pool/attention_bn": "attention.2",
        "pool/attention_out": "attention.4[1]",
        "pool_bn": "bn5",
        "fc": "fc6",
        "embedding_bn": "bn6",
    },
    _PREFIXES,
    _HEADS,
    buffers=r"torchfbank\..*|.*num_batches_tracked",
)

LAYOUTS = (WESPEAKER, SPEECHBRAIN, TAORUIJIE)


def infer_ecapa(arrays, layout="auto"):
    """Read the configuration of an ECAPA-TDNN off the names and shapes of its state dict.

    Args:
        arrays: dict of tensor name to array, as `read_checkpoint` returns it.
        layout: `"speechbrain"`, `"wespeaker"`, `"taoruijie"`, or `"auto"`: found from the names.

    Returns:
        The keyword arguments of `ecapa_tdnn` (`variant` among them), and the `TorchLayout`.

    Raises:
        ValueError: the names belong to no layout, or to another than the one asked for.

    Example:

    >>> model = kr.ecapa_tdnn(channels=64, variant="speechbrain", mfa_channels=192)
    >>> config, layout = infer_ecapa(kr.weights.to_torch(model))
    >>> config["channels"], config["mfa_channels"], layout.name
    (64, 192, 'speechbrain')
    """
    known = {each.name: each for each in LAYOUTS}
    if layout != "auto" and layout not in known:
        raise ValueError(f"`layout` must be 'auto' or one of {sorted(known)}. Received: {layout!r}")
    for each in LAYOUTS if layout == "auto" else (known[layout],):
        tensors = {name: array.shape for name, array in each.clean(arrays)[0].items()}
        if all(_shape(each, tensors, f"{path}/kernel") for path in _TELLTALES):
            return _configuration(each, tensors), each
    raise ValueError(
        f"The tensors are not those of an ECAPA-TDNN of layout {layout!r} "
        f"(known: {sorted(known)}). Found: {sorted(arrays)[:8]}"
    )


_TELLTALES = ("conv1", "block1/res2/conv1", "block1/se/fc1", "mfa", "pool/attention_out", "fc")


def _shape(layout, tensors, path):
    place = layout.find(path)
    return place and tensors.get(place[1])


def _configuration(layout, tensors):
    def shape(path):
        return _shape(layout, tensors, path)

    channels, bins = shape("conv1/kernel")[:2]
    mfa, attention = shape("pool/attention_out/kernel")[:2]
    context = shape("pool/attention_frames/kernel")
    if context and context[1] == mfa:
        raise ValueError(
            f"{layout.find('pool/attention_frames/kernel')[1]!r} of shape {context} has no global "
            f"context: its attention must take 3 x {mfa} channels (WeSpeaker's ECAPA_TDNN_GLOB)."
        )
    scale = 1
    while shape(f"block1/res2/conv{scale}/kernel"):
        scale += 1
    return {
        "variant": layout.name,
        "channels": channels,
        "input_shape": (None, bins),
        "embedding_dim": shape("fc/kernel")[0],
        "mfa_channels": mfa,
        "attention_channels": attention,
        "se_channels": shape("block1/se/fc1/kernel")[0],
        "scale": scale,
        "embedding_bn": shape("embedding_bn/gamma") is not None,
    }
