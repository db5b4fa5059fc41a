"""What `speaker.py` measures: our side and the peer's of each task, as `paired.py` takes them."""

import functools
import os
import wave

import numpy as np

# PyTorch always uses oneDNN; TensorFlow by itself only where the processor has AVX-512 VNNI.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

CLASSES = 1251
RATE = 16000


def features(batch, frames):
    return np.random.default_rng(0).normal(size=(batch, frames, 80)).astype("float32")


def waveforms(batch, seconds):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (batch, seconds * RATE))
    return noise.astype("float32")


def compiled(function, x, xla):
    """A call of `function` on `x` in one graph."""
    import tensorflow as tf

    x, run = tf.constant(x), tf.function(function, jit_compile=xla)
    return lambda: run(x).numpy()


# The network


def network(variant, state=None, **options):
    """SpeechBrain's layout with the weights in `state`, or another with its initial ones."""
    import keras_resnets as kr

    if variant == "speechbrain":
        return kr.load_ecapa(state, frontend=None)
    return kr.ecapa_tdnn(variant=variant, **options)


def speechbrain_network(state=None):
    import torch
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = ECAPA_TDNN(80, channels=[512, 512, 512, 512, 1536], lin_neurons=192)
    if state is not None:
        with np.load(state) as arrays:
            model.load_state_dict({name: torch.from_numpy(arrays[name]) for name in arrays})
    return model


def write_state(path):
    """SpeechBrain's weights in a `.npz`; what the normalisations would have learned is random."""
    import torch

    state = speechbrain_network().state_dict()
    for name, value in state.items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif ".norm." in name and value.dim():
            value += 0.2 * torch.randn(value.shape)
    np.savez(path, **{name: value.numpy() for name, value in state.items()})


def keras_forward(batch, frames, xla, variant="speechbrain", state=None):
    model = network(variant, state)
    return compiled(functools.partial(model, training=False), features(batch, frames), xla)


def matrix_products(batch, frames):
    """The products of the convolutions over frames with a window of 1 or 5, and nothing else."""
    import tensorflow as tf

    shapes = [(400, 512), *[(512, 512)] * 6, (1536, 1536), (1536, 128), (128, 1536)]
    pairs = [(tf.zeros((batch * frames, n)), tf.zeros((n, m))) for n, m in shapes]
    run = tf.function(lambda: [tf.matmul(x, kernel) for x, kernel in pairs], jit_compile=True)
    return lambda: run()[-1].numpy()


def speechbrain_forward(batch, frames, state=None):
    import torch

    model, x = speechbrain_network(state).eval(), torch.from_numpy(features(batch, frames))

    @torch.no_grad()
    def run():
        return model(x)[:, 0].numpy()

    return run


def keras_train(batch, frames, xla, variant="speechbrain", state=None):
    """One step of `SpeakerTrainer`: Adam, AAM-softmax, weight decay, metrics."""
    import keras
    import tensorflow as tf

    import keras_resnets as kr
    from trainers import SpeakerTrainer

    head = kr.layers.AdditiveAngularMargin(CLASSES)
    trainer = SpeakerTrainer(network(variant, state), head)
    trainer.compile(keras.optimizers.Adam(1e-3), jit_compile=xla)
    x, y = tf.constant(features(batch, frames)), tf.range(batch)
    return lambda: trainer.train_on_batch(x, y)[0]


def speechbrain_train(batch, frames, state=None):
    """The same with SpeechBrain's classifier and loss in a plain PyTorch loop."""
    import torch
    from speechbrain.lobes.models.ECAPA_TDNN import Classifier
    from speechbrain.nnet.losses import AdditiveAngularMargin, LogSoftmaxWrapper

    model, classifier = speechbrain_network(state), Classifier(192, out_neurons=CLASSES)
    criterion = LogSoftmaxWrapper(AdditiveAngularMargin(margin=0.2, scale=30))
    weights = [*model.parameters(), *classifier.parameters()]
    optimizer = torch.optim.Adam(weights, lr=1e-3, weight_decay=2e-5)
    x, y = torch.from_numpy(features(batch, frames)), torch.arange(batch)[:, None]

    def run():
        optimizer.zero_grad()
        loss = criterion(classifier(model(x)), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


# The front end


def keras_frontend(name, batch, seconds):
    import keras_resnets as kr

    return compiled(kr.layers.front_end(name), waveforms(batch, seconds), xla=False)


def kaldi_native_frontend(batch, seconds):
    import kaldi_native_fbank as knf

    options = knf.FbankOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.window_type = "hamming"
    options.mel_opts.num_bins = 80
    signals = [(32768 * x).tolist() for x in waveforms(batch, seconds)]

    def one(signal):
        computer = knf.OnlineFbank(options)
        computer.accept_waveform(RATE, signal)
        computer.input_finished()
        return [computer.get_frame(i) for i in range(computer.num_frames_ready)]

    return lambda: np.array([one(signal) for signal in signals])


def speechbrain_frontend(batch, seconds):
    import torch
    from speechbrain.lobes.features import Fbank

    torch.set_num_threads(1)
    frontend, x = Fbank(n_mels=80), torch.from_numpy(waveforms(batch, seconds))
    return torch.no_grad()(lambda: frontend(x).numpy())


def waveform_forward(batch, seconds, xla):
    model = network("paper", frontend="kaldi_fbank")
    return compiled(functools.partial(model, training=False), waveforms(batch, seconds), xla)


# Padding and memory


def write_speech(path, count=6, seconds=2):
    """Normalised Kaldi features of the first seconds of the bundled test speech."""
    import keras_resnets as kr

    paths = kr.datasets.load("speech_sample").test.paths
    x = np.stack([kr.datasets.read_audio(p)[: seconds * RATE] for p in paths[::10][:count]])
    features = kr.layers.KaldiFbank()(x)
    np.save(path, np.array(kr.layers.CepstralMeanNormalization()(features)))


def padding_change(embed, speech):
    """Largest relative change of an embedding when its features are followed by half a second."""
    x = np.load(speech)
    padded = np.pad(x, [(0, 0), (0, 50), (0, 0)])
    plain = embed(x, None)
    change = embed(padded, x.shape[1]) - plain
    return float(np.max(np.linalg.norm(change, axis=1) / np.linalg.norm(plain, axis=1)))


def keras_padding(speech, state):
    model = network("speechbrain", state)

    def embed(x, frames):
        return model([x] if frames is None else [x, np.full(len(x), frames, "int32")]).numpy()

    return padding_change(embed, speech)


def speechbrain_padding(speech, state):
    import torch

    model = speechbrain_network(state).eval()

    @torch.no_grad()
    def embed(x, frames):
        lengths = None if frames is None else torch.full((len(x),), frames / x.shape[1])
        return model(torch.from_numpy(x), lengths)[:, 0].numpy()

    return padding_change(embed, speech)


def embed_hour(path):
    import keras_resnets as kr

    model = network("paper", frontend="kaldi_fbank")
    assert np.isfinite(kr.inference.embed_long(model, path)).all()


def embed_ten_minutes():
    assert np.isfinite(waveform_forward(1, 600, xla=False)()).all()


def write_hour(path):
    minute = (32767 * waveforms(1, 60)[0]).astype("<i2").tobytes()
    with wave.open(path, "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", None))
        for _ in range(60):
            file.writeframes(minute)
