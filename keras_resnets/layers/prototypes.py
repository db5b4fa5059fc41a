import keras
from keras import ops

from keras_resnets.initializers import TORCH_LINEAR
from keras_resnets.vectors import unit


@keras.saving.register_keras_serializable("keras_resnets")
class Prototypes(keras.layers.Layer):
    """Cosines of embeddings with trainable unit vectors.

    The input's rows are brought to length one. The prototypes are where they are used outside
    training; in training they are taken as they are, and `normalize()`, called before each step,
    brings them to length one in place, as SwAV does: the gradient does not see it.

    Args:
        num_prototypes: Number of prototypes, K.
        normalize_inputs: Whether the input is brought to length one.
        kernel_initializer: Of the prototypes; default: PyTorch's for a linear layer.
        **kwargs: As `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, D)`.
        training: Whether the prototypes are taken as they are.

    Returns:
        `(B, K)` float32 scores.

    Raises:
        ValueError: `num_prototypes` is below 1.

    Example:

    >>> scores = Prototypes(5)(np.random.normal(size=(3, 8)).astype("float32"))
    >>> scores.shape, bool(np.max(np.abs(scores)) <= 1)
    (TensorShape([3, 5]), True)

    Reference:
        Caron et al., SwAV, NeurIPS 2020 (arXiv 2006.09882), section 3.
    """

    def __init__(
        self, num_prototypes=3000, normalize_inputs=True, kernel_initializer="default", **kwargs
    ):
        super().__init__(**kwargs)
        if num_prototypes < 1:
            raise ValueError(
                f"`num_prototypes` must be at least 1. Received: num_prototypes={num_prototypes}"
            )
        self.num_prototypes = num_prototypes
        self.normalize_inputs = normalize_inputs
        if kernel_initializer == "default":
            kernel_initializer = TORCH_LINEAR.clone()
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.num_prototypes),
            initializer=self.kernel_initializer,
            autocast=False,
            name="kernel",
        )

    def unit_kernel(self):
        """The prototypes, brought to length one."""
        return unit(ops.convert_to_tensor(self.kernel), axis=0)

    def normalize(self):
        """Bring the prototypes to length one in place."""
        self.kernel.assign(self.unit_kernel())

    def call(self, inputs, training=False):
        inputs = ops.cast(inputs, "float32")
        if self.normalize_inputs:
            inputs = unit(inputs, axis=-1)
        return inputs @ (ops.convert_to_tensor(self.kernel) if training else self.unit_kernel())

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.num_prototypes)

    def compute_output_spec(self, inputs, training=False):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), "float32")

    def get_config(self):
        return {
            **super().get_config(),
            "num_prototypes": self.num_prototypes,
            "normalize_inputs": self.normalize_inputs,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
