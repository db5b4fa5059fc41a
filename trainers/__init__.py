"""Training algorithms: `keras.Model` subclasses with their own step, recipes, callbacks."""

from trainers import recipes
from trainers.callbacks import EnergyLogger, MarginSchedule, VerificationCallback
from trainers.distillation import Distiller
from trainers.evaluation import embed_trials
from trainers.meal import MEALV2, CutMix, default_discriminator
from trainers.partial import PartialTrainer, RandomMask, TrainOnly, train_only
from trainers.resume import Resume
from trainers.simclr import SimCLR
from trainers.speaker import SpeakerTrainer
from trainers.swav import SwAV

__all__ = [
    "CutMix",
    "Distiller",
    "MEALV2",
    "SimCLR",
    "SpeakerTrainer",
    "SwAV",
    "EnergyLogger",
    "MarginSchedule",
    "PartialTrainer",
    "RandomMask",
    "Resume",
    "TrainOnly",
    "VerificationCallback",
    "default_discriminator",
    "embed_trials",
    "recipes",
    "train_only",
]
