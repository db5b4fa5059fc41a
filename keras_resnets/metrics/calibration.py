"""Calibration of verification scores into log-likelihood ratios."""

import json
import math

import numpy as np

from keras_resnets.files import write_whole
from keras_resnets.metrics.verification import check_costs, check_trials


class ScoreCalibrator:
    """Logistic regression from scores, and quality measures if wanted, to log-likelihood ratios.

    `llr = weight * score + weights of the quality measures * measures + bias`, fitted by minimising
    the cross-entropy of the trials at the prior `p_target` (each class weighted to have its prior
    share, whatever its share among the trials). The result is thresholded at
    `bayes_threshold(p_target)`; see `act_dcf`. Without quality measures it is an affine map of the
    scores and leaves EER and minDCF as they are.

    Args:
        p_target: Prior probability of a target trial that the fit is weighted to, in (0, 1).
        l2: Weight of a ridge penalty on the slopes of the standardised inputs. The small default
            keeps the solution finite when a score separates the trials without error; with 0 such
            trials have no solution and `fit` says so.
        max_iter: Largest number of Newton steps.
        tol: The fit ends when no entry of the gradient is larger.

    Attributes:
        weights: `(1 + Q,)` float64: of the score, then of the quality measures. None before `fit`.
        bias: float. None before `fit`.

    Example:

    >>> import numpy as np
    >>> scores, labels = np.array([0.1, 0.2, 0.5, 0.4, 0.8, 0.9]), [0, 0, 0, 1, 1, 1]
    >>> calibrator = ScoreCalibrator(p_target=0.5, l2=0.1).fit(scores, labels)
    >>> (calibrator.transform(scores) > 0).tolist()
    [False, False, True, False, True, True]

    Reference:

    - Brummer and du Preez, "Application-independent evaluation of speaker detection", 2006.
    - Thienpondt et al., "The IDLab VoxSRC-20 submission" (quality measure functions), 2020.
    """

    def __init__(self, p_target=0.01, l2=1e-6, max_iter=100, tol=1e-10):
        check_costs(p_target, 1, 1)
        if not 0 <= l2 < math.inf:
            raise ValueError(f"`l2` must be finite and not negative. Received: l2={l2}")
        self.p_target = float(p_target)
        self.l2 = float(l2)
        self.max_iter = max_iter
        self.tol = tol
        self.weights = None
        self.bias = None

    def fit(self, scores, labels, quality=None):
        """Fits the calibrator to a development set of trials.

        Args:
            scores: `(N,)` trial scores.
            labels: `(N,)` 1 for target trials, 0 for non-target trials.
            quality: Optional `(N, Q)` or `(N,)` quality measures of each trial, such as the log of
                the shorter duration, the smaller embedding norm or the mean cohort score.

        Returns:
            The calibrator itself.

        Raises:
            ValueError: for bad trials (see `det_curve`), inputs that are not finite, or if the fit
                does not converge.
        """
        scores, targets = check_trials(scores, labels)
        inputs = _inputs(scores, quality)
        mean, std = inputs.mean(axis=0), inputs.std(axis=0)
        std = np.where(std > 0, std, 1.0)
        design = np.column_stack([(inputs - mean) / std, np.ones(len(inputs))])
        theta = self._newton(design, targets)
        self.weights = theta[:-1] / std
        self.bias = float(theta[-1] - self.weights @ mean)
        return self

    def transform(self, scores, quality=None):
        """Log-likelihood ratios (natural log) of trials.

        Args:
            scores: `(N,)` trial scores.
            quality: `(N, Q)` or `(N,)`, the measures that `fit` had, if it had any.

        Returns:
            `(N,)` float64.

        Raises:
            ValueError: before `fit`, for inputs that are not finite or another number of measures.
        """
        if self.weights is None:
            raise ValueError("The calibrator must be fitted first: call `fit`.")
        inputs = _inputs(scores, quality)
        if inputs.shape[1] != self.weights.size:
            raise ValueError(
                f"`quality` must have the {self.weights.size - 1} measures of `fit`. "
                f"Received: {inputs.shape[1] - 1}"
            )
        return inputs @ self.weights + self.bias

    def save(self, path):
        """Writes the fitted calibrator to a JSON file."""
        if self.weights is None:
            raise ValueError("The calibrator must be fitted first: call `fit`.")
        state = {
            "class_name": type(self).__name__,
            "p_target": self.p_target,
            "l2": self.l2,
            "weights": self.weights.tolist(),
            "bias": self.bias,
        }
        with write_whole(path) as place:
            place.write_text(json.dumps(state, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path):
        """Reads a calibrator that `save` wrote.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file holds no calibrator.
        """
        with open(path) as file:
            text = file.read()
        try:
            state = json.loads(text)
            if state["class_name"] != cls.__name__:
                raise ValueError(f"class_name is {state['class_name']!r}")
            calibrator = cls(p_target=state["p_target"], l2=state["l2"])
            calibrator.weights = np.array(state["weights"], dtype="float64")
            calibrator.bias = float(state["bias"])
            if calibrator.weights.ndim != 1 or not calibrator.weights.size:
                raise ValueError(f"weights has shape {calibrator.weights.shape}")
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"`path` must be a file that `save` wrote. Received: {path}"
            ) from error
        return calibrator

    def _newton(self, design, targets):
        sign = np.where(targets, 1.0, -1.0)
        weight = np.where(
            targets,
            self.p_target / np.count_nonzero(targets),
            (1 - self.p_target) / np.count_nonzero(~targets),
        )
        prior = math.log(self.p_target) - math.log1p(-self.p_target)
        ridge = np.full(design.shape[1], self.l2)
        ridge[-1] = 0.0

        def loss(theta):
            margin = sign * (design @ theta + prior)
            return weight @ np.logaddexp(0.0, -margin) + ridge @ theta**2 / 2

        theta = np.zeros(design.shape[1])
        for _ in range(self.max_iter):
            margin = sign * (design @ theta + prior)
            wrong = np.exp(-np.logaddexp(0.0, margin))  # sigmoid(-margin), without overflow
            gradient = ridge * theta - design.T @ (weight * sign * wrong)
            if np.abs(gradient).max() <= self.tol:
                break
            curvature = weight * wrong * (1 - wrong)
            hessian = (design.T * curvature) @ design + np.diag(ridge)
            direction = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
            step, bound = 1.0, loss(theta) * (1 + 1e-12)
            while loss(theta - step * direction) > bound and step > 1e-10:
                step /= 2
            theta = theta - step * direction
        else:
            raise ValueError(
                f"The fit did not converge in max_iter={self.max_iter} Newton steps: largest "
                f"gradient entry {np.abs(gradient).max():.1e}, tol={self.tol}."
            )
        if self.l2 == 0 and margin.min() > 0:
            raise ValueError(
                "The inputs separate the trials without error, so the slope has no upper bound: "
                f"`l2` must be positive. Received: l2={self.l2}"
            )
        return theta


def _inputs(scores, quality):
    columns = [np.asarray(scores, dtype="float64")]
    if quality is not None:
        columns.append(np.asarray(quality, dtype="float64"))
    if (
        columns[0].ndim != 1
        or columns[-1].ndim not in (1, 2)
        or len(columns[-1]) != columns[0].size
    ):
        raise ValueError(
            "`scores` must have shape (N,) and `quality` (N, Q) or (N,). "
            f"Received: shapes {[column.shape for column in columns]}"
        )
    inputs = np.column_stack(columns)
    if not np.isfinite(inputs).all():
        raise ValueError(
            "`scores` and `quality` must be finite. "
            f"Received: {np.count_nonzero(~np.isfinite(inputs))} values that are not"
        )
    return inputs
