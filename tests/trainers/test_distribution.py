import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np


def test_two_replicas_train_as_one_device_does():
    """On the same global batches; logical devices need a process of their own."""
    script = Path(__file__).with_name("replicated_training.py")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TF_CPP_MIN_LOG_LEVEL": "3"}
    # With oneDNN a convolution of no image has the shape of its input (TensorFlow 2.21).
    env["TF_ENABLE_ONEDNN_OPTS"] = "0"
    run = subprocess.run(
        [sys.executable, script], env=env, capture_output=True, text=True, timeout=500
    )
    assert run.returncode == 0, run.stderr[-2000:]
    result = json.loads(run.stdout.splitlines()[-1])
    assert len(result) == 4
    for name, (one, two) in result.items():
        for key in one:
            assert np.all(np.isfinite(two[key])), name
            np.testing.assert_allclose(two[key], one[key], rtol=1e-5, err_msg=f"{name}: {key}")
