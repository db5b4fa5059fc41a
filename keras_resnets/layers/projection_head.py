import keras
from keras import ops

from keras_resnets.layers.batch_norm import BatchNorm2D


@keras.saving.register_keras_serializable("keras_resnets")
class ProjectionHead(keras.layers.Layer):
    """The perceptron behind a backbone in which contrastive losses are computed.

    Dense, batch normalisation and ReLU, `num_layers - 1` times; then dense to `output_dim`, with
    batch normalisation or without. The defaults are SimCLRv2's; SwAV's is
    `ProjectionHead(128, 2, 2048, use_bias=True, output_norm=False)`.

    Args:
        output_dim: Width of the output.
        num_layers: Number of dense layers, at least 1; SimCLR 2, SimCLRv2 3.
        hidden_dim: Width of the others; None: that of the input.
        use_bias: Whether dense layers have biases.
        output_norm: Whether batch normalisation follows the last one.
        use_output_center: Whether that one has an offset.
        synchronized: Whether its statistics are those of all replicas.
        momentum: Of the moving statistics.
        epsilon: Added to variances.
        kernel_initializer: Of the dense layers; default: normal with deviation 0.01.
        **kwargs: As `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, C)`, pooled features.
        training: Whether batch normalisation uses the batch's own moments.

    Returns:
        `(B, output_dim)`, not normalised to length one.

    Raises:
        ValueError: `num_layers` or a width below 1; input of another rank.

    Example:

    >>> head = ProjectionHead(8, num_layers=3)
    >>> [h.shape[-1] for h in head.hidden_states(np.ones((2, 16), "float32"))]
    [16, 16, 16, 8]

    Reference:
        Chen et al., Big Self-Supervised Models are Strong Semi-Supervised Learners, 2020
        (arXiv 2006.10029), section 2.
    """

    def __init__(
        self,
        output_dim=128,
        num_layers=3,
        hidden_dim=None,
        use_bias=False,
        output_norm=True,
        use_output_center=False,
        synchronized=False,
        momentum=0.9,
        epsilon=1e-5,
        kernel_initializer="default",
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, value in (("output_dim", output_dim), ("num_layers", num_layers)):
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1. Received: {name}={value}")
        if hidden_dim is not None and hidden_dim < 1:
            raise ValueError(f"`hidden_dim` must be at least 1. Received: hidden_dim={hidden_dim}")
        self.output_dim = output_dim
        self.num_layers = num_layers
        self.hidden_dim = hidden_dim
        self.use_bias = use_bias
        self.output_norm = output_norm
        self.use_output_center = use_output_center
        self.synchronized = synchronized
        self.momentum = momentum
        self.epsilon = epsilon
        if kernel_initializer == "default":
            kernel_initializer = keras.initializers.RandomNormal(stddev=0.01)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        if len(input_shape) != 2:
            raise ValueError(
                "`ProjectionHead` takes pooled features (batch, channels). "
                f"Received: input of shape {tuple(input_shape)}"
            )
        width = input_shape[-1]
        shared = dict(dtype=self.dtype_policy)
        self.dense, self.norms = [], []
        for i in range(1, self.num_layers + 1):
            last = i == self.num_layers
            units = self.output_dim if last else self.hidden_dim or input_shape[-1]
            dense = keras.layers.Dense(
                units,
                use_bias=self.use_bias,
                kernel_initializer=self.kernel_initializer.clone(),
                name=f"dense{i}",
                **shared,
            )
            dense.build((None, width))
            self.dense.append(dense)
            width = units
            if not last or self.output_norm:
                norm = BatchNorm2D(
                    center=not last or self.use_output_center,
                    momentum=self.momentum,
                    epsilon=self.epsilon,
                    synchronized=self.synchronized,
                    name=f"norm{i}",
                    **shared,
                )
                norm.build((None, width))
                self.norms.append(norm)

    def hidden_states(self, inputs, training=False):
        """The input, what each dense layer made of it behind its ReLU, and the output.

        Args:
            inputs: `(B, C)`.
            training: As in a call.

        Returns:
            A list of `num_layers + 1` tensors; SimCLRv2 fine-tunes from the second.
        """
        if not self.built:
            self.build(inputs.shape)
        states = [ops.convert_to_tensor(inputs)]
        for i, dense in enumerate(self.dense):
            x = dense(states[-1])
            if i < len(self.norms):
                x = self.norms[i](x, training=training)
            states.append(x if i + 1 == self.num_layers else ops.relu(x))
        return states

    def call(self, inputs, training=False):
        return self.hidden_states(inputs, training)[-1]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.output_dim)

    def get_config(self):
        return {
            **super().get_config(),
            "output_dim": self.output_dim,
            "num_layers": self.num_layers,
            "hidden_dim": self.hidden_dim,
            "use_bias": self.use_bias,
            "output_norm": self.output_norm,
            "use_output_center": self.use_output_center,
            "synchronized": self.synchronized,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
