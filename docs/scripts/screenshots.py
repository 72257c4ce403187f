"""Take the screenshot of the report in ``report.md``, in a headless Chromium.

Run ``python docs/scripts/screenshots.py``. Chromium is Debian's package ``chromium``, or any
browser built on it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import which

from PIL import Image

import ortcam
import ortcam_export

DOCS = Path(__file__).parents[1]
NETWORK = DOCS.parent / "models" / "deeplabv3plus_resnet18_camvid.onnx"
PICTURE = DOCS.parent / "models" / "street.png"
LAYERS = ["res5b_relu", "catAspp", "dec_relu1", "dec_relu4"]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZE = (1280, 1790)


def screenshot(browser: str, page: str, file: Path) -> None:
    """Save a window of :data:`SIZE` with a page, once its script has run."""
    unboxed = ["--no-sandbox"] if os.geteuid() == 0 else []  # root has no sandbox to give
    subprocess.run(  # noqa: S603 - the browser is one of BROWSERS
        [
            browser,
            *("--headless=new", "--disable-gpu", "--hide-scrollbars", *unboxed),
            f"--window-size={SIZE[0]},{SIZE[1]}",
            "--virtual-time-budget=20000",
            f"--screenshot={file}",
            page,
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    browser = next(filter(None, map(which, BROWSERS)), None)
    if browser is None:
        sys.exit("the screenshot needs Chromium: apt-get install chromium")
    cam = ortcam.load(ortcam_export.export(NETWORK, feature_layers=LAYERS).model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        about = {"file": "street.cam.onnx", "runs on": cam.provider}
        with ortcam.Report(folder / "r.html", title="street.cam.onnx", about=about) as report:
            report.add(cam.explain(PICTURE, ["Road", "Car", "Sky"]), PICTURE.name)
        page = f"{(folder / 'r.html').as_uri()}#class=Car&layer=dec_relu1&at=430,560"
        screenshot(browser, page, folder / "r.png")
        with Image.open(folder / "r.png") as image:
            image.convert("RGB").save(DOCS / "report.png", optimize=True)
