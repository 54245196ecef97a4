"""Run madmom's ensemble of eight bidirectional LSTM networks, compiled (stem by stem) or in plain NumPy.

Each network (Böck, Krebs and Widmer, ISMIR 2016) has three bidirectional layers of H = 25 LSTM units per
direction, with peephole connections (Gers and Schmidhuber, 2000), and a softmax over (no beat, beat, downbeat).
With input u_t, output h_t and cell state c_t, all zero before the first frame:

    i_t = sigmoid(W_i u_t + R_i h_{t-1} + p_i * c_{t-1} + b_i)
    f_t = sigmoid(W_f u_t + R_f h_{t-1} + p_f * c_{t-1} + b_f)
    c_t = f_t * c_{t-1} + i_t * tanh(W_c u_t + R_c h_{t-1} + b_c)
    o_t = sigmoid(W_o u_t + R_o h_{t-1} + p_o * c_t + b_o)
    h_t = o_t * tanh(c_t)

The backward direction does the same with the frames in reverse order. Shapes use M = 8 networks, D = 2 directions,
K frames, B stems, F inputs. The gates are stored in the order i, f, o, c. The NumPy version processes each frame for
all networks and stems together; the axis of units precedes that of stems, so that a frame's gates are contiguous.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtbench.beats import _madmom, compiled

UNITS = compiled.UNITS
BLOCK = 128  # number of frames whose input products are in memory at a time

Array = NDArray[np.float32]


class Layer(NamedTuple):
    """One bidirectional layer of all networks, float32.

    W: [D, M, 4H, F], R: [D, M, 4H, H], b: [D, M, 4H, 1], p: [D, M, 3H, 1].
    """

    W: Array
    R: Array
    b: Array
    p: Array


class Ensemble(NamedTuple):
    """Three layers, and the softmax: W [M, 3, 2H] and b [M, 3, 1], float32."""

    layers: tuple[Layer, ...]
    W: Array
    b: Array


@lru_cache(maxsize=1)
def load_ensemble() -> Ensemble:
    """Load the trained weights of the installed madmom. Raises ImportError if it is not installed."""
    networks = _madmom.load_networks()
    bidirectional = zip(*(network.layers[:-1] for network in networks))
    outputs: list[_madmom.Output] = [network.layers[-1] for network in networks]
    return Ensemble(
        tuple(_stack(layers) for layers in bidirectional),
        np.stack([output.weights.T for output in outputs]),
        np.stack([output.bias[:, None] for output in outputs]),
    )


def _stack(layers: Sequence[_madmom.Bidirectional]) -> Layer:
    """Build a Layer from the corresponding bidirectional layer of each network."""
    directions = [[layer.fwd_layer for layer in layers], [layer.bwd_layer for layer in layers]]

    def gates(
        weights_of: Callable[[_madmom.Gate], Array],
        names: tuple[str, ...] = ("input_gate", "forget_gate", "output_gate", "cell"),
    ) -> Array:
        return np.array(
            [
                [np.concatenate([weights_of(getattr(lstm_layer, name)) for name in names]) for lstm_layer in direction]
                for direction in directions
            ],
            dtype=np.float32,
        )

    return Layer(
        W=gates(lambda gate: gate.weights.T),
        R=gates(lambda gate: gate.recurrent_weights.T),
        b=gates(lambda gate: gate.bias)[..., None],
        p=gates(lambda gate: gate.peephole_weights, ("input_gate", "forget_gate", "output_gate"))[..., None],
    )


def network_outputs(features: Array) -> Array:
    """Compute the probabilities of (no beat, beat, downbeat) from each network.

    Parameters: ``features`` float32 [B, K, 314], B stems of equal length. Returns float32 [B, M, K, 3].
    Raises ImportError if madmom, which provides the weights, is not installed.
    """
    if compiled.AVAILABLE:
        return np.stack([outputs_of_stem(stem) for stem in features])
    return outputs_plain(features)


class PaddedLayer(NamedTuple):
    """A layer in the format of compiled.lstm, with G = 104 gates.

    W: [M, F, D * G], b: [D, M, G], R: [D, M, H, G], p: [D, M, 3, 32].
    """

    W: Array
    b: Array
    R: Array
    p: Array


@lru_cache(maxsize=1)
def _padded_layers() -> list[PaddedLayer]:
    layers = []
    for W, R, b, p in load_ensemble().layers:
        directions, networks, gates, inputs = W.shape
        filling = compiled.GATES - gates
        W, R, b = (np.pad(weights, ((0, 0), (0, 0), (0, filling), (0, 0))) for weights in (W, R, b))
        p = p.reshape(directions, networks, 3, UNITS)
        layers.append(
            PaddedLayer(
                W=np.ascontiguousarray(W.transpose(1, 3, 0, 2)).reshape(networks, inputs, -1),
                b=b[..., 0].copy(),
                R=np.ascontiguousarray(R.swapaxes(2, 3)),
                p=np.pad(p, ((0, 0), (0, 0), (0, 0), (0, compiled.PADDED_UNITS - UNITS))),
            )
        )
    return layers


def outputs_of_stem(features: Array) -> Array:
    """The compiled version: float32 [K, 314] to [M, K, 3]. Networks run one after another to save memory."""
    ensemble = load_ensemble()
    logits: Array = np.empty((len(ensemble.W), len(features), 3), np.float32)
    for m in range(len(logits)):
        u = features
        for W, b, R, p in _padded_layers():
            z = u @ W[m]
            u = np.empty((len(features), 2 * UNITS), np.float32)
            for direction in range(2):
                compiled.lstm(z, b[direction, m], R[direction, m], p[direction, m], u, direction)
        logits[m] = u @ ensemble.W[m].T + ensemble.b[m].T
    return softmax(logits, axis=2)


def softmax(logits: Array, axis: int) -> Array:
    """Turn logits into probabilities, in place."""
    logits -= logits.max(axis=axis, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=axis, keepdims=True)
    return logits


def outputs_plain(features: Array) -> Array:
    """The NumPy version: float32 [B, K, 314] to [B, M, K, 3], all stems together.

    Stems do not influence each other except through rounding (sums in a different order, about 1e-6).
    """
    ensemble = load_ensemble()
    u = np.ascontiguousarray(features.transpose(1, 2, 0))[:, None]  # [K, 1, F, B], the same for all networks
    for layer in ensemble.layers:
        u = bidirectional(u, layer)
    probabilities = softmax(ensemble.W @ u + ensemble.b, axis=2)  # [K, M, 3, B]
    return np.ascontiguousarray(probabilities.transpose(3, 1, 0, 2))


def bidirectional(u: Array, layer: Layer) -> Array:
    """Run one layer of all networks on u [K, M or 1, F, B]; returns float32 [K, M, 2H, B], forward units first."""
    frames, _, _, stems = u.shape
    networks = layer.R.shape[1]
    both = np.empty((frames, networks, 2 * UNITS, stems), np.float32)
    h = np.zeros((2, networks, UNITS, stems), np.float32)
    c = np.zeros_like(h)
    for start in range(0, frames, BLOCK):
        stop = min(start + BLOCK, frames)
        forward, backward = u[start:stop], u[::-1][start:stop]
        z = np.stack(
            [input_products(forward, layer.W[0], layer.b[0]), input_products(backward, layer.W[1], layer.b[1])], axis=1
        )
        outputs, h, c = recur(z, layer.R, layer.p, h, c)
        both[start:stop, :, :UNITS] = outputs[:, 0]
        both[::-1][start:stop, :, UNITS:] = outputs[:, 1]
    return both


def input_products(u: Array, W: Array, b: Array) -> Array:
    """Compute W u + b for T frames of one direction: u [T, M or 1, F, B], W [M, 4H, F] -> [T, M, 4H, B]."""
    if u.shape[1] == 1:  # one product for all networks
        networks, gates, inputs = W.shape
        product: Array = W.reshape(networks * gates, inputs) @ u[:, 0]
        return product.reshape(len(u), networks, gates, -1) + b
    products: Array = W @ u + b
    return products


def recur(z: Array, R: Array, p: Array, h: Array, c: Array) -> tuple[Array, Array, Array]:
    """Run the recurrence over T frames, for all directions, networks and stems at once.

    Parameters: z [T, D, M, 4H, B], the input products, which are overwritten; R [D, M, 4H, H]; p [D, M, 3H, 1]; h, c
    [D, M, H, B], the state before the first frame. Returns the outputs [T, D, M, H, B] and the final h and c.
    """
    H = UNITS
    p_if, p_o = p[:, :, : 2 * H], p[:, :, 2 * H :]
    outputs = np.empty((len(z), *h.shape), np.float32)
    c_twice = np.empty_like(z[0][:, :, : 2 * H])
    for t in range(len(z)):
        gates = z[t]
        gates += R @ h
        c_twice[:, :, :H] = c
        c_twice[:, :, H:] = c
        c_twice *= p_if
        i_f = gates[:, :, : 2 * H]
        i_f += c_twice
        _sigmoid(i_f)
        c = i_f[:, :, H:] * c
        c += i_f[:, :, :H] * np.tanh(gates[:, :, 3 * H :])
        o = gates[:, :, 2 * H : 3 * H]
        o += p_o * c
        _sigmoid(o)
        h = np.multiply(o, np.tanh(c), out=outputs[t])
    return outputs, h, c


def _sigmoid(x: Array) -> None:
    """Apply the sigmoid in place, as (1 + tanh(x / 2)) / 2, which cannot overflow and needs no division."""
    x *= np.float32(0.5)
    np.tanh(x, out=x)
    x += np.float32(1)
    x *= np.float32(0.5)
