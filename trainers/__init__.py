"""Training algorithms: `keras.Model` subclasses with their own step, recipes, callbacks."""

from trainers import recipes
from trainers.callbacks import EnergyLogger, MarginSchedule, VerificationCallback
from trainers.evaluation import embed_trials
from trainers.image_data import ImageBatches
from trainers.partial import PartialTrainer, RandomMask, TrainOnly, train_only
from trainers.resume import Resume
from trainers.speaker import SpeakerTrainer

__all__ = [
    "SpeakerTrainer",
    "EnergyLogger",
    "ImageBatches",
    "MarginSchedule",
    "PartialTrainer",
    "RandomMask",
    "Resume",
    "TrainOnly",
    "VerificationCallback",
    "embed_trials",
    "recipes",
    "train_only",
]
