"""CLAP embeddings of audio and text, the condition of MT-MusicLDM (Wu et al. 2023; HTSAT-base and RoBERTa-base).

The weights are MusicLDM's `clap-ckpt.pt`; the published conditional checkpoint contains a copy under
`cond_stage_model.model.`. The network and the log-mels are those of the package transformers (optional extra `clap`);
the names of the weights are translated to its names. As in the published code, the model is the unfused one, embeddings
have length 1, audio is resampled to 48 kHz via 16 kHz without being rounded to 16 bits, and the embedding of the empty
text represents no condition.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from adapterkit.weights import below, checked_sha256, load, weights_folder
from mtbench import audio
from mtbench.errors import UsageError
from musicldm.published import CONDITIONER

CARRIED = CONDITIONER + "model."  # prefix of CLAP's tensors in a Lightning file
FILE = "clap-ckpt.pt"
RATE, SAMPLES = 48000, 480000  # Hz; 10 s
EMPTY = (0, 2)  # RoBERTa's tokens for the empty text: start and end
TOKENS = 512  # maximum
AUDIO = {"depths": [2, 2, 12, 2], "patch_embeds_hidden_size": 128, "hidden_size": 1024}  # HTSAT-base
TEXT = {"layer_norm_eps": 1e-5}  # RoBERTa-base
UNUSED = (
    "audio_branch.spectrogram_extractor.",
    "audio_branch.logmel_extractor.",
    "audio_branch.tscam_conv.",
    "audio_branch.head.",
    "audio_transform.",
    "text_transform.",
    "text_branch.embeddings.position_ids",
    "text_branch.embeddings.token_type_ids",
)
RENAMED = (  # (pattern in the published names, replacement in the names of transformers)
    (r"^text_branch\.", "text_model."),
    (r"^(audio|text)_projection\.0\.", r"\1_projection.linear1."),
    (r"^(audio|text)_projection\.2\.", r"\1_projection.linear2."),
    (r"^audio_branch\.bn0\.", "audio_branch.batch_norm."),
    (r"^(audio_branch\..*)\.norm1\.", r"\1.layernorm_before."),
    (r"^(audio_branch\..*)\.norm2\.", r"\1.layernorm_after."),
    (r"^(audio_branch\..*)\.attn\.proj\.", r"\1.attention.output.dense."),
    (r"^(audio_branch\..*)\.attn\.", r"\1.attention.self."),
    (r"^(audio_branch\..*)\.mlp\.fc1\.", r"\1.intermediate.dense."),
    (r"^(audio_branch\..*)\.mlp\.fc2\.", r"\1.output.dense."),
    (r"^audio_branch\.", "audio_model.audio_encoder."),
)


class CLAP:
    """CLAP with the published weights `state`, read from `path`. Embeddings are float32 [512].

    Raises UsageError if transformers is not installed or `state` contains other weights.
    """

    def __init__(self, path: Path, state: Mapping[str, Tensor]):
        try:
            from transformers import ClapConfig, ClapFeatureExtractor, ClapModel
        except ImportError as error:
            raise UsageError(
                "conditioning on CLAP needs the package transformers. Run in mtbench's checkout: "
                f'python -m pip install -c constraints.txt -e ".[clap]" ({error})'
            ) from None
        self._path = path
        self._model = ClapModel(ClapConfig(audio_config=AUDIO, text_config=TEXT, projection_dim=512)).eval()
        try:
            missing, unexpected = self._model.load_state_dict(translated(state), strict=False)
        except RuntimeError as error:  # wrong shapes
            reason = " ".join(str(error).split())[:200]
            raise UsageError(f"{path} does not contain the expected CLAP weights: {reason}") from None
        missing = [name for name in missing if not name.endswith(("position_ids", "token_type_ids"))]  # constants
        if missing or unexpected:
            raise UsageError(
                f"{path} does not contain the expected CLAP weights: {len(missing)} missing {missing[:3]}, "
                f"{len(unexpected)} unexpected {unexpected[:3]}"
            )
        self._mels = ClapFeatureExtractor(
            sampling_rate=RATE, frequency_min=50, frequency_max=14000, truncation="rand_trunc", padding="repeatpad"
        )

    def of_audio(self, samples: np.ndarray, rate: int) -> Tensor:
        """Return the embedding of audio, float32 [n] at `rate` Hz.

        Only the first 10 s are used (published: a random 10 s); shorter audio is repeated as often as it fits into
        10 s.
        """
        wave = audio.resample(audio.resample(samples, rate, 16000), 16000, RATE)[:SAMPLES]
        mels = self._mels(wave, sampling_rate=RATE, return_tensors="pt")["input_features"].float()  # [1, 1, 1001, 64]
        with torch.inference_mode():
            return _unit(self._model.audio_projection(self._model.audio_model(input_features=mels).pooler_output))

    def of_text(self, text: str) -> Tensor:
        """Return the embedding of a text.

        RoBERTa's vocabulary is read from the folder `roberta-base` next to the weights if it exists; otherwise
        transformers finds or downloads it. Raises UsageError if there is none. The empty text needs no vocabulary.
        """
        if text == "":
            return self._of_tokens(EMPTY)
        from transformers import RobertaTokenizer

        folder = self._path.parent / "roberta-base"
        try:
            tokenizer = RobertaTokenizer.from_pretrained(str(folder) if folder.exists() else folder.name)
            size = len(tokenizer)
        except (OSError, ValueError):
            size = 0
        # Without files, transformers creates a vocabulary of a few tokens.
        if size != self._model.config.text_config.vocab_size:
            raise UsageError(
                "a prompt needs RoBERTa's vocabulary: put vocab.json and merges.txt from "
                f"https://huggingface.co/FacebookAI/roberta-base into {folder}"
            )
        return self._of_tokens(tokenizer(text, truncation=True, max_length=TOKENS)["input_ids"])

    def _of_tokens(self, tokens: tuple[int, ...] | list[int]) -> Tensor:
        ids = torch.tensor([list(tokens)])
        with torch.inference_mode():
            hidden = self._model.text_model(input_ids=ids, attention_mask=torch.ones_like(ids)).pooler_output
            return _unit(self._model.text_projection(hidden))


def weights_of(path: Path, checkpoint: Mapping[str, Any]) -> tuple[Path, dict[str, Tensor], dict[str, str]]:
    """Find the CLAP weights of `checkpoint`, which was read from `path`.

    Returns their file, the weights under their published names, and provenance. They are in the checkpoint itself, in
    `clap-ckpt.pt` next to it, or in the fetched `clap-ckpt.pt`; if they are in a separate file, the provenance contains
    its SHA-256. Raises UsageError if they are not found.
    """
    carried = below(CARRIED, checkpoint["state_dict"])
    if carried:
        return path, carried, {}
    for file in (path.parent / FILE, weights_folder() / "clap" / FILE):
        if file.exists():
            other = load(file)
            state = {name.removeprefix("module."): value for name, value in other.get("state_dict", other).items()}
            return file, state, {"clap_sha256": checked_sha256(file)}
    raise UsageError(
        f"{path} does not contain CLAP weights, and there is no {FILE} next to it: fetch the file with `python -m "
        f"musicldm.fetch clap`, or put it there"
    )


def translated(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename published weights to the names of transformers, and split joint query-key-value matrices into three."""
    renamed = {}
    for name, value in state.items():
        if name.startswith(UNUSED) or name.endswith(".attn_mask"):
            continue
        pieces = {name: value}
        if name.startswith("audio_branch.") and ".attn.qkv." in name:
            pieces = {
                name.replace(".qkv.", f".{matrix}."): rows
                for matrix, rows in zip(("query", "key", "value"), value.chunk(3))
            }
        for piece, rows in pieces.items():
            for pattern, replacement in RENAMED:
                piece = re.sub(pattern, replacement, piece)
            renamed[piece] = rows
    return renamed


def _unit(rows: Tensor) -> Tensor:
    return F.normalize(rows, dim=-1)[0].clone()
