"""How many channels a group of a grouped convolution should have: a model of our own.

In the spirit of E2GC (Jha et al. 2020), whose abstract says that compute and data reuse should be
balanced in every layer; the formulas below are not the paper's.

A `k x k` convolution of `N` to `M` channels, group size `G`, on `P` positions, does `P k^2 M G`
multiply-accumulates and moves `N P_in + M P + k^2 M G` words. Words a multiply-accumulate, the
inverse arithmetic intensity, are `A / G + B` with `A = (N P_in + M P) / (P k^2 M)`, `B = 1 / P`.
"""

import math

from keras_resnets.analysis.cost import cost
from keras_resnets.analysis.energy import device_profile
from keras_resnets.analysis.measure import measure, random_inputs
from keras_resnets.analysis.table import Table
from keras_resnets.analysis.work import ConvSpec, divisors

OBJECTIVES = ("balanced", "ridge", "energy", "latency")
LIMITS = ("macs", "params", "accuracy")


def traffic_coefficients(spec):
    """`(A, B)`: words moved a multiply-accumulate are `A / G + B`.

    Args:
        spec: `ConvSpec`; its groups do not matter.

    Returns:
        Two floats.

    Example:

    >>> traffic_coefficients(ConvSpec(64, 64, (3, 3), out_positions=100))
    (0.2222222222222222, 0.01)
    """
    moved = spec.in_channels * spec.in_positions + spec.filters * spec.out_positions
    return moved / (spec.out_positions * spec.window * spec.filters), 1 / spec.out_positions


def arithmetic_intensity(spec, group_size):
    """Multiply-accumulates a word moved: `1 / (A / G + B)`.

    Args:
        spec: `ConvSpec`; its groups do not matter.
        group_size: `G`, any positive number.

    Returns:
        float.

    Example:

    >>> arithmetic_intensity(ConvSpec(64, 64, (3, 3), out_positions=100), group_size=4)
    15.254237288135595
    """
    a, b = traffic_coefficients(spec)
    return 1 / (a / group_size + b)


def group_size_objective(spec, group_size):
    """`J(G) = G / N + (A / G + B) / (A + B)`: compute and data movement, each 1 at its worst.

    Args:
        spec: `ConvSpec`; its groups do not matter.
        group_size: `G`, any positive number.

    Returns:
        float, the smaller the better balanced.

    Example:

    >>> spec = ConvSpec(64, 64, (3, 3), out_positions=112 * 112)
    >>> [round(group_size_objective(spec, g), 3) for g in (1, 8, 64)]
    [1.016, 0.25, 1.016]
    """
    a, b = traffic_coefficients(spec)
    return group_size / spec.in_channels + (a / group_size + b) / (a + b)


def optimum_group_size(spec):
    """`G* = sqrt(N A / (A + B))`, where `group_size_objective` is smallest; about `sqrt(N)`.

    Args:
        spec: `ConvSpec`; its groups do not matter.

    Returns:
        float.

    Example:

    >>> round(optimum_group_size(ConvSpec(512, 512, (3, 3), out_positions=14 * 14)), 1)
    22.4
    """
    a, b = traffic_coefficients(spec)
    return math.sqrt(spec.in_channels * a / (a + b))


def choose_group_size(
    layer_or_model,
    objective="balanced",
    device="p100",
    candidates=None,
    budget=None,
    scores=None,
    latency=None,
    input_shape=None,
    layers=None,
):
    """The group size for a layer, or one for all grouped convolutions of a model.

    Args:
        layer_or_model: `ConvSpec`, or `keras.Model`.
        objective: `"balanced"`: nearest (in log2) to the optimum of `group_size_objective`, over a
            model its mean weighted by multiply-accumulates; `"ridge"`: the smallest with which the
            device is limited by arithmetic; `"energy"`: the smallest estimated energy;
            `"latency"`: the smallest of the times in `latency`.
        device: For `"ridge"` and `"energy"`, see `keras_resnets.analysis.device_profile`.
        candidates: Group sizes to choose among. Default: the divisors of a layer's input
            channels; for a model the powers of two that suit its layers.
        budget: dict of `"macs"`, `"params"` (of the model or layer) or `"accuracy"` to
            `(lowest, highest)`, None for no limit. Small groups need the least energy, so
            `"energy"` without a lowest value of something gives the smallest candidate.
        scores: dict of group size to accuracy, for the budget.
        latency: dict of group size to seconds, for `"latency"`.
        input_shape: Of a model, as in `keras_resnets.analysis.cost`.
        layers: Predicate on the `LayerCost`s of a model. Default: its grouped and depthwise
            convolutions; where it has none, those with a window and more than 4 input channels.

    Returns:
        int.

    Raises:
        ValueError: Unknown objective, no convolution to choose for, or no candidate that will do.

    Example:

    >>> spec = ConvSpec(256, 256, (3, 3), out_positions=28 * 28)
    >>> choose_group_size(spec), choose_group_size(spec, "ridge")
    (16, 8)
    """
    if objective not in OBJECTIVES:
        raise ValueError(f"`objective` must be one of {OBJECTIVES}. Received: {objective!r}")
    if objective == "latency" and not latency:
        raise ValueError('`latency` must be given with objective="latency".')
    device = device_profile(device)
    specs, rest_macs, rest_params = _convolutions(layer_or_model, input_shape, layers)
    if candidates is None:
        candidates = latency or _candidates(specs, isinstance(layer_or_model, ConvSpec))
    candidates = sorted(candidates)
    for group_size in candidates:
        _regroup(specs, group_size)  # raises where it does not divide
    macs = {g: rest_macs + sum(s.macs for s in _regroup(specs, g)) for g in candidates}
    params = {g: rest_params + sum(s.params for s in _regroup(specs, g)) for g in candidates}
    values = {"macs": macs, "params": params, "accuracy": scores or {}}
    allowed = [g for g in candidates if _within(budget, values, g)]
    if not allowed:
        raise ValueError(f"No group size of {candidates} keeps the budget. Received: {budget}")

    if objective == "latency":
        return min(allowed, key=latency.__getitem__)
    if objective == "energy":
        return min(allowed, key=lambda g: _joules(_regroup(specs, g), device))
    if objective == "ridge":
        for group_size in allowed:
            if _intensity(_regroup(specs, group_size)) >= device.ridge:
                return group_size
        raise ValueError(
            f"No group size of {allowed} reaches the {device.ridge:.3g} MACs a word of "
            f"{device.name}: too few positions, or none allowed."
        )
    target = _mean_log_optimum(specs)
    return min(allowed, key=lambda g: abs(math.log2(g) - target))


def _convolutions(target, input_shape, layers):
    """The convolutions to group, and what all other layers cost (multiply-accumulates, weights)."""
    if isinstance(target, ConvSpec):
        return [target], 0, 0
    report = cost(target, input_shape)
    rows = [row for row in report.rows if row.conv is not None]
    if layers is not None:
        chosen = [row for row in rows if layers(row)]
    else:
        chosen = [row for row in rows if row.conv.groups > 1] or [
            row for row in rows if row.conv.window > 1 and row.conv.in_channels > 4
        ]
    if not chosen:
        raise ValueError(f"{target.name!r} has no convolution to choose a group size for.")
    specs = [row.conv for row in chosen]
    rest_macs = report.macs - sum(spec.macs for spec in specs)
    return specs, rest_macs, report.params - sum(spec.params for spec in specs)


def _candidates(specs, one):
    if one:
        return divisors(specs[0].in_channels)
    sizes = [2**i for i in range(int(math.log2(max(s.in_channels for s in specs))) + 1)]
    return [g for g in sizes if all(s.in_channels % min(g, s.in_channels) == 0 for s in specs)]


def _regroup(specs, group_size):
    return [spec.with_group_size(group_size) for spec in specs]


def _within(budget, values, group_size):
    for name, (lowest, highest) in (budget or {}).items():
        if name not in LIMITS:
            raise ValueError(f"`budget` may limit {LIMITS}. Received: {name!r}")
        if group_size not in values[name]:
            raise ValueError(f"`scores` must hold group size {group_size}.")
        value = values[name][group_size]
        if (lowest is not None and value < lowest) or (highest is not None and value > highest):
            return False
    return True


def _joules(specs, device):
    return math.fsum(device.joules(spec.macs, 4 * spec.words) for spec in specs)


def _intensity(specs):
    return sum(spec.macs for spec in specs) / sum(spec.words for spec in specs)


def _mean_log_optimum(specs):
    """Mean of `log2 G*`, weighted by the multiply-accumulates as the layers are."""
    total = sum(spec.macs for spec in specs)
    return sum(spec.macs * math.log2(optimum_group_size(spec)) for spec in specs) / total


def sweep_group_sizes(
    factory,
    group_sizes,
    input_shape=None,
    batch_size=1,
    device="p100",
    measured=False,
    layers=None,
    **options,
):
    """Builds a network at several group sizes and sets their costs side by side.

    Args:
        factory: Called as `factory(group_size=G)`, gives a `keras.Model`.
        group_sizes: The group sizes.
        input_shape: As in `keras_resnets.analysis.cost`.
        batch_size: Examples a pass, in the estimates and in the measurement.
        device: Of the estimates.
        measured: Whether each network is also run on random input, with `options` for
            `keras_resnets.analysis.measure`.
        layers: Predicate on `LayerCost`s: whose arithmetic intensity is shown. Default: the
            convolutions with a window and more than 4 input channels.
        **options: For `keras_resnets.analysis.measure`.

    Returns:
        A `Table`: parameters, multiply-accumulates, intensity, estimated energy and, if measured,
        latency and energy, with `is_estimate` for the latter.

    Example:

    >>> def factory(group_size):
    ...     x = keras.Input((8, 8, 16))
    ...     conv = keras.layers.Conv2D(16, 3, groups=16 // group_size, padding="same")
    ...     return keras.Model(x, conv(x))
    >>> sweep_group_sizes(factory, [1, 4, 16]).column("MACs")
    [9216, 36864, 147456]
    """
    rows = []
    for group_size in group_sizes:
        model = factory(group_size=group_size)
        report = cost(model, input_shape, batch_size, device)
        chosen = [r for r in report.rows if r.conv is not None and (layers or _windowed)(r)]
        words = sum(row.words for row in chosen)
        macs = sum(row.macs for row in chosen)
        row = {
            "group size": group_size,
            "params": report.params,
            "MACs": report.macs,
            "grouped MACs": macs,
            "grouped MACs/word": macs / words if words else 0.0,
            "energy J (estimate)": report.energy(),
        }
        if measured:
            row |= _measured(model, input_shape, batch_size, options)
        rows.append(row)
    return Table(rows)


def _windowed(row):
    return row.conv.window > 1 and row.conv.in_channels > 4


def _measured(model, input_shape, batch_size, options):
    run = measure(model, random_inputs(model, input_shape, batch_size), **options)
    return {
        "latency ms": 1e3 * run.latency["p50"],
        "energy J": run.energy / run.runs,
        "meter": run.backend,
        "is_estimate": run.is_estimate,
    }
