"""Code shared by all adapters: argument checks, sampling options, precision, random numbers, checkpoints and downloads.

`adapterkit.training` is the counterpart for training. This package contains nothing specific to a model: adapters
import it, and it imports `mtbench` but never an adapter.
"""
