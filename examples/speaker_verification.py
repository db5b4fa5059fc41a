"""Speaker verification from waveform to served model: train, score, export, verify.

    python examples/speaker_verification.py                              # bundled speech, minutes
    python examples/speaker_verification.py --data tfds:voxceleb         # the paper's recipe
    python examples/speaker_verification.py --data folder:DIR --noise MUSAN --rir RIRS

A run that was interrupted goes on where it stopped; `--restart` begins anew.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np

import keras_resnets as kr
import trainers
from keras_resnets.preprocessing.audio import AddNoise, Chain, OneOf, Reverberate
from keras_resnets.preprocessing.synthetic import synthetic_noises, synthetic_rooms
from trainers.callbacks import VerificationCallback
from trainers.evaluation import TrialAudio
from trainers.recipes import ECAPA_PAPER, ECAPA_SMALL
from trainers.resume import Resume

NETWORKS = {
    "small": dict(channels=128, mfa_channels=384, attention_channels=64, se_channels=64),
    "paper": dict(channels=512),
}
RECIPES = {"small": ECAPA_SMALL, "paper": ECAPA_PAPER}


def main():
    args = parse()
    keras.utils.set_random_seed(args.seed)
    data = kr.datasets.load(args.data)
    kind = args.recipe or ("small" if args.data == "speech_sample" else "paper")
    recipe = RECIPES[kind]
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    rooms, noises = acoustics(args, data)
    speakers = len(data.train.class_names)
    print(f"{len(data.train)} utterances of {speakers} speakers from {args.data}, recipe {kind}")

    encoder = kr.ecapa_tdnn(
        **NETWORKS[kind],
        frontend=recipe.features,
        spec_augment=kr.layers.SpecAugment(**recipe.spec_augment, seed=args.seed),
    )
    encoder.summary()
    scores = {"MFCC statistics": {}, "untrained network": {}, "trained network": {}}
    trials = {}
    if data.trials is not None:
        degrade = degradation(rooms["test"], noises["test"], args.seed)
        trials["clean"] = TrialAudio(data.trials, data.test.root)
        trials["degraded"] = TrialAudio(data.trials, data.test.root, degrade)
        baseline = mfcc_statistics(data.train)
        for condition, audio in trials.items():
            scores["MFCC statistics"][condition] = audio.scores(baseline)
            scores["untrained network"][condition] = audio.scores(encoder)

    train(args, data, recipe, encoder, rooms["train"], noises["train"], output)
    encoder.save(output / "encoder.keras")
    for condition, audio in trials.items():
        scores["trained network"][condition] = audio.scores(encoder)
    if trials:
        report(scores, trials["clean"].labels, output)

    path = Path(args.export) if args.export else output / "saved_models" / "ecapa_tdnn"
    path = path / "1"
    kr.export.to_saved_model(encoder, path, overwrite=True)
    print(f"SavedModel: {path}")
    if trials:
        threshold = kr.metrics.det_curve(
            scores["trained network"]["clean"], trials["clean"].labels
        ).eer_threshold()
        serve(path, data, threshold)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="speech_sample", help="as keras_resnets.datasets.load")
    parser.add_argument("--recipe", choices=RECIPES, help="default: small for the bundled sample")
    parser.add_argument("--epochs", type=int, help="default: the recipe's length")
    parser.add_argument("--noise", help="folder of noises; default: the data's, else synthetic")
    parser.add_argument("--rir", help="folder of room impulse responses; default likewise")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default="results/ecapa_tdnn", help="folder for what is made")
    parser.add_argument("--export", help="SavedModel's folder; default: OUTPUT/saved_models/...")
    parser.add_argument("--restart", action="store_true", help="forget an earlier run's state")
    parser.add_argument("--short", action="store_true", help="a minute's training, to try it out")
    parser.add_argument("--jit", action="store_true", help="compile the training step with XLA")
    return parser.parse_args()


def acoustics(args, data):
    """Rooms and noises, some to train on and others to test with: lists of files or arrays."""

    def clips(folder, name, synthetic, count):
        root = getattr(data.test or data.train, "root", None)
        if folder is None and root is not None and (Path(root) / name).is_dir():
            folder = Path(root) / name
        if folder is None:
            found, held_out = synthetic(count, seed=args.seed), count // 2
        else:
            found = sorted(str(path) for path in Path(folder).rglob("*.wav"))
            held_out = 2
            if len(found) <= held_out:
                sys.exit(f"{folder} must hold at least three .wav files: two are kept for testing")
        return {"train": found[:-held_out], "test": found[-held_out:]}

    rooms = clips(args.rir, "rir", synthetic_rooms, 32)
    noises = clips(args.noise, "noise", synthetic_noises, 16)
    return rooms, noises


def augmentation(rooms, noises, probability, seed):
    """The paper's kinds where the noises are MUSAN, else any noise and any room, or both."""
    kinds = {"noise": AddNoise.noise, "music": AddNoise.music, "speech": AddNoise.babble}
    musan = {
        kind: [n for n in noises if isinstance(n, str) and kind in Path(n).parts] for kind in kinds
    }
    if all(musan.values()):
        layers = [make(musan[kind]) for kind, make in kinds.items()]
        return OneOf([*layers, Reverberate(rooms)], rate=probability, seed=seed)
    each = 1 - (1 - probability) ** 0.5
    return Chain([Reverberate(rooms, rate=each), AddNoise(noises, rate=each)], seed=seed)


def degradation(rooms, noises, seed):
    """Reverberation and noise at 5 to 15 dB, the same for a file in every run."""
    layer = Chain([Reverberate(rooms), AddNoise(noises, snr=(5, 15))])

    def degrade(waveform, index):
        pair = np.array([seed, index], "int32")
        return np.array(layer(waveform[None], training=True, seed=pair)[0])

    return degrade


def mfcc_statistics(files):
    """The baseline: mean and deviation of MFCCs over time, each standardised by training data."""
    inputs = keras.Input((None,), name="inputs")
    lengths = keras.Input((), dtype="int32", optional=True, name="lengths")
    front = kr.layers.MFCC()
    x = front(inputs, lengths=lengths)
    mask = kr.layers.FrameMask(front.frame_length, front.hop_length)(x, lengths)
    x = kr.layers.StatisticsPooling()(x, mask=mask)
    normalization = keras.layers.Normalization()
    model = kr.models.VariableLengthModel({"inputs": inputs, "lengths": lengths}, normalization(x))
    pooled = keras.Model({"inputs": inputs, "lengths": lengths}, x)
    statistics = [
        np.array(pooled({"inputs": waveform, "lengths": length}))
        for (waveform, length), _ in files.dataset(batch_size=16).take(64)
    ]
    normalization.adapt(np.concatenate(statistics))
    return model


def train(args, data, recipe, encoder, rooms, noises, output):
    batch = recipe.batch_size
    batches = len(data.train) * len(recipe.speeds) // batch
    steps = batches if recipe.epochs else 40
    epochs = args.epochs or recipe.total_epochs(steps)
    if args.short:
        epochs = 1
    resume = Resume(output / "resume.npz", every=20, restart=args.restart)
    augment = augmentation(rooms, noises, recipe.augment_probability, args.seed)
    head = recipe.build_head(len(data.train.class_names))
    trainer = trainers.SpeakerTrainer(encoder, head, augment=augment)
    recipe.compile(trainer, steps, jit_compile=args.jit)
    callbacks = [resume, *recipe.build_callbacks()]
    if data.trials is not None:
        callbacks.append(VerificationCallback(data.trials, data.test.root, encoder, every=5))
    epoch, start_batch = divmod(resume.epoch * steps + resume.batch, batches)
    dataset = data.train.dataset(
        crop=recipe.crop_samples,
        batch_size=batch,
        shuffle=True,
        seed=args.seed,
        speeds=recipe.speeds,
        drop_remainder=True,
        epoch=epoch,
        start_batch=start_batch,
        repeat=True,
    )
    trainer.fit(
        dataset.prefetch(2),
        steps_per_epoch=steps,
        initial_epoch=resume.epoch,
        epochs=epochs,
        callbacks=callbacks,
        shuffle=False,
    )


def report(scores, labels, output):
    """The table and the DET plot."""
    results = {}
    print(f"\n{'':20} {'EER clean':>10} {'minDCF':>7} {'EER degraded':>13} {'minDCF':>7}")
    for name, by_condition in scores.items():
        results[name] = {
            condition: {
                "eer": kr.metrics.equal_error_rate(s, labels),
                "min_dcf": kr.metrics.min_dcf(s, labels),
            }
            for condition, s in by_condition.items()
        }
        clean, degraded = results[name]["clean"], results[name]["degraded"]
        print(
            f"{name:20} {clean['eer']:10.2%} {clean['min_dcf']:7.3f} "
            f"{degraded['eer']:13.2%} {degraded['min_dcf']:7.3f}"
        )
    (output / "results.json").write_text(json.dumps(results, indent=1))
    curves = {
        f"{name}, {condition}": (s, labels)
        for name, by_condition in scores.items()
        for condition, s in by_condition.items()
    }
    kr.metrics.plot_det(curves, output / "det.png")
    print(f"DET plot: {output / 'det.png'}")


def serve(path, data, threshold):
    """Verify one pair of each kind with the SavedModel, in a process without this package."""
    for label, expected in ((1, "same speaker"), (0, "different speakers")):
        index = int(np.flatnonzero(np.asarray(data.trials.labels) == label)[0])
        files = [
            str(Path(data.test.root) / side[index])
            for side in (data.trials.enrol, data.trials.test)
        ]
        script = Path(__file__).with_name("verify_served.py")
        run = subprocess.run(
            [sys.executable, script, path, *files, "--threshold", f"{threshold:.4f}"],
            capture_output=True,
            text=True,
        )
        if run.returncode:
            sys.exit(run.stderr)
        print(f"{expected} expected; served: {run.stdout.strip()}")


if __name__ == "__main__":
    main()
