import numpy as np
import pytest

from keras_resnets.inference import StreamingFrontEnd
from keras_resnets.layers import MFCC, KaldiFbank, LogMelSpectrogram


@pytest.mark.parametrize("make", [KaldiFbank, MFCC])
def test_pushes_of_any_size(make, noise):
    layer, wav = make(), noise(3333)
    expected = np.asarray(layer(wav[None]))[0]
    stream = StreamingFrontEnd(layer)
    for size in (1, 160, 401, 3333):
        stream.reset()
        pieces = [stream.push(wav[i : i + size]) for i in range(0, len(wav), size)]
        assert {p.shape[1] for p in pieces} == {80}
        np.testing.assert_allclose(np.concatenate(pieces), expected, rtol=1e-4, atol=1e-3)


def test_holds_less_than_a_frame(noise):
    stream = StreamingFrontEnd(KaldiFbank())
    assert [len(stream.push(noise(n))) for n in (399, 1, 159, 1)] == [0, 1, 0, 1]
    for n in (7, 160, 5000):
        stream.push(noise(n))
        assert 240 <= len(stream._rest) < 400


def test_int16(noise):
    pcm = (noise(800) * 32768).astype("int16")
    a, b = (StreamingFrontEnd(KaldiFbank()).push(x) for x in (pcm, pcm / np.float32(32768)))
    np.testing.assert_array_equal(a, b)


def test_bad_input(noise):
    for frontend in (KaldiFbank(snip_edges=False), LogMelSpectrogram(), None):
        with pytest.raises(ValueError, match="`frontend` must be"):
            StreamingFrontEnd(frontend)
    stream = StreamingFrontEnd(KaldiFbank())
    with pytest.raises(ValueError, match="mix down"):
        stream.push(noise((800, 2)))
    with pytest.raises(ValueError, match=r"int16.*int64"):
        stream.push(np.zeros(800, "int64"))
