"""Muon for convolutions: torch's Muon applied to filters as matrices that share memory, and its use in a training."""

import copy

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from adapterkit.training.config import TrainConfig
from adapterkit.training.loop import train
from adapterkit.training.optimisers import Muon, optimisers_of
from conftest import killed_at
from msdm import MSDMConfig, MSDMUNet
from msg_ld import MSGLDConfig, MSGLDUNet
from synctrack.network import SyncTrackConfig, SyncTrackUNet


def config(tmp_path, **changes) -> TrainConfig:
    return TrainConfig(
        **{
            "name": "a",
            "network": {},
            "out": tmp_path / "a.pt",
            "work": tmp_path,
            "steps": 10,
            "batch": 4,
            "learning_rate": 0.01,
            "optimizer": "muon",
            **changes,
        }
    )


def test_a_filter_bank_is_updated_like_a_matrix_in_torch():
    torch.manual_seed(0)
    bank = nn.Parameter(torch.randn(6, 4, 3, 3))
    matrix = nn.Parameter(bank.detach().flatten(1).clone())
    ours = Muon([bank], lr=0.1, weight_decay=0.02)
    peer = torch.optim.Muon([matrix], lr=0.1, weight_decay=0.02, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        bank.grad = torch.randn_like(bank)
        matrix.grad = bank.grad.flatten(1).clone()
        ours.step()
        peer.step()
    torch.testing.assert_close(bank.detach().flatten(1), matrix.detach(), rtol=0, atol=0)


def test_a_step_gives_all_directions_the_same_weight_for_any_gradient_size():
    """An orthogonal 4 x 18 matrix has singular values of 1 and is scaled by 0.2 sqrt(18).

    After five Newton-Schulz iterations, the singular values are between 0.7 and 1.2.
    """
    torch.manual_seed(0)
    gradient = torch.randn(4, 2, 3, 3) * torch.tensor([1.0, 3.0, 10.0, 30.0]).view(4, 1, 1, 1)
    moves = []
    for size in (1.0, 1000.0):
        weight = nn.Parameter(torch.zeros(4, 2, 3, 3))
        weight.grad = size * gradient
        Muon([weight], lr=1.0, weight_decay=0.0).step()
        moves.append(weight.detach().flatten(1))
    singular = torch.linalg.svdvals(moves[0]) / (0.2 * 18**0.5)
    assert float(singular.min()) > 0.65 and float(singular.max()) < 1.25
    torch.testing.assert_close(moves[0], moves[1], rtol=0.05, atol=0.02)


def test_a_weight_without_a_gradient_is_unchanged():
    weight = nn.Parameter(torch.ones(2, 3))
    Muon([weight], lr=1.0, weight_decay=0.5).step()
    assert torch.equal(weight.detach(), torch.ones(2, 3))


@pytest.mark.parametrize("weight", [torch.zeros(3), torch.zeros(4, 2, 3).transpose(0, 2)])
def test_other_weights_are_refused(weight):
    with pytest.raises(ValueError, match="contiguous weights of two or more dimensions, got"):
        Muon([nn.Parameter(weight)], lr=1.0, weight_decay=0.0)


SIZES = {
    "model_channels": 16,
    "channel_mult": (1, 2),
    "num_res_blocks": 1,
    "attention_resolutions": (2,),
    "num_head_channels": 16,
    "latent_t": 8,
    "latent_f": 4,
    "norm_groups": 8,
}
NETWORKS = {  # name: (network, some weights of hidden layers, some weights with two or more dimensions of other layers)
    "synctrack": (
        lambda: SyncTrackUNet(SyncTrackConfig(**SIZES)),
        {"input_blocks.1.0.in_layers.2.weight", "middle_block.1.transformer_blocks.0.attn1.to_out.0.weight"},
        {
            "input_blocks.0.0.weight",
            "out.2.weight",
            "time_embed.0.weight",
            "switcher_transform.2.weight",
            "middle_block.0.emb_layers.1.weight",
        },
    ),
    "msg-ld": (
        lambda: MSGLDUNet(MSGLDConfig(**SIZES, extra_film_condition_dim=8)),
        {"input_blocks.1.0.in_layers.2.weight", "middle_block.1.qkv.weight"},
        {
            "input_blocks.0.0.weight",
            "out.2.weight",
            "time_embed.0.weight",
            "film_emb.weight",
            "middle_block.0.emb_layers.1.weight",
        },
    ),
    "msdm": (
        lambda: MSDMUNet(
            MSDMConfig(
                channels=64,
                multipliers=(1, 1),
                factors=(4,),
                num_blocks=(1,),
                attentions=(True,),
                attention_heads=1,
                attention_features=8,
                samples=64 * 16,
            )
        ),
        {"downsamples.0.downsample.weight", "downsamples.0.transformer.attention.fn.attention.to_out.0.weight"},
        {
            "to_mapping.0.weight",
            "to_in.module_list.0.block.block1.project.weight",
            "to_out.module_list.0.block.block2.project.weight",
            "downsamples.0.blocks.0.to_scale_shift.to_scale_shift.1.weight",
        },
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_muon_trains_the_hidden_layers_and_adamw_the_rest(name, tmp_path):
    make, hidden, outer = NETWORKS[name]
    network = make()
    names = {parameter.data_ptr(): name for name, parameter in network.named_parameters() if parameter.requires_grad}
    adamw, muon = (
        {names[p.data_ptr()] for group in optimizer.param_groups for p in group["params"]}
        for optimizer in optimisers_of(config(tmp_path), network)
    )
    assert hidden <= muon and outer <= adamw
    assert adamw | muon == set(names.values()) and not adamw & muon
    assert all(min(dict(network.named_parameters())[name].flatten(1).shape) > 1 for name in muon)  # no gains of norms
    (alone,) = optimisers_of(config(tmp_path, optimizer="adamw"), network)
    assert len(alone.param_groups[0]["params"]) == len(names)


def test_a_training_with_muon_learns_and_resumes_to_the_same_weights(tmp_path):
    torch.manual_seed(0)
    start = nn.Sequential(nn.Conv1d(1, 8, 3, padding=1), nn.SiLU(), nn.Conv1d(8, 1, 3, padding=1))

    def loss(network, songs, generator):
        """Songs are waves that the network learns to delay by one sample."""
        x = torch.randn(len(songs), 1, 16, generator=generator)
        return (network(x) - x.roll(1, dims=2)).square().mean()

    def trained(folder, loss) -> nn.Module:
        network = copy.deepcopy(start)
        asked = config(
            tmp_path / folder,
            songs=10,
            validation=2,
            steps=60,
            report_every=20,
            warm_up=5,
            ema_decay=0.9,
            learning_rate=0.05,
            precision="32-true",
        )
        progress = train(Fabric(accelerator="cpu", devices=1, precision="32-true"), asked, network, loss, 10)
        assert progress["step"] == 60 and progress["validation_loss"] < 0.5  # 1 without learning
        return network

    through = trained("a", loss)
    with pytest.raises(KeyboardInterrupt):
        trained("b", killed_at(50, loss))
    resumed = trained("b", loss)
    for name, value in through.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_a_spike_is_clipped_in_all_weights(tmp_path):
    """A single step with gradients a million times as large does not change the momentum, thanks to clipping."""

    def trained(spike: float) -> nn.Module:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
        steps = []

        def loss(network, songs, generator):
            steps.append(len(songs))
            x = torch.randn(len(songs), 4, generator=generator)
            return 1e3 * (spike if len(steps) == 3 else 1.0) * (network(x) - x[:, :1]).square().mean()  # always clipped

        asked = config(tmp_path / str(spike), songs=10, validation=2, steps=10, report_every=10, precision="32-true")
        train(Fabric(accelerator="cpu", devices=1, precision="32-true"), asked, network, loss, 10)
        return network

    for even, spiked in zip(trained(1.0).parameters(), trained(1e6).parameters()):
        torch.testing.assert_close(spiked, even, rtol=1e-3, atol=1e-5)
