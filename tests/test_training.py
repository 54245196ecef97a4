"""Training: the loop on a toy network (learning, resuming, exporting), losses, configs, and tiny complete trainings."""

import csv
import math
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

import msg_ld.train
import synctrack.train
from adapterkit.randomness import generator_of
from adapterkit.training import songs as training_data
from adapterkit.training.checkpoints import export
from adapterkit.training.config import (
    LatentTraining,
    TrainConfig,
    VAETraining,
    VocoderTraining,
    WaveTraining,
    read_config,
)
from adapterkit.training.loop import Scoring, share_of_learning_rate, train
from adapterkit.training.scoring import Scorer, rhythm
from adapterkit.training.songs import training_songs
from adapterkit.weights import sha256
from conftest import killed_at
from msdm import MSDMConfig
from msg_ld.network import MSGLDConfig
from mtbench import registry
from mtbench.errors import MtbenchError, UsageError
from mtbench.registry import open_suite
from mtbench.stems import StemSet
from musicldm import caches, noise_schedule
from musicldm.first_stage import load_vae
from musicldm.hifigan import HiFiGANConfig
from musicldm.train_latents import diffusion_loss, start_from
from musicldm.train_vae import train_vae
from musicldm.vae import VAEConfig
from synctrack.network import ABLATIONS, SyncTrackConfig, SyncTrackUNet

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


@dataclass(frozen=True)
class LineConfig:
    slope: float = 0.0


class Line(nn.Module):
    def __init__(self, config: LineConfig = LineConfig()):
        super().__init__()
        self.config = config
        self.slope = nn.Parameter(torch.tensor([config.slope]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.slope * x


def squared_error(network: nn.Module, songs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each song is a point on a line of slope 3."""
    x = torch.randn(len(songs), generator=generator)
    return (network(x) - 3 * x).square().mean()


def config(work: Path, kind: type[TrainConfig] = LatentTraining, **changes) -> TrainConfig:
    return kind(
        **{
            "name": "line",
            "network": {},
            "out": work / "checkpoints" / "line.pt",
            "work": work,
            "songs": 10,
            "first_seed": 1_000_000,
            "validation": 2,
            "steps": 300,
            "batch": 4,
            "learning_rate": 0.1,
            "warm_up": 10,
            "weight_decay": 0.0,
            "ema_decay": 0.9,
            "report_every": 25,
            "precision": "32-true",
            **changes,
        }
    )


def trained(network: nn.Module, asked: TrainConfig, loss=squared_error, scorer=None) -> dict:
    fabric = Fabric(accelerator="cpu", devices=1, precision=asked.precision)
    scoring = Scoring(scorer, asked.score_every) if scorer else None
    return train(fabric, asked, network, loss, asked.songs, scoring)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_training_learns_logs_and_exports(tmp_path):
    network = Line()
    progress = trained(network, config(tmp_path))
    assert progress["step"] == 300
    assert float(network.slope.detach()) == pytest.approx(3.0, abs=0.01)
    logged = rows(tmp_path / "line" / "loss.csv")
    assert [int(row["step"]) for row in logged] == list(range(25, 301, 25))
    assert float(logged[-1]["validation_loss"]) < 0.01 < float(logged[0]["validation_loss"])

    export(config(tmp_path), network, progress, scale_factor=0.5)
    checkpoint = torch.load(tmp_path / "checkpoints" / "line.pt", weights_only=True)
    assert checkpoint["state_dict"]["slope"].dtype == torch.float16
    assert checkpoint["config"] == {"slope": 0.0} and checkpoint["scale_factor"] == 0.5
    assert checkpoint["metadata"]["steps"] == 300 and "1000000 to 1000007" in checkpoint["metadata"]["training_data"]


def test_a_killed_training_resumes_to_the_same_weights_and_log(tmp_path):
    through = Line()
    trained(through, config(tmp_path / "a"))
    with pytest.raises(KeyboardInterrupt):
        trained(Line(), config(tmp_path / "b"), killed_at(120, squared_error))
    with (tmp_path / "b" / "line" / "loss.csv").open("a") as file:  # as if killed after logging, before saving
        file.write("125,1.0,9.0,9.0\n")
    resumed = Line()
    trained(resumed, config(tmp_path / "b"))
    assert torch.equal(resumed.slope, through.slope)
    losses = [
        [
            (row["step"], row["train_loss"], row["validation_loss"])
            for row in rows(tmp_path / folder / "line" / "loss.csv")
        ]
        for folder in "ab"
    ]
    assert losses[0] == losses[1]
    assert b"\r" not in b"".join((tmp_path / folder / "line" / "loss.csv").read_bytes() for folder in "ab")


def test_a_network_with_dropout_resumes_to_the_same_weights(tmp_path):
    """Dropout draws from torch's default generator, whose state is also saved."""

    class Dropping(Line):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(nn.functional.dropout(x, 0.5))

    def run(work: Path, loss) -> Line:
        torch.manual_seed(0)
        network = Dropping()
        trained(network, config(work, steps=60), loss)
        return network

    through = run(tmp_path / "a", squared_error)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", killed_at(40, squared_error))
    assert torch.equal(run(tmp_path / "b", squared_error).slope, through.slope)


@pytest.mark.parametrize(
    "change, named",
    [
        ({"optimizer": "muon"}, "optimizer"),
        ({"parameterization": "v", "seed": 1}, "seed, parameterization"),
        ({"vae": "other.pt"}, "vae"),
        ({"width": 3}, "matrix"),
        ({"state": {}}, "config"),
    ],
)
def test_a_state_of_another_training_is_refused(change, named, tmp_path):
    class Matrix(Line):
        def __init__(self, width: int = 2):
            super().__init__()
            self.matrix = nn.Parameter(torch.ones(width, width))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.matrix.mean() * super().forward(x)

    trained(Matrix(), config(tmp_path, steps=25))
    path = tmp_path / "line" / "state.pt"
    if "state" in change:
        torch.save(change.pop("state"), path)
    before = path.read_bytes()
    with pytest.raises(
        UsageError, match=rf"state\.pt: line cannot resume from this state \(.*{named}.*delete the file"
    ):
        trained(Matrix(change.pop("width", 2)), config(tmp_path, steps=50, **change))
    assert path.read_bytes() == before


def test_a_training_may_resume_with_other_steps_paths_and_reports(tmp_path):
    trained(Line(), config(tmp_path, steps=25))
    more = config(tmp_path, steps=50, report_every=10, precision="bf16-mixed", out=tmp_path / "elsewhere.pt")
    assert trained(Line(), more)["step"] == 50


def test_songs_and_noise_are_drawn_independently(tmp_path):
    """A loss that draws one of four stems sees all four of every song; with a single stream it would see only one."""
    seen = {}

    def loss(network, songs, generator):
        for song, stem in zip(songs.tolist(), torch.randint(4, (len(songs),), generator=generator).tolist()):
            seen.setdefault(song, set()).add(stem)
        return network.slope.sum() ** 2

    trained(Line(), config(tmp_path, steps=100), loss)
    assert seen == {song: {0, 1, 2, 3} for song in range(8)} | {8: seen[8], 9: seen[9]}


def test_a_batch_must_be_divisible_by_the_number_of_processes(tmp_path):
    with pytest.raises(UsageError, match="line: batch must be a multiple of the number of processes, 3, got 4"):
        train(SimpleNamespace(world_size=3), config(tmp_path), Line(), squared_error, 10)


def test_samples_are_scored_once_wherever_the_training_was_stopped(tmp_path):
    killed = []

    def scorer(network, folder):
        step = int(folder.name)
        if step not in killed:
            killed.append(step)
            raise KeyboardInterrupt
        return {"fad": 1.0}

    asked = config(tmp_path, steps=75, score_every=50)
    for _ in range(3):  # stopped before the first state, while scoring step 50, and while scoring the end
        with pytest.raises(KeyboardInterrupt):
            trained(Line(), asked, scorer=scorer)
    for _ in range(2):
        assert trained(Line(), asked, scorer=scorer)["step"] == 75
    assert [row["step"] for row in rows(tmp_path / "line" / "scores.csv")] == ["0", "50", "75"]


@pytest.mark.slow
def test_a_compiled_network_is_trained_to_the_same_weights(tmp_path):
    plain, compiled = Line(), Line()
    trained(plain, config(tmp_path / "a", steps=30, schedule="constant"))
    trained(compiled, config(tmp_path / "b", steps=20, schedule="constant", compile=True))
    state = torch.load(tmp_path / "b" / "line" / "state.pt", weights_only=True)
    assert state["network"].keys() == plain.state_dict().keys()
    trained(compiled, config(tmp_path / "b", steps=30, schedule="constant"))  # resumes without compiling
    assert torch.allclose(compiled.slope, plain.slope, atol=1e-6)


def test_two_accumulated_batches_equal_one_of_twice_the_size(tmp_path):
    """The gradient of a mean over 8 songs is the mean of the gradients over two times 4 songs."""
    seen = []

    def loss(network, songs, generator):
        seen.append(len(songs))
        return (network(torch.ones(1)) - 3).square().mean()

    single, accumulated = Line(), Line()
    trained(single, config(tmp_path / "a", steps=5, batch=8), loss)
    trained(accumulated, config(tmp_path / "b", steps=5, batch=4, accumulate=2), loss)
    assert torch.equal(single.slope, accumulated.slope)
    assert seen.count(4) >= 10 and seen.count(8) == 5


def test_the_learning_rate_schedules(tmp_path):
    cosine = config(tmp_path, steps=100, warm_up=10)
    assert share_of_learning_rate(cosine, 0, 0.0) == pytest.approx(0.1)
    assert share_of_learning_rate(cosine, 50, 0.0) == pytest.approx(0.5)
    assert share_of_learning_rate(cosine, 75, 0.0) == pytest.approx(0.5 - 0.5 * math.sqrt(0.5))
    limited = config(tmp_path, steps=100, minutes=1, warm_up=1)
    assert share_of_learning_rate(limited, 0, 30.0) == pytest.approx(0.5)  # after half of the time limit
    assert share_of_learning_rate(config(tmp_path, steps=100, schedule="constant"), 99, 0.0) == 1.0


def test_a_loss_that_is_not_a_number_ends_the_training(tmp_path):
    with pytest.raises(MtbenchError, match="line: the loss became nan by step 25; try a lower learning_rate"):
        trained(Line(), config(tmp_path), lambda network, *_: network.slope.sum() * math.nan)
    assert not (tmp_path / "line" / "state.pt").exists()


def test_two_processes_share_the_songs_of_a_step(tmp_path):
    """With the command's launcher, each of two processes uses half of the batch, and both get the same weights."""
    script = tmp_path / "two.py"
    script.write_text(f"""
import sys, torch
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_training import Line, config, squared_error
from adapterkit.training.command import launch, leave
from adapterkit.training.loop import train
asked = config(Path({str(tmp_path)!r}), steps=10, report_every=10, devices=2, seed=1)
fabric = launch(asked)
network = Line()
seen = []
def loss(network, songs, generator):
    seen.append(songs.tolist())
    return squared_error(network, songs, generator)
train(fabric, asked, network, loss, asked.songs)
Path({str(tmp_path)!r}, f"rank{{fabric.global_rank}}.txt").write_text(repr((float(network.slope), seen[0])))
leave()
""")
    subprocess.run([sys.executable, script], check=True, timeout=120, capture_output=True)
    (slope_0, first_0), (slope_1, first_1) = (eval((tmp_path / f"rank{rank}.txt").read_text()) for rank in (0, 1))
    assert slope_0 == slope_1 > 0.1
    drawn = torch.randint(8, (4,), generator=generator_of("cpu", 1, 0, 0)).tolist()
    assert (first_0, first_1) == (drawn[0::2], drawn[1::2])


def test_diffusion_loss_of_a_perfect_network_and_of_zeros():
    latents = torch.zeros(3, 2, 4, 8, 16, 4)
    loss, songs = diffusion_loss(latents, 1.0), torch.zeros(64, dtype=torch.long)

    def value(network) -> float:
        return float(loss(network, songs, torch.Generator().manual_seed(0)))

    assert value(lambda x, t: torch.zeros_like(x)) == pytest.approx(1.0, abs=0.02)  # the variance of the noise
    # The data are zero, so x_t = sqrt(1 - a_t) noise; dividing by that root gives the noise.
    a = noise_schedule().alphas_cumprod
    assert value(lambda x, t: x / (1 - a[t]).sqrt().view(-1, 1, 1, 1, 1)) == pytest.approx(0.0, abs=1e-9)


def test_loss_of_the_velocity():
    """The data are zero, so v = sqrt(a_t) noise and x_t = sqrt(1 - a_t) noise."""
    a = noise_schedule().alphas_cumprod
    loss, songs = (
        diffusion_loss(torch.zeros(3, 2, 4, 8, 16, 4), 1.0, parameterization="v"),
        torch.zeros(64, dtype=torch.long),
    )

    def value(network) -> float:
        return float(loss(network, songs, torch.Generator().manual_seed(0)))

    assert value(lambda x, t: torch.zeros_like(x)) == pytest.approx(float(a.mean()), abs=0.02)
    assert value(lambda x, t: x * (a[t] / (1 - a[t])).sqrt().view(-1, 1, 1, 1, 1)) == pytest.approx(0.0, abs=1e-9)


def test_diffusion_loss_drops_the_mixture_of_a_fraction_of_the_songs():
    """A network that returns the mixture as the noise has a loss of 1 for zeros, and of 1 + its power otherwise."""
    latents, mixtures = torch.zeros(3, 2, 4, 8, 16, 4), torch.zeros(3, 2, 1, 8, 16, 4)
    mixtures[:, 0] = 3.0
    shown = []

    def network(x, t, mixture):
        shown.append(mixture)
        return mixture[:, None].expand_as(x)

    loss = diffusion_loss(latents, 2.0, mixtures, without_mixture=0.25)
    value = float(loss(network, torch.zeros(256, dtype=torch.long), torch.Generator().manual_seed(0)))
    (mixture,) = shown
    present = mixture.flatten(1).any(dim=1)
    assert set(mixture.unique().tolist()) == {0.0, 6.0}  # scaled like the stems
    assert 0.65 < float(present.float().mean()) < 0.85
    assert value == pytest.approx(1 + 36 * float(present.float().mean()), rel=0.02)


def test_a_mixture_is_the_clipped_sum_of_the_stems():
    levels = np.array([0.5, 0.25, -0.5, 0.9], np.float32)
    mel = caches._mixture_mel(np.repeat(levels[:, None], 163_840, axis=1))
    assert mel.shape == (1, 1024, 64) and mel.dtype == np.float16
    assert np.array_equal(mel, caches._mels(np.ones((1, 163_840), np.float32)))  # the sum is 1.15


def test_training_starts_from_the_tensors_that_match(tmp_path, capsys):
    source = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 5))
    state = {f"model.diffusion_model.{name}": value for name, value in source.state_dict().items()}
    torch.save({"state_dict": state | {"scale_factor": torch.tensor(0.25)}}, tmp_path / "other.ckpt")
    network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 4))
    assert start_from(network, tmp_path / "other.ckpt") == 0.25
    assert torch.equal(network[0].weight, source[0].weight) and torch.equal(network[0].bias, source[0].bias)
    assert "initialised 2 of 4 tensors" in capsys.readouterr().out
    torch.save({"state_dict": source.state_dict(), "scale_factor": 0.5}, tmp_path / "own.pt")  # mtbench's format
    assert start_from(network, tmp_path / "own.pt") == 0.5
    torch.save({"generator": source.state_dict()}, tmp_path / "vocoder.ckpt")
    with pytest.raises(UsageError, match="vocoder.ckpt is not a checkpoint to start from"):
        start_from(network, tmp_path / "vocoder.ckpt")
    with pytest.raises(UsageError, match="other.ckpt: none of its 5 tensors matches"):
        start_from(nn.Conv1d(1, 1, 1), tmp_path / "other.ckpt")


def test_samples_equal_to_the_songs_get_their_scores(tmp_path):
    """For a perfect generator, FAD is 0 up to rounding to 16 bits, and the rhythm metrics are those of the songs."""
    rng = np.random.default_rng(0)
    clicks = np.zeros(16000 * 6, np.float32)
    clicks[::8000] = 0.9
    noise = [(0.2 * rng.standard_normal(len(clicks))).astype(np.float32) for _ in range(8)]
    songs = [
        StemSet(str(i), {"bass": noise[i], "drums": np.convolve(clicks, np.ones(20), "same").clip(-1, 1)}, 16000)
        for i in range(8)
    ]
    scorer = Scorer(lambda network, n: iter(songs[:n]), songs, 8)
    scores = scorer(nn.Identity(), tmp_path / "samples")
    assert scores["fad_mixture"] == pytest.approx(0.0, abs=1e-4) and scores["fad_drums"] == pytest.approx(0.0, abs=1e-4)
    assert {key: scores[key] for key in scorer.songs_score} == pytest.approx(scorer.songs_score, nan_ok=True)
    assert scores["drums_with_beats"] == 1.0
    assert len(list((tmp_path / "samples" / "drums").glob("*.wav"))) == 8
    assert rhythm([StemSet("0", {"drums": songs[0].stems["drums"]}, 16000)])["irs"] == pytest.approx(0.0, abs=0.011)


def test_the_configs_of_the_repository_build_their_networks():
    kinds = {
        "vae": (VAETraining, VAEConfig),
        "vocoder": (VocoderTraining, HiFiGANConfig),
        "msg": (LatentTraining, MSGLDConfig),
        "mt": (LatentTraining, MSGLDConfig),
        "msdm": (WaveTraining, MSDMConfig),
        "synctrack": (LatentTraining, SyncTrackConfig),
    }
    for path in sorted(CONFIGS.glob("train-*.yaml")):
        kind, network = kinds[path.stem.split("-")[1]]
        asked = read_config(path, kind)
        assert asked.name == path.stem.removeprefix("train-")
        network(**asked.network)


@pytest.mark.parametrize("variant", ABLATIONS)
def test_the_ablations_differ_only_in_their_switches(variant):
    asked, full = (read_config(CONFIGS / f"ablation-{name}.yaml", LatentTraining) for name in (variant, "full"))
    assert asked.network == full.network | ABLATIONS[variant]
    own = {"name", "out", "network"}
    assert asked.model_dump(exclude=own) == full.model_dump(exclude=own)


@pytest.mark.parametrize("variant", ABLATIONS)
def test_every_ablation_takes_a_step(variant, tmp_path):
    torch.manual_seed(0)
    asked = read_config(CONFIGS / f"ablation-{variant}.yaml", LatentTraining)
    network = SyncTrackUNet(SyncTrackConfig(**asked.network | {"model_channels": 8, "num_head_channels": 8}))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    latents = torch.randn(4, 2, 4, 8, 16, 4)
    trained(network, config(tmp_path, steps=2, songs=4, batch=2, ema_decay=0.1), diffusion_loss(latents, 1.0))
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    # `out` starts with zeros, so the gradients of other layers are zero in the first step.
    assert changed >= {name for name in before if name.startswith("out.")}
    assert "switcher" not in changed


def test_wrong_configs_are_refused_by_name(tmp_path):
    def written(text: str) -> Path:
        path = tmp_path / "train.yaml"
        path.write_text(text)
        return path

    def read(path: Path, kind: type[TrainConfig] = LatentTraining) -> TrainConfig:
        return read_config(path, kind)

    good = (CONFIGS / "train-synctrack-band.yaml").read_text()
    with pytest.raises(UsageError, match="train.yaml: learning_rte: Extra inputs.*Did you mean 'learning_rate'"):
        read(written(good + "learning_rte: 1.0\n"))
    for key, kind, message in (
        ("kl_weight: 1", LatentTraining, "kl_weight is only for the training of a VAE; this is .* a latent diffusion"),
        ("crop: 64", WaveTraining, "crop is only for the training of a VAE or a vocoder; this is"),
    ):
        with pytest.raises(UsageError, match=f"train.yaml: {message}"):
            read(written(f"name: a\n{key}\n"), kind)
    with pytest.raises(UsageError, match="train.yaml: steps: .* greater than or equal to 1"):
        read(written(re.sub(r"\nsteps: \d+", "\nsteps: 0", good)))
    with pytest.raises(UsageError, match="train.yaml: .*muon requires precision 32-true or bf16-mixed"):
        read(written(good + "precision: 16-mixed\n"))
    like = f"like: {CONFIGS / 'train-synctrack-band.yaml'}\nnetwork:\n"
    assert read(written(like)).network["model_channels"] == 32
    with pytest.raises(UsageError, match="train.yaml, line 2: not valid YAML"):
        read(written("name: [1\n"))
    with pytest.raises(UsageError, match="nowhere.yaml: cannot be read"):
        read(tmp_path / "nowhere.yaml")
    with pytest.raises(UsageError, match="nowhere.yaml: cannot be read"):
        read(written("like: nowhere.yaml\n"))
    with pytest.raises(UsageError, match="train.yaml: like: must name a file in the same folder, got 3"):
        read(written("like: 3\n"))
    with pytest.raises(UsageError, match="train.yaml: like: circular reference through 1 file"):
        read(written("like: train.yaml\n"))
    for changes in ({"first_seed": 5}, {"songs": 2}, {"songs": None}):
        with pytest.raises(UsageError, match="with suite band, songs must be greater than validation"):
            training_songs(config(tmp_path, **changes))
    with pytest.raises(UsageError, match="suite 'band/30s' has clips of 30.72 s; trainings need clips of 10.24 s"):
        training_songs(config(tmp_path, suite="band/30s"))


TINY = {
    "model_channels": 8,
    "channel_mult": [1, 2],
    "num_res_blocks": 1,
    "attention_resolutions": [2],
    "num_head_channels": 8,
    "latent_t": 64,
    "latent_f": 4,
    "norm_groups": 4,
}
TINY_VAE = {"ch": 8, "ch_mult": [1, 1, 1, 1, 1], "num_res_blocks": 1, "norm_groups": 4}


def tiny_config(work: Path, name: str, **changes) -> TrainConfig:
    return config(
        work,
        **{
            "name": name,
            "songs": 3,
            "validation": 1,
            "steps": 2,
            "batch": 2,
            "report_every": 1,
            "precision": "bf16-mixed",
            "out": work / name / f"{name}.pt",
        }
        | changes,
    )


@pytest.fixture(scope="module")
def tiny_vae(tmp_path_factory) -> Path:
    """A VAE trained by its command on three songs of `band`; other tests reuse the cached songs in its folder."""
    work = tmp_path_factory.mktemp("trainings")
    asked = tiny_config(work, "vae", kind=VAETraining, network=TINY_VAE, crop=64, out=work / "vae-ckpt.ckpt")
    train_vae(asked)
    return asked.out


@pytest.mark.parametrize(
    "name, train_one, changes, tasks",
    [
        ("synctrack", synctrack.train.train, {}, {"total", "arrangement"}),
        ("synctrack", synctrack.train.train, {"parameterization": "v", "optimizer": "muon"}, {"total", "arrangement"}),
        (
            "msg-ld",
            msg_ld.train.train,
            {"without_mixture": 0.5, "parameterization": "v"},
            {"total", "arrangement", "separation"},
        ),
        ("mt-musicldm", msg_ld.train.train, {}, {"total", "arrangement"}),
    ],
)
def test_a_trained_checkpoint_is_a_model(name, train_one, changes, tasks, tiny_vae):
    work = tiny_vae.parent
    asked = tiny_config(
        work, f"{name}-{len(changes)}", network=TINY, vae=tiny_vae, out=work / f"{name}-{len(changes)}.pt", **changes
    )
    train_one(asked)
    checkpoint = torch.load(asked.out, weights_only=True)
    assert checkpoint["parameterization"] == changes.get("parameterization", "eps")
    assert checkpoint["mixture"] == ("separation" in tasks)
    latents = caches.training_latents(asked, load_vae(tiny_vae), torch.device("cpu"))
    mean, std = latents[range(3)].float().unbind(1)
    drawn = mean + std * torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
    assert checkpoint["scale_factor"] * float(drawn.std()) == pytest.approx(1.0, rel=0.05)
    model = registry.make_model(name, suite=open_suite("band"), weights=str(asked.out), options={"steps": 2})
    assert model.tasks == tasks and model.provenance["training_steps"] == 2
    assert model.provenance["vae_sha256"] == checkpoint["vae_sha256"] == sha256(tiny_vae)
    (sample,) = model.generate(1, ["drums"])
    assert sample.stems["drums"].shape == (163_840,)


@pytest.mark.parametrize(
    "train_one, changes, message",
    [
        (synctrack.train.train, {"network": {"modl_channels": 8}}, "network: .*modl_channels"),
        (synctrack.train.train, {"network": TINY, "without_mixture": 0.5}, "without_mixture is only for MSG-LD"),
        (synctrack.train.train, {"network": TINY}, "vae is required"),
        (
            synctrack.train.train,
            {"network": TINY | {"in_channels": 4, "out_channels": 4}, "vae": "vae"},
            "the network does not accept the latents of",
        ),
        (msg_ld.train.train, {"network": {"model_channels": 7}}, "network: .*model_channels"),
        (
            msg_ld.train.train,
            {"network": TINY | {"z_channels": 4}, "vae": "vae"},
            r"the network does not accept the latents of .*\[4, 8, 64, 4\]",
        ),
        (train_vae, {"network": {"chanels": 8}}, "network: .*chanels"),
        (train_vae, {"network": TINY_VAE, "crop": 2048}, "crop must be at most 1024 frames and .*, got 2048"),
        (train_vae, {"network": TINY_VAE, "crop": 66}, "crop must .* multiple of the VAE's down-sampling 16, got 66"),
    ],
)
def test_invalid_configs_are_refused_before_songs_are_rendered(train_one, changes, message, tiny_vae, monkeypatch):
    monkeypatch.setattr(training_data, "training_songs", lambda config: pytest.fail("songs were rendered"))
    if "vae" in changes:
        changes = changes | {"vae": tiny_vae}
    kind = VAETraining if train_one is train_vae else LatentTraining
    with pytest.raises(UsageError, match=message):
        train_one(tiny_config(tiny_vae.parent, "misfit", kind=kind, **changes))
