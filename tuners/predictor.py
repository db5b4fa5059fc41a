"""FBNetV3's predictor: how good a network trained by a recipe will be, from both."""

import json

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_resnets.files import write_whole
from tuners.ensemble import EnsembleDense, EnsembleTraining, epochs_of_batches
from tuners.measured import MeasuredScale
from tuners.ranks import kendall_tau, normal_cdf, normal_scores

FORMAT = 1
# Sizes and settings: see the reference; those of the ensemble are not the paper's.
HIDDEN, EMBEDDING, HEAD = 64, 24, 64
MEMBERS = 5
PRETRAIN = {"epochs": 15, "batch_size": 256, "learning_rate": 3e-3}
PHASES = ((50, 3e-3), (50, 1e-3))  # epochs and learning rate of the fine-tuning's two
BATCH_SIZE = 16
WEIGHT_DECAY = 1e-4
AT_A_TIME = 4096  # rows that are scored together


class ArchitectureRecipePredictor:
    """Predicts the rank of configurations, after a few trials of them.

    An encoder makes an embedding of the architecture, from which a linear proxy head tells what is
    free to know (parameters, operations): that pretrains the encoder. The accuracy head takes
    embedding and recipe, and learns the normal scores of the results' ranks by the Huber loss. It
    is an ensemble: every member sees a bootstrap resample of the results, and where they disagree
    there is something to explore.

    Args:
        space: `SearchSpace`.
        measured: names of quantities known after a run only, which a head each learns too.
        members: networks of the ensemble.
        freeze_epochs: so many first epochs of fine-tuning leave the encoder as it is (50 in the
            paper).
        seed: a whole number, from which all randomness follows.

    Example:

    >>> space = tuners.SearchSpace([
    ...     tuners.Integer("width", 1, 64, part="architecture"),
    ...     tuners.Real("rate", 1e-4, 1e-1, log=True),
    ... ])
    >>> configs = space.sample(40)
    >>> predictor = tuners.ArchitectureRecipePredictor(space)
    >>> predictor.fit_statistics(configs, {"params": [c["width"] ** 2 for c in configs]})
    >>> predictor.fit_results(configs, [c["width"] - 100 * c["rate"] for c in configs])
    >>> good, bad = {"width": 64, "rate": 1e-4}, {"width": 1, "rate": 1e-1}
    >>> scores = predictor.score([good, bad])
    >>> bool(scores[0] > scores[1])
    True

    Reference:
        Dai et al., FBNetV3, CVPR 2021 (arXiv 2006.02049), section 3.
    """

    def __init__(self, space, measured=(), members=MEMBERS, freeze_epochs=0, seed=0):
        self.space = space
        self.measured = tuple(measured)
        self.members = members
        self.freeze_epochs = freeze_epochs
        self.seed = seed
        self.statistics = ()
        self._width = space.architecture_width
        columns = len(space.layout)
        if self._width:
            self.encoder = self._tower([(HIDDEN, "relu"), (EMBEDDING, "relu")], self._width, 1)
        vectors = keras.Input((None, columns))
        features = vectors
        if self._width:
            features = self.encoder(vectors[:, :, : self._width])
        if 0 < self._width < columns:
            recipe = vectors[:, :, self._width :]
            features = ops.concatenate([features, recipe + 0 * features[:, :, :1]], axis=-1)
        layers = [(HEAD, "relu"), (HEAD, "relu"), (1, None)]
        self.heads = [
            self._tower(layers, features.shape[-1], 2 + place)
            for place in range(1 + len(self.measured))
        ]
        outputs = [head(features) for head in self.heads]
        self.model = keras.Model(vectors, ops.concatenate(outputs, axis=-1))
        self._start = self.model.get_weights()
        self._scales = {}
        self._training = EnsembleTraining(self.model, huber, WEIGHT_DECAY)

    def fit_statistics(
        self, configs, statistics, epochs=PRETRAIN["epochs"], batch_size=PRETRAIN["batch_size"]
    ):
        """Pretrains the encoder to tell free statistics.

        Args:
            configs: many, such as 2,000; only their architecture counts.
            statistics: `{name: array}` of one number a configuration. Those that are all positive
                are learnt as logarithms.
            epochs: of training.
            batch_size: of training.
        """
        if not self._width:
            raise ValueError(
                "`fit_statistics` needs a space with dimensions of part 'architecture'. "
                f"Received: {[d.name for d in self.space.dimensions]}"
            )
        self.statistics = tuple(statistics)
        targets = np.stack([np.asarray(statistics[s], float) for s in statistics], axis=1)
        if targets.shape[0] != len(configs):
            raise ValueError(
                "`statistics` must have a number of every configuration. "
                f"Received: {targets.shape[0]} for {len(configs)}"
            )
        self._logs = (targets > 0).all(axis=0)
        targets[:, self._logs] = np.log(targets[:, self._logs])
        self._mean, self._deviation = targets.mean(axis=0), targets.std(axis=0)
        self._deviation[self._deviation == 0] = 1
        targets = (targets - self._mean) / self._deviation

        self._build_proxy()
        training = EnsembleTraining(
            self.proxy_model, lambda y, predicted: ops.square(y - predicted) / len(statistics)
        )
        rng = np.random.default_rng([self.seed, 1])
        batches = epochs_of_batches(self.members, len(configs), epochs, batch_size, rng)
        vectors = self._vectors(configs)[:, : self._width]
        training.run(vectors, targets, batches, [PRETRAIN["learning_rate"]] * len(batches))
        pretrained = self.encoder.get_weights()
        self.model.set_weights(self._start)
        self.encoder.set_weights(pretrained)
        self._start = self.model.get_weights()

    def predict_statistics(self, configs):
        """What the proxy head says: `{name: array}`, in the units of `fit_statistics`."""
        vectors = self._vectors(configs)[:, : self._width]
        found = _in_parts(self._predict_statistics, vectors).mean(axis=0)
        found = found * self._deviation + self._mean
        return {
            name: np.exp(column) if logarithm else column
            for name, column, logarithm in zip(self.statistics, found.T, self._logs)
        }

    def fit_results(self, configs, values, measured=None):
        """Learns from trials, anew from the pretrained weights.

        Args:
            configs: of the trials.
            values: their results, larger is better; NaN (it failed) ranks last.
            measured: `{name: array}` of what was measured, NaN where it wasn't.
        """
        values = np.asarray(values, float)
        if len(values) != len(configs) or not len(configs):
            raise ValueError(
                "`values` must have a result of every configuration, of at least one. "
                f"Received: {len(values)} for {len(configs)}"
            )
        targets = [normal_scores(np.where(np.isnan(values), -np.inf, values))]
        self._scales = {}
        for name in self.measured:
            column = np.asarray((measured or {}).get(name, np.full(len(values), np.nan)), float)
            self._scales[name] = MeasuredScale.of(column)
            targets.append(self._scales[name].to_target(column))
        targets = np.stack(targets, axis=1)

        self.model.set_weights(self._start)
        vectors = self._vectors(configs)
        rng = np.random.default_rng([self.seed, 2])
        epochs = sum(count for count, _ in PHASES)
        batches = epochs_of_batches(
            self.members, len(configs), epochs, BATCH_SIZE, rng, bootstrap=True
        )
        rates = np.concatenate([[rate] * count for count, rate in PHASES])
        rates = np.repeat(rates, len(batches) // epochs)
        split = min(self.freeze_epochs, epochs) * len(batches) // epochs if self._width else 0
        for part, frozen in ((slice(split), True), (slice(split, None), False)):
            if len(batches[part]):
                self._training.run(
                    vectors,
                    targets,
                    batches[part],
                    rates[part],
                    frozen=self.encoder.variables if frozen else (),
                )
        if self.measured:
            errors = self._outputs(vectors).mean(axis=0) - targets
            for place, scale in enumerate(self._scales.values(), start=1):
                known = errors[np.isfinite(errors[:, place]), place]
                scale.error = float(np.sqrt(np.mean(known**2))) if len(known) else 1.0

    def score(self, configs, exploration=0.0, constraints=()):
        """Predicted normal scores, larger is better.

        Args:
            configs: a list.
            exploration: so many deviations of the members are added to their mean.
            constraints: measured `Constraint`s. With any, the score is the predicted quantile
                among the results, from 0 to 1, times the probability that they are met.

        Returns:
            An array of one score a configuration.
        """
        return self.score_vectors(self._vectors(configs), exploration, constraints)

    def score_vectors(self, vectors, exploration=0.0, constraints=()):
        """`score` of rows of `space.encode`."""
        outputs = self._outputs(vectors)
        mean, deviation = outputs.mean(axis=0), outputs.std(axis=0)
        scores = mean[:, 0] + exploration * deviation[:, 0]
        if not constraints:
            return scores
        scores = normal_cdf(scores)
        for constraint in constraints:
            place = 1 + self.measured.index(constraint.name)
            scale = self._scales[constraint.name]
            scores *= scale.probability(constraint, mean[:, place], deviation[:, place])
        return scores

    def evaluate_rank(self, configs, values, folds=5):
        """Kendall's tau between results and scores of a predictor that has not seen them.

        Args:
            configs: of trials.
            values: their results, larger is better; those that are NaN are left out.
            folds: each is scored after learning from the others.

        Returns:
            The mean tau of the folds. What was learnt before stays.
        """
        values = np.asarray(values, float)
        known = np.flatnonzero(np.isfinite(values))
        if not 2 <= folds <= len(known) // 2:
            raise ValueError(
                "`folds` must be at least 2, of at least two results each. "
                f"Received: folds={folds!r} of {len(known)}"
            )
        before = self.model.get_weights(), self._scales
        known = np.random.default_rng([self.seed, 3]).permutation(known)
        taus = []
        for fold in range(folds):
            held_out = known[fold::folds]
            rest = np.setdiff1d(known, held_out)
            self.fit_results([configs[i] for i in rest], values[rest])
            taus.append(kendall_tau(self.score([configs[i] for i in held_out]), values[held_out]))
        self.model.set_weights(before[0])
        self._scales = before[1]
        return float(np.nanmean(taus))

    def save(self, path):
        """Writes one file, `.npz`, from which `load` makes a predictor of the same scores."""
        about = {
            "format": FORMAT,
            "layout": self.space.layout,
            "measured": self.measured,
            "members": self.members,
            "freeze_epochs": self.freeze_epochs,
            "seed": self.seed,
            "statistics": self.statistics,
            "scales": {name: scale.get_config() for name, scale in self._scales.items()},
        }
        arrays = {f"model_{i}": w for i, w in enumerate(self.model.get_weights())}
        arrays |= {f"start_{i}": w for i, w in enumerate(self._start)}
        if self.statistics:
            arrays |= {f"proxy_{i}": w for i, w in enumerate(self.proxy.get_weights())}
            arrays |= {"mean": self._mean, "deviation": self._deviation, "logs": self._logs}
        with write_whole(path) as place, open(place, "wb") as file:
            np.savez(file, about=json.dumps(about), **arrays)

    @classmethod
    def load(cls, path, space):
        """Reads what `save` wrote, of the same space.

        Raises:
            ValueError: of another space, or of a newer format.
        """
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        about = json.loads(str(arrays["about"]))
        if about["format"] > FORMAT:
            raise ValueError(
                f"The predictor in {path} must be of format {FORMAT} or older. "
                f"Received: {about['format']}"
            )
        if about["layout"] != space.layout:
            raise ValueError(
                f"The predictor in {path} must be of the given space, with columns "
                f"{space.layout}. Received: {about['layout']}"
            )
        names = ("measured", "members", "freeze_epochs", "seed")
        predictor = cls(space, **{name: about[name] for name in names})
        weights = {
            kind: [arrays[f"{kind}_{i}"] for i in range(sum(a.startswith(kind) for a in arrays))]
            for kind in ("model", "start", "proxy")
        }
        predictor.model.set_weights(weights["model"])
        predictor._start = weights["start"]
        predictor._scales = {name: MeasuredScale(**s) for name, s in about["scales"].items()}
        if about["statistics"]:
            predictor.statistics = tuple(about["statistics"])
            predictor._build_proxy()
            predictor.proxy.set_weights(weights["proxy"])
            for name in ("mean", "deviation", "logs"):
                setattr(predictor, f"_{name}", arrays[name])
        return predictor

    def _tower(self, layers, width, number):
        """A small ensemble: `(units, activation)` of every layer."""
        seeds = np.random.default_rng([self.seed, 0, number]).integers(2**31, size=len(layers))
        return keras.Sequential(
            [
                keras.Input((None, width)),
                *(
                    EnsembleDense(self.members, units, activation, int(seed))
                    for (units, activation), seed in zip(layers, seeds)
                ),
            ]
        )

    def _build_proxy(self):
        self.proxy = self._tower([(len(self.statistics), None)], EMBEDDING, 1)
        self.proxy_model = keras.Sequential(
            [keras.Input((None, self._width)), self.encoder, self.proxy]
        )

    def _vectors(self, configs):
        return self.space.encode(configs).astype("float32")

    def _outputs(self, vectors):
        return _in_parts(self._predict, vectors)

    @tf.function(reduce_retracing=True, input_signature=[tf.TensorSpec((None, None), tf.float32)])
    def _predict(self, vectors):
        return self.model(vectors[None])

    @tf.function(reduce_retracing=True, input_signature=[tf.TensorSpec((None, None), tf.float32)])
    def _predict_statistics(self, vectors):
        return self.proxy_model(vectors[None])


def huber(targets, predicted):
    """Half the square of errors below 1, beyond which the gradient stays 1."""
    error = ops.abs(predicted - targets)
    return ops.where(error < 1, ops.square(error) / 2, error - 0.5)


def _in_parts(function, vectors):
    """A function of vectors, some thousands at a time: an array `(members, rows, outputs)`."""
    vectors = np.asarray(vectors, "float32")
    parts = [
        function(tf.constant(vectors[start : start + AT_A_TIME])).numpy()
        for start in range(0, len(vectors), AT_A_TIME)
    ]
    return np.concatenate(parts, axis=1).astype(float)
