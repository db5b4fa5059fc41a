"""A linear classifier on frozen features: what they are worth."""

from typing import NamedTuple

import keras
import tensorflow as tf

from keras_resnets.analysis import FeatureExtractor
from keras_resnets.metrics.knn import check_labelled
from trainers.partial import PartialTrainer

STEPS_AT_ONCE = 16  # a step is so small that Keras' own time for it would be half of all


class LinearScore(NamedTuple):
    """How a linear classifier did on the test data.

    Args:
        top1: share of examples whose class came first.
        top5: share of examples whose class was among the first five.
        epoch: the epoch whose classifier it is, counted from 1.
    """

    top1: float
    top5: float
    epoch: int


class LinearProbe:
    """Trains a linear classifier on a backbone's features, and leaves the backbone as it is.

    The backbone is asked once for the features of every example, in inference mode; the classifier
    then learns from these alone. Where the training data is a function of the epoch, its features
    are extracted anew in each: the published way, with other crops every time.

    Args:
        backbone: `keras.Model` from images to features (B, C), or a contrastive trainer.
        recipe: `trainers.recipes.LinearRecipe`, such as `LINEAR_SWAV`; by `with_batch_size` its
            rate follows the batch.
        classes: int; default: as many as the labels tell.
        batch_size: int, images a batch when features are extracted from arrays.

    Attributes:
        classifier: after `fit`, the `keras.Model` from features to logits that was scored.
        history: after `fit`, the logs of every epoch.

    Example:

    >>> backbone = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalMaxPooling2D()])
    >>> images, labels = np.random.rand(40, 8, 8, 3), np.arange(40) % 2
    >>> images[labels == 1] *= 0.1
    >>> recipe = trainers.recipes.LINEAR_SWAV.replace(batch_size=20)
    >>> probe = trainers.LinearProbe(backbone, recipe)
    >>> probe.fit((images, labels), (images, labels), verbose=0).top1
    1.0

    Reference:
        Zhang et al., Colorful Image Colorization, ECCV 2016, section 3.2; as in Chen et al.,
        SimCLR, 2020 (arXiv 2002.05709), section 2.3.
    """

    def __init__(self, backbone, recipe, classes=None, batch_size=128):
        self.extract = FeatureExtractor(backbone)
        self.recipe = recipe
        self.classes = classes
        self.batch_size = batch_size

    def fit(self, train, test, verbose="auto"):
        """Train the classifier and score it.

        Args:
            train: `(images, labels)`, batches of such pairs, or a function of the epoch, counted
                from 0, that returns either.
            test: `(images, labels)`, or batches of such pairs.
            verbose: as in `keras.Model.fit`; 1 shows the extraction too.

        Returns:
            `LinearScore`; which epoch it is of, the recipe says.

        Raises:
            ValueError: images without labels, labels that are no classes, more of them than
                `classes`, features that are not finite.
        """
        recipe, renewed = self.recipe, callable(train)
        features, labels = self._features("train", train(0) if renewed else train, verbose)
        tested = self._features("test", test, verbose)
        classes = int(max(labels.max(), tested[1].max())) + 1
        if self.classes is not None and self.classes < classes:
            raise ValueError(
                "`classes` must exceed every label. "
                f"Received: classes={self.classes}, a label {classes - 1}"
            )
        self.classifier = recipe.build_classifier(features.shape[1], self.classes or classes)
        trainer = PartialTrainer(self.classifier, "all", weight_decay=recipe.weight_decay)
        steps = -(-len(labels) // recipe.batch_size)
        trainer.compile(
            recipe.build_optimizer(steps),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[
                keras.metrics.SparseCategoricalAccuracy("top1"),
                keras.metrics.SparseTopKCategoricalAccuracy(5, "top5"),
            ],
            steps_per_execution=min(steps, STEPS_AT_ONCE),
        )
        record = _Record(self.classifier, recipe.keep_best)
        for epoch in range(recipe.epochs) if renewed else [0]:
            if epoch:
                features, labels = self._features("train", train(epoch), verbose)
            trainer.fit(
                _shuffled(features, labels, recipe.batch_size, recipe.seed + epoch),
                validation_data=tested,
                validation_batch_size=recipe.batch_size,
                initial_epoch=epoch,
                epochs=epoch + 1 if renewed else recipe.epochs,
                callbacks=[record],
                shuffle=False,
                verbose=verbose,
            )
        self.history = record.history
        self.classifier.set_weights(record.weights)
        return record.score

    def _features(self, name, data, verbose):
        features, labels = self.extract(data, self.batch_size, verbose=int(verbose == 1))
        if labels is None:
            raise ValueError(f"`{name}` must have labels. Received: images alone")
        return check_labelled(name, features, labels)


class _Record(keras.callbacks.Callback):
    """The logs of every epoch, and the classifier of the best one or of the last."""

    def __init__(self, classifier, keep_best):
        super().__init__()
        self.classifier = classifier
        self.keep_best = keep_best
        self.history = []
        self.score = None

    def on_epoch_end(self, epoch, logs=None):
        self.history.append(dict(logs))
        if self.score is None or not self.keep_best or logs["val_top1"] > self.score.top1:
            self.score = LinearScore(logs["val_top1"], logs["val_top5"], epoch + 1)
            self.weights = self.classifier.get_weights()


def _shuffled(features, labels, batch_size, seed):
    """Batches in another order every epoch."""
    with tf.device("CPU"):  # the features of a large data set fill an accelerator
        features, labels = tf.constant(features), tf.constant(labels)
    rows = tf.data.Dataset.range(len(labels)).shuffle(len(labels), seed=seed).batch(batch_size)
    rows = rows.map(lambda row: (tf.gather(features, row), tf.gather(labels, row)))
    return rows.prefetch(tf.data.AUTOTUNE)
