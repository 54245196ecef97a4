"""SyncTrack and MSG-LD as generators: the interface's promises, on the embedded checkpoints with few steps."""

import numpy as np
import pytest
import torch
from conftest import STEMS

from mtbench import generator
from mtbench.errors import UsageError
from mtbench.generator import Generator
from mtbench.suites import open_suite

MODELS = ["synctrack", "msg-ld"]


@pytest.fixture(scope="module")
def band():
    return open_suite("band")


@pytest.fixture(scope="module", params=MODELS)
def made(request, band):
    return generator.make(request.param, suite=band, options={"steps": 5, "batch_size": 3})


def test_it_is_a_generator_that_says_where_it_comes_from(made):
    assert isinstance(made, Generator) and made.name in MODELS
    assert made.stems == STEMS and made.sample_rate == 16000 and made.tasks == {"total"}
    assert made.provenance["trained_on"] == "synthetic songs" and len(made.provenance["weights_sha256"]) == 64
    assert {"training_data", "training_steps", "training_minutes", "form", "sampler", "vocoder"} <= set(made.provenance)


def test_samples_have_the_suites_form(made, band):
    (sample,) = made.generate(1, ["drums", "bass"], seed=1, start=5)
    assert list(sample.stems) == ["drums", "bass"] and sample.sample_rate == 16000
    for wave in sample.stems.values():
        assert wave.dtype == np.float32 and wave.shape == (band.n_samples,) and np.abs(wave).max() <= 1.0


def test_sample_i_depends_on_seed_and_i_alone(made, band):
    # Latents, since Griffin-Lim makes audible differences of float rounding in quiet places.
    four = made._latents(7, range(4))
    alone = made._latents(7, [2])
    assert torch.linalg.norm(four[2:3] - alone) < 1e-3 * torch.linalg.norm(alone)
    assert torch.linalg.norm(made._latents(8, [2]) - alone) > 0.1 * torch.linalg.norm(alone)
    assert torch.linalg.norm(four[1:2] - alone) > 0.1 * torch.linalg.norm(alone)


def test_generation_is_lazy(made):
    first = next(made.generate(10**9, STEMS))
    assert first.id == "00000"


@pytest.mark.parametrize("name", MODELS)
def test_bad_checkpoints_are_named(name, band, tmp_path):
    with pytest.raises(UsageError, match="no checkpoint.*absent.pt"):
        generator.make(name, suite=band, weights=str(tmp_path / "absent.pt"))
    (tmp_path / "text.pt").write_text("not a checkpoint")
    with pytest.raises(UsageError, match="text.pt cannot be read as a checkpoint"):
        generator.make(name, suite=band, weights=str(tmp_path / "text.pt"))
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(UsageError, match="other.pt is no checkpoint that mtbench trained"):
        generator.make(name, suite=band, weights=str(tmp_path / "other.pt"))


def test_one_models_checkpoint_is_not_the_others(band):
    from synctrack.generator import EMBEDDED

    with pytest.raises(UsageError, match="model 'msg-ld'.*no checkpoint of this network"):
        generator.make("msg-ld", suite=band, weights=str(EMBEDDED))


def test_nothing_is_unpickled_that_could_run(band, tmp_path):
    class Run:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"config": {}, "state_dict": {}, "metadata": Run()}, tmp_path / "evil.pt")
    with pytest.raises(UsageError, match="evil.pt cannot be read"):
        generator.make("synctrack", suite=band, weights=str(tmp_path / "evil.pt"))
    assert not (tmp_path / "ran").exists()


def test_unknown_steps_are_refused(band):
    with pytest.raises(UsageError, match="steps"):
        generator.make("synctrack", suite=band, options={"steps": 3})


def test_another_duration_is_refused(band):
    class Long:
        name, sample_rate, n_samples, stems = "long", 16000, 320000, STEMS

    with pytest.raises(UsageError, match="makes clips of 10.24 s, suite 'long' wants 20 s"):
        generator.make("synctrack", suite=Long())
