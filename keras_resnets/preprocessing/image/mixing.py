"""Images mixed with others of their batch, and the labels with them."""


def mixup(images, labels, seed, alpha=0.2):
    """Convex combinations of pairs of images, and of their labels.

    `share * a + (1 - share) * b`, with one share for the batch, drawn from Beta(alpha, alpha).

    Args:
        images: float tensor `(batch, height, width, channels)`.
        labels: float tensor `(batch, classes)` of probabilities.
        seed: two integers.
        alpha: positive; the smaller, the closer the shares to 0 and 1.

    Returns:
        Images and labels, of their shapes and types.

    Raises:
        ValueError: `alpha` that is not positive, labels that are no probabilities.

    Example:

    >>> images, labels = np.ones((4, 2, 2, 3), "float32"), np.eye(4, dtype="float32")
    >>> mixed, soft = mixup(images, labels, seed=(0, 1), alpha=0.4)
    >>> mixed.shape, soft.numpy().sum(1).round(3).tolist()
    (TensorShape([4, 2, 2, 3]), [1.0, 1.0, 1.0, 1.0])

    Reference:
        Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018 (arXiv 1710.09412).
    """
    import tensorflow as tf

    images, labels = tf.convert_to_tensor(images), tf.convert_to_tensor(labels)
    if not alpha > 0:
        raise ValueError(f"`alpha` must be positive. Received: alpha={alpha}")
    if labels.shape.rank != 2 or not labels.dtype.is_floating:
        raise ValueError(
            "`labels` must be probabilities of shape (batch, classes). "
            f"Received: {labels.dtype.name} of shape {tuple(labels.shape)}"
        )
    order, share = tf.unstack(tf.random.split(seed))
    pairs = tf.random.experimental.stateless_shuffle(tf.range(tf.shape(images)[0]), order)
    share = _beta(share, alpha)

    def mix(x):
        part = tf.cast(share, x.dtype)
        return part * x + (1 - part) * tf.gather(x, pairs)

    return mix(images), mix(labels)


def _beta(seed, alpha):
    """A number from Beta(alpha, alpha): `a / (a + b)` of two from Gamma(alpha).

    These are computed as logarithms, as for a small alpha most are less than float32 can hold:
    Gamma(alpha) is Gamma(alpha + 1) times a uniform number to the power of `1 / alpha`.
    """
    import tensorflow as tf

    first, second = tf.unstack(tf.random.split(seed))
    gamma = tf.random.stateless_gamma((2,), first, alpha + 1.0)
    uniform = tf.random.stateless_uniform((2,), second, 1e-37, 1.0)
    a, b = tf.unstack(tf.math.log(gamma) + tf.math.log(uniform) / alpha)
    return tf.sigmoid(a - b)
