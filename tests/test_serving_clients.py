"""The clients of docs/serving.md, against a server that runs an exported model."""

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.datasets import read_audio
from keras_resnets.export import to_saved_model
from keras_resnets.metrics import cosine_scores
from keras_resnets.models import ecapa_tdnn


@pytest.fixture(scope="module")
def model():
    return ecapa_tdnn(
        channels=16, mfa_channels=24, attention_channels=8, se_channels=8, frontend="kaldi_fbank"
    )


@pytest.fixture(scope="module")
def signatures(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    return tf.saved_model.load(to_saved_model(model, folder / "ecapa_tdnn" / "1")).signatures


@pytest.fixture(scope="module")
def files(speech_sample):
    return [speech_sample.test.paths[i] for i in (0, 1, 20)]


def predict(signatures, name, inputs):
    """As TensorFlow Serving does: names and types must be the signature's own."""
    specs = signatures[name].structured_input_signature[1]
    assert set(inputs) == set(specs)
    for key, array in inputs.items():
        assert array.dtype == specs[key].dtype and specs[key].shape.is_compatible_with(array.shape)
    outputs = signatures[name](**{key: tf.constant(array) for key, array in inputs.items()})
    return {key: value.numpy() for key, value in outputs.items()}


def client(root, title, address, port):
    """The names that the page's Python code under `title` defines, with another port."""
    page = (root / "docs" / "serving.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {title}\n")[1].split("\n## ")[0]
    [code] = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert code.count(address) == 1
    names = {}
    exec(code.replace(address, f"localhost:{port}"), names)
    return names


def test_grpc_client(root, model, signatures, files):
    grpc = pytest.importorskip("grpc")
    service = pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")
    from tensorflow_serving.apis import predict_pb2

    class Server(service.PredictionServiceServicer):
        def Predict(self, request, context):
            assert request.model_spec.name == "ecapa_tdnn"
            inputs = {key: tf.make_ndarray(tensor) for key, tensor in request.inputs.items()}
            reply = predict_pb2.PredictResponse()
            outputs = predict(signatures, request.model_spec.signature_name, inputs)
            for key, array in outputs.items():
                reply.outputs[key].CopyFrom(tf.make_tensor_proto(array))
            return reply

    server = grpc.server(ThreadPoolExecutor(1))
    service.add_PredictionServiceServicer_to_server(Server(), server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        found = client(root, "gRPC client", "localhost:8500", port)["embed"](files)
    finally:
        server.stop(None)
    expected = [np.asarray(model(read_audio(file)[None]))[0] for file in files]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_rest_client(root, model, signatures, files):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            assert self.path == "/v1/models/ecapa_tdnn:predict"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            specs = signatures[body["signature_name"]].structured_input_signature[1]
            inputs = {
                key: np.array(value, specs[key].dtype.as_numpy_dtype)
                for key, value in body["inputs"].items()
            }
            [output] = predict(signatures, body["signature_name"], inputs).values()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"outputs": output.tolist()}).encode())

        def log_message(self, *args):
            pass

    server = HTTPServer(("localhost", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        verify = client(root, "REST client", "localhost:8501", server.server_port)["verify"]
        found = [verify(files[0], other) for other in files]
    finally:
        server.shutdown()
        server.server_close()
    vectors = [np.asarray(model(read_audio(file)[None]))[0] for file in files]
    np.testing.assert_allclose(found, cosine_scores([vectors[0]] * 3, vectors), atol=1e-5)
