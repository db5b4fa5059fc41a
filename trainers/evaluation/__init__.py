"""What a trained network is worth: trial lists, linear classifiers on frozen features."""

from trainers.evaluation.linear_probe import LinearProbe, LinearScore
from trainers.evaluation.trials import TrialAudio, embed_trials

__all__ = ["LinearProbe", "LinearScore", "TrialAudio", "embed_trials"]
