"""From YAML and --set to a RunConfig, and what a mistake in them is answered with."""

from __future__ import annotations

import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstmcli.config import (
    RunConfig,
    config_sha,
    find_config,
    load_config,
    parse_config,
    shipped_configs,
)
from lstmcli.config.models import MODELS
from lstmcli.errors import ConfigError
from lstmcli.features import OWN_FEATURES
from lstmcli.forecasters.baselines.har import Har
from lstmcli.forecasters.blend import Blend
from lstmcli.models import VARIANTS

DENSE = "model: {name: dense}\n"


def problems(text: str, *overrides: str) -> list[str]:
    """Return the lines of the error that a config gets."""
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "c.yaml", overrides)
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()


# What is read


def test_a_model_alone_is_a_config_and_the_rest_has_defaults():
    config = parse_config(DENSE, "c.yaml")
    assert config.model.name == "dense"
    assert config.seed == 7
    assert config.tickers == ()
    assert config.features == ("log_return",)


def test_words_that_older_yaml_takes_for_booleans_are_tickers():
    text = DENSE + "tickers: [ON, NO, YES, TRUE, NULL, 0700, 1E5, .5, 'A B']\n"
    expected = ("ON", "NO", "YES", "TRUE", "NULL", "0700", "1E5", ".5", "A B")
    assert parse_config(text, "c.yaml").tickers == expected


@pytest.mark.parametrize(
    ("written", "value"),
    [("1e-3", 1e-3), ("3.0e-4", 3e-4), ("1E-3", 1e-3), (".5", 0.5), ("1", 1.0), ("+0.5", 0.5)],
)
def test_numbers_are_numbers_however_they_are_written(written, value):
    config = parse_config(DENSE + f"training: {{learning_rate: {written}}}\n", "c.yaml")
    assert config.training.learning_rate == value


def test_a_yaml_1_1_directive_does_not_bring_its_booleans_back():
    config = parse_config("%YAML 1.1\n---\n" + DENSE + "tickers: [NO]\n", "c.yaml")
    assert config.tickers == ("NO",)


def test_a_share_stays_a_share_and_a_count_a_count():
    split = parse_config(DENSE + "split: {test: 250, validation: 0.2}\n", "c.yaml").split
    assert (split.test, split.validation) == (250, 0.2)
    assert isinstance(split.test, int)


def test_a_config_is_frozen():
    config = parse_config(DENSE, "c.yaml")
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 8


# What is refused: exit code 2, file:line:column, everything at once, a suggestion


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "model:\n  name: dense\n  unts: [8]\n",
            "c.yaml:3:3: model.unts: unknown key; did you mean 'units'?",
            id="unknown key in a section",
        ),
        pytest.param(
            DENSE + "sed: 7\n",
            "c.yaml:2:1: sed: unknown key; did you mean 'seed'?",
            id="unknown key at the top",
        ),
        pytest.param(
            DENSE + "lookback: 7\n",
            "c.yaml:2:1: lookback: unknown key; did you mean 'window.lookback'? "
            "Indent it under `window:`",
            id="key of a section at the top",
        ),
        pytest.param(
            "model:\n  name: stakced\n",
            "c.yaml:2:3: model.name: unknown variant 'stakced'; did you mean 'stacked'?",
            id="unknown variant",
        ),
        pytest.param(
            "model: {name: 3}\n",
            f"c.yaml:1:9: model.name: unknown variant 3; choose from {', '.join(MODELS)}",
            id="variant of the wrong type",
        ),
        pytest.param(
            "model: {units: [8]}\n",
            f"c.yaml:1:1: model.name: missing; choose from {', '.join(MODELS)}",
            id="no variant",
        ),
        pytest.param(
            "seed: 7\n",
            "c.yaml:1:1: model: missing, as in `model: {name: stacked}`",
            id="no model",
        ),
        pytest.param(
            DENSE + "features:\n  - rsi\n  - log_retrn\n",
            "c.yaml:4:5: features[1]: unknown feature 'log_retrn'; did you mean 'log_return'?",
            id="unknown feature",
        ),
        pytest.param(
            DENSE + "features: [zzz]\n",
            "c.yaml:2:12: features[0]: unknown feature 'zzz'; choose from "
            + ", ".join(OWN_FEATURES),
            id="unknown feature, none near",
        ),
        pytest.param(
            DENSE + "features: [rsi, rsi]\n",
            "c.yaml:2:1: features: Expected each name once. Received: 'rsi' twice.",
            id="repeated feature",
        ),
        pytest.param(
            DENSE + "features: []\n",
            "c.yaml:2:1: features: Expected a list of 1 or more. Received: 0.",
            id="no feature",
        ),
        pytest.param(
            DENSE + "features: rsi\n",
            "c.yaml:2:1: features: Expected a list. Received: 'rsi'.",
            id="text where a list belongs",
        ),
        pytest.param(
            DENSE + "seed: seven\n",
            "c.yaml:2:1: seed: Expected a whole number. Received: 'seven'.",
            id="text where a number belongs",
        ),
        pytest.param(
            DENSE + "seed: '7'\n",
            "c.yaml:2:1: seed: Expected a whole number. Received: '7'.",
            id="number in quotes",
        ),
        pytest.param(
            DENSE + "seed: true\n",
            "c.yaml:2:1: seed: Expected a whole number. Received: true.",
            id="boolean where a number belongs",
        ),
        pytest.param(
            DENSE + "seed: 1.5\n",
            "c.yaml:2:1: seed: Expected a whole number. Received: 1.5.",
            id="fraction where a whole number belongs",
        ),
        pytest.param(
            DENSE + "seed:\n",
            "c.yaml:2:1: seed: Expected a whole number. Received: nothing.",
            id="nothing where a number belongs",
        ),
        pytest.param(
            DENSE + "seed: -1\n",
            "c.yaml:2:1: seed: Expected 0 or more. Received: -1.",
            id="number out of range",
        ),
        pytest.param(
            DENSE + "split: {test: abc}\n",
            "c.yaml:2:9: split.test: Expected a number. Received: 'abc'.",
            id="text where a share or a count belongs",
        ),
        pytest.param(
            "model: [dense]\n",
            "c.yaml:1:1: model: Expected a map. Received: a list.",
            id="list where a map belongs",
        ),
        pytest.param(
            DENSE + "window: 60\n",
            "c.yaml:2:1: window: Expected a map. Received: 60.",
            id="number where a map belongs",
        ),
        pytest.param(
            "- dense\n",
            "c.yaml:1:1: Expected settings, as in `model: {name: stacked}`. Received: a list.",
            id="a list at the top",
        ),
        pytest.param(
            "",
            "c.yaml:1:1: Expected settings, as in `model: {name: stacked}`. "
            "Received: an empty file.",
            id="empty",
        ),
        pytest.param(
            "# nothing here\n",
            "c.yaml:1:1: Expected settings, as in `model: {name: stacked}`. "
            "Received: an empty file.",
            id="comments only",
        ),
        pytest.param(
            DENSE + "seed: 1\nseed: 2\n",
            "c.yaml:3:1: seed: duplicate key; first in line 2",
            id="duplicate key",
        ),
        pytest.param(
            DENSE + "seed: 012\n",
            "c.yaml:2:7: seed: Expected a number without leading zeros, or text in quotes. "
            "Received: 012.",
            id="leading zero",
        ),
        pytest.param(
            DENSE + "training: {learning_rate: .nan}\n",
            "c.yaml:2:27: training.learning_rate: Expected a finite number. Received: .nan.",
            id="not a number",
        ),
        pytest.param(
            DENSE + "training: {learning_rate: 1e999}\n",
            "c.yaml:2:27: training.learning_rate: Expected a finite number. Received: 1e999.",
            id="too large for a number",
        ),
        pytest.param(
            DENSE + f"seed: {'9' * 5000}\n",
            "c.yaml:2:7: seed: Expected a number of at most 30 digits. Received: 5000.",
            id="thousands of digits",
        ),
        pytest.param("model:\n\tname: dense\n", "c.yaml:2:1: a tab; YAML wants spaces", id="tab"),
        pytest.param(
            "model: {name: dense\n",
            "c.yaml:2:1: Expected YAML. Received: expected ',' or '}', but got '<stream end>'.",
            id="open brace",
        ),
        pytest.param(
            "model: !!python/object:os.system x\n",
            "c.yaml:1:8: model: tags (tag:yaml.org,2002:python/object:os.system) are not allowed",
            id="tag",
        ),
        pytest.param(
            DENSE + "---\n" + DENSE,
            "c.yaml:2:1: Expected one document. Received: another.",
            id="two documents",
        ),
        pytest.param(
            "? [a]\n: 1\n",
            "c.yaml:1:3: Expected a name in front of the colon.",
            id="list as a name",
        ),
        pytest.param(
            "[" * 5000, "c.yaml:1:9: Expected at most 8 levels of nesting.", id="deep nesting"
        ),
        pytest.param(
            "#" * 70_000, "c.yaml: Expected at most 64 KiB of YAML.", id="a file of 70 KB"
        ),
        pytest.param(
            DENSE + "seed: \x07\n",
            "c.yaml:2:7: a character that YAML does not allow: U+0007.",
            id="control character",
        ),
        pytest.param(
            DENSE + 'tickers: ["A\\x1b[2J"]\n',
            "c.yaml:2:11: tickers[0]: Expected printable characters. Received: 'A\\x1b[2J'.",
            id="escape sequence",
        ),
        pytest.param(
            DENSE + "tickers: ['']\n",
            "c.yaml:2:11: tickers[0]: Expected at least 1 characters. Received: ''.",
            id="empty ticker",
        ),
        pytest.param(
            DENSE + 'tickers: ["\\ud800"]\n',
            "c.yaml:2:11: tickers[0]: Expected text. Received: half a character.",
            id="lone surrogate",
        ),
        pytest.param(
            'a: "\\U99999999"\n',
            "c.yaml: Expected YAML. Received: what no YAML reader understands.",
            id="character that does not exist",
        ),
        pytest.param(
            "model: {name: conv_lstm, stretches: 6}\nwindow: {lookback: 61}\n",
            "c.yaml:1:1: model: expected a lookback that 6 stretches divide, received 61; "
            "60 would do",
            id="model that does not fit the window",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(text, expected):
    assert problems(text) == [expected]


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file():
    text = (
        "sed: 3\nmodel:\n  units: [8, x]\n  name: stacked\n  dropuot: 0.1\n"
        "features: [log_retrn, rsi]\nsplit: {test: abc}\nsplit: {}\n"
    )
    assert problems(text, "training.epoch=3") == [
        "c.yaml:1:1: sed: unknown key; did you mean 'seed'?",
        "c.yaml:3:14: model.units[1]: Expected a whole number. Received: 'x'.",
        "c.yaml:5:3: model.dropuot: unknown key; did you mean 'dropout'?",
        "c.yaml:6:12: features[0]: unknown feature 'log_retrn'; did you mean 'log_return'?",
        "c.yaml:7:9: split.test: Expected a number. Received: 'abc'.",
        "c.yaml:8:1: split: duplicate key; first in line 7",
        "--set training.epoch=3: training.epoch: unknown key; did you mean 'epochs'?",
    ]


def test_a_body_that_is_not_indented_is_no_empty_model():
    assert problems("model:\nname: stacked\nunits: [64, 32]\n") == [
        "c.yaml:1:1: model: Expected a map. Received: nothing; indent the lines that belong to it.",
        "c.yaml:3:1: units: unknown key; did you mean 'model.units'? Indent it under `model:`",
    ]


def test_a_yaml_bomb_does_not_go_off():
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10)]
    found = problems("l0: &l0 [x]\n" + "\n".join(levels) + "\n" + DENSE)
    assert found[0] == (
        "c.yaml:1:5: l0: anchors and aliases (&l0) are not allowed; write the value out"
    )
    assert len(found) == 1 + 9 + 9 * 9  # each where it is written, none expanded


def test_no_message_leaks_the_words_of_a_library():
    text = "model: {name: stacked, units: {a: 1}, dropout: [1]}\nwindow: {lookback: 1e9, x: {}}\n"
    message = "\n".join(problems(text + "tickers: [{}]\ntraining: {refit: 1, epochs: 0}\n"))
    for word in ("pydantic", "Input should", "valid ", "tuple", "https:", "JSON"):
        assert word not in message


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.sampled_from(
            ["model", "name", "dense", "seed", "tickers", "012", "0x1", "1e", "~", "<<"]
        )
        | st.sampled_from(
            [": ", ":\n  ", "\n", "- ", "[", "]", "{", "}", ",", "? ", "|", ">", "---\n"]
        )
        | st.sampled_from(
            ["&a ", "*a ", "!!str ", "%YAML 1.1\n", "'", '"', "\\", "\\u12", "\t", "@"]
        ),
        max_size=14,
    ).map("".join)
    | st.text(max_size=30)
)
def test_whatever_the_text_it_is_a_config_or_a_config_error(text):
    try:
        assert isinstance(parse_config(text, "c.yaml", [f"seed={text}", text]), RunConfig)
    except ConfigError as error:
        assert "c.yaml" in str(error) or "--set" in str(error)


# --set


def test_an_override_patches_the_file():
    config = parse_config(
        "model: {name: stacked, units: [64, 32]}\nseed: 1\n",
        "c.yaml",
        ["model.units=[128,64]", "seed=2", "seed=3", "tickers=[ON, NO]", "training.epochs=1"],
    )
    assert config.model.units == (128, 64)
    assert config.seed == 3
    assert config.tickers == ("ON", "NO")
    assert config.training.epochs == 1


def test_an_override_may_replace_a_whole_section():
    config = parse_config(DENSE + "seed: 1\n", "c.yaml", ["model={name: lstm, units: 4}"])
    assert (config.model.name, config.model.units) == ("lstm", 4)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.unts=3", "--set model.unts=3: model.unts: unknown key; did you mean 'units'?"),
        (
            "seed",
            "--set seed: Expected key=value, as in model.units=[64,32]. Received: 'seed'.",
        ),
        ("=3", "--set =3: Expected key=value, as in model.units=[64,32]. Received: '=3'."),
        (
            "model..units=3",
            "--set model..units=3: Expected key=value, as in model.units=[64,32]. "
            "Received: 'model..units=3'.",
        ),
        (
            "seed.x=3",
            "--set seed.x=3: seed: Expected a map to set 'x' in. Received: 7.",
        ),
        (
            "window.lookback=abc",
            "--set window.lookback=abc: window.lookback: Expected a whole number. Received: 'abc'.",
        ),
        ("seed=", "--set seed=: seed: Expected a whole number. Received: nothing."),
        (
            "seed=[1",
            "--set seed=[1: Expected YAML. Received: expected ',' or ']', but got '<stream end>'.",
        ),
        (
            "model=dense",
            "--set model=dense: model: Expected a map. Received: 'dense'.",
        ),
        (
            "model.units=[8, x]",
            "--set model.units=[8, x]: model.units[1]: Expected a whole number. Received: 'x'.",
        ),
        (
            "nosuch.key=3",
            "--set nosuch.key=3: nosuch: unknown key; choose from name, tickers, market, start, "
            "seed, features, future, scale, har_weight, window, split, model, training, "
            "backtest, retrain",
        ),
    ],
)
def test_a_bad_override_is_named(override, expected):
    assert problems(DENSE + "seed: 7\n", override) == [expected]


def test_an_override_does_not_hide_a_mistake_in_the_file():
    assert problems(DENSE + "sed: 1\n", "seed=2") == [
        "c.yaml:2:1: sed: unknown key; did you mean 'seed'?"
    ]


# Files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_path_goes_before_the_local_folder_and_that_before_the_shipped_ones(folder):
    name = "stacked.yaml"
    assert find_config(name) == shipped_configs()["stacked"]
    (folder / "configs").mkdir()
    (folder / "configs" / name).write_text(DENSE)
    assert find_config(name).resolve() == folder / "configs" / name
    (folder / name).write_text(DENSE)
    assert find_config(name).resolve() == folder / name


def test_a_file_that_hides_a_shipped_config_is_named(folder, caplog):
    shipped = shipped_configs()["stacked"]
    shutil.copy(shipped, folder / "stacked.yaml")
    load_config("stacked")  # a copy hides nothing
    (folder / "dense.yaml").write_text(DENSE)
    load_config("./dense.yaml")  # so named, it is meant
    (folder / "mine.yaml").write_text(DENSE)
    load_config("mine")
    assert caplog.messages == []
    (folder / "stacked.yaml").write_text(DENSE)
    assert load_config("stacked").model.name == "dense"
    expected = "the config stacked is ./stacked.yaml, which differs from the one that ships"
    assert caplog.messages == [expected]


@pytest.mark.parametrize("name", ["mine", "mine.yaml", "configs/mine", "configs/mine.yaml"])
def test_the_ending_may_be_left_out(folder, name):
    (folder / "configs").mkdir()
    (folder / "configs" / "mine.yaml").write_text(DENSE)
    assert load_config(name).model.name == "dense"


def test_every_shipped_config_is_found_by_its_bare_name(folder):
    assert shipped_configs()
    for name, path in shipped_configs().items():
        assert find_config(name) == path


@pytest.mark.parametrize("name", ["stackd", "stackd.yaml", "configs/stackd.yaml"])
def test_a_config_that_does_not_exist_is_answered_with_near_names(folder, name):
    with pytest.raises(ConfigError, match="does not exist") as caught:
        find_config(name)
    assert "did you mean stacked" in caught.value.hint


@pytest.mark.parametrize("name", ["", ".", "/", "..", "a\0b", "x" * 5000, "../" * 40 + "etc"])
def test_a_name_that_cannot_be_a_file_is_not_found(folder, name):
    with pytest.raises(ConfigError, match="does not exist"):
        find_config(name)


def test_errors_name_the_file_as_it_was_found(folder):
    (folder / "configs").mkdir()
    (folder / "configs" / "mine.yaml").write_text("model: {name: dense, x: 1}\n")
    with pytest.raises(ConfigError, match=r"^configs/mine\.yaml:1:22: model\.x: unknown key"):
        load_config("mine")


def test_a_file_that_is_not_utf_8_is_refused_with_the_place(folder):
    (folder / "c.yaml").write_bytes(b"model: {name: dense}\n# \xe9\n")
    with pytest.raises(ConfigError, match=r"c\.yaml:2:3: Expected UTF-8\. Received: .* 0xe9"):
        load_config("c.yaml")


def test_a_byte_order_mark_is_no_mistake(folder):
    (folder / "c.yaml").write_bytes(b"\xef\xbb\xbf" + DENSE.encode())
    assert load_config("c.yaml").model.name == "dense"


def test_a_large_file_is_not_even_read(folder):
    (folder / "c.yaml").write_bytes(b"# \n" * 1_000_000)
    with pytest.raises(ConfigError, match=r"c\.yaml: Expected at most 64 KiB of YAML\."):
        load_config("c.yaml")


# Round trip


def configs() -> st.SearchStrategy[RunConfig]:
    """Configs of every variant, with names that are hard on a YAML writer."""
    names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=32)
    words = st.sampled_from(["ON", "null", "~", "012", "1e3", "- a", "a: b", "#", "'", "*x", "?0"])
    return st.fixed_dictionaries(
        {
            "tickers": st.lists(names | words, max_size=4, unique=True),
            "seed": st.integers(0, 2**32 - 1),
            "features": st.lists(st.sampled_from(list(OWN_FEATURES)), min_size=1, unique=True),
            # 60 divides by the stretches of conv_lstm.
            "window": st.fixed_dictionaries(
                {"lookback": st.just(60), "horizon": st.integers(1, 99)}
            ),
            "split": st.fixed_dictionaries(
                {"test": st.floats(1e-9, 0.3, exclude_min=True) | st.integers(10, 999)}
            ),
            "model": st.fixed_dictionaries({"name": st.sampled_from(list(VARIANTS))}),
            "training": st.fixed_dictionaries(
                {"learning_rate": st.floats(1e-12, 1), "refit": st.booleans()}
            ),
        }
    ).map(RunConfig.model_validate)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(configs())
def test_a_resolved_config_reads_back_as_itself(config):
    again = parse_config(config.to_yaml(), "config.yaml")
    assert again == config
    assert again.to_yaml() == config.to_yaml()
    assert config_sha(again) == config_sha(config)


def test_a_resolved_config_has_a_line_per_section_and_quotes_what_old_readers_mistake():
    config = parse_config("model: {name: stacked, units: [8, 4]}\ntickers: [MRK, ON, 012]\n", "c")
    lines = config.to_yaml().splitlines()
    assert lines[0] == 'tickers: [MRK, "ON", "012"]'
    assert "model: {name: stacked, units: [8, 4], dropout: 0.1}" in lines
    said = set(RunConfig.model_fields) - {"name", "start", "future"}
    assert len(lines) == len(said)


def test_the_sha_ignores_how_a_config_is_written_and_sees_what_it_says():
    short = parse_config(DENSE, "a")
    long = parse_config("seed: 7\nmodel:\n  # three layers\n  name: dense\n", "b")
    other = parse_config(DENSE + "seed: 8\n", "a")
    assert config_sha(short) == config_sha(long)
    assert config_sha(short) != config_sha(other)


# Names, market series and inputs known ahead

VIX = "market: {vix: ^VIX}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "features: [rsi, vix_level]\n",
            "c.yaml:2:17: features[1]: vix_level reads the market series vix; add "
            "`market: {vix: ^VIX}` with its ticker",
        ),
        (
            VIX + "features: [rsi, user:strikes]\n",
            "c.yaml:3:17: features[1]: user:strikes is known ahead of a session; name it under "
            "`future:`",
        ),
        (
            VIX + "future: [weekday, vix_level]\n",
            "c.yaml:3:19: future[1]: vix_level is known when its session has closed; name it "
            "under `features:`",
        ),
        (
            "future: [earning]\n",
            "c.yaml:2:10: future[0]: unknown input 'earning'; did you mean 'earnings'?",
        ),
        (
            "future: [weekdy]\n",
            "c.yaml:2:10: future[0]: unknown input 'weekdy'; did you mean 'weekday'?",
        ),
        (
            "future: [user:Two Words]\n",
            "c.yaml:2:10: future[0]: Expected user: and a name of lower-case letters, digits, _ "
            "and -. Received: 'user:Two Words'.",
        ),
        (
            "market: {VIX: ^VIX}\n",
            "c.yaml:2:10: market.VIX: Expected a series' name of lower-case letters, digits and "
            "_, as in `market: {vix: ^VIX}`. Received: 'VIX'.",
        ),
        (
            "market: {log: ^GSPC}\n",
            "c.yaml:2:10: market.log: Expected another name: log_return is a feature of a "
            "ticker's own bars. Received: 'log'.",
        ),
        ("market: [^VIX]\n", "c.yaml:2:1: market: Expected a map. Received: a list."),
        (
            "name: har\n",
            "c.yaml:2:1: name: Expected a name of its own. Received: har, which is a baseline.",
        ),
        (
            "name: a/b\n",
            "c.yaml:2:1: name: Expected a name of at most 40 letters, digits, dots, - and _. "
            "Received: 'a/b'.",
        ),
    ],
)
def test_a_name_in_the_wrong_list_is_said_with_its_place(text, expected):
    assert problems(DENSE + text) == [expected]


def test_a_series_of_any_name_has_features():
    text = "market: {rate: ^TNX, gold: GC=F}\nfeatures: [rate_return, gold_volatility]\n"
    config = parse_config(DENSE + text, "c")
    assert config.recipe().features == ("rate_return", "gold_volatility")
    assert parse_config(config.to_yaml(), "again") == config


def test_a_market_series_may_look_like_something_else():
    assert parse_config(DENSE + "market: {a: ON, b: 700}\n", "c").market == {"a": "ON", "b": "700"}


def test_a_config_is_named_after_its_file(tmp_path):
    path = tmp_path / "my own (2).yaml"
    path.write_text(DENSE)
    config = load_config(str(path))
    assert (config.name, config.recipe().name) == ("my-own-2", "my-own-2")
    assert load_config(str(path), overrides=["name=mine"]).recipe().name == "mine"
    # A stored config of a version without names is called what its network is called.
    assert parse_config(DENSE, "stored").recipe().name == "dense"


def test_a_file_that_is_named_like_a_baseline_is_refused(tmp_path):
    path = tmp_path / "garch.yaml"
    path.write_text(DENSE)
    with pytest.raises(ConfigError, match="garch, which is a baseline") as caught:
        load_config(str(path))
    assert "name: mine" in caught.value.hint


def test_names_and_defaults_that_came_later_leave_a_hash_as_it_was():
    plain = parse_config("model: {name: encoder_decoder}\n", "c")
    same = parse_config(
        "name: mine\nmarket: {}\nfuture: [weekday]\nmodel: {name: encoder_decoder}\n", "c"
    )
    other = parse_config("future: []\nmodel: {name: encoder_decoder}\n", "c")
    assert config_sha(plain) == config_sha(same) != config_sha(other)


def test_a_hash_is_what_version_0_1_gave():
    # `lstm train` of 0.1 named its runs after these.
    found = {name: config_sha(load_config(name))[:8] for name in ("attention", "best")}
    assert found == {"attention": "552ffe0f", "best": "65920e18"}


def test_a_blend_is_made_of_the_network_and_har():
    recipe = parse_config(
        DENSE + "har_weight: 0.25\nwindow: {lookback: 8, horizon: 3}\n", "c"
    ).recipe()
    assert isinstance(recipe, Blend)
    assert recipe.weights == (0.75, 0.25)
    assert recipe.recipes[1] == Har(3, earnings=True, lags=True)


# The panel network

PANEL = "model: {name: panel}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("features: [log_return]", "c.yaml:2:1: features: leave it out: a panel network does not"),
        ("scale: har", "c.yaml:2:1: scale: leave it out: a panel network does not read it"),
        ("window: {lookback: 60}", "c.yaml:2:10: window.lookback: leave it out: a panel network"),
        ("training: {epochs: 5}", "c.yaml:2:12: training.epochs: leave it out: a panel network"),
        ("window: {horizon: 61}", "c.yaml:2:10: window.horizon: Expected 60 or less for a panel"),
        ("market: {foo: X}", "c.yaml:2:10: market.foo: Expected vix or index: a panel network"),
        ("market: {vix: ^VIX}", "c.yaml:2:1: market: Expected vix and index, or neither: a panel"),
    ],
)
def test_what_a_panel_network_does_not_read_is_refused(text, said):
    (problem,) = problems(PANEL + text + "\n")
    assert problem.startswith(said)


def test_a_panel_network_needs_sessions_behind_its_burn_in():
    (problem,) = problems("model: {name: panel, span: 100, burn_in: 100}\n")
    assert problem.startswith("c.yaml:1:33: model.burn_in: Expected fewer than model.span, 100")


def test_a_setting_of_the_command_line_is_refused_as_one_of_the_file():
    (problem,) = problems(PANEL, "training.patience=3")
    assert problem.startswith("--set training.patience=3: training.patience: leave it out")


def test_a_panel_config_is_written_as_it_was_read():
    text = PANEL + "market: {vix: ^VIX, index: ^GSPC}\nwindow: {horizon: 60}\n"
    config = parse_config(text, "c.yaml", ["model.batches=20"])
    again = parse_config(config.to_yaml(), "again.yaml")
    assert again == config
    assert config_sha(again) == config_sha(config)
    assert config_sha(again) != config_sha(parse_config(text, "c.yaml"))
