"""A tiny BigEarthNet in the published format (version 1.0): folders, names, GeoTIFFs, JSON."""

import json

import numpy as np
import rasterio
from rasterio.transform import from_origin

PAIRS = {
    "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_87_48": "S2A_MSIL2A_20170613T101031_87_48",
    "S1B_IW_GRDH_1SDV_20170924T043256_35VPK_69_2": "S2B_MSIL2A_20170924T93020_69_2",
}
LABELS = (("Pastures", "Peatbogs"), ("Airports",))
CORNERS = ((404400, 5342400), (682800, 6971220))
EPSG = (32633, 32635)
EDGES = {"VV": 120, "VH": 120, "B01": 20, "B09": 20}
EDGES |= dict.fromkeys(("B02", "B03", "B04", "B08"), 120)
EDGES |= dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12"), 60)


def write_band(path, image, corner, epsg, **options):
    form = {"count": 1, "height": len(image), "width": len(image), "dtype": image.dtype}
    place = from_origin(*corner, 1200 / len(image), 1200 / len(image))
    form |= {"crs": f"EPSG:{epsg}", "transform": place, **options}
    with rasterio.open(path, "w", driver="GTiff", **form) as file:
        file.write(image, 1)


def write_archive(root):
    """Write two pairs; returns the folders of both sensors."""
    draw = np.random.default_rng(0)
    for number, (radar, optical) in enumerate(PAIRS.items()):
        (x, y), epsg = CORNERS[number], EPSG[number]
        for name, bands in ((radar, ("VV", "VH")), (optical, [b for b in EDGES if b[0] == "B"])):
            folder = root / name[:2] / name
            folder.mkdir(parents=True)
            for band in bands:
                size = (EDGES[band], EDGES[band])
                image = draw.normal(-12, 5, size).astype(np.float32)
                if name == optical:
                    image = draw.integers(0, 6000, size).astype(np.uint16)
                write_band(folder / f"{name}_{band}.tif", image, (x, y), epsg)
            about = {"labels": LABELS[number], "projection": f'PROJCS["...{epsg}"]'}
            about["coordinates"] = {"ulx": x, "uly": y, "lrx": x + 1200, "lry": y - 1200}
            if name == optical:
                about["tile_source"] = (
                    f"{name[:3]}_MSIL1C_20170613T101031_N0205_R022_T{radar[33:38]}_"
                )
                about["acquisition_date"] = f"2017-06-1{number} 10:10:31"
            else:
                about["corresponding_s2_patch"] = optical
                about["acquisition_time"] = f"2017-06-1{number}T16:50:43"
                about["coordinates"]["lly"] = about["coordinates"].pop("lry")  # as published
            (folder / f"{name}_labels_metadata.json").write_text(json.dumps(about))
    return root / "S1", root / "S2"
