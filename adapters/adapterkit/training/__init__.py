"""What every training shares: configs, songs and their caches, the loop and its state, optimisers, logs, scores.

A kind of training brings a loss, which is a function of (network, songs, generator), and a command of a few lines.
Every step draws its songs and its noise from (seed, step) alone: a training that was stopped resumes to the same
weights, and two networks trained with one seed see the same songs with the same noise.
"""
