"""Training algorithms: `keras.Model` subclasses with their own step, recipes, callbacks."""

from trainers import recipes
from trainers.callbacks import MarginSchedule, VerificationCallback
from trainers.evaluation import embed_trials
from trainers.resume import Resume
from trainers.speaker import SpeakerTrainer

__all__ = [
    "SpeakerTrainer",
    "MarginSchedule",
    "Resume",
    "VerificationCallback",
    "embed_trials",
    "recipes",
]
