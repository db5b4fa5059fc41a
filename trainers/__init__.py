"""Training algorithms: `keras.Model` subclasses with their own step, recipes, callbacks."""

from trainers import recipes, soft_labels
from trainers.callbacks import EnergyLogger, MarginSchedule, VerificationCallback
from trainers.cut_mix import CutMix
from trainers.distillation import Distiller
from trainers.evaluation import embed_trials
from trainers.image_data import ImageBatches
from trainers.meal import MEALV2, default_discriminator
from trainers.partial import PartialTrainer, RandomMask, TrainOnly, train_only
from trainers.resume import Resume
from trainers.simclr import SimCLR
from trainers.soft_labels import StoredSoftLabels
from trainers.speaker import SpeakerTrainer
from trainers.swav import SwAV

__all__ = [
    "CutMix",
    "Distiller",
    "EnergyLogger",
    "ImageBatches",
    "MEALV2",
    "MarginSchedule",
    "PartialTrainer",
    "RandomMask",
    "Resume",
    "SimCLR",
    "SpeakerTrainer",
    "StoredSoftLabels",
    "SwAV",
    "TrainOnly",
    "VerificationCallback",
    "default_discriminator",
    "embed_trials",
    "recipes",
    "soft_labels",
    "train_only",
]
