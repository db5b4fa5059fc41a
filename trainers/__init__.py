"""Training algorithms: `keras.Model` subclasses with their own step, recipes, callbacks."""

from trainers import distribution, recipes, soft_labels
from trainers.callbacks import (
    CollapseMonitor,
    EnergyLogger,
    KNNCallback,
    MarginSchedule,
    VerificationCallback,
)
from trainers.cut_mix import CutMix
from trainers.distillation import Distiller
from trainers.evaluation import LinearProbe, embed_trials
from trainers.image_data import ImageBatches
from trainers.image_export import export_classifier
from trainers.labels import few_labels
from trainers.meal import MEALV2, default_discriminator
from trainers.partial import PartialTrainer
from trainers.random_mask import RandomMask
from trainers.resume import Resume
from trainers.rules import TrainOnly, train_only
from trainers.simclr import SimCLR
from trainers.soft_labels import StoredSoftLabels
from trainers.speaker import SpeakerTrainer
from trainers.swav import SwAV

__all__ = [
    "CollapseMonitor",
    "CutMix",
    "Distiller",
    "EnergyLogger",
    "ImageBatches",
    "KNNCallback",
    "LinearProbe",
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
    "distribution",
    "embed_trials",
    "export_classifier",
    "few_labels",
    "recipes",
    "soft_labels",
    "train_only",
]
