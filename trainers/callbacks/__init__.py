"""Callbacks: what a training is watched by, and what changes in its course."""

from trainers.callbacks.collapse import CollapseMonitor
from trainers.callbacks.energy import EnergyLogger
from trainers.callbacks.knn import KNNCallback
from trainers.callbacks.margin import MarginSchedule
from trainers.callbacks.verification import VerificationCallback

__all__ = [
    "CollapseMonitor",
    "EnergyLogger",
    "KNNCallback",
    "MarginSchedule",
    "VerificationCallback",
]
