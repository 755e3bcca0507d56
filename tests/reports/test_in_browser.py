"""The report in headless Chromium: it asks the network for nothing, and fits a desktop and a phone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from reports.report import write_report

# everything Chromium would ask the network for on its own account
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-default-apps", "--disable-sync", "--disable-extensions", "--no-first-run", "--hide-scrollbars"),
    *("--disable-domain-reliability", "--disable-client-side-phishing-detection", "--metrics-recording-only"),
)

# What a script inside the page can see of its layout; it runs in a copy whose policy allows scripts.
PROBE = """
<script>
addEventListener("load", () => {
  const images = [...document.images];
  const wide = [...document.querySelectorAll("body *")].filter(
    (e) => !e.closest(".scroll") && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1);
  const boxes = [...document.querySelectorAll(".chart, figure.table")].map((e) => e.getBoundingClientRect());
  let overlaps = 0;
  boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b) => {
    if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1) overlaps += 1;
  }));
  document.documentElement.setAttribute("data-probe", JSON.stringify({
    images: images.length, broken: images.filter((i) => !i.complete || i.naturalWidth < 50).length,
    wide: wide.map((e) => e.tagName + "." + e.className), overlaps, empty: boxes.filter((b) => b.height < 40).length,
  }));
});
</script>
"""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no chromium on this machine; install it to look at the report")
    return found


def browse(chromium: str, profile: Path, *arguments: str) -> str:
    command = [chromium, *QUIET, f"--user-data-dir={profile}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def report(short_run) -> Path:
    return write_report(short_run.folder, stamp="stamp")


def requests_of_page(log: Path) -> set[str]:
    """Addresses the page itself asked for; Chromium's own calls home carry other annotations."""
    text = log.read_text(encoding="utf-8")
    blink_resource_loader = 101845102
    return set(re.findall(rf'"traffic_annotation":{blink_resource_loader},"url":"((?!data:|file:)[^"]*)"', text))


def test_no_network_request_and_a_picture(chromium, report, tmp_path):
    log, picture, profile = tmp_path / "net.json", tmp_path / "page.png", tmp_path / "profile"
    control = tmp_path / "control.html"
    control.write_text('<img src="http://report.invalid/x.png">', encoding="utf-8")
    browse(chromium, profile, f"--log-net-log={log}", f"--screenshot={picture}", control.as_uri())
    assert requests_of_page(log) == {"http://report.invalid/x.png"}  # else the next assertion would prove nothing

    screen = ("--window-size=1280,6000", f"--screenshot={picture}")
    browse(chromium, profile, *screen, f"--log-net-log={log}", report.as_uri())
    assert requests_of_page(log) == set()
    with Image.open(picture) as image:
        assert image.size == (1280, 6000)
        colours = image.convert("RGB").resize((128, 600)).getcolors(128 * 600)
    assert len(colours) > 200  # text and charts, not a blank page or an error


@pytest.mark.parametrize("width", [1280, 820, 390])
def test_layout(chromium, report, tmp_path, width):
    html = report.read_text(encoding="utf-8")
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html).replace("</body>", PROBE + "</body>")
    copy = tmp_path / "probe.html"
    copy.write_text(html, encoding="utf-8")
    dom = browse(chromium, tmp_path / "profile", f"--window-size={width},2000", "--dump-dom", copy.as_uri())
    probe = json.loads(re.search(r'data-probe="([^"]*)"', dom).group(1).replace("&quot;", '"'))
    assert probe["images"] > 20
    assert probe["broken"] == 0
    assert probe["wide"] == []
    assert probe["overlaps"] == 0
    assert probe["empty"] == 0
