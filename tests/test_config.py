import pytest

from mtbench import config
from mtbench.errors import UsageError


def written(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return path


def test_controls_are_added_to_the_models():
    assert [model.row for model in config.validate({"models": ["synctrack"]}, "t").models] == [
        "synctrack",
        "heldout",
        "noise",
    ]
    assert [m.row for m in config.validate({"models": ["noise", "a"]}, "t").models] == ["noise", "a", "heldout"]


def test_the_old_word_true_is_the_timebase_real(tmp_path):
    loaded = config.load(written(tmp_path, "models: [a]\ngrid: {timebase: [true, published]}"), {})
    assert loaded.grid.timebase == ("real", "published")


def test_a_folder_named_like_a_control_is_prefixed_with_its_parent():
    asked = config.validate({"models": ["folder:songs/heldout", "folder:songs/noise", "folder:songs/mine"]}, "t")
    assert [model.row for model in asked.models] == ["songs-heldout", "songs-noise", "mine", "heldout", "noise"]
    assert config.Model(name="folder:songs/shuffled", label="else").row == "else"


def test_the_command_line_overrides_the_file_key_by_key(tmp_path):
    path = written(tmp_path, "models: [a]\nn: 3\ngrid: {fps: [100], window: [0.2]}")
    loaded = config.load(path, {"n": 5, "grid": {"fps": ["150"]}})
    assert (loaded.n, loaded.grid.fps, loaded.grid.window) == (5, (150,), (0.2,))


def test_a_grid_has_every_combination_of_its_values():
    grid = config.Grid(fps=(100, 150), transition_lambda=(50, 100), timebase=("real",))
    assert grid.decodes() == [(100, 50, "real"), (100, 100, "real"), (150, 50, "real"), (150, 100, "real")]


def test_a_single_value_stands_for_a_list(tmp_path):
    loaded = config.load(written(tmp_path, "models: [a]\nembeddings: vggish\ngrid: {fps: 100, timebase: true}"), {})
    assert (loaded.grid.fps, loaded.grid.timebase, loaded.embeddings) == ((100,), ("real",), ("vggish",))


@pytest.mark.parametrize(
    "text, problem",
    [
        ("modells: [a]", "unknown key 'modells'. Did you mean 'models'"),
        ("models: [{name: a, label: noise}]", "models: 'noise' is the name of a control; set another label for a"),
        ("models: [a]\nn: 1000000000", "c.yaml: n must be at most 100000 (got 1000000000)"),
        ("models: [a]\nseed: 1" + 30 * "0", "c.yaml: seed must be less than"),
        ("models: [a]\nsuite: 2024-02-31", "not valid YAML"),
        ("[" * 3_000, "not valid YAML"),
        ("models: [a]\nsead: 1", "c.yaml: unknown key 'sead'. Did you mean 'seed'"),
        ("models: [a]\ngrid: {windows: [1]}", "c.yaml: grid: unknown key 'windows'. Did you mean 'window'"),
        ("models: [{name: a, weigths: b}]", "unknown key 'weigths'. Did you mean 'weights'"),
        ("models: [a]\ngrid: {fps: [0]}", "c.yaml: grid.fps must be at least 10 (got 0)"),
        ("models: [a]\ngrid: {timebase: [unreal]}", "grid.timebase must be 'real' or 'published' (got 'unreal')"),
        ("models: [a]\nn: many", "c.yaml: n must be a whole number (got 'many')"),
        ("models: a", "models: must be a list of names"),
        ("models: [a, a]", "models: 'a' is used twice; set a label for one of them"),
        ("models: [{name: a, label: ../../etc}]", "models.0.label must consist of letters, digits"),
        ("n: 3", "c.yaml: models is missing"),
        ("- 1", "c.yaml: contains list, expected a mapping of keys to values"),
        ("models: [", "c.yaml, line 1: not valid YAML (expected the node content, but found '<stream end>')"),
        ("models: [a]\nn: 4\n  seed: 1", "c.yaml, line 3: not valid YAML (mapping values are not allowed here)"),
        ("models: [a]\n\tn: 4", "c.yaml, line 2: not valid YAML (found character '\\t' that cannot start any token)"),
        ("models: !!python/object/apply:os.system [true]", "not valid YAML"),
    ],
)
def test_an_invalid_config_is_reported_with_file_and_key(tmp_path, text, problem):
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as raised:
        config.load(path, {})
    assert problem in str(raised.value) and "c.yaml" in str(raised.value)


def test_a_missing_config_is_named(tmp_path):
    with pytest.raises(UsageError, match="absent.yaml"):
        config.load(tmp_path / "absent.yaml", {})


def test_a_long_invalid_value_is_abbreviated(tmp_path):
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{new}: &{new} [{', '.join(9 * ['*' + old])}]\n" for old, new in zip("abcdefg", "bcdefgh")
    )
    with pytest.raises(UsageError) as raised:
        config.load(written(tmp_path, bomb.replace("h: &h", "suite: &h").replace("a: &a", "n: &a")), {"models": ["a"]})
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize("name", ["configs/band.yaml", "band.yaml", "./band.yaml"])
def test_the_bundled_config_is_found_from_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [model.row for model in config.load(name, {}).models]
    assert rows == ["synctrack", "msg-ld", "mt-musicldm", "msdm", "heldout", "noise"]


@pytest.mark.parametrize("name", ["wrong/dir/band.yaml", "../band.yaml", "/configs/band.yaml", "configs/absent.yaml"])
def test_other_paths_do_not_find_the_bundled_config(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"{name}: cannot be read"):
        config.load(name, {})
