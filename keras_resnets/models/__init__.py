"""Model factories."""

from keras_resnets.models.alexnet import (
    alexnet,
)
from keras_resnets.models.cifar_resnet import (
    cifar_resnet,
    wide_resnet,
)
from keras_resnets.models.densenet import (
    densenet,
    densenet121,
    densenet161,
    densenet169,
    densenet201,
)
from keras_resnets.models.ecapa_tdnn import (
    ecapa_tdnn,
    ecapa_tdnn_512,
    ecapa_tdnn_1024,
    load_ecapa,
)
from keras_resnets.models.efficientnet import (
    efficientnet_b0,
)
from keras_resnets.models.googlenet import (
    googlenet,
)
from keras_resnets.models.inception import (
    inception_resnet_v2,
    inception_v3,
)
from keras_resnets.models.mobilenet import (
    mobilenet_v1,
    mobilenet_v3_large,
    mobilenet_v3_small,
)
from keras_resnets.models.r_vector import r_vector
from keras_resnets.models.resnet import (
    resnet,
)
from keras_resnets.models.resnet_variants import (
    resnet18,
    resnet18d,
    resnet34,
    resnet34d,
    resnet50,
    resnet50_evob,
    resnet50_evos,
    resnet50_gn,
    resnet50_sk,
    resnet50_v1,
    resnet50c,
    resnet50d,
    resnet50v2,
    resnet50v2_keras,
    resnet101,
    resnet101d,
    resnet101v2,
    resnet152,
    resnet152d,
    resnet152s,
    resnet152v2,
    resnet200,
    resnet200d,
    resnext50_32x4d,
    resnext50_e2gc,
    resnext101_32x4d,
    resnext101_32x8d,
    resnext101_64x4d,
    senet154,
    seresnet50,
    seresnext50_32x4d,
    simclr_resnet,
    simclr_resnet50,
    simclr_resnet101,
    simclr_resnet152,
    skresnet50,
    swav_resnet50,
    wide_resnet50_2,
    wide_resnet101_2,
)
from keras_resnets.models.scan import transfer_weights
from keras_resnets.models.surgery import (
    as_logits_model,
    feature_extractor,
    fold_batch_norm,
    regroup,
)
from keras_resnets.models.variable_length import VariableLengthModel
from keras_resnets.models.vgg import (
    vgg16,
)
from keras_resnets.models.x_vector import x_vector

__all__ = [
    "VariableLengthModel",
    "alexnet",
    "as_logits_model",
    "cifar_resnet",
    "densenet",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "ecapa_tdnn",
    "ecapa_tdnn_1024",
    "ecapa_tdnn_512",
    "efficientnet_b0",
    "feature_extractor",
    "fold_batch_norm",
    "googlenet",
    "inception_resnet_v2",
    "inception_v3",
    "load_ecapa",
    "mobilenet_v1",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "r_vector",
    "regroup",
    "resnet",
    "resnet101",
    "resnet101d",
    "resnet101v2",
    "resnet152",
    "resnet152d",
    "resnet152s",
    "resnet152v2",
    "resnet18",
    "resnet18d",
    "resnet200",
    "resnet200d",
    "resnet34",
    "resnet34d",
    "resnet50",
    "resnet50_evob",
    "resnet50_evos",
    "resnet50_gn",
    "resnet50_sk",
    "resnet50_v1",
    "resnet50c",
    "resnet50d",
    "resnet50v2",
    "resnet50v2_keras",
    "resnext101_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "resnext50_32x4d",
    "resnext50_e2gc",
    "senet154",
    "seresnet50",
    "seresnext50_32x4d",
    "simclr_resnet",
    "simclr_resnet101",
    "simclr_resnet152",
    "simclr_resnet50",
    "skresnet50",
    "swav_resnet50",
    "transfer_weights",
    "vgg16",
    "wide_resnet",
    "wide_resnet101_2",
    "wide_resnet50_2",
    "x_vector",
]
