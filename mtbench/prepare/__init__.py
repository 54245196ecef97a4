"""Prepare data sets: from the folder as it is distributed to the layout that a suite reads, `mtbench.suites.tracks`."""

from mtbench.prepare import moisesdb, musdb18, slakh2100
from mtbench.prepare.recipe import Recipe
from mtbench.prepare.work import Prepared, prepare

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for recipe in (slakh2100.RECIPE, musdb18.RECIPE, musdb18.HQ, moisesdb.RECIPE)
}

__all__ = ["RECIPES", "Prepared", "Recipe", "prepare"]
