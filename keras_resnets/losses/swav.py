"""SwAV's swapped prediction: a crop predicts the code of another crop of its image."""

import keras
from keras import ops

from keras_resnets.losses.checks import check_finite, count, positive, same_shapes
from keras_resnets.losses.sinkhorn import sinkhorn_knopp
from keras_resnets.losses.soft_cross_entropy import soft_cross_entropy


@keras.saving.register_keras_serializable("keras_resnets")
class SwAVLoss(keras.losses.Loss):
    """Codes of the large crops, from Sinkhorn-Knopp, predicted from every other crop.

    `loss(scores)` with a list of V score matrices (N, K), one a crop, or one tensor (V, N, K): the
    cosines of N images' embeddings with K prototypes. The mean over the assigned crops, their V - 1
    partners and the images; gradients flow into the predictions, never through the codes.

    Args:
        temperature: Positive float, of the predictions.
        epsilon: Positive float, of `sinkhorn_knopp`; or a function without arguments that returns
            it, for a schedule (not saved with the loss).
        iterations: Integer >= 1, of `sinkhorn_knopp`.
        crops_for_assign: Indices of the crops whose codes are predicted: the large ones.
        hard: Whether a code is its largest entry alone.
        debug: Whether scores that are not finite raise, also inside a graph of TensorFlow (but not
            under XLA), with the first bad row; else they make the loss NaN.
        name: Name of the loss.
        **kwargs: As `keras.losses.Loss`; without reduction there is one value an image.

    Raises:
        ValueError: an argument out of range; fewer than two crops; shapes that differ.

    Example:

    >>> scores = keras.ops.zeros((4, 8, 16))  # no crop prefers any of the 16 prototypes
    >>> round(float(SwAVLoss()(scores)), 4)  # log(16)
    2.7726

    Reference:
        Caron et al., SwAV, NeurIPS 2020 (arXiv 2006.09882), eq. 2 to 6 and section 3.2.
    """

    def __init__(
        self,
        temperature=0.1,
        epsilon=0.05,
        iterations=3,
        crops_for_assign=(0, 1),
        hard=False,
        debug=False,
        name="swav",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self.temperature = positive("temperature", temperature)
        self.epsilon = epsilon if callable(epsilon) else positive("epsilon", epsilon)
        self.iterations = count("iterations", iterations)
        self.crops_for_assign = tuple(crops_for_assign)
        self.hard = hard
        self.debug = debug

    def __call__(self, scores, y_pred=None, sample_weight=None, queue=None, queue_weights=None):
        """The loss.

        Args:
            scores: The crops' scores; `loss(anything, scores)`, as Keras calls losses, is the same.
            y_pred: See `scores`.
            sample_weight: As `keras.losses.Loss`, one weight an image.
            queue: For each of `crops_for_assign` the scores (Q, K) of earlier images, which take
                part in its codes; None: no queue.
            queue_weights: Ones and zeros (Q,): whether the place of the queue is filled.
        """
        scores = scores if y_pred is None else y_pred
        scores = list(scores) if isinstance(scores, list | tuple) else ops.unstack(scores)
        if len(scores) < 2:
            raise ValueError(f"`scores` must be of at least two crops. Received: {len(scores)}")
        same_shapes("scores", scores)
        for i, each in enumerate(scores if self.debug else ()):
            check_finite(f"scores[{i}]", each, in_graph=True)
        wrong = [i for i in self.crops_for_assign if not 0 <= i < len(scores)]
        if wrong or not self.crops_for_assign:
            raise ValueError(
                f"`crops_for_assign` must be of the {len(scores)} crops. "
                f"Received: crops_for_assign={self.crops_for_assign}"
            )
        codes = [
            self.codes(scores[crop], queue and queue[i], queue_weights)
            for i, crop in enumerate(self.crops_for_assign)
        ]
        stacked = ops.stack([ops.cast(s, "float32") for s in scores], axis=1)
        return super().__call__(ops.stack(codes, axis=1), stacked, sample_weight)

    def codes(self, scores, queue=None, queue_weights=None):
        """The codes (N, K) of one crop's scores, with a queue's scores beside them."""
        epsilon = self.epsilon() if callable(self.epsilon) else self.epsilon
        rows = ops.shape(scores)[0]
        scores = ops.cast(scores, "float32")
        weights = None
        if queue is not None:
            if queue_weights is not None:
                weights = ops.concatenate([ops.ones((rows,)), ops.cast(queue_weights, "float32")])
            scores = ops.concatenate([scores, ops.cast(queue, "float32")])
        codes = sinkhorn_knopp(scores, epsilon, self.iterations, weights)[:rows]
        if self.hard:
            codes = ops.one_hot(ops.argmax(codes, axis=1), codes.shape[1])
        return ops.stop_gradient(codes)

    def call(self, y_true, y_pred):
        crops = y_pred.shape[1]
        losses = 0.0
        for i, assigned in enumerate(self.crops_for_assign):
            for other in range(crops):
                if other != assigned:
                    losses = losses + soft_cross_entropy(
                        y_true[:, i], y_pred[:, other], self.temperature
                    )
        return losses / (len(self.crops_for_assign) * (crops - 1))

    def get_config(self):
        if callable(self.epsilon):
            raise ValueError("A `SwAVLoss` whose `epsilon` is a function cannot be saved.")
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "epsilon": self.epsilon,
            "iterations": self.iterations,
            "crops_for_assign": self.crops_for_assign,
            "hard": self.hard,
            "debug": self.debug,
        }
