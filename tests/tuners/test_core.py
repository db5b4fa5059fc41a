import json

import numpy as np
import pytest

import tuners
from tuners.core import OPTIONS, NARSCore

SPACE = tuners.SearchSpace(
    [
        *(tuners.Integer(f"width{i}", 1, 32, part="architecture") for i in range(3)),
        tuners.Categorical("kind", ["a", "b", "c"], part="architecture"),
        tuners.Real("rate", 1e-4, 1e-1, log=True),
    ]
)
SMALL = dict(initial_trials=10, pool_size=300, seed=3)


def statistics(config):
    return {"params": float(sum(config[f"width{i}"] ** 2 for i in range(3)))}


def value(config):
    return np.log(statistics(config)["params"]) - abs(np.log10(config["rate"]) + 2.5)


def search(core, trials, objective=value):
    """Asks and tells, one by one; the configurations that were tried."""
    asked = []
    for _ in range(trials):
        config = core.ask()[0]
        asked.append(config)
        core.tell(len(core.results()), config, objective(config))
    return asked


def test_it_beats_its_own_initial_trials_and_repeats_itself():
    core = NARSCore(SPACE, statistics=statistics, **SMALL)
    asked = search(core, 30)
    # the first are the pool's, evenly spread
    assert asked[:10] == SPACE.sample(10, seed=[3, 0])
    values = [value(config) for config in asked]
    assert np.median(values[20:]) > np.median(values[:10])
    assert core.results()[0]["value"] == max(values)
    assert len(set(SPACE.keys(asked))) == 30
    smallest = NARSCore(SPACE, direction="min", statistics=statistics, **SMALL)
    assert search(smallest, 30, lambda config: -value(config)) == asked
    assert smallest.results()[0]["value"] == -max(values)


@pytest.mark.parametrize("rate, decay", [(0.3, 0.7), (0.6, 0.4)])
def test_it_finds_a_rate_and_a_decay_within_their_ranges(rate, decay):
    """And not at their ends; the five proposals between two refits are not one five times."""
    names = ("rate", "decay", "momentum")
    width = tuners.Integer("width", 1, 64, part="architecture")
    space = tuners.SearchSpace([width, *(tuners.Real(name, 0, 1) for name in names)])

    def accuracy(config):
        return -((config["rate"] - rate) ** 2) - (config["decay"] - decay) ** 2

    core = NARSCore(space, pretrain=False, **SMALL | {"refit_every": 5})
    asked = search(core, 40, accuracy)
    even = space.sample(1000)
    assert np.mean([*map(accuracy, asked[25:])]) > 0.2 * np.mean([*map(accuracy, even)])
    assert max(map(accuracy, asked)) > -0.02
    for start in range(10, 40, 5):
        assert len(set(space.cells(asked[start : start + 5]))) == 5


@pytest.mark.parametrize("cut", [6, 17])
def test_resumed_it_proposes_what_it_would_have(cut):
    """Cut in the initial trials, and between a refit and the next, with a trial running."""
    undisturbed = NARSCore(SPACE, statistics=statistics, **SMALL)
    search(undisturbed, cut)
    running = undisturbed.ask()[0]
    state = json.loads(json.dumps(undisturbed.state_dict()))
    resumed = NARSCore(SPACE, statistics=statistics, **SMALL)
    resumed.load_state_dict(state)
    further = []
    for core in (undisturbed, resumed):
        assert core.state_dict() == undisturbed.state_dict() or core is resumed
        further.append(search(core, 5))
        core.tell("running", running, value(running))
        further[-1] += search(core, 5)
    assert further[0] == further[1]
    every = [row["config"] for row in resumed.results()]
    assert len(set(SPACE.keys(every))) == len(every) == cut + 11


def test_what_is_proposed_between_two_refits_differs():
    space = tuners.SearchSpace([tuners.Real("rate", 0, 1, part="architecture")])
    core = NARSCore(space, pretrain=False, **SMALL)
    asked = search(core, 20, lambda config: -((config["rate"] - 0.3) ** 2))
    for together in (asked[10:15], asked[15:20]):
        assert len({int(20 * config["rate"]) for config in together}) == 5


def test_the_order_of_arrival_does_not_matter():
    proposals = []
    for order in (range(10), reversed(range(10))):
        core = NARSCore(SPACE, statistics=statistics, **SMALL)
        asked = core.ask(10)
        for i in order:
            core.tell(i, asked[i], value(asked[i]))
        proposals.append(core.ask(7))
    assert proposals[0] == proposals[1]


def test_asking_never_waits_for_results():
    core = NARSCore(SPACE, pretrain=False, **SMALL)
    asked = core.ask(14)  # four more than are initial, before any result
    for i, config in enumerate(asked[:6]):
        core.tell(i, config, value(config))
    asked += core.ask(4)
    assert len(core.state_dict()["fitted"]) == 6
    for i, config in enumerate(asked[6:10], start=6):
        core.tell(i, config, value(config))
    asked += core.ask(1)
    assert len(core.state_dict()["fitted"]) == 6  # four new results are too few
    assert len(set(SPACE.keys(asked))) == 19


def test_synchronous_batches():
    core = NARSCore(SPACE, synchronous=True, batch_size=3, pretrain=False, **SMALL)
    first = core.ask(30)
    assert len(first) == 10 and core.waiting and core.ask() == []
    for i, config in enumerate(first):
        core.tell(i, config, value(config))
    batch = core.ask(2)
    assert not core.waiting and len(core.ask(5)) == 1
    for i, config in enumerate(batch, start=10):
        core.tell(i, config, value(config))
    assert core.waiting and core.ask() == []


def canonical(config):
    return {**config, "b": config["b"] if config["a"] else 0}


@pytest.mark.filterwarnings("ignore:5 different")
def test_an_exhausted_space_ends_the_search():
    space = tuners.SearchSpace(
        [tuners.Integer(name, 0, 1 + (name == "b"), part="architecture") for name in "ab"],
        canonical=canonical,
    )
    core = NARSCore(space, initial_trials=2, refit_every=1, pretrain=False)
    told = {"a": 0, "b": 1}  # by someone else
    core.tell("other", told, 0.5)
    asked = search(core, 3, lambda config: config["b"])
    assert core.ask(5) == [] and not core.waiting
    keys = space.keys([told, *asked])
    assert len(set(keys)) == 4


def test_constraints_and_budgets_hold_in_every_trial():
    budgets = [("params", 200.0), ("params", 600.0)]
    core = NARSCore(
        SPACE,
        statistics=statistics,
        constraints=[tuners.Constraint("params", max=1500, min=50)],
        budgets=budgets,
        **SMALL,
    )
    asked = search(core, 36)
    params = np.array([statistics(config)["params"] for config in asked])
    assert params.min() >= 50
    assert params[0::3].max() <= 200 and params[1::3].max() <= 600 < params[2::3].max() <= 1500
    best = core.best_configs([("params", 400)], k=3)
    assert len(best) == 3 and best[0]["score"] >= best[1]["score"] >= best[2]["score"]
    for row in best:
        assert row["statistics"]["params"] <= 400
        assert row["statistics"] == statistics(row["config"])
    fresh = [c for c in SPACE.sample(500, seed=9) if statistics(c)["params"] <= 400]
    assert value(best[0]["config"]) > np.median([value(c) for c in fresh])
    with pytest.warns(UserWarning, match=r"0 of 36 results meet .* the predictor extrapolates"):
        core.best_configs([tuners.Constraint("params", min=2000)])


def test_asking_for_the_best_changes_nothing_to_come():
    searches = [NARSCore(SPACE, statistics=statistics, **SMALL) for _ in "ab"]
    for core in searches:
        search(core, 13)
    searches[0].best_configs(k=1)
    assert search(searches[0], 4) == search(searches[1], 4)


def test_pareto_front():
    core = NARSCore(SPACE, statistics=statistics, **SMALL)
    search(core, 15)
    front = core.pareto("params", points=4)
    params = [row["statistics"]["params"] for row in front]
    scores = [row["score"] for row in front]
    assert len(front) >= 3
    assert params == sorted(params) and scores == sorted(scores)
    assert len(set(params)) == len(set(scores)) == len(front)
    with pytest.raises(ValueError, match=r"\['params'\]"):
        core.pareto("macs")


def test_failed_trials_rank_last():
    core = NARSCore(SPACE, statistics=statistics, **SMALL)

    def objective(config):
        return float("nan") if config["kind"] == "a" else value(config)

    asked = search(core, 25, objective)
    results = core.results()
    failed = [row["value"] is None for row in results]
    assert any(failed) and failed == sorted(failed)
    assert json.dumps(core.state_dict(), allow_nan=False)
    assert sum(config["kind"] == "a" for config in asked[10:]) <= 3
    nothing = NARSCore(SPACE, pretrain=False, **SMALL)
    assert len(search(nothing, 12, lambda config: None)) == 12


def test_epochs_follow_the_initial_trials():
    core = NARSCore(SPACE, max_epochs=6, pretrain=False, **SMALL)
    asked = core.ask(10)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(10, 3)) * 10
    for i, config in enumerate(asked):
        assert core.epochs == 6
        curve = [*noise[i], value(config) + 4, value(config) + 5, value(config) + 6]
        for epoch, metric in enumerate(curve[:-1], start=1):
            core.tell(i, config, metric, step=epoch, finished=False)
        assert len(core.results()) == i  # history is no result
        core.tell(i, config, curve[-1], step=6)
    assert core.epochs == 4
    core.ask()
    # all are compared as they were after four epochs
    fitted = {id: value for id, value, _ in core.state_dict()["fitted"]}
    assert fitted == {i: value(config) + 4 for i, config in enumerate(asked)}
    again = NARSCore(SPACE, max_epochs=6, pretrain=False, **SMALL)
    again.load_state_dict(core.state_dict())
    assert again.epochs == 4


def test_without_histories_trials_are_never_cut_short():
    core = NARSCore(SPACE, pretrain=False, **SMALL)
    search(core, 10)
    assert core.epochs == 150


def test_told_again_a_trial_is_updated():
    core = NARSCore(SPACE, pretrain=False, **SMALL)
    config = core.ask()[0]
    core.tell("one", config, None)
    core.tell("one", config, 2.0)
    assert [row["value"] for row in core.results()] == [2.0]


def test_measured_constraints_are_learnt():
    memory = tuners.Constraint("memory", max=300.0, measured=True)
    core = NARSCore(SPACE, statistics=statistics, constraints=[memory], **SMALL)
    for number in range(30):
        config = core.ask()[0]
        measured = {"memory": config["width0"] * config["width1"]}
        core.tell(number, config, value(config), measured=measured)
    results = core.results()
    feasible = [row["feasible"] for row in results]
    assert feasible == sorted(feasible, reverse=True) and results[0]["feasible"]
    for row in results:
        assert row["feasible"] == (row["config"]["width0"] * row["config"]["width1"] <= 300)
    assert np.mean([row["feasible"] for row in results if row["id"] >= 20]) >= 0.7
    best = core.best_configs(k=1)[0]["config"]
    assert best["width0"] * best["width1"] <= 400


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": "up"}, "'max', 'min'"),
        ({"initial_trials": 1}, "`initial_trials` must be a whole number from 2"),
        ({"refit_every": 0}, "`refit_every`"),
        ({"seed": 0.5}, "`seed`"),
        ({"exploration": -1}, "`exploration` must be a number from 0"),
        ({"early_stop_correlation": 2}, "from 0 to 1"),
        ({"constraints": [("macs", 1)]}, r"\['params'\].*'macs'"),
        ({"constraints": [("params", 0.5)]}, "params of .* is nearest to max=0.5"),
        ({"budgets": [("params", 0.5)]}, "is nearest to"),
        ({"budgets": [tuners.Constraint("m", 1, measured=True)]}, "free statistics"),
        ({"statistics": lambda config: {"params": np.nan}}, "'params' of nan"),
        ({"statistics": None, "constraints": [("params", 1)]}, r"`statistics`: \[\]"),
    ],
)
@pytest.mark.filterwarnings("ignore:0 different")
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        NARSCore(SPACE, **{"statistics": statistics, **SMALL, **options})


def test_bad_results():
    core = NARSCore(SPACE, pretrain=False, **SMALL)
    first, second = core.ask(2)
    core.tell(1, first, 0.5)
    for arguments, message in [
        ((1, second, 0.5), "`config` of trial 1 must be as before"),
        ((1.5, second, 0.5), "`id`"),
        ((2, {**second, "rate": 1}, 0.5), "'rate' must lie in"),
        ((2, second, 0.5, 0), "`step`"),
    ]:
        with pytest.raises(ValueError, match=message):
            core.tell(*arguments)
    assert len(core.results()) == 1
    with pytest.raises(ValueError, match="two results at least"):
        core.best_configs()


def test_states_of_others_are_refused():
    core = NARSCore(SPACE, statistics=statistics, **SMALL)
    state = core.state_dict()
    assert set(state["options"]) == {*OPTIONS, "constraints", "budgets"}
    other = tuners.SearchSpace([*SPACE.dimensions[:-1], tuners.Real("speed", 0, 1)])
    for changed, message in [
        ({**state, "format": 2}, "format 1 or older. Received: 2"),
        ({"trials": []}, "must be of `state_dict`"),
        ({**state, "space": {**state["space"], "layout": ["rate"]}}, "only: .*'rate near 7'"),
        ({**state, "options": {**state["options"], "seed": 4}}, "seed=3. Received: seed=4"),
        (NARSCore(other, pretrain=False, **SMALL).state_dict(), r"\['rate', 'speed'\]"),
    ]:
        with pytest.raises(ValueError, match=message):
            core.load_state_dict(changed)
        assert core.state_dict() == state


def test_spaces_without_architecture_are_searched_unpretrained():
    space = tuners.SearchSpace([tuners.Real("rate", 0, 1), tuners.Integer("size", 1, 9)])
    with pytest.warns(UserWarning, match="nothing to pretrain on") as caught:
        core = NARSCore(space, **SMALL)
    assert len(caught) == 1
    search(core, 20, lambda config: -((config["rate"] - 0.3) ** 2))
    assert abs(core.results()[0]["config"]["rate"] - 0.3) < 0.05
