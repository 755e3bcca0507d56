"""Verification of a run folder of forecasts: everything is recomputed and every file compared."""

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

OTHER_VERSIONS = 1e-9  # relative tolerance for figures computed by other versions of libraries


@dataclass(slots=True)
class ForecastFindings:
    """Findings of the verification of forecasts.

    Parameters
    ----------
    findings : list of (str, str)
        File, and the first figure that differs.
    warnings : list of str
        Differences of the environment.
    seen : list of str
        Files that were compared.
    figures : int
        Number of figures in `accuracy.json`.
    """

    findings: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    figures: int = 0


def is_forecast(folder: Path) -> bool:
    """Return whether a folder is a run folder of forecasts."""
    try:
        return STAGE in read_json(folder / "manifest.json").get("stages", {})
    except (RnnStrategiesError, AttributeError, TypeError):
        return False


def verify_forecast(folder: Path, home: Home, scratch: Path, on_progress: ProgressCallback) -> ForecastFindings:
    """Forecast again in a temporary folder and compare the files byte for byte.

    Series are read from their source and networks from the workspace; a network that is not stored is trained again. A
    folder computed with other versions of its libraries is compared to nine digits.
    """
    result = ForecastFindings()
    claims = read_json(folder / "manifest.json")
    try:
        config = load_forecast_config(folder / "config.toml")
        again = ForecastRun(scratch / "again", config, home, 1, on_progress)
        digest = again.series.digest()
    except RnnStrategiesError as error:
        result.findings.append(("config.toml", f"names series that cannot be read: {error}"))
        return result
    if config.hash != claims.get("config_hash"):
        result.findings.append(("config.toml", "holds other settings than those of the manifest"))
        return result
    if digest != claims.get("series", {}).get("sha256"):
        result.findings.append(
            ("manifest.json", f"has another hash of the series than {config.series.get('path', 'their source')} now")
        )
        return result
    again.compute()
    same = claims.get("versions") == versions()
    if not same:
        result.warnings.append("computed with other versions of libraries: compared to nine digits")
    names = [*FILES, "config.toml", *(["manifest.json"] if same else [])]
    for name in names:
        result.seen.append(name)
        difference = first_difference(folder / name, again.folder / name, tolerance=None if same else OTHER_VERSIONS)
        if difference is not None:
            result.findings.append((name, difference))
    result.figures = _count_numbers(again.accuracy)
    return result


def _count_numbers(value: object) -> int:
    if isinstance(value, dict):
        return sum(_count_numbers(inner) for inner in value.values())
    if isinstance(value, list):
        return sum(_count_numbers(inner) for inner in value)
    return int(isinstance(value, int | float))
