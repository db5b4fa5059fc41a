"""Images before a network sees them: normalisation, crops, colours, blur, mixtures, views.

The random functions are for `tf.data` pipelines, and pure functions of a seed: two integers, which
may be a tensor. `tf.random.fold_in` makes the seed of an epoch, of a batch, of an image.
"""

from keras_resnets.preprocessing.image.crops import (
    eval_crop,
    random_flip,
    random_pad_crop,
    random_resized_crop,
)
from keras_resnets.preprocessing.image.mixing import mixup
from keras_resnets.preprocessing.image.normalization import MODES, normalize, preprocess_input
from keras_resnets.preprocessing.image.views import crop_and_flip, multi_crop, simclr_views

__all__ = [
    "MODES",
    "preprocess_input",
    "normalize",
    "random_pad_crop",
    "random_resized_crop",
    "random_flip",
    "eval_crop",
    "mixup",
    "simclr_views",
    "multi_crop",
    "crop_and_flip",
]
