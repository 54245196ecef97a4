"""Configs that a user would run, which travel inside the wheel as ``mtbench.configs``."""
