"""ECAPA-TDNN (Desplanques et al., Interspeech 2020, arXiv 2005.07143)."""

import keras

from keras_resnets.layers import (
    AttentiveStatisticsPooling,
    MaskedBatchNormalization,
    MaskedConv1D,
    SERes2Block1D,
    StatisticsPooling,
    front_end,
)
from keras_resnets.models.top import check_top, cosine_classifier
from keras_resnets.models.variable_length import VariableLengthModel, speech_inputs
from keras_resnets.weights import load_weights, read_checkpoint
from keras_resnets.weights.ecapa import infer_ecapa

# What the published implementations do differently from one another.
VARIANTS = {
    "paper": dict(block_inputs="sum", embedding_bn=True),
    "speechbrain": dict(
        block_inputs="chain",
        pass_through="first",
        padding="reflect",
        mfa_bn=True,
        attention=dict(hidden="relu_bn_tanh", context_epsilon=1e-12, epsilon=1e-12),
        embedding_bn=False,
    ),
    "wespeaker": dict(
        block_inputs="chain",
        attention=dict(context_ddof=1, context_epsilon=1e-7, context_floor="add", epsilon=1e-7),
        embedding_bn=False,
    ),
    "taoruijie": dict(
        block_inputs="sum",
        attention_channels=256,
        attention=dict(hidden="relu_bn_tanh", context_ddof=1, context_epsilon=1e-4, epsilon=1e-4),
        embedding_bn=True,
    ),
}
FRONT_ENDS = {
    "speechbrain": "speechbrain",
    "wespeaker": "kaldi_fbank",
    "taoruijie": "torchaudio_htk",
}
POOLINGS = ("asp", "stats", "avg", None)


def ecapa_tdnn(
    channels=512,
    include_top=False,
    weights=None,
    input_shape=None,
    pooling="asp",
    classes=None,
    classifier_activation=None,
    embedding_dim=192,
    mfa_channels=1536,
    attention_channels=None,
    se_channels=128,
    scale=8,
    dilations=(2, 3, 4),
    variant="paper",
    embedding_bn=None,
    frontend=None,
    spec_augment=None,
    name="ecapa_tdnn",
):
    """ECAPA-TDNN speaker encoder: speech of any length to one vector.

    Args:
        channels: Channels of the frame layers (the paper: 512 or 1024).
        include_top: Whether a margin-free cosine classifier over `classes` speakers follows.
        weights: None, a `.keras` or `.weights.h5` file, or a public checkpoint of this variant
            (see `keras_resnets.load_ecapa`, which also finds the variant).
        input_shape: `(frames, 80)`, or `(samples,)` with a front end. Default: any length.
        pooling: `"asp"` (attentive statistics), `"stats"` (mean and standard deviation), `"avg"`,
            or None for the frame features `(B, T, mfa_channels)` instead of an embedding.
        classes: Number of speakers of the classifier.
        classifier_activation: Activation of the classifier; None for logits.
        embedding_dim: Width of the embedding.
        mfa_channels: Width after multi-layer feature aggregation.
        attention_channels: Width of the attention's hidden layer. Default: the variant's (128,
            `"taoruijie"` 256).
        se_channels: Bottleneck of the squeeze-and-excitation.
        scale: Groups of the Res2 convolutions; must divide `channels`.
        dilations: Dilation of each SE-Res2Block; one block each.
        variant: `"paper"`, or the layout of a public implementation: `"speechbrain"`,
            `"wespeaker"`, `"taoruijie"`.
        embedding_bn: Whether the embedding is batch-normalised. Default: as the variant does.
        frontend: None (features are the input), `"kaldi_fbank"`, `"mfcc"`, `"torchaudio_htk"`,
            `"speechbrain"` or a layer; then the input is a 16 kHz waveform and cepstral mean
            normalisation follows.
        spec_augment: Layer for the normalised features that acts in training only, e.g.
            `keras_resnets.layers.SpecAugment()`.
        name: Name of the model.

    Returns:
        A `keras.Model`: `(B, T, 80)` features or `(B, S)` waveform, and optionally `lengths`
        `(B,)`, to `(B, embedding_dim)`. Padding never changes an embedding; an example without one
        frame gives zeros.

    Raises:
        ValueError: Unknown `variant` or `pooling`, no `dilations`, `channels` not divisible by
            `scale`, `include_top` without `classes`, or `weights` that do not fit.

    Example:

    >>> model = ecapa_tdnn(channels=64, frontend="kaldi_fbank")
    >>> model(np.zeros((2, 16000), "float32")).shape
    TensorShape([2, 192])

    Reference:
        Desplanques et al., ECAPA-TDNN, Interspeech 2020 (arXiv 2005.07143), figure 2.
    """
    if variant not in VARIANTS:
        raise ValueError(f"`variant` must be one of {[*VARIANTS]}. Received: variant={variant!r}")
    if pooling not in POOLINGS:
        raise ValueError(f"`pooling` must be one of {POOLINGS}. Received: pooling={pooling!r}")
    if not dilations:
        raise ValueError(f"`dilations` must name at least one. Received: dilations={dilations}")
    check_top(include_top, classes, pooling)
    options = VARIANTS[variant]
    padding = options.get("padding", "same")
    if attention_channels is None:
        attention_channels = options.get("attention_channels", 128)
    if embedding_bn is None:
        embedding_bn = options["embedding_bn"]

    inputs, x, frames = speech_inputs(input_shape, frontend, spec_augment)
    mask = frames.mask(x)

    def conv(filters, kernel_size, name):
        return MaskedConv1D(
            filters,
            kernel_size,
            padding=padding,
            activation="relu",
            kernel_initializer="he_uniform",
            name=name,
        )

    x = conv(channels, 5, "conv1")(x, mask=mask)
    x = MaskedBatchNormalization(name="bn1")(x, mask=mask)
    outputs = [x]
    for i, dilation in enumerate(dilations, start=1):
        if options["block_inputs"] == "sum" and i > 1:
            x = keras.layers.Add(name=f"block{i}_input")(outputs)
        x = SERes2Block1D(
            channels,
            dilation_rate=dilation,
            scale=scale,
            se_channels=se_channels,
            pass_through=options.get("pass_through", "last"),
            padding=padding,
            name=f"block{i}",
        )(x, mask=mask)
        outputs.append(x)
    x = keras.layers.Concatenate(name="mfa_input")(outputs[1:])
    x = conv(mfa_channels, 1, "mfa")(x, mask=mask)
    if options.get("mfa_bn"):
        x = MaskedBatchNormalization(name="mfa_bn")(x, mask=mask)

    if pooling is not None:
        if pooling == "asp":
            pool = AttentiveStatisticsPooling(
                attention_channels, name="pool", **options.get("attention", {})
            )
        else:
            pool = StatisticsPooling(std=pooling == "stats", name="pool")
        x = MaskedBatchNormalization(name="pool_bn")(pool(x, mask=mask))
        x = keras.layers.Dense(embedding_dim, name="fc")(x)
        if embedding_bn:
            x = MaskedBatchNormalization(name="embedding_bn")(x)
        x = frames.zero_empty(x)
    if include_top:
        x = cosine_classifier(x, classes, classifier_activation)
    return load_weights(VariableLengthModel(inputs, x, name=name), weights)


def ecapa_tdnn_512(**kwargs):
    """`ecapa_tdnn` with 512 channels: 6.2 M parameters, the paper's small model.

    Args:
        **kwargs: As `ecapa_tdnn`.

    Returns:
        A `keras.Model`.

    Example:

    >>> ecapa_tdnn_512().output_shape
    (None, 192)
    """
    return ecapa_tdnn(512, **{"name": "ecapa_tdnn_512", **kwargs})


def ecapa_tdnn_1024(**kwargs):
    """`ecapa_tdnn` with 1024 channels: 14.7 M parameters, the paper's large model.

    Args:
        **kwargs: As `ecapa_tdnn`.

    Returns:
        A `keras.Model`.

    Example:

    >>> ecapa_tdnn_1024().output_shape
    (None, 192)
    """
    return ecapa_tdnn(1024, **{"name": "ecapa_tdnn_1024", **kwargs})


def load_ecapa(source, layout="auto", frontend="auto", name="ecapa_tdnn"):
    """The ECAPA-TDNN of a public checkpoint: its variant, its sizes, its weights, its front end.

    Args:
        source: The state dict of SpeechBrain (3D-Speaker's is alike), WeSpeaker (with global
            context) or TaoRuijie: a file, `"hf://owner/name"`, or a dict of arrays, as
            `keras_resnets.weights.read_checkpoint` takes it.
        layout: `"speechbrain"`, `"wespeaker"`, `"taoruijie"`, or `"auto"`: found from the names.
        frontend: `"auto"`: that of the layout's recipe, so that the model takes a waveform; or as
            in `ecapa_tdnn`. 3D-Speaker's needs `"kaldi_fbank"`.
        name: Name of the model.

    Returns:
        A `keras.Model` from waveform to embedding.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: The tensors are not those of an ECAPA-TDNN; lists the missing, the unexpected
            and the misshaped ones.

    Example:

    >>> state = kr.weights.to_torch(ecapa_tdnn(channels=64, variant="wespeaker"))
    >>> load_ecapa(state).get_layer("kaldi_fbank").num_mel_bins
    80
    """
    arrays = read_checkpoint(source)
    config, layout = infer_ecapa(arrays, layout)
    frontend = FRONT_ENDS[layout.name] if frontend == "auto" else frontend
    if frontend is not None:
        _, bins = config.pop("input_shape")
        frontend = front_end(frontend, num_mel_bins=bins)
    return ecapa_tdnn(**config, frontend=frontend, weights=arrays, name=name)
