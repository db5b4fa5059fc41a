"""What teachers say of random crops, computed once and kept: distillation without the teachers."""

from trainers.soft_labels.stored import StoredSoftLabels
from trainers.soft_labels.writing import precompute

__all__ = ["StoredSoftLabels", "precompute"]
