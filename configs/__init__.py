"""Configs for users, shipped in the wheel as ``mtbench.configs``."""
