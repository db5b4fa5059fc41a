"""Nearest neighbours as a validation score."""

import keras

from keras_resnets.analysis import FeatureExtractor
from keras_resnets.metrics import knn_evaluate


class KNNCallback(keras.callbacks.Callback):
    """Classifies images by their nearest neighbours at the end of an epoch and logs the accuracy.

    What a loss without labels does not say: how good the features are by now. It adds
    `val_knn_top1` and `val_knn_top5` to the epoch's logs (`val_knn20_top1` ... where `k` is
    several), where `History`, the progress bar and every callback *after it in the list* find them:
    put it before `ModelCheckpoint` and its like, and give those `mode="max"`.

    Args:
        bank: `(images, labels)` that vote, or an iterable of batches of such pairs.
        queries: the images to classify, in the same form.
        k: number of neighbours, or several.
        temperature: as in `keras_resnets.metrics.knn_evaluate`.
        model: network from images to features (B, C); default: the one in training, whose call
            returns its backbone's features if it is a contrastive trainer.
        every: int, epochs from one measurement to the next; the logs of the others lack the keys.
        batch_size: int, for arrays.
        prefix: str, put before `knn`.

    Raises:
        ValueError: `every` below 1; as `knn_evaluate`.

    Example:

    >>> backbone = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalMaxPooling2D()])
    >>> trainer = trainers.SimCLR(backbone)
    >>> trainer.compile("sgd")
    >>> images, labels = np.random.rand(8, 8, 8, 3), np.arange(8) % 2
    >>> knn = trainers.callbacks.KNNCallback((images, labels), (images, labels), k=1)
    >>> views = np.stack([images, images], 1)
    >>> trainer.fit(views, callbacks=[knn], verbose=0).history["val_knn_top1"]
    [1.0]

    Reference:
        Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, CVPR
        2018, section 3.4.
    """

    def __init__(
        self,
        bank,
        queries,
        k=20,
        temperature=0.07,
        model=None,
        every=1,
        batch_size=128,
        prefix="val_",
    ):
        super().__init__()
        if every < 1:
            raise ValueError(f"`every` must be at least 1. Received: every={every}")
        self.bank = bank
        self.queries = queries
        self.k = k
        self.temperature = temperature
        self.network = model
        self.every = every
        self.batch_size = batch_size
        self.prefix = prefix

    def on_train_begin(self, logs=None):
        self.extract = FeatureExtractor(self.model if self.network is None else self.network)

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        bank = self.extract(self.bank, self.batch_size)
        queries = self.extract(self.queries, self.batch_size)
        scores = knn_evaluate(*bank, *queries, self.k, self.temperature)
        if not isinstance(scores, dict):
            scores = {"": scores}
        for k, score in scores.items():
            for name, value in score._asdict().items():
                logs[f"{self.prefix}knn{k}_{name}"] = value
