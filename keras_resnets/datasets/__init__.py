"""Data that is really there: bundled samples, folders, public sets."""

from keras_resnets.datasets.audio import AudioData, AudioFiles, audio_folder
from keras_resnets.datasets.image import ImageData
from keras_resnets.datasets.load import load
from keras_resnets.datasets.multi_crop import multi_crop_dataset
from keras_resnets.datasets.tfds import TFDSAudio
from keras_resnets.datasets.trials import Trials, read_trials
from keras_resnets.preprocessing.audio_file import read_audio

__all__ = [
    "load",
    "multi_crop_dataset",
    "audio_folder",
    "read_audio",
    "read_trials",
    "AudioData",
    "AudioFiles",
    "TFDSAudio",
    "ImageData",
    "Trials",
]
