"""ECAPA-TDNN (C=512) beside SpeechBrain's, and the front end beside kaldi-native-fbank.

python benchmarks/speaker.py [--rounds N] [forward limit train frontend padding memory ...]
"""

import argparse
import itertools
import os
import tempfile
from functools import partial

import speaker_sides as sides
from paired import ROUNDS, apart, compare, conditions, table

PACKAGES = ("tensorflow", "keras", "torch", "speechbrain", "kaldi_native_fbank")
SHAPES = [(1, 2), (16, 2), (1, 10), (16, 10)]  # batch, seconds
WAYS = {"XLA": True, "graph": False}


def forward(state, compare):
    """Features to embedding: the same weights, and the package's default layout."""
    for batch, seconds in SHAPES:
        shape = (batch, 100 * seconds)
        theirs = partial(sides.speechbrain_forward, *shape, state=state)
        for variant, way in itertools.product(("speechbrain", "paper"), WAYS):
            same = variant == "speechbrain"
            yield compare(
                f"forward, {'same weights' if same else variant}, {way}, {batch} x {seconds} s",
                partial(sides.keras_forward, *shape, WAYS[way], variant, state),
                theirs,
                target=0.55,
                tolerance=1e-5 if same else None,
                examples=batch,
            )


def limit(state, compare):
    """The network's matrix products alone: what a faster implementation could come to."""
    for batch, seconds in SHAPES:
        shape = (batch, 100 * seconds)
        yield compare(
            f"matrix products alone, {batch} x {seconds} s",
            partial(sides.matrix_products, *shape),
            partial(sides.speechbrain_forward, *shape, state=state),
            examples=batch,
        )


def train(state, compare):
    """A training step of 16 x 2 s: AAM-softmax over 1251 speakers, Adam."""
    for variant, way in itertools.product(("speechbrain", "paper"), WAYS):
        yield compare(
            f"training step, {variant} layout, {way}, 16 x 2 s",
            partial(sides.keras_train, 16, 200, WAYS[way], variant, state),
            partial(sides.speechbrain_train, 16, 200, state),
            target=0.78,
            examples=16,
        )


def frontend(state, compare):
    """Waveform to 80 log-mel energies, and what it adds to the network."""
    peers = {
        "kaldi_fbank": ("kaldi-native-fbank", sides.kaldi_native_frontend, 1e-2),
        "speechbrain": ("SpeechBrain", sides.speechbrain_frontend, 1e-3),
    }
    for batch in (1, 16):
        for name, (peer, theirs, tolerance) in peers.items():
            yield compare(
                f"front end beside {peer}, {batch} x 2 s",
                partial(sides.keras_frontend, name, batch, 2),
                partial(theirs, batch, 2),
                tolerance=tolerance,
                examples=batch,
            )
    for batch in (1, 16):
        yield compare(
            f"ours from waveform beside ours from features, {batch} x 2 s",
            partial(sides.waveform_forward, batch, 2, xla=True),
            partial(sides.keras_forward, batch, 198, xla=True, variant="paper"),
            target=1.1,
            examples=batch,
        )


def padding(state, compare):
    """How much padding changes an embedding, the same weights."""
    with tempfile.TemporaryDirectory() as folder:
        speech = os.path.join(folder, "speech.npy")
        apart(partial(sides.write_speech, speech))
        for name, side in (("ours", sides.keras_padding), ("peer", sides.speechbrain_padding)):
            change, _ = apart(partial(side, speech, state))
            print(f"  padding changes an embedding, {name}: at most {change:.1e} of its norm")
    return ()


def memory(state, compare):
    """Peak memory of a process that embeds long audio, TensorFlow's own 0.5 GB included."""
    with tempfile.TemporaryDirectory() as folder:
        hour = os.path.join(folder, "hour.wav")
        sides.write_hour(hour)
        for name, task, limit in (
            ("one hour from a file by embed_long", partial(sides.embed_hour, hour), 1.5),
            ("ten minutes in one call", sides.embed_ten_minutes, 3.0),
        ):
            _, peak = apart(task)
            print(f"  peak memory, {name}: {peak / 1e9:.2f} GB (target {limit})", flush=True)
    return ()


PARTS = {part.__name__: part for part in (forward, limit, train, frontend, padding, memory)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {[*PARTS]}; default: all")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each side")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - PARTS.keys():
        parser.error(f"PART must be of {[*PARTS]}. Received: {sorted(unknown)}")

    print(conditions(*PACKAGES))
    with tempfile.TemporaryDirectory() as folder:
        state = os.path.join(folder, "state.npz")
        apart(partial(sides.write_state, state))
        timer = partial(compare, rounds=arguments.rounds)
        parts = [PARTS[name] for name in arguments.parts or PARTS]
        rows = [row for part in parts for row in part(state, timer)]
    if rows:
        print(table(rows))


if __name__ == "__main__":
    main()
