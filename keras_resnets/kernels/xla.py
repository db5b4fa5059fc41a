import tensorflow as tf


def in_xla():
    """Whether the code runs while a function is traced for XLA (`jit_compile=True`)."""
    try:
        from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext
    except ImportError:
        return False
    return GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def on_cpu_only():
    """Whether TensorFlow sees no accelerator."""
    return all(device.device_type == "CPU" for device in tf.config.list_logical_devices())
