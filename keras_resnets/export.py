"""Export to TensorFlow's SavedModel, as TensorFlow Serving reads it."""

import os
import shutil
import tempfile

import keras
import numpy as np

__all__ = ["to_saved_model"]

WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")


def to_saved_model(model, path, signatures=None, warmup=True, *, normalize=False, overwrite=False):
    """Writes a model for TensorFlow Serving, or for any process that has TensorFlow.

    The result needs neither this package nor Keras. It is written beside `path` and moved there
    when it is complete.

    The signatures of a speech encoder (`keras_resnets.ecapa_tdnn` and its like) are

    - `serving_default(waveform (B, S)) -> {"embedding": (B, D)}`: every sample is valid;
    - `embed_masked(waveform, lengths (B,) int32) -> {"embedding"}`: padding has no influence;
    - `verify(waveform_a, lengths_a, waveform_b, lengths_b) -> {"score": (B,)}`: the cosine;

    with `features (B, T, bins)` instead of `waveform` for an encoder without a front end. Batch and
    length are free. Lengths are clipped to `[0, S]`, and an example shorter than one frame gives
    zeros (score 0). Any other model has the one signature `serving_default`, whose inputs and
    outputs have the names of the model's input and output layers.

    Args:
        model: Functional or sequential `keras.Model`; any built one if `signatures` are given.
        path: Where to write, `.../NAME/VERSION`, with an integer version.
        signatures: None for the above, or a dictionary `{name: (function, inputs)}`. `inputs` maps
            the names of the inputs to `tf.TensorSpec`s; `function` is called with the tensors in
            that order and returns a dictionary of tensors, or one tensor, which is then named
            `"output"`. This is the place for preprocessing: `lambda x: model(preprocess(x))`.
        warmup: Whether to add a request for each signature that the server replays before it
            reports ready. `{name: {input: array}}` gives the requests, which is necessary where an
            input has an unknown size beside the batch's.
        normalize: Whether a speech encoder's embedding is scaled to unit length.
        overwrite: Whether an existing version is replaced.

    Returns:
        `path` as a string.

    Raises:
        ValueError: `path` does not end in NAME/VERSION; the model is not one whose signatures are
            known; a warm-up request is missing or does not fit.
        FileExistsError: `path` exists and `overwrite` is False.

    Example:

    >>> import tempfile
    >>> import tensorflow as tf
    >>> model = kr.ecapa_tdnn(channels=32, frontend="kaldi_fbank")
    >>> path = kr.export.to_saved_model(model, f"{tempfile.mkdtemp()}/ecapa_tdnn/1")
    >>> served = tf.saved_model.load(path)
    >>> sorted(served.signatures)
    ['embed_masked', 'serving_default', 'verify']
    >>> served.signatures["serving_default"](waveform=tf.zeros([2, 16000]))["embedding"].shape
    TensorShape([2, 192])

    Reference:
        https://www.tensorflow.org/tfx/serving/saved_model_warmup
    """
    path = _check_path(path, overwrite)
    requests = warmup if isinstance(warmup, dict) else {}
    if signatures is None and _is_speech(model):
        signatures, samples = _speech_signatures(model, normalize)
        requests = {**samples, **requests}
    elif normalize:
        raise ValueError("`normalize=True` is for a speech encoder without `signatures`.")
    elif signatures is None:
        signatures = _model_signatures(model)
    unknown = sorted(set(requests) - set(signatures))
    if unknown:
        raise ValueError(f"`warmup` must name signatures, {[*signatures]}. Received: {unknown}")

    archive = keras.export.ExportArchive()
    archive.track(model)
    records = []
    for name, (function, inputs) in signatures.items():
        endpoint = _add_endpoint(archive, name, function, inputs)
        if warmup:
            request = _warmup_request(name, inputs, requests.get(name))
            endpoint(*request.values())  # one that fails would keep the server from loading
            records.append(_prediction_log(path, name, request))
    _write(archive, path, records)
    return path


def _check_path(path, overwrite):
    path = os.path.normpath(os.fspath(path))
    name, version = os.path.split(path)
    if not name or not (version.isascii() and version.isdigit() and version == str(int(version))):
        raise ValueError(
            "`path` must end in NAME/VERSION, with an integer version, such as "
            f"'saved_models/ecapa_tdnn/1'. Received: path={path}"
        )
    if os.path.exists(path) and not overwrite:
        raise FileExistsError(
            "`path` exists: choose another version, or pass `overwrite=True`. "
            f"Received: path={path}"
        )
    return path


def _is_speech(model):
    """Whether the model takes sequences and their lengths, as the speech encoders do."""
    inputs = getattr(model, "input", None)
    return isinstance(inputs, dict) and set(inputs) == {"inputs", "lengths"}


def _speech_signatures(model, normalize):
    """The three signatures of a speech encoder, and a request of two seconds for each."""
    import tensorflow as tf

    if len(model.output.shape) != 2 or model.layers[-1].name.startswith("predictions"):
        raise ValueError(
            "`model` must be an encoder (`include_top=False`, with a `pooling`), or `signatures` "
            f"must be given. Received: {model.name} with outputs {model.output.shape}"
        )

    shape = model.input["inputs"].shape
    x, n = tf.TensorSpec(shape, tf.float32), tf.TensorSpec([None], tf.int32)

    @tf.function(input_signature=[x, n], autograph=False)  # traced once, for all signatures
    def embed(x, lengths):
        embedding = tf.cast(model([x, lengths], training=False), tf.float32)
        return tf.math.l2_normalize(embedding, -1) if normalize else embedding

    def embed_masked(x, lengths):
        return {"embedding": embed(x, lengths)}

    def embed_all(x):
        size = tf.shape(x)
        return embed_masked(x, tf.fill(size[:1], size[1]))

    def verify(x_a, lengths_a, x_b, lengths_b):
        a = tf.math.l2_normalize(embed(x_a, lengths_a), -1)
        b = tf.math.l2_normalize(embed(x_b, lengths_b), -1)
        return {"score": tf.reduce_sum(a * b, -1)}

    kind, size = ("waveform", 32000) if len(shape) == 2 else ("features", 200)
    signatures = {
        "serving_default": (embed_all, {kind: x}),
        "embed_masked": (embed_masked, {kind: x, "lengths": n}),
        "verify": (verify, {f"{kind}_a": x, "lengths_a": n, f"{kind}_b": x, "lengths_b": n}),
    }
    sample = np.zeros([1, shape[1] or size, *shape[2:]], "float32")
    requests = {
        name: {key: sample.shape[1:2] if spec is n else sample for key, spec in inputs.items()}
        for name, (_, inputs) in signatures.items()
    }
    return signatures, requests


def _model_signatures(model):
    """`serving_default` from the model's inputs to its outputs, under the names of its layers."""
    import tensorflow as tf

    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs:
        raise ValueError(
            "`model` must be functional or sequential, and built, or `signatures` must be given. "
            f"Received: a {type(model).__name__}"
        )
    flat = keras.Model(inputs, outputs)
    names = flat.output_names
    if isinstance(getattr(model, "output", None), dict):
        names = keras.tree.flatten({name: name for name in model.output})
    specs = {x.name: tf.TensorSpec(x.shape, x.dtype) for x in inputs}

    def serve(*tensors):
        return dict(zip(names, keras.tree.flatten(flat(list(tensors), training=False))))

    return {"serving_default": (serve, specs)}


def _add_endpoint(archive, name, function, inputs):
    """Adds a signature whose inputs have their names, and returns it as a compiled function."""
    import tensorflow as tf

    def endpoint(*tensors):
        outputs = function(*tensors)
        return outputs if isinstance(outputs, dict) else {"output": outputs}

    specs = [tf.TensorSpec(spec.shape, spec.dtype, name=key) for key, spec in inputs.items()]
    return archive.add_endpoint(name, endpoint, specs)


def _warmup_request(name, inputs, request):
    """The arrays of a request in the order of `inputs`; zeros for a batch of 1 if none is given."""
    if request is None:
        if any(None in spec.shape[1:] or spec.dtype == "string" for spec in inputs.values()):
            raise ValueError(
                f"`warmup` must be False, or hold a request for the signature {name!r} whose "
                f"inputs cannot be made up: {dict(inputs)}"
            )
        request = {key: np.zeros([n or 1 for n in spec.shape]) for key, spec in inputs.items()}
    if set(request) != set(inputs):
        raise ValueError(
            f"`warmup[{name!r}]` must hold the inputs {sorted(inputs)}. Received: {sorted(request)}"
        )
    arrays = {}
    for key, spec in inputs.items():
        arrays[key] = np.asarray(request[key]).astype(spec.dtype.as_numpy_dtype)
        if not spec.shape.is_compatible_with(arrays[key].shape):
            raise ValueError(
                f"`warmup[{name!r}][{key!r}]` must have the shape {spec.shape}. "
                f"Received: shape={arrays[key].shape}"
            )
    return arrays


def _prediction_log(path, signature, request):
    """A `tensorflow.serving.PredictionLog` of one request, serialised.

    The messages are few and their field numbers are fixed for good, so they are encoded here
    rather than with the package tensorflow-serving-api.
    """
    import tensorflow as tf

    model = os.path.basename(os.path.dirname(os.path.abspath(path)))
    spec = _field(1, model.encode()) + _field(3, signature.encode())  # ModelSpec
    predict = _field(1, spec)  # PredictRequest
    for key, array in request.items():
        tensor = tf.make_tensor_proto(array).SerializeToString()
        predict += _field(2, _field(1, key.encode()) + _field(2, tensor))
    return _field(6, _field(1, predict))  # PredictionLog, PredictLog


def _field(number, payload):
    """A length-delimited field of a protocol buffer."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value):
    head = bytearray()
    while value > 127:
        head.append(value & 127 | 128)
        value >>= 7
    return bytes([*head, value])


def _write(archive, path, records):
    """Writes beside `path`, then moves there: nobody sees half a model."""
    import tensorflow as tf

    parent = os.path.dirname(path)
    os.makedirs(parent, exist_ok=True)
    work = tempfile.mkdtemp(prefix=".export-", dir=parent)
    new, old = os.path.join(work, "new"), os.path.join(work, "old")
    try:
        archive.write_out(new, verbose=False)
        if records:
            os.makedirs(os.path.dirname(os.path.join(new, WARMUP_FILE)))
            with tf.io.TFRecordWriter(os.path.join(new, WARMUP_FILE)) as writer:
                for record in records:
                    writer.write(record)
        if os.path.exists(path):
            os.replace(path, old)
        try:
            os.replace(new, path)
        except OSError:
            if os.path.exists(old):
                os.replace(old, path)
            raise
    finally:
        shutil.rmtree(work)
