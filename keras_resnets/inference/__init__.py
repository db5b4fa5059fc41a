"""A trained network on real input: folders of files, long audio, streams."""

from keras_resnets.inference.files import Embeddings, embed_files
from keras_resnets.inference.long_audio import StreamingEmbedder, embed_long

__all__ = ["Embeddings", "StreamingEmbedder", "embed_files", "embed_long"]
