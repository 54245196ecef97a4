"""What any model's adapter may use: checks of what it is asked and given, sampling options, precision, random numbers,
checkpoints and downloads. `adapterkit.training` is the same for training.

It knows no model. Adapters import it; it imports `mtbench` and never an adapter.
"""
