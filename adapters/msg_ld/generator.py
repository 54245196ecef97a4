"""MSG-LD and its predecessor MT-MusicLDM as Generators: one network, two models.

MSG-LD is trained with the mixture as a condition that is dropped for part of the songs, so it can also separate.
MT-MusicLDM is trained without mixtures; one of its two published checkpoints is conditioned on a CLAP embedding.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adapterkit.weights import sha256
from msg_ld import clap
from msg_ld.network import MSGLDConfig, MSGLDUNet
from mtbench.audio import read
from mtbench.errors import UsageError
from mtbench.stems import Suite
from musicldm import published
from musicldm.family import Condition, Family
from musicldm.fetch import trained_model
from musicldm.generator import LatentDiffusion

CHECKPOINTS = Path(__file__).parent / "checkpoints"
EMBEDDED, EMBEDDED_MT = CHECKPOINTS / "band.pt", CHECKPOINTS / "mt-musicldm-band.pt"


def make(
    *,
    weights: str | None,
    device: str,
    suite: Suite,
    steps: int | None = None,
    batch_size: int | None = None,
    guidance_scale: float = 1.0,
    precision: str = "float32",
    compile: bool = False,
) -> LatentDiffusion:
    """Create the generator from a checkpoint of MSG-LD.

    weights: a checkpoint written by mtbench's training, or a Lightning file of the published code, of any width (None:
    the embedded checkpoint, trained on synthetic songs). steps: number of DDIM steps (default: 200 for a Lightning
    file, otherwise 50). batch_size: samples denoised together (default: 8); it does not change the samples.
    guidance_scale: how strongly separation follows the mixture: 1 is as trained, larger values are stronger and double
    the cost. It has no effect on total generation and arrangement, which use no mixture. precision, compile: see
    SyncTrack's factory.

    The model can separate if it was trained with mixtures. Clips may have any length; the cost is quadratic in it.
    Raises UsageError if the file does not exist or is not such a checkpoint, and for invalid options.
    """
    if weights == "published":
        raise UsageError("model 'msg-ld': no weights of MSG-LD have been published; pass the path of a file")
    path = Path(weights or EMBEDDED)

    def refuse_clap(checkpoint: Mapping[str, Any], config: MSGLDConfig) -> None:
        if config.extra_film_condition_dim is not None:
            raise UsageError(f"{path} was trained with CLAP and is a checkpoint of model 'mt-musicldm'")

    family = Family("msg-ld", _trained, _lightning, separates=_with_mixtures, condition=refuse_clap)
    options = family.options(
        steps=steps, batch_size=batch_size, precision=precision, compile=compile, guidance_scale=guidance_scale
    )
    return family.open(path, options, device, suite)


def make_mt_musicldm(
    *,
    weights: str | None,
    device: str,
    suite: Suite,
    steps: int | None = None,
    batch_size: int | None = None,
    prompt: str | None = None,
    audio: str | None = None,
    guidance_scale: float = 2.0,
    precision: str = "float32",
    compile: bool = False,
) -> LatentDiffusion:
    """Create the generator from a checkpoint of MT-MusicLDM.

    weights: a checkpoint written by mtbench's training or a published Lightning file, of any width (None: the embedded
    checkpoint, trained on synthetic songs). `published` means the file fetched by
    `python -m musicldm.fetch mt-musicldm` or, with prompt or audio, by `python -m musicldm.fetch mt-musicldm-clap`.
    prompt, audio: a text, or the path of an audio file; all samples are conditioned on its CLAP embedding. This needs a
    checkpoint trained with CLAP, which without prompt and audio generates unconditionally. guidance_scale: how strongly
    samples follow the condition (published: 2); any value except 1 doubles the cost. Other parameters: see MSG-LD's
    factory.
    """
    if prompt is not None and audio is not None:
        raise UsageError("model 'mt-musicldm': prompt and audio cannot both be given")
    conditional = prompt is not None or audio is not None
    if weights == "published":
        path = trained_model("mt-musicldm-clap" if conditional else "mt-musicldm")
    else:
        path = Path(weights or EMBEDDED_MT)

    def condition(checkpoint: Mapping[str, Any], config: MSGLDConfig) -> Condition | None:
        if checkpoint.get("mixture") is True:
            raise UsageError(f"{path} was trained with mixtures and is a checkpoint of model 'msg-ld'")
        if config.extra_film_condition_dim is None:
            if conditional:
                raise UsageError(
                    f"{path} was trained without CLAP: prompt and audio of model 'mt-musicldm' need a conditional "
                    "checkpoint"
                )
            return None
        return _clap_embeddings(path, checkpoint, prompt, audio)

    family = Family("mt-musicldm", _trained, _lightning, condition=condition)
    options = family.options(
        steps=steps,
        batch_size=batch_size,
        precision=precision,
        compile=compile,
        guidance_scale=guidance_scale if conditional else 0.0,
    )
    return family.open(path, options, device, suite)


def _clap_embeddings(path: Path, checkpoint: Mapping[str, Any], prompt: str | None, audio: str | None) -> Condition:
    """Return the embeddings of no condition and of prompt or audio, float32 [2, 512], and their provenance."""
    file, state, provenance = clap.weights_of(path, checkpoint)
    model = clap.CLAP(file, state)
    nothing = model.of_text("")
    condition: dict[str, str] | str
    if audio is not None:
        embedding, condition = model.of_audio(*read(audio)), {"audio_sha256": sha256(Path(audio))}
    elif prompt is not None:
        embedding, condition = model.of_text(prompt), {"prompt": prompt}
    else:
        embedding, condition = nothing, "nothing"
    return torch.stack([nothing, embedding]), {**provenance, "conditioned_on": condition}


def _trained(config: Mapping[str, Any]) -> MSGLDUNet:
    return MSGLDUNet(MSGLDConfig(**config))


def _lightning(state: Mapping[str, Tensor]) -> MSGLDUNet:
    """Create the network; its width and that of the CLAP embedding are inferred from a published state dict."""
    first, film = state.get("input_blocks.0.0.weight"), state.get("film_emb.weight")
    # If the first weight is missing, reading the file reports the missing weights.
    sizes: dict[str, Any] = {} if first is None else {"model_channels": len(first)}
    if film is not None:
        sizes["extra_film_condition_dim"] = film.shape[-1]
    return MSGLDUNet(MSGLDConfig(**sizes))


def _with_mixtures(checkpoint: Mapping[str, Any]) -> bool:
    """Return whether a checkpoint was trained with mixtures: always for Lightning files; ours store it."""
    return published.is_lightning(checkpoint) or checkpoint.get("mixture") is True
