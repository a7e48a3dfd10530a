"""Draw the pictures of the gallery: the last one of each tutorial, small, as WebP.

`make notebooks` calls it after it has run the tutorials: `python docs/gallery.py`.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path

import nbformat
from PIL import Image

FOLDER = Path(__file__).parent
WIDTH = 720


def last_picture(notebook: Path) -> Image.Image:
    """The last picture among the outputs of a notebook."""
    cells = nbformat.read(notebook, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    encoded = [
        output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})
    ]
    if not encoded:
        raise ValueError(f"{notebook} has no picture: run `make notebooks`")
    return Image.open(io.BytesIO(base64.b64decode(encoded[-1]))).convert("RGB")


def main() -> None:
    """Draw all of them into docs/images/tutorials."""
    out = FOLDER / "images" / "tutorials"
    out.mkdir(exist_ok=True)
    for notebook in sorted(FOLDER.glob("tutorials/*.ipynb")):
        picture = last_picture(notebook)
        picture.thumbnail((WIDTH, WIDTH))
        picture.save(out / f"{notebook.stem}.webp", quality=85, method=6)


if __name__ == "__main__":
    main()
