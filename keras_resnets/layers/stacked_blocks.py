import contextlib
import re
import types

import keras
from keras import ops

if keras.backend.backend() == "tensorflow":
    from keras_resnets.kernels.scan import scan
else:

    def scan(function, x, weights, states):
        def step(x, parts):
            return function(x, *parts)

        return ops.scan(step, x, (weights, states))


@keras.saving.register_keras_serializable("keras_resnets")
class StackedBlocks(keras.layers.Layer):
    """A chain of blocks of one architecture, run as a loop over their stacked weights.

    The graph holds one block, however many there are. Each weight has the blocks on its first axis,
    and otherwise the shape and the name that it has in one block.

    Args:
        block: functional `keras.Model` that keeps the shape of its input; a pattern, whose own
            weights are not used.
        count: number of blocks.
        **kwargs: as `keras.layers.Layer`.

    Call arguments:
        inputs: what `block` takes.
        training: as `block` takes it. Moving statistics are updated as those of the blocks would
            be.

    Returns:
        As `inputs`.

    Raises:
        ValueError: `block` changes the shape of its input, or `count` is not positive.

    Example:

    >>> x = keras.Input((4,))
    >>> layer = StackedBlocks(keras.Model(x, keras.layers.Dense(4, name="dense")(x)), count=3)
    >>> layer(np.ones((2, 4))).shape
    TensorShape([2, 4])
    >>> [(w.path, tuple(w.shape)) for w in layer.weights]  # doctest: +ELLIPSIS
    [('stacked_blocks.../dense/kernel', (3, 4, 4)), ('stacked_blocks.../dense/bias', (3, 4))]
    """

    def __init__(self, block, count, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"`count` must be a positive integer. Received: count={count!r}")
        if len(block.inputs) != 1 or block.output_shape != block.input_shape:
            raise ValueError(
                "`block` must keep the shape of its input. Received: "
                f"input shape {block.input_shape}, output shape {block.output_shape}"
            )
        self.count = count
        # in a namespace, where Keras finds neither the pattern nor its weights
        self._pattern = types.SimpleNamespace(block=block)
        self._slots = types.SimpleNamespace(weights=[], states=[])

    @property
    def block(self):
        """The pattern."""
        return self._pattern.block

    def build(self, input_shape):
        trainable = {id(v) for v in self.block.trainable_variables}
        owners = {}
        for layer in self.block._flatten_layers():
            for variable in (*layer._trainable_variables, *layer._non_trainable_variables):
                owners.setdefault(id(variable), layer)
        for variable in self.block.variables:
            owner = owners.get(id(variable))
            group = self._slots.weights if id(variable) in trainable else self._slots.states
            group.append((variable, self._stacked(variable, owner), owner))
        self._tracked = [stacked for stacked, *_ in self.parts]

    def _stacked(self, variable, owner):
        initializer = getattr(owner, f"{variable.name}_initializer", None)

        def draw():
            if isinstance(initializer, keras.initializers.Initializer):
                return initializer.clone()(variable.shape, dtype=variable.dtype)
            seed = variable.name == "seed_generator_state"
            first = keras.random.SeedGenerator().state if seed else variable
            return ops.convert_to_tensor(ops.convert_to_numpy(first), dtype=variable.dtype)

        with contextlib.ExitStack() as stack:
            for scope in variable.path.split("/")[:-1]:
                stack.enter_context(keras.name_scope(scope))
            return keras.Variable(
                lambda shape, dtype: ops.stack([draw() for _ in range(self.count)]),
                shape=(self.count, *variable.shape),
                dtype=variable.dtype,
                trainable=variable.trainable,
                autocast=False,
                name=variable.name,
            )

    @property
    def parts(self):
        """`(stacked variable, variable of the pattern, the pattern's layer that has it)` of all."""
        return [(s, v, owner) for v, s, owner in self._slots.weights + self._slots.states]

    def name_in_block(self, name, i):
        """What `name`, of a layer or weight of the pattern, is in block `i`, counted from 0.

        The first number behind `block` counts the blocks: that of `stage1_block2_conv1` is 2.
        """
        counted = re.sub(r"block(\d+)", lambda m: f"block{int(m[1]) + i}", name, count=1)
        return counted if "block" in name else f"{name}[{i}]"

    def call(self, inputs, training=None):
        self.block.trainable = self.trainable
        slots = self._slots

        def one(x, weights, states):
            old = [(v, value) for (v, *_), value in zip(slots.weights, weights)]
            old += [(v, value) for (v, *_), value in zip(slots.states, states)]
            with keras.StatelessScope(old) as scope:
                x = self.block(x, training=training)
            return x, [scope.get_current_value(v) for v, *_ in slots.states]

        def value(stacked):
            stacked, trainable = ops.convert_to_tensor(stacked), stacked.trainable
            return stacked if trainable else ops.stop_gradient(stacked)

        weights = [value(stacked) for _, stacked, _ in slots.weights]
        states = [ops.convert_to_tensor(stacked) for _, stacked, _ in slots.states]
        x, new = scan(one, inputs, weights, states)
        if training:
            for (_, stacked, _), value in zip(slots.states, new):
                stacked.assign(value)
        return x

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, inputs, training=None):
        return keras.KerasTensor(inputs.shape, self.compute_dtype)

    def get_config(self):
        config = {"block": keras.saving.serialize_keras_object(self.block), "count": self.count}
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "block": keras.saving.deserialize_keras_object(config["block"])})


def refuse_stacked(model, purpose):
    """Raise if a model has `StackedBlocks`, where `purpose` needs the blocks one by one."""
    names = [layer.name for layer in model._flatten_layers() if isinstance(layer, StackedBlocks)]
    if names:
        raise ValueError(
            f"`model` must have its blocks one by one for {purpose}: make it with "
            "`scan_blocks=False` and copy the weights with keras_resnets.models.transfer_weights. "
            f"Received: model={model.name!r}, with {names}"
        )
