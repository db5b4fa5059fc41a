"""TensorFlow's own kernels, where they are many times faster than what `keras.ops` reaches.

And what only TensorFlow has: a check inside a graph. Only layers and losses import from here, and
only when TensorFlow is the backend.
"""
