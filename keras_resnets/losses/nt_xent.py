"""Normalised temperature-scaled cross-entropy: SimCLR's contrastive loss."""

import warnings

import keras
from keras import ops

from keras_resnets.collectives import cross_replica_concat, replica_index
from keras_resnets.losses.checks import check_finite, positive, same_shapes
from keras_resnets.vectors import unit

# Minus infinity for a logit, and finite: its gradient must not become NaN.
EXCLUDED = -1e9
# The length below which a row is not brought to length one: the official code's.
SHORTEST = 1e-6


@keras.saving.register_keras_serializable("keras_resnets")
class NTXent(keras.losses.Loss):
    """Two views of the same images find each other among all views of the global batch.

    `loss(a, b)` with embeddings (N, D) of the two views, row by row of the same images, not
    normalised: for the anchor `a_i` the cross-entropy of `a_i . b_i / temperature` among its
    products with all `b_j` and all other `a_j`, of unit vectors; the mean over the 2 N anchors.
    Everything is computed in float32.

    The official TensorFlow code returns twice this value: `loss_scale=2.0`.

    Args:
        temperature: Positive float.
        loss_scale: Positive float, a factor of the loss.
        gather: Whether the views of all replicas are negatives; else each replica's own only.
        debug: Whether embeddings that are not finite raise, also inside a graph of TensorFlow (but
            not under XLA), with the first bad row; else they make the loss NaN.
        name: Name of the loss.
        **kwargs: As `keras.losses.Loss`; without reduction there is one value an image.

    Raises:
        ValueError: `temperature` or `loss_scale` is not positive; the views' shapes differ.

    Example:

    >>> loss = NTXent(temperature=1.0)
    >>> views = keras.ops.eye(8)
    >>> round(float(loss(views, views)), 5)  # log(1 + 14 / e)
    1.8165

    Reference:
        Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, 2020
        (arXiv 2002.05709), eq. 1.
    """

    def __init__(
        self,
        temperature=0.1,
        loss_scale=1.0,
        gather=True,
        debug=False,
        name="nt_xent",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self.temperature = positive("temperature", temperature)
        self.loss_scale = positive("loss_scale", loss_scale)
        self.gather = gather
        self.debug = debug

    def __call__(
        self, y_true, y_pred, sample_weight=None, keys=None, queue=None, queue_weights=None
    ):
        """The loss.

        Args:
            y_true: One view's embeddings (N, D).
            y_pred: The other's.
            sample_weight: As `keras.losses.Loss`, one weight an image.
            keys: Two tensors (N, D), what a momentum encoder makes of the two views: the positives
                and negatives in place of the embeddings themselves.
            queue: Keys (Q, D) of earlier images, further negatives.
            queue_weights: Ones and zeros (Q,): whether the place of the queue is filled.
        """
        if queue is not None and queue_weights is None:
            queue_weights = ops.ones(ops.shape(queue)[:1])
        more = {"keys": keys, "queue": queue, "queue_weights": queue_weights}
        more = {name: value for name, value in more.items() if value is not None}
        return super().__call__({"view": y_true, **more}, y_pred, sample_weight)

    def call(self, y_true, y_pred):
        a, b = y_true["view"], y_pred
        same_shapes("views", [a, b])
        for name, view in (("y_true", a), ("y_pred", b)) if self.debug else ():
            check_finite(name, view, in_graph=True)
        a, b = unit(a, smallest=SHORTEST), unit(b, smallest=SHORTEST)
        keys = [unit(key, smallest=SHORTEST) for key in y_true.get("keys", (a, b))]
        all_a, all_b, own = others(self.gather, *keys)
        earlier = []
        if "queue" in y_true:
            filled = y_true["queue_weights"][None] > 0
            products = [x @ ops.transpose(y_true["queue"]) / self.temperature for x in (a, b)]
            earlier = [ops.where(filled, product, EXCLUDED) for product in products]
        losses = self.one_way(a, keys[1], all_a, all_b, own, earlier[:1])
        losses = losses + self.one_way(b, keys[0], all_b, all_a, own, earlier[1:])
        return losses * (self.loss_scale / 2)

    def one_way(self, anchors, positives, like_anchors, like_positives, own, earlier):
        """One value an anchor; `own` marks the anchors' images among all."""
        positive = ops.sum(anchors * positives, -1) / self.temperature
        across = anchors @ ops.transpose(like_positives) / self.temperature
        within = anchors @ ops.transpose(like_anchors) / self.temperature
        within = ops.where(own, EXCLUDED, within)
        return ops.logsumexp(ops.concatenate([across, within, *earlier], 1), 1) - positive

    def get_config(self):
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "loss_scale": self.loss_scale,
            "gather": self.gather,
            "debug": self.debug,
        }


@keras.saving.register_keras_serializable("keras_resnets")
class MultiCropNTXent(keras.losses.Loss):
    """SimCLR's loss for more than two crops of an image.

    `loss(crops)` with a list of V embeddings (N, D), one a crop, or one tensor (V, N, D). Every
    crop is an anchor, every other crop of its image in turn its positive; the negatives are the
    crops of other images only. The mean over anchors and positives, in float32.

    Args:
        temperature: Positive float.
        gather: Whether the crops of all replicas are negatives; else each replica's own only.
        name: Name of the loss.
        **kwargs: As `keras.losses.Loss`; without reduction there is one value an image.

    Raises:
        ValueError: `temperature` is not positive; fewer than two crops; shapes that differ.

    Example:

    >>> crops = keras.random.normal((4, 8, 16), seed=0)
    >>> bool(0 < MultiCropNTXent(temperature=1.0)(crops) < 3.5)
    True

    Reference:
        Caron et al., SwAV, NeurIPS 2020 (arXiv 2006.09882), eq. 7.
    """

    def __init__(self, temperature=0.1, gather=True, name="multi_crop_nt_xent", **kwargs):
        super().__init__(name=name, **kwargs)
        self.temperature = positive("temperature", temperature)
        self.gather = gather

    def __call__(self, crops, y_pred=None, sample_weight=None):
        """The loss of crops; `loss(anything, crops)`, as Keras calls losses, is the same."""
        crops = crops if y_pred is None else y_pred
        crops = list(crops) if isinstance(crops, list | tuple) else ops.unstack(crops)
        if len(crops) < 2:
            raise ValueError(f"`crops` must be at least two. Received: {len(crops)}")
        same_shapes("crops", crops)
        stacked = ops.stack(crops, axis=1)
        return super().__call__(stacked, stacked, sample_weight)

    def call(self, y_true, y_pred):
        crops = y_pred.shape[1]
        crops_of = [unit(y_pred[:, v], smallest=SHORTEST) for v in range(crops)]
        *all_crops, own = others(self.gather, *crops_of)
        # the crops of other images only: each crop's own column is left out
        products = [[x @ ops.transpose(y) / self.temperature for y in all_crops] for x in crops_of]
        losses = 0.0
        for v, row in enumerate(products):
            negatives = ops.concatenate([ops.where(own, EXCLUDED, p) for p in row], 1)
            negatives = ops.logsumexp(negatives, 1)
            for u in range(crops):
                if u != v:
                    positive = ops.sum(crops_of[v] * crops_of[u], -1) / self.temperature
                    losses = losses + ops.logaddexp(positive, negatives) - positive
        return losses / (crops * (crops - 1))

    def get_config(self):
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "gather": self.gather,
        }


def others(gather, *views):
    """The views of all replicas, and where among their rows this replica's are."""
    rows = ops.shape(views[0])[0]
    together = [cross_replica_concat(view) if gather else view for view in views]
    if together[0].shape[0] == 1:
        warnings.warn(
            "A contrastive loss of one image has no negatives: it is 0 and nothing is learnt.",
            stacklevel=2,
        )
    first = replica_index() * rows if gather else 0
    own = ops.arange(ops.shape(together[0])[0])[None] == ops.arange(rows)[:, None] + first
    return *together, own
