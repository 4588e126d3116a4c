"""YAML and `--set` → one frozen RunConfig; every mistake with its place, all at once.

Each room defines the section that it reads; here they are put together. A
config is looked up as a path, then in `./configs/`, then among those that ship
with the package; `stacked` is as good as `stacked.yaml`.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator

from lstmcli.config._words import plain_words
from lstmcli.config._yaml import (
    Document,
    Path,
    Place,
    Problem,
    read_yaml,
    show_value,
    write_yaml,
)
from lstmcli.config.files import (
    config_folders,
    find_config,
    hides_shipped,
    read_text,
    shipped_configs,
)
from lstmcli.config.inputs import check_feature, check_future, check_series, missing_series
from lstmcli.config.models import MODELS, UNREAD, AnyModel, panel_faults
from lstmcli.config.names import check_name, name_of_file
from lstmcli.errors import ConfigError
from lstmcli.evaluation.backtest import BacktestConfig
from lstmcli.forecasters.baselines.har import Har
from lstmcli.forecasters.blend import Blend
from lstmcli.forecasters.network import NetworkRecipe, Scale
from lstmcli.forecasters.panel_network import PanelRecipe
from lstmcli.forecasters.panel_network.settings import PanelNetworkConfig
from lstmcli.forecasters.run_recipe import RunRecipe
from lstmcli.forecasters.training import TrainingConfig
from lstmcli.frames import EARNINGS, Section
from lstmcli.models import ModelConfig
from lstmcli.splits import SplitConfig
from lstmcli.windows import WindowConfig

log = logging.getLogger(__name__)


def _printable(ticker: str) -> str:
    # What a file name may hold is the store's business; this is what YAML can carry.
    if not ticker.isprintable():
        raise ValueError(f"Expected printable characters. Received: {show_value(ticker)}.")
    return ticker


Ticker = Annotated[str, Field(min_length=1, max_length=32), AfterValidator(_printable)]
SeriesName = Annotated[str, AfterValidator(check_series)]
FeatureName = Annotated[str, AfterValidator(check_feature)]
FutureName = Annotated[str, AfterValidator(check_future)]
Retrain = Literal["never", "weekly", "monthly", "quarterly", "yearly"]


class RunConfig(Section):
    """Everything that a training depends on besides the bars."""

    name: Annotated[str, AfterValidator(check_name)] = ""
    """By which tables and runs tell it from others; else the name of its file."""

    tickers: tuple[Ticker, ...] = ()
    """Empty: every ticker that has been fetched."""

    market: dict[SeriesName, Ticker] = Field(default_factory=dict)
    """Series that describe the market by the names that features use, such as `vix: ^VIX`."""

    start: Annotated[str, Field(max_length=100), AfterValidator(_printable)] = ""
    """The run whose weights training starts from; `pretrained` ships with the program."""

    # Keras and numpy take seeds of 32 bits.
    seed: int = Field(7, ge=0, lt=2**32)
    """The same seed, bars and machine give the same forecast."""
    features: tuple[FeatureName, ...] = Field(("log_return",), min_length=1)
    """What the network reads of every session of its window."""
    future: tuple[FutureName, ...] | None = None
    """What is known ahead of the sessions forecast; else what the network reads by itself."""
    scale: Scale = "ewma"
    """The volatility that targets are divided by: EWMA's, or the HAR ridge's."""
    har_weight: float = Field(0.0, ge=0, lt=1)
    """The share of the HAR ridge in every quantile; the rest is the network's."""
    window: WindowConfig = WindowConfig()
    split: SplitConfig = SplitConfig()
    model: AnyModel
    training: TrainingConfig = TrainingConfig()
    backtest: BacktestConfig = BacktestConfig()
    retrain: Retrain = "never"
    """How often `lstm daily` trains anew: by the calendar, never because of a score."""

    @field_validator("tickers", "features", "future")
    @classmethod
    def _named_once(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for position, name in enumerate(names or ()):
            if name in (names or ())[:position]:
                raise ValueError(f"Expected each name once. Received: {show_value(name)} twice.")
        return names

    @field_validator("model")
    @classmethod
    def _fits_the_window(cls, model: AnyModel, info: ValidationInfo) -> AnyModel:
        # Fields are validated in their order, and a bad window has its own message.
        if "window" in info.data and isinstance(model, ModelConfig):
            model.check_window(info.data["window"].lookback)
        return model

    @property
    def known_ahead(self) -> tuple[str, ...]:
        """What the network reads of each session forecast."""
        return self.model.known_ahead if self.future is None else self.future

    @property
    def reads_announcements(self) -> bool:
        """Whether the network reads announcements of results, where some are stored."""
        return EARNINGS in (*self.known_ahead, *self.model.optional_events)

    def recipe(self) -> RunRecipe:
        """Return the recipe that this config describes."""
        if isinstance(self.model, PanelNetworkConfig):
            return PanelRecipe(
                horizon=self.window.horizon,
                model=self.model,
                members=self.training.members,
                seed=self.seed,
                threads=self.training.threads,
                label=self.name,
                starts=bool(self.start),
            )
        network = NetworkRecipe(
            model=self.model,
            features=self.features,
            window=self.window,
            split=self.split,
            training=self.training,
            seed=self.seed,
            scale=self.scale,
            future=self.known_ahead,
            label=self.name,
        )
        if not self.har_weight:
            return network
        har = Har(self.window.horizon, earnings=True, lags=True)
        return Blend((network, har), (1 - self.har_weight, self.har_weight))

    def to_yaml(self) -> str:
        """Return the config with its defaults written out; reads back as equal."""
        sections = self.model_dump(mode="json")
        # What is left to the file and to the network is not written down as if it were chosen.
        unsaid = {
            "name": not self.name,
            "start": not self.start,
            "future": self.future is None,
        }
        sections = {key: value for key, value in sections.items() if not unsaid.get(key)}
        if isinstance(self.model, PanelNetworkConfig):
            for section, names in UNREAD.items():
                for name in names:
                    (sections[section] if section else sections).pop(name, None)
        return "".join(f"{name}: {write_yaml(value)}\n" for name, value in sections.items())


def config_sha(config: RunConfig) -> str:
    """Return the SHA-256 of what a training depends on: the same however it is written."""
    settings = config.model_dump(mode="json", exclude={"name", "backtest", "retrain"})
    settings["future"] = list(config.known_ahead)
    # Runs of a version that did not know these keys are what their defaults say.
    defaults = {key: RunConfig.model_fields[key].default for key in ("scale", "har_weight")}
    defaults |= {"market": {}, "start": "", "future": list(config.model.known_ahead)}
    settings = {key: value for key, value in settings.items() if defaults.get(key, ...) != value}
    canonical = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def load_config(name: str, *, overrides: Sequence[str] = ()) -> RunConfig:
    """Return the config of a file, patched by `a.b=c` overrides.

    A file of this folder that goes before a shipped one of its name, and differs, is logged.

    Raises:
        ConfigError: one line per mistake, each with its place.
    """
    path = find_config(name)
    if hides_shipped(name, path):
        log.warning("the config %s is ./%s, which differs from the one that ships", name, path)
    config = parse_config(read_text(path), str(path), overrides)
    if config.name:
        return config
    try:
        return config.model_copy(update={"name": check_name(name_of_file(path.stem))})
    except ValueError as error:
        raise ConfigError(f"{path}: {error}", hint="`name: mine` in the file") from error


def parse_config(text: str, source_name: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Return the config of a YAML text, patched by `a.b=c` overrides.

    Raises:
        ConfigError: one line per mistake, each with its place.
    """
    document = read_yaml(text, source_name)
    if not document.problems and not isinstance(document.data, dict):
        received = "an empty file" if document.data is None else show_value(document.data)
        what = f"Expected settings, as in `model: {{name: stacked}}`. Received: {received}."
        document.problems.append(Problem(Place(0, source_name, 1, 1), (), what))
    for order, override in enumerate(overrides, start=1):
        _patch(document, override, order)
    config = _validate(document) if isinstance(document.data, dict) else None
    if document.problems or config is None:
        problems = sorted(document.problems, key=lambda problem: problem.place)
        raise ConfigError("\n".join(dict.fromkeys(str(problem) for problem in problems)))
    return config


def _patch(document: Document, override: str, order: int) -> None:
    """Set one `a.b=c` in the document's data, and note where it came from."""
    key, equals, text = override.partition("=")
    path = tuple(key.strip().split("."))
    place = Place(order, f"--set {override if len(override) <= 60 else override[:59] + '…'}")
    if not equals or not all(path):
        shown = show_value(override)
        document.problems.append(
            Problem(place, (), f"Expected key=value, as in model.units=[64,32]. Received: {shown}.")
        )
        return
    value = read_yaml(text, place.source, order=order, under=path)
    if value.problems:
        document.problems += value.problems
        document.unread |= value.unread | {path}
    here = document.data
    if not isinstance(here, dict):
        return
    for depth, part in enumerate(path[:-1], start=1):
        if here.get(part) is None:  # a section may stand in the --set alone
            here[part] = {}
            document.places[path[:depth]] = place
        here = here[part]
        if not isinstance(here, dict):
            what = f"Expected a map to set {path[-1]!r} in. Received: {show_value(here)}."
            document.problems.append(Problem(place, path[:depth], what))
            return
    here[path[-1]] = value.data
    kept = {at: where for at, where in document.places.items() if at[: len(path)] != path}
    document.places = kept | value.places | {path: place}


def _validate(document: Document) -> RunConfig | None:
    """Return the config of the document's data, or None with problems noted."""
    data = document.data
    for name in _SECTIONS:
        if name in data and not isinstance(data[name], dict) and (name,) not in document.unread:
            received = show_value(data[name])
            # `model:` and a body that is not indented is what leaves nothing there.
            advice = "; indent the lines that belong to it" if data[name] is None else ""
            what = f"Expected a map. Received: {received}{advice}."
            document.problems.append(Problem(_place(document, (name,)), (name,), what))
            document.unread.add((name,))
    try:
        # JSON, because strict Python data would want tuples where YAML has lists.
        config = RunConfig.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        for path, message in plain_words(error, data, _sections(data)):
            if path not in document.unread:
                document.problems.append(Problem(_place(document, path), path, message))
        return None
    for position, message in missing_series(config.features, config.market).items():
        path = ("features", position)
        document.problems.append(Problem(_place(document, path), path, message))
    for path, message in panel_faults(config):
        document.problems.append(Problem(_place(document, path), path, message))
    return config


_SECTIONS: dict[str, type[Section]] = {
    "window": WindowConfig,
    "split": SplitConfig,
    "model": ModelConfig,
    "training": TrainingConfig,
    "backtest": BacktestConfig,
}


def _sections(data: dict[str, Any]) -> dict[str, type[Section]]:
    """Return the class of each section; "" is the whole, `model` that of its variant."""
    model = data.get("model")
    name = model.get("name") if isinstance(model, dict) else None
    variant = MODELS.get(name, ModelConfig) if isinstance(name, str) else ModelConfig
    return {"": RunConfig, **_SECTIONS, "model": variant}


def _place(document: Document, path: Path) -> Place:
    """Return where a path was written; of what is missing, where it should be."""
    while path not in document.places:
        path = path[:-1]
    return document.places[path]


__all__ = [
    "Retrain",
    "RunConfig",
    "config_folders",
    "config_sha",
    "find_config",
    "load_config",
    "parse_config",
    "shipped_configs",
    "write_yaml",
]
