"""Draw the pictures of the gallery: the last one of each tutorial, small, as WebP.

`make notebooks` calls it after it has run the tutorials: `python docs/gallery.py`. It prints how
many seconds each took, by the times that its notebook keeps.
"""

from __future__ import annotations

import base64
import io
from datetime import datetime
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


def seconds(notebook: Path) -> float:
    """Seconds from the beginning of a notebook's first cell to the end of its last one."""
    cells = nbformat.read(notebook, as_version=4).cells
    times = [cell.metadata["execution"] for cell in cells if cell.cell_type == "code"]
    first, last = times[0]["iopub.execute_input"], times[-1]["shell.execute_reply"]
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


def main() -> None:
    """Draw all of them into docs/images/tutorials, and print what each took."""
    out = FOLDER / "images" / "tutorials"
    out.mkdir(exist_ok=True)
    for notebook in sorted(FOLDER.glob("tutorials/*.ipynb")):
        picture = last_picture(notebook)
        picture.thumbnail((WIDTH, WIDTH))
        picture.save(out / f"{notebook.stem}.webp", quality=85, method=6)
        print(f"{notebook.stem}: {seconds(notebook):.0f} s")


if __name__ == "__main__":
    main()
