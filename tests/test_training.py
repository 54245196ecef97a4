"""The training loop on a toy network: it learns, goes on where it was killed, and exports what it learned."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from musicldm import noise_schedule
from musicldm.training import TrainConfig, diffusion_loss, export, train, training_mels

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


@dataclass(frozen=True)
class LineConfig:
    slope: float = 0.0


class Line(nn.Module):
    def __init__(self, config: LineConfig):
        super().__init__()
        self.config = config
        self.slope = nn.Parameter(torch.tensor([config.slope]))


def squared_error(network: nn.Module, songs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Songs are points on a line of slope 3."""
    x = torch.randn(len(songs), generator=generator)
    return (network.slope * x - 3 * x).square().mean()


def config(work: Path, **changes) -> TrainConfig:
    return TrainConfig(**{
        "name": "line", "network": {}, "out": work / "checkpoints" / "line.pt", "work": work, "songs": 10,
        "first_seed": 1_000_000, "validation": 2, "steps": 300, "minutes": 60, "batch": 4, "learning_rate": 0.1,
        "warm_up": 10, "weight_decay": 0.0, "ema_decay": 0.9, "report_every": 25, **changes})


def test_training_learns_logs_and_exports(tmp_path):
    network = Line(LineConfig())
    progress = train(config(tmp_path), network, squared_error)
    assert progress["step"] == 300
    assert float(network.slope.detach()) == pytest.approx(3.0, abs=0.01)
    rows = list(csv.DictReader((tmp_path / "line" / "loss.csv").open()))
    assert [int(row["step"]) for row in rows] == list(range(25, 301, 25))
    assert float(rows[-1]["validation_loss"]) < 0.01 < float(rows[0]["validation_loss"])

    export(config(tmp_path), network, progress, scale_factor=0.5)
    checkpoint = torch.load(tmp_path / "checkpoints" / "line.pt", weights_only=True)
    assert checkpoint["state_dict"]["slope"].dtype == torch.float16
    assert checkpoint["config"] == {"slope": 0.0} and checkpoint["scale_factor"] == 0.5
    assert checkpoint["metadata"]["steps"] == 300 and "1000000 to 1000007" in checkpoint["metadata"]["training_data"]


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path):
    through = Line(LineConfig())
    train(config(tmp_path / "a", minutes=1e6), through, squared_error)

    calls = []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 120:
            raise KeyboardInterrupt
        return squared_error(*arguments)

    with pytest.raises(KeyboardInterrupt):
        train(config(tmp_path / "b", minutes=1e6), Line(LineConfig()), killed)
    resumed = Line(LineConfig())
    train(config(tmp_path / "b", minutes=1e6), resumed, squared_error)
    assert float(resumed.slope.detach()) == pytest.approx(float(through.slope.detach()), abs=1e-5)


def test_a_loss_that_is_not_a_number_ends_the_training(tmp_path):
    with pytest.raises(RuntimeError, match="line: the loss became nan at step 1"):
        train(config(tmp_path), Line(LineConfig()), lambda network, *_: network.slope.sum() * math.nan)


def test_diffusion_loss_of_one_who_knows_and_one_who_knows_nothing():
    mean, std = torch.zeros(3, 4, 8, 16, 4), torch.zeros(3, 4, 8, 16, 4)
    loss, songs = diffusion_loss(mean, std, 1.0), torch.zeros(64, dtype=torch.long)

    def value(network) -> float:
        return float(loss(network, songs, torch.Generator().manual_seed(0)))

    assert value(lambda x, t: torch.zeros_like(x)) == pytest.approx(1.0, abs=0.02)  # the variance of the noise
    # Data are zero, so x_t = sqrt(1 - a_t) noise; dividing by that root gives the noise.
    a = noise_schedule().alphas_cumprod
    assert value(lambda x, t: x / (1 - a[t]).sqrt().view(-1, 1, 1, 1, 1)) == pytest.approx(0.0, abs=1e-9)


def test_configs_are_read_and_wrong_ones_refused(tmp_path):
    for path in sorted(CONFIGS.glob("train-*.yaml")):
        assert TrainConfig.read(path).name == path.stem.removeprefix("train-")
    with pytest.raises(ValidationError, match="learning_rte"):
        config(tmp_path, learning_rte=1.0)
    with pytest.raises(ValueError, match="training seeds 5 to 14 are not all in band's training range"):
        training_mels(config(tmp_path, first_seed=5))
