import tensorflow as tf


def scan(function, x, weights, states):
    """`x, states[i] = function(x, weights[i], states[i])` for every `i`, as one loop of the graph.

    `keras.ops.scan` puts out as many tensors a step as it carries, so that it would keep `x` twice.

    Args:
        function: of a tensor and two lists of tensors; returns the next `x` and the new states.
        x: Tensor; its shape and type stay.
        weights, states: Lists of tensors, all with the same static size of the first axis.

    Returns:
        The last `x`, and the new states, stacked as the old ones are.
    """
    count = (weights or states)[0].shape[0]
    weights, states = ([tf.convert_to_tensor(t) for t in group] for group in (weights, states))

    def array(t):
        return tf.TensorArray(t.dtype, count, element_shape=t.shape[1:])

    read_weights, read_states = (
        [array(t).unstack(t) for t in group] for group in (weights, states)
    )

    def step(i, x, written):
        x, new = function(x, [a.read(i) for a in read_weights], [a.read(i) for a in read_states])
        return i + 1, x, [a.write(i, value) for a, value in zip(written, new)]

    _, x, written = tf.while_loop(
        lambda i, *_: i < count,
        step,
        (0, x, [array(t) for t in states]),
        parallel_iterations=1,
        maximum_iterations=count,
        shape_invariants=(tf.TensorShape([]), x.shape, [tf.TensorShape(None)] * len(states)),
    )
    return x, [a.stack() for a in written]
