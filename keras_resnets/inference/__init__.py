"""A trained network on real input: folders of files, long audio, streams."""

from keras_resnets.inference.files import Embeddings, embed_files
from keras_resnets.inference.long_audio import StreamingEmbedder, embed_long
from keras_resnets.inference.stream_features import StreamingFrontEnd

__all__ = ["Embeddings", "StreamingEmbedder", "StreamingFrontEnd", "embed_files", "embed_long"]
