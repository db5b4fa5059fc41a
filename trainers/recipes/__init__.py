"""Published training recipes, each with its source's figures."""

from trainers.recipe import Recipe
from trainers.recipes.contrastive import *  # noqa: F403
from trainers.recipes.fbnet import *  # noqa: F403
from trainers.recipes.image import *  # noqa: F403
from trainers.recipes.linear import *  # noqa: F403
from trainers.recipes.meal import *  # noqa: F403
from trainers.recipes.speaker import *  # noqa: F403

__all__ = sorted(
    name
    for name, value in globals().items()
    if isinstance(value, Recipe) or (isinstance(value, type) and issubclass(value, Recipe))
)
