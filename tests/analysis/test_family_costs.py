"""Multiply-accumulates and trainable parameters of the 2-D families (224 x 224, 1000 classes)."""

import pytest

import keras_resnets as kr
from keras_resnets.analysis import cost


def few(cases, kept):
    """The cases, of which those not kept run before a release."""

    def later(case):
        return pytest.param(
            *(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.release
        )

    return [case if case in kept else later(case) for case in cases]


RESNETS = {
    "resnet18": (11_689_512, 1_814_073_344),
    "resnet34": (21_797_672, 3_663_761_408),
    "resnet50": (25_557_032, 4_089_184_256),
    "resnet50d": (25_576_264, 4_328_824_832),
    "resnext50_32x4d": (25_028_904, 4_230_479_872),
    "wide_resnet50_2": (68_883_240, 11_398_021_120),
    "seresnet50": (28_088_024, 4_091_699_200),
    "skresnet50": (25_803_160, 4_089_422_336),
    "resnet50v2": (25_549_352, 4_089_184_256),
    "resnet101": (44_549_160, 7_801_405_440),
    "resnet152": (60_192_808, 11_513_626_624),
    "resnet200": (64_673_832, 15_007_481_856),
    "resnext101_32x8d": (88_791_336, 16_414_015_488),
    "senet154": (115_088_984, 20_688_363_520),
}


@pytest.mark.parametrize("name", few(RESNETS, ("resnet18", "resnet50d", "skresnet50")))
def test_resnet(name):
    report = cost(getattr(kr, name)(), (224, 224, 3))
    assert (report.trainable_params, report.macs) == RESNETS[name]
    assert not report.unsupported


# depth -> trainable parameters, multiply-accumulates
CIFAR = {
    14: (175_258, 26_657_408),
    20: (272_474, 40_813_184),
    32: (466_906, 69_124_736),
    44: (661_338, 97_436_288),
    56: (855_770, 125_747_840),
    110: (1_730_714, 253_149_824),
    218: (3_480_602, 507_953_792),
    434: (6_980_378, 1_017_561_728),
    866: (13_979_930, 2_036_777_600),
    1202: (19_424_026, 2_829_501_056),
}


@pytest.mark.parametrize("depth", few(CIFAR, (14, 56, 218)))
def test_cifar_resnet(depth):
    report = cost(kr.cifar_resnet(depth), (32, 32, 3))
    assert (report.trainable_params, report.macs) == CIFAR[depth]
    assert not report.unsupported


@pytest.mark.release
def test_wide_resnet():
    report = cost(kr.wide_resnet(28, 10), (32, 32, 3))
    assert (report.trainable_params, round(report.macs / 1e9, 3)) == (36_479_194, 5.243)


# trainable parameters, of these BN's and SE's biases, multiply-accumulates at the native side; then
# the "params" and "FLOPs" of the official table
FBNETS = {
    "a0": (6_309_964, None, None, 217_917_744, None, None),
    "a": (8_598_464, 46_400, 8_840, 355_514_328, 8_542_224, 356_598_280),
    "b": (8_598_464, 46_400, 8_840, 460_150_000, 8_542_224, 461_550_136),
    "c": (9_973_800, 55_088, 10_576, 555_578_368, 9_907_136, 556_969_904),
    "d": (10_306_272, 56_608, 11_112, 642_628_864, 10_237_552, 644_420_352),
    "e": (10_772_872, 60_496, 11_912, 759_952_160, 10_699_464, 762_046_336),
    "f": (13_896_136, 76_672, 15_392, 1_178_860_656, 13_803_072, 1_181_644_520),
    "g": (16_623_888, 90_864, 18_376, 2_125_187_200, 16_513_648, 2_129_656_384),
}


@pytest.mark.parametrize("letter", few(FBNETS, ("a0", "a")))
def test_fbnet_v3(letter):
    """Both identities of the official table.

    Its parameters leave out batch normalisation and biases, its FLOPs add a pooling's inputs.
    """
    side = kr.models.fbnet_v3.CONFIGS[letter].input_size
    model = getattr(kr, f"fbnet_v3_{letter}")()
    report = cost(model, (side, side, 3))
    params, norms, biases, macs, their_params, their_flops = FBNETS[letter]
    assert (report.trainable_params, report.macs) == (params, macs)
    assert not report.unsupported
    if letter == "a0":
        return
    counted = [row.trainable_params for row in report.rows if row.type == "BatchNorm2D"]
    assert sum(counted) == norms and model.count_params() == params + norms
    gates = [layer.bias for layer in model.layers if "_se_fc" in layer.name]
    assert sum(bias.shape[0] for bias in gates) == biases
    assert params - norms - biases - 1000 == their_params
    pools = [row.words_in for row in report.rows if row.type == "GlobalAveragePooling2D"]
    assert macs + sum(pools) == their_flops


# E2GC: group size -> trainable parameters, multiply-accumulates, of these in the 3x3 ones
MOBILENET = {
    1: (4_231_976, 568_740_352, 17_385_984),
    2: (4_276_616, 586_126_336, 34_771_968),
    4: (4_365_896, 620_898_304, 69_543_936),
    8: (4_544_456, 690_442_240, 139_087_872),
    16: (4_901_576, 829_530_112, 278_175_744),
    32: (5_615_816, 1_107_705_856, 556_351_488),
}
RESNEXT = {
    1: (23_682_216, 4_024_105_984),
    2: (23_750_184, 4_048_943_104),
    4: (23_886_120, 4_098_617_344),
    8: (24_157_992, 4_197_965_824),
    16: (24_701_736, 4_396_662_784),
    32: (25_789_224, 4_794_056_704),
    64: (27_964_200, 5_588_844_544),
}
# their counterparts with a constant number of groups
MOBILENET_GROUPS = {
    64: (4_579_880, 619_995_136, 68_640_768),
    32: (4_972_136, 685_023_232, 133_668_864),
    16: (5_756_936, 818_692_096, 267_337_728),
    8: (7_326_536, 1_086_029_824, 534_675_456),
}
RESNEXT_GROUPS = {
    64: (24_321_576, 4_114_874_368),
    32: (25_028_904, 4_230_479_872),
    16: (26_443_560, 4_461_690_880),
    8: (29_272_872, 4_924_112_896),
    4: (34_931_496, 5_848_956_928),
    1: (68_883_240, 11_398_021_120),
}


@pytest.mark.parametrize(
    ("option", "value"),
    few(
        [*(("group_size", n) for n in MOBILENET), *(("groups", n) for n in MOBILENET_GROUPS)],
        (("group_size", 4), ("groups", 32)),
    ),
)
def test_mobilenet_by_groups(option, value):
    expected = (MOBILENET if option == "group_size" else MOBILENET_GROUPS)[value]
    report = cost(kr.mobilenet_v1(**{option: value}), (224, 224, 3))
    windowed = [row for row in report.rows if row.conv and row.conv.window > 1]
    grouped = sum(row.macs for row in windowed if row.conv.in_channels > 3)
    assert (report.trainable_params, report.macs, grouped) == expected


@pytest.mark.parametrize(
    ("option", "value"),
    few(
        [*(("group_size", n) for n in RESNEXT), *(("groups", n) for n in RESNEXT_GROUPS)],
        (("group_size", 8), ("groups", 64)),
    ),
)
def test_resnext_by_groups(option, value):
    expected = (RESNEXT if option == "group_size" else RESNEXT_GROUPS)[value]
    report = cost(kr.resnext50_e2gc(**{option: value}), (224, 224, 3))
    assert (report.trainable_params, report.macs) == expected
