"""What `contrastive.py` measures: our side and that of lightly, as `paired.py` takes them."""

import os
import sys
from pathlib import Path

import numpy as np

# PyTorch always uses oneDNN; TensorFlow by itself only where the processor has AVX-512 VNNI.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

TEMPERATURE = 0.1


def photographs(folder, count=100):
    """JPEG files of 448x448 pixels, four stimuli of the cue-conflict set each; their paths."""
    from PIL import Image

    root = Path(os.environ["KERAS_RESNETS_DATA"]) / "cue_conflict" / "stimuli"
    stimuli = sorted(root.glob("*/*.png"))
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        four = [np.asarray(Image.open(p).convert("RGB")) for p in rng.choice(stimuli, 4, False)]
        rows = [np.concatenate(four[:2], 1), np.concatenate(four[2:], 1)]
        paths.append(os.path.join(folder, f"{number:03}.jpg"))
        Image.fromarray(np.concatenate(rows)).save(paths[-1], quality=95)
    return paths


def declare_torchvision():
    """torchvision imports beside a PyTorch of another build once its operators are declared."""
    import torch

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "peers"))
    from image_models import timm

    torch.set_num_threads(1)
    timm()


# Pipelines: all files once; the mean of all pixels


def our_pipeline(paths, views):
    import tensorflow as tf

    from keras_resnets.preprocessing import image

    function = {
        "multi_crop": image.multi_crop,
        "simclr": lambda x, seed: (image.simclr_views(x, seed, blur=False),),
        "plain": plain_multi_crop,
    }[views]
    files = tf.data.Dataset.from_tensor_slices(paths).map(tf.io.read_file).cache().repeat()
    groups = files.enumerate().map(lambda i, x: function(tf.io.decode_jpeg(x, 3), tf.stack([i, i])))
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    views = iter(groups.with_options(options))

    def run():
        groups = (next(views) for _ in paths)
        return np.mean([sum(float(tf.reduce_mean(g)) for g in group) for group in groups])

    run()  # the files are in memory then
    return run


def plain_multi_crop(x, seed):
    """The same crops by TensorFlow's image operators, one at a time, as one would write them."""
    import tensorflow as tf

    x = tf.image.convert_image_dtype(x, tf.float32)
    groups = []
    for size, count, area in ((224, 2, (0.14, 1.0)), (96, 6, (0.05, 0.14))):
        crops = []
        for number in range(count):
            seeds = tf.unstack(tf.random.split(tf.random.fold_in(seed, 10 * size + number), 9))
            begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
                tf.shape(x), tf.zeros((0, 0, 4)), seeds[0], min_object_covered=0.0,
                area_range=area, max_attempts=100, use_image_if_no_bounding_boxes=True,
            )  # fmt: skip
            crop = tf.ensure_shape(tf.slice(x, begin, extent), (None, None, 3))
            crop = tf.image.resize(crop, (size, size), "bicubic")
            crop = tf.image.stateless_random_flip_left_right(crop, seeds[1])
            if tf.random.stateless_uniform((), seeds[2]) < 0.8:
                crop = jittered(crop, seeds[3])
            if tf.random.stateless_uniform((), seeds[4]) < 0.2:
                crop = tf.tile(tf.image.rgb_to_grayscale(crop), (1, 1, 3))
            if tf.random.stateless_uniform((), seeds[5]) < 0.5:
                crop = blurred(crop, tf.random.stateless_uniform((), seeds[6], 0.1, 2.0), size)
            crops.append((tf.clip_by_value(crop, 0, 1) - 0.45) / 0.225)
        groups.append(tf.stack(crops))
    return tuple(groups)


def jittered(x, seed):
    import tensorflow as tf

    order, factors = tf.unstack(tf.random.split(seed))
    factors = tf.random.stateless_uniform((4,), factors)
    steps = (
        lambda x: x * (0.2 + 1.6 * factors[0]),
        lambda x: tf.image.adjust_contrast(x, 0.2 + 1.6 * factors[1]),
        lambda x: tf.image.adjust_saturation(x, 0.2 + 1.6 * factors[2]),
        lambda x: tf.image.adjust_hue(x, 0.4 * factors[3] - 0.2),
    )
    for which in tf.unstack(tf.random.experimental.stateless_shuffle(tf.range(4), order)):
        x = tf.clip_by_value(tf.switch_case(which, [lambda s=s, x=x: s(x) for s in steps]), 0, 1)
    return x


def blurred(x, sigma, size):
    import tensorflow as tf

    radius = size // 20
    taps = tf.exp(-(tf.range(-radius, radius + 1.0) ** 2) / (2 * sigma**2))
    taps = tf.tile((taps / tf.reduce_sum(taps))[:, None, None, None], (1, 1, 3, 1))
    for kernel in (taps, tf.transpose(taps, (1, 0, 2, 3))):
        x = tf.nn.depthwise_conv2d(x[None], kernel, [1, 1, 1, 1], "SAME")[0]
    return x


def lightly_pipeline(paths, views):
    declare_torchvision()
    import io

    from lightly.transforms import SimCLRTransform, SwaVTransform
    from PIL import Image

    transform = SwaVTransform() if views == "multi_crop" else SimCLRTransform(gaussian_blur=0.0)
    files = []
    for path in paths:
        with open(path, "rb") as file:
            files.append(file.read())

    def run():
        groups = (transform(Image.open(io.BytesIO(f)).convert("RGB")) for f in files)
        return np.mean([sum(float(x.mean()) for x in group) for group in groups])

    return run


# Losses: the gradient of the first view, or the codes


def embeddings(rows, width=128):
    return np.random.default_rng(0).normal(size=(2, rows, width)).astype("float32")


def our_nt_xent(rows):
    import tensorflow as tf

    from keras_resnets.losses import NTXent

    loss = NTXent(TEMPERATURE)
    a, b = (tf.constant(x) for x in embeddings(rows))

    @tf.function
    def step(a, b):
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            value = loss(a, b)
        return tape.gradient(value, [a, b])

    return lambda: step(a, b)[0].numpy()


def lightly_nt_xent(rows):
    declare_torchvision()
    import torch
    from lightly.loss import NTXentLoss

    loss = NTXentLoss(TEMPERATURE)
    a, b = (torch.tensor(x, requires_grad=True) for x in embeddings(rows))
    return lambda: torch.autograd.grad(loss(a, b), [a, b])[0].numpy()


def scores(rows, prototypes):
    x = np.random.default_rng(0).normal(size=(rows + prototypes, 128)).astype("float32")
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x[:rows] @ x[rows:].T


def our_sinkhorn(rows, prototypes):
    import tensorflow as tf

    from keras_resnets.losses import sinkhorn_knopp

    x = tf.constant(scores(rows, prototypes))
    codes = tf.function(lambda x: sinkhorn_knopp(x, 0.05, 3))
    return lambda: codes(x).numpy()


def lightly_sinkhorn(rows, prototypes):
    declare_torchvision()
    import torch
    from lightly.loss.swav_loss import sinkhorn

    x = torch.tensor(scores(rows, prototypes))
    return lambda: sinkhorn(x, iterations=3, epsilon=0.05, gather_distributed=False).numpy()


# Training steps


def views_of(batch, size, count=2):
    shape = (batch, count, size, size, 3)
    return np.random.default_rng(0).random(shape).astype("float32")


def our_simclr(batch, size):
    import keras
    import tensorflow as tf

    import keras_resnets as kr
    from trainers import SimCLR

    backbone = kr.resnet50(include_top=False, pooling="avg", input_shape=(size, size, 3))
    trainer = SimCLR(backbone)
    trainer.compile(keras.optimizers.SGD(1e-3, momentum=0.9), jit_compile=False)
    views = tf.constant(views_of(batch, size))
    return lambda: np.float32(trainer.train_on_batch(views, return_dict=True)["loss"])


def lightly_simclr(batch, size):
    declare_torchvision()
    import timm
    import torch
    from lightly.loss import NTXentLoss
    from lightly.models.modules.heads import SimCLRProjectionHead

    backbone = timm.create_model("resnet50", num_classes=0).to(memory_format=torch.channels_last)
    head = SimCLRProjectionHead(2048, 2048, 128, num_layers=3)
    model = torch.nn.Sequential(backbone, head).train()
    loss_of = NTXentLoss(TEMPERATURE)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)
    x = torch.tensor(np.concatenate([*views_of(batch, size).transpose(1, 0, 4, 2, 3)]))
    x = x.to(memory_format=torch.channels_last)

    def step():
        optimizer.zero_grad()
        loss = loss_of(*torch.chunk(model(x), 2))
        loss.backward()
        optimizer.step()
        return loss.detach().numpy()

    return step


def our_swav(batch, small):
    import keras
    import tensorflow as tf

    import keras_resnets as kr
    from trainers import SwAV

    trainer = SwAV(kr.swav_resnet50(include_top=False, pooling="avg"))
    trainer.compile(keras.optimizers.SGD(1e-3, momentum=0.9), jit_compile=False)
    groups = [tf.constant(views_of(batch, 224))]
    if small:
        groups.append(tf.constant(views_of(batch, 96, 6)))

    # Keras' own step function, whose data may be groups alone
    trainer.make_train_function()
    data = tf.data.Dataset.from_tensors(tuple(groups)).repeat()
    batches = iter(data)
    return lambda: np.float32(trainer.train_function(batches)["loss"])
