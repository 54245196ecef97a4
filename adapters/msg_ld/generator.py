"""MSG-LD and its predecessor MT-MusicLDM behind the benchmark's interface: one network, two models.

MSG-LD learns with the mixture as a condition that it often goes without, and so also separates. MT-MusicLDM learns
without mixtures; one of its two published checkpoints is conditioned on a CLAP embedding instead.
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
    """The generator of a checkpoint of MSG-LD.

    weights: None for the embedded one, trained on synthetic songs; else a file, of mtbench's training or a Lightning
    file of the published code, of any width. steps: of DDIM; 200 for a Lightning file, else 50. batch_size: samples
    denoised together, 8 as a rule; it changes no sample. guidance_scale: of separation, how far it follows the
    mixture: 1 as trained, more to follow it more, which doubles the cost; total generation and arrangement are without
    a mixture. precision, compile: as in SyncTrack's factory.

    It separates if it was trained with mixtures. Clips may have any length; what it costs grows with the square of it.
    Raises UsageError for a file that is not there or not such a checkpoint, and for options that cannot be.
    """
    if weights == "published":
        raise UsageError("model 'msg-ld': no weights of MSG-LD are published; name a file")
    path = Path(weights or EMBEDDED)

    def refuse_clap(checkpoint: Mapping[str, Any], config: MSGLDConfig) -> None:
        if config.extra_film_condition_dim is not None:
            raise UsageError(f"{path} was trained with CLAP: it is a checkpoint of model 'mt-musicldm'")

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
    """The generator of a checkpoint of MT-MusicLDM.

    weights: None for the embedded one, trained on synthetic songs; `published` for what
    `python -m musicldm.fetch mt-musicldm` fetched, with a prompt or audio what `mt-musicldm-clap` fetched; else a file,
    of mtbench's training or a published Lightning file, of any width.
    prompt, audio: a text or a file's path whose CLAP embedding all samples are conditioned on; only for a checkpoint
    trained with CLAP, which without both generates unconditionally. guidance_scale: how far samples follow it, 2 as
    published; any except 1 doubles the cost. The rest: as in MSG-LD's factory.
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
            raise UsageError(f"{path} was trained with mixtures: it is a checkpoint of model 'msg-ld'")
        if config.extra_film_condition_dim is None:
            if conditional:
                raise UsageError(
                    f"{path} was trained without CLAP: model 'mt-musicldm' takes prompt or audio with a "
                    "conditional checkpoint alone"
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
    """float32 [2, 512]: the embedding of no condition and that of prompt or audio; and what the provenance says."""
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
    """The network whose width, and width of the CLAP embedding, a published state dict shows."""
    first, film = state.get("input_blocks.0.0.weight"), state.get("film_emb.weight")
    # Without the first weight all is missing, and the reader says so.
    sizes: dict[str, Any] = {} if first is None else {"model_channels": len(first)}
    if film is not None:
        sizes["extra_film_condition_dim"] = film.shape[-1]
    return MSGLDUNet(MSGLDConfig(**sizes))


def _with_mixtures(checkpoint: Mapping[str, Any]) -> bool:
    """Whether a checkpoint was trained with mixtures, as the published code trains MSG-LD; ours say so."""
    return published.is_lightning(checkpoint) or checkpoint.get("mixture") is True
