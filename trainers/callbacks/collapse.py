"""Collapse of embeddings, seen while it can be helped."""

import math
import warnings

import keras

REMEDIES = {
    "SwAV": (
        "a lower `epsilon` of `SwAVLoss` (0.03), a longer `freeze_prototypes_steps`, a smaller "
        "`num_prototypes`, `SwAVLoss(hard=True)`, a head without batch normalisation "
        "(`hidden_dim=0`), milder augmentation, a shorter `queue_length` or a later "
        "`queue_start_step`"
    ),
    "SimCLR": (
        "views that really differ, a lower learning rate, a larger batch or `memory_size`, "
        "`LARS` that spares batch normalisation and biases"
    ),
}


class CollapseMonitor(keras.callbacks.Callback):
    """Warns, once, when a contrastive trainer's embeddings collapse.

    Two signs are looked for at the end of every epoch: unit embeddings that hardly deviate from
    one another (`deviation` below `share` of the healthy 1 / sqrt(D)), and, for `SwAV`, a loss that
    stays where it is when all prototypes are as good: at the logarithm of their number, within
    `tolerance`, for `patience` epochs on end after the prototypes' freeze. The logs get
    `deviation_share`, the deviation in healthy ones, and for `SwAV` `loss_share`, the loss in
    log K. The warning names remedies: for `SwAV` those of its authors.

    Args:
        tolerance: float, relative distance of the loss from log K.
        share: float, of the healthy deviation.
        patience: int, epochs that a sign must last.

    Raises:
        ValueError: an argument out of range; a model that is neither `SimCLR` nor `SwAV`.

    Example:

    >>> backbone = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalMaxPooling2D()])
    >>> trainer = trainers.SwAV(backbone, projection_dim=8, hidden_dim=8, num_prototypes=10)
    >>> trainer.compile("sgd")
    >>> monitor = trainers.callbacks.CollapseMonitor()
    >>> views = np.random.rand(8, 2, 8, 8, 3)
    >>> logs = trainer.fit(views, callbacks=[monitor], verbose=0).history
    >>> "deviation_share" in logs, "loss_share" in logs
    (True, True)

    Reference:
        facebookresearch/swav, README, "Common issues"; Chen and He, SimSiam, CVPR 2021
        (arXiv 2011.10566), section 4.1 (1 / sqrt(D)).
    """

    def __init__(self, tolerance=0.01, share=0.1, patience=2):
        super().__init__()
        for name, value in (("tolerance", tolerance), ("share", share)):
            if not 0 < value < 1:
                raise ValueError(f"`{name}` must be in (0, 1). Received: {name}={value}")
        if patience < 1:
            raise ValueError(f"`patience` must be at least 1. Received: patience={patience}")
        self.tolerance = tolerance
        self.share = share
        self.patience = patience
        self.warned = False

    def on_train_begin(self, logs=None):
        if not hasattr(self.model, "projection_head"):
            raise ValueError(
                "`CollapseMonitor` watches `SimCLR` and `SwAV`. "
                f"Received: a {type(self.model).__name__}"
            )
        features = self.model.backbone.output_shape
        width = self.model.projection_head.compute_output_shape(features)[-1]
        self.healthy = 1 / math.sqrt(width)
        self.prototypes = getattr(self.model, "num_prototypes", None)
        self.lasted = {"deviation": 0, "loss": 0}

    def on_epoch_begin(self, epoch, logs=None):
        steps = int(self.model.optimizer.iterations)
        self.free = steps >= getattr(self.model, "freeze_prototypes_steps", 0)

    def on_epoch_end(self, epoch, logs=None):
        logs["deviation_share"] = logs["deviation"] / self.healthy
        signs = {"deviation": logs["deviation_share"] < self.share}
        if self.prototypes is not None and self.prototypes > 1:
            logs["loss_share"] = logs["loss"] / math.log(self.prototypes)
            signs["loss"] = self.free and abs(logs["loss_share"] - 1) < self.tolerance
        for sign, seen in signs.items():
            self.lasted[sign] = self.lasted[sign] + 1 if seen else 0
        if not self.warned and max(self.lasted.values()) >= self.patience:
            self.warned = True
            self.warn(logs)

    def warn(self, logs):
        found = []
        if self.lasted["deviation"] >= self.patience:
            found.append(
                f"unit embeddings deviate by {logs['deviation']:.2g}, healthy ones by "
                f"{self.healthy:.2g}"
            )
        if self.lasted["loss"] >= self.patience:
            found.append(
                f"the loss stays at {logs['loss']:.4g}, the logarithm of {self.prototypes} "
                "prototypes"
            )
        kind = "SimCLR" if self.prototypes is None else "SwAV"
        warnings.warn(
            f"The embeddings collapse: {'; '.join(found)}. What helps: {REMEDIES[kind]}.",
            stacklevel=2,
        )
