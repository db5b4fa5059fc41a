import numpy as np
import pytest

import tuners
from keras_resnets.models.fbnet_v3 import CONFIGS
from tuners.fbnet_operations import Operation, fbnet_v3_operations
from tuners.fbnet_v3 import CHOICES, FIXED


@pytest.mark.parametrize("letter", ("a0", "a", "d", "g"))
def test_operations_are_the_networks(letter):
    """Their multiply-adds are those of the closed form."""
    operations = fbnet_v3_operations(CONFIGS[letter])
    expected = tuners.fbnet_v3_statistics(CONFIGS[letter], dw_padding="symmetric")["macs"]
    assert sum(operation.macs() for operation in operations) == expected
    adds = sum(stage.depth - 1 for stage in CONFIGS[letter].stages)
    first = CONFIGS[letter].stages[0]
    same = first.stride == 1 and first.channels == CONFIGS[letter].stem
    assert sum(o.kind == "add" for o in operations) >= adds + same


def test_linear_in_channels():
    """Exact between the corners, and beyond, for what is bilinear."""

    def seconds(operation):
        return 1e-6 * (3 + 2 * operation.inputs + operation.outputs * (1 + operation.inputs))

    corners = [Operation("linear", 8, i, o) for i in (8, 32) for o in (16, 64)]
    corners += [Operation("add", 8, c, c) for c in (8, 24)]
    table = tuners.LatencyTable({o: seconds(o) for o in corners if o.kind == "linear"} | {
        o: 1e-6 * o.inputs for o in corners if o.kind == "add"}, constant=1e-3)  # fmt: skip
    for inputs, outputs in ((8, 16), (20, 40), (32, 64), (48, 8)):
        operation = Operation("linear", 8, inputs, outputs)
        assert table.latency([operation]) == pytest.approx(1e-3 + seconds(operation))
    assert table.latency([Operation("add", 8, 16, 16)] * 2) == pytest.approx(1e-3 + 32e-6)
    with pytest.raises(ValueError, match=r"an operation like every one.*side=16"):
        table.latency([Operation("add", 16, 8, 8)])


def tiny_space():
    values = {name: [1] for name in CHOICES if name not in FIXED}
    values |= {name: [8] for name in values if name.endswith(("stem", "channels"))}
    values |= {name: [3] for name in values if "kernel" in name}
    values |= {"stage2_channels": [8, 16], "stage4_depth": [1, 2], "input_size": [32, 64]}
    return tuners.SearchSpace(
        [tuners.Ordinal(name, value, part="architecture") for name, value in values.items()]
    )


@pytest.mark.slow
def test_measured_table(tmp_path):
    space = tiny_space()
    table = tuners.measure_latency_table(space, networks=4, classes=10, runs=5, warmup=2)
    points = space.sample(8)
    found = [table(point)["latency"] for point in points]
    assert np.all(np.isfinite(found)) and min(found) > 0
    assert -1 <= table.correlation <= 1
    table.save(tmp_path / "latency.json")
    again = tuners.LatencyTable.load(tmp_path / "latency.json")
    assert [again(point)["latency"] for point in points] == found
    assert again.correlation == table.correlation
    core = tuners.NARSCore(
        space, statistics=again, constraints=[("latency", float(np.median(found)))], pool_size=8
    )
    assert again(core.ask()[0])["latency"] <= np.median(found)


def test_bad_input():
    with pytest.raises(ValueError, match="`networks` must be at least 3"):
        tuners.measure_latency_table(tiny_space(), networks=2)
    with pytest.raises(ValueError, match=r"dimension|value"):
        tuners.measure_latency_table(tuners.SearchSpace([tuners.Integer("depth", 1, 9)]))
