"""Whether embeddings fill their space or have collapsed."""

import math
from dataclasses import dataclass

import keras
import numpy as np

from keras_resnets.analysis.features import FeatureExtractor
from keras_resnets.analysis.table import Table
from keras_resnets.metrics.knn import check_features
from keras_resnets.vectors import unit

CHUNK = 4096


@dataclass(frozen=True)
class RepresentationHealth:
    """What `representation_health` found.

    Args:
        examples: int, embeddings that were looked at.
        width: int, of an embedding, D.
        deviation: standard deviation of a coordinate of the unit embeddings, mean over the
            coordinates: 0 when all are equal, about 1 / sqrt(D) when they point everywhere.
        effective_rank: exponential of the entropy of the singular values, as shares of their sum:
            1 on a line, D where no direction is preferred.
        num_prototypes: int, K; None without prototypes, as all that follows.
        assignment_entropy: entropy of the mean assignment to prototypes: log K where all are used
            alike.
        used_prototypes: int, prototypes that are the nearest of some embedding.
        loss: as given.
    """

    examples: int
    width: int
    deviation: float
    effective_rank: float
    num_prototypes: int | None = None
    assignment_entropy: float | None = None
    used_prototypes: int | None = None
    loss: float | None = None

    def table(self):
        """`Table` with a row for each figure, its value, and what it is where nothing collapses."""
        rows = [
            ("deviation", self.deviation, 1 / math.sqrt(self.width)),
            ("effective rank", self.effective_rank, float(min(self.width, self.examples))),
        ]
        if self.num_prototypes is not None:
            top = math.log(self.num_prototypes)
            used = min(self.num_prototypes, self.examples)
            rows.append(("assignment entropy", self.assignment_entropy, top))
            rows.append(("used prototypes", self.used_prototypes, used))
            if self.loss is not None:
                rows.append(("loss", self.loss, f"below {top:.4g}"))
        return Table(
            {"figure": name, "value": value, "healthy": best} for name, value, best in rows
        )

    def __str__(self):
        return str(self.table())


def representation_health(
    features, data=None, prototypes=None, temperature=0.1, loss=None, batch_size=128
):
    """How far embeddings have collapsed, which a contrastive loss alone does not show.

    Args:
        features: Array (N, D); or a `keras.Model` that gives such for `data`. For SwAV's figures
            embeddings are wanted, not the backbone's features:
            `keras.Sequential([trainer.backbone, trainer.projection_head])`.
        data: For a model: array of inputs, or an iterable of batches.
        prototypes: Array (D, K), or the layer `keras_resnets.layers.Prototypes`.
        temperature: Positive float: an embedding's assignment is the softmax of its cosines with
            the prototypes over this.
        loss: SwAV's loss in training, to be held against log K; it needs `prototypes`.
        batch_size: Integer, for arrays of inputs.

    Returns:
        `RepresentationHealth`; printed, it is a table.

    Raises:
        ValueError: a model without data or the reverse, features that are not finite, prototypes
            of another width.

    Example:

    >>> print(representation_health(np.eye(8)))
    figure           value  healthy
    deviation       0.3307   0.3536
    effective rank       8        8

    Reference:
        Roy and Vetterli, The Effective Rank, EUSIPCO 2007; Chen and He, SimSiam, CVPR 2021
        (arXiv 2011.10566), section 4.1 (1 / sqrt(D)).
    """
    if isinstance(features, keras.layers.Layer) == (data is None):
        raise ValueError(
            "Give an array of features, or a model and `data`. Received: "
            f"features={type(features).__name__}, data={'None' if data is None else 'given'}"
        )
    if data is not None:
        features = FeatureExtractor(features)(data, batch_size)[0]
    if loss is not None and prototypes is None:
        raise ValueError(
            f"`loss` is held against `prototypes`. Received: loss={loss}, no prototypes"
        )
    rows = unit(check_features("features", features).astype("float64"))
    assigned = {} if prototypes is None else _assignment(rows, prototypes, temperature)
    return RepresentationHealth(
        examples=len(rows),
        width=rows.shape[1],
        deviation=float(rows.std(0).mean()),
        effective_rank=_effective_rank(rows),
        loss=loss,
        **assigned,
    )


def _effective_rank(rows):
    products = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    singular = np.sqrt(np.maximum(np.linalg.eigvalsh(products), 0))
    return float(np.exp(_entropy(singular / singular.sum()))) if singular.any() else 0.0


def _entropy(shares):
    shares = shares[shares > 0]
    return float(-np.sum(shares * np.log(shares)))


def _assignment(rows, prototypes, temperature):
    if not temperature > 0:
        raise ValueError(f"`temperature` must be positive. Received: temperature={temperature}")
    kernel = keras.ops.convert_to_numpy(getattr(prototypes, "kernel", prototypes))
    if kernel.ndim != 2 or len(kernel) != rows.shape[1]:
        raise ValueError(
            f"`prototypes` must be of shape ({rows.shape[1]}, K), one column each. "
            f"Received: {kernel.shape}"
        )
    kernel = unit(kernel.astype("float64"), axis=0)
    count = kernel.shape[1]
    mean, used = np.zeros(count), np.zeros(count, bool)
    for start in range(0, len(rows), CHUNK):
        scores = rows[start : start + CHUNK] @ kernel
        used[scores.argmax(1)] = True
        shares = np.exp((scores - scores.max(1, keepdims=True)) / temperature)
        mean += (shares / shares.sum(1, keepdims=True)).sum(0) / len(rows)
    return {
        "num_prototypes": count,
        "assignment_entropy": _entropy(mean),
        "used_prototypes": int(used.sum()),
    }
