"""Compare two audio files with an exported speaker model: TensorFlow and soundfile are enough.

python examples/verify_served.py saved_models/ecapa_tdnn/1 a.wav b.wav --threshold 0.4
"""

import argparse

import numpy as np
import soundfile
import tensorflow as tf

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("model")
parser.add_argument("first")
parser.add_argument("second")
parser.add_argument("--threshold", type=float, required=True, help="of the cosine score")
args = parser.parse_args()


def read(path):
    waveform, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if rate != 16000 or waveform.shape[1] != 1:
        raise SystemExit(f"{path}: 16 kHz mono is needed, this is {rate} Hz, {waveform.shape[1]}")
    return tf.constant(waveform.T), tf.constant([len(waveform)])


a, b = read(args.first), read(args.second)
verify = tf.saved_model.load(args.model).signatures["verify"]
score = verify(waveform_a=a[0], lengths_a=a[1], waveform_b=b[0], lengths_b=b[1])["score"]
score = float(np.ravel(score)[0])
verdict = "same speaker" if score >= args.threshold else "different speakers"
print(f"{verdict}, score {score:.3f} (threshold {args.threshold:.3f})")
