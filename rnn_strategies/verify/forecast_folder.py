"""`rnn-strategies verify` of a folder of forecasts: forecast and compare again, and hold every file to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rnn_strategies.config.forecast_config import load_forecast_config
from rnn_strategies.pipelines.forecast_run import FILES, STAGE, ForecastRun
from rnn_strategies.runs.manifest import versions
from rnn_strategies.runs.workspace import Home
from rnn_strategies.verify.file_differences import first_difference
from signals.common.errors import RnnStrategiesError
from signals.common.progress_events import ProgressCallback
from signals.common.storage import read_json

__all__ = ["ForecastFindings", "is_forecast", "verify_forecast"]

OTHER_VERSIONS = 1e-9  # what figures of other libraries may differ by, relatively


@dataclass(slots=True)
class ForecastFindings:
    """What was found.

    Parameters
    ----------
    findings : list of (str, str)
        File, and the first figure in which it differs.
    warnings : list of str
        What was not as it was then.
    seen : list of str
        Files that were compared.
    figures : int
        Numbers of `accuracy.json` among them.
    """

    findings: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    figures: int = 0


def is_forecast(folder: Path) -> bool:
    """Whether `rnn-strategies forecast` made a folder."""
    try:
        return STAGE in read_json(folder / "manifest.json").get("stages", {})
    except (RnnStrategiesError, AttributeError, TypeError):
        return False


def verify_forecast(folder: Path, home: Home, scratch: Path, on_progress: ProgressCallback) -> ForecastFindings:
    """Forecast again in a scratch folder and compare, byte for byte.

    The series come from where they were read, the networks from where they are kept; one that is not kept any more is
    trained again. A folder made by other versions of its libraries is compared to nine digits.
    """
    made = ForecastFindings()
    claims = read_json(folder / "manifest.json")
    try:
        config = load_forecast_config(folder / "config.toml")
        again = ForecastRun(scratch / "again", config, home, 1, on_progress)
        digest = again.series.digest()
    except RnnStrategiesError as error:
        made.findings.append(("config.toml", f"does not lead to the series any more: {error}"))
        return made
    if config.hash != claims.get("config_hash"):
        made.findings.append(("config.toml", "holds other settings than the manifest was made with"))
        return made
    if digest != claims.get("series", {}).get("sha256"):
        made.findings.append(
            ("manifest.json", f"was made from other series than {config.series.get('path', 'its source')} now gives")
        )
        return made
    again.compute()
    same = claims.get("versions") == versions()
    if not same:
        made.warnings.append("made by other versions of its libraries: compared to nine digits")
    names = [*FILES, "config.toml", *(["manifest.json"] if same else [])]
    for name in names:
        made.seen.append(name)
        found = first_difference(folder / name, again.folder / name, tolerance=None if same else OTHER_VERSIONS)
        if found is not None:
            made.findings.append((name, found))
    made.figures = _numbers(again.accuracy)
    return made


def _numbers(value: object) -> int:
    if isinstance(value, dict):
        return sum(_numbers(one) for one in value.values())
    if isinstance(value, list):
        return sum(_numbers(one) for one in value)
    return int(isinstance(value, int | float))
