"""What happens to raw input before a network sees it: one module a kind of input."""

from keras_resnets.preprocessing import audio, image

__all__ = ["audio", "image"]
