"""How torch's layers start, for networks that are to learn as their torch originals do."""

import keras

# torch's kaiming_normal_(mode="fan_out") and the default of its Linear
KAIMING_FAN_OUT = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
TORCH_LINEAR = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
