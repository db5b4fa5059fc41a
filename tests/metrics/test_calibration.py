import numpy as np
import pytest

from keras_resnets.metrics import ScoreCalibrator, act_dcf, equal_error_rate, min_dcf


def gaussian_trials(seed, size=100_000, target_share=0.5, gap=0.5):
    """Normal scores with equal deviations: the true log-likelihood ratio is an affine map."""
    rng = np.random.default_rng(seed)
    labels = rng.random(size) < target_share
    scores = np.where(labels, 0.1 + gap, 0.1) + 0.1 * rng.normal(size=size)
    return scores, labels


@pytest.mark.parametrize("target_share", [0.5, 0.05])
def test_recovers_the_known_ratio_whatever_the_share_of_targets(target_share):
    scores, labels = gaussian_trials(0, size=400_000, target_share=target_share, gap=0.2)
    calibrator = ScoreCalibrator(p_target=0.5).fit(scores, labels)
    true_weight = 0.2 / 0.1**2
    assert calibrator.weights == pytest.approx([true_weight], rel=0.02)
    assert calibrator.bias == pytest.approx(-true_weight * (0.1 + 0.3) / 2, rel=0.02)


def test_fit_is_the_optimum_of_the_weighted_cross_entropy():
    scores, labels = gaussian_trials(1, size=500, target_share=0.2)
    scores = scores + 0.3 * np.random.default_rng(2).normal(size=500)
    p = 0.1
    ratios = ScoreCalibrator(p_target=p, l2=0.0).fit(scores, labels).transform(scores)
    posterior = 1 / (1 + np.exp(-(ratios + np.log(p / (1 - p)))))
    weight = np.where(labels, p / labels.sum(), (1 - p) / (~labels).sum())
    residual = weight * (posterior - labels)
    assert abs(residual.sum()) < 1e-8 and abs(residual @ scores) < 1e-8


def test_brings_actual_cost_to_the_minimum_on_unseen_trials():
    def distort(scores):
        return 0.05 * scores + 3.0

    scores, labels = gaussian_trials(3)
    unseen, unseen_labels = gaussian_trials(4)
    calibrator = ScoreCalibrator().fit(distort(scores), labels)
    ratios = calibrator.transform(distort(unseen))
    best = min_dcf(unseen, unseen_labels)
    assert act_dcf(distort(unseen), unseen_labels) >= 1.0
    assert best <= act_dcf(ratios, unseen_labels) < best + 0.01
    assert min_dcf(ratios, unseen_labels) == pytest.approx(best)


def test_a_quality_measure_that_shifts_scores_is_compensated():
    scores, labels = gaussian_trials(5, size=20_000)
    duration = np.random.default_rng(6).uniform(-1, 1, size=20_000)
    shifted = scores + 0.3 * duration
    calibrator = ScoreCalibrator(p_target=0.5).fit(shifted, labels, quality=duration)
    assert calibrator.weights[1] / calibrator.weights[0] == pytest.approx(-0.3, abs=0.01)
    ratios = calibrator.transform(shifted, quality=duration[:, None])
    assert equal_error_rate(ratios, labels) < equal_error_rate(shifted, labels) / 2


@pytest.mark.parametrize("p_target", [0.01, 0.5])
def test_perfectly_separated_scores_stay_finite(p_target):
    calibrator = ScoreCalibrator(p_target).fit([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0])
    ratios = calibrator.transform([0.9, 0.8, 0.2, 0.1])
    assert np.isfinite(ratios).all()
    assert act_dcf(ratios, [1, 1, 0, 0], p_target) == 0.0


def test_constant_scores_carry_no_information():
    ratios = ScoreCalibrator(0.3).fit([0.5] * 4, [1, 0, 0, 0]).transform([0.5] * 4)
    np.testing.assert_allclose(ratios, 0.0, atol=1e-8)


def test_save_and_load(tmp_path):
    scores, labels = gaussian_trials(7, size=200)
    quality = np.random.default_rng(8).normal(size=(200, 2))
    calibrator = ScoreCalibrator(p_target=0.05).fit(scores, labels, quality)
    calibrator.save(tmp_path / "calibrator.json")
    loaded = ScoreCalibrator.load(tmp_path / "calibrator.json")
    assert loaded.p_target == 0.05
    np.testing.assert_array_equal(
        loaded.transform(scores, quality), calibrator.transform(scores, quality)
    )
    assert [path.name for path in tmp_path.iterdir()] == ["calibrator.json"]


def test_load_of_something_else(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        ScoreCalibrator.load(tmp_path / "absent.json")
    for text in ("", "[1]", '{"class_name": "Dense"}', '{"class_name": "ScoreCalibrator"}'):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(ValueError, match=r"`path` must be a file that `save` wrote.*other"):
            ScoreCalibrator.load(tmp_path / "other.json")


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: ScoreCalibrator(p_target=1.0), "`p_target` must be between 0 and 1"),
        (lambda: ScoreCalibrator(l2=-1.0), "`l2` must be finite and not negative"),
        (lambda: ScoreCalibrator().transform([0.1]), "must be fitted first"),
        (lambda: ScoreCalibrator().save("calibrator.json"), "must be fitted first"),
        (lambda: ScoreCalibrator().fit([0.1, 0.2], [1, 1]), "needs both target and non-target"),
        (lambda: ScoreCalibrator().fit([0.1, np.inf], [1, 0]), "must be finite"),
        (lambda: ScoreCalibrator().fit([0.1, 0.2], [1, 0], [1.0]), r"`quality` \(N, Q\)"),
        (
            lambda: ScoreCalibrator(0.5, l2=0.1).fit([1, 0], [1, 0]).transform([1], [1]),
            "the 0 measures",
        ),
        (
            lambda: ScoreCalibrator(max_iter=2).fit([1, 0, 1], [1, 0, 0]),
            "did not converge in max_iter=2",
        ),
        (lambda: ScoreCalibrator(l2=0.0).fit([1, 0], [1, 0]), "`l2` must be positive"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
