"""TensorFlow's own kernels, where they are many times faster than what `keras.ops` reaches.

Only the layers import from here, and only when TensorFlow is the backend.
"""
