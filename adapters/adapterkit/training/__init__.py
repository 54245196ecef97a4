"""Code shared by all trainings: configs, songs and their caches, the loop and its state, optimisers, logs, scores.

Each kind of training adds a loss, a function of (network, songs, generator), and a command of a few lines.
Every step draws its songs and its noise from (seed, step) alone: an interrupted training resumes to the same weights,
and two networks trained with the same seed see the same songs with the same noise.
"""
