"""Stands in for the environment's Python: answers the plugin's probe, and speaks the worker protocol without computing.

The variable URBANFM_FAKE says how it behaves; URBANFM_FAKE_RECORD names a file that receives the job it was given.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

MODE = os.environ.get("URBANFM_FAKE", "success")


def say(event: str, **content: object) -> None:
    print(json.dumps({"event": event, **content}), flush=True)


def probe(names: list[str]) -> None:
    missing = names if MODE == "missing" else []
    print(json.dumps({"version": [3, 8, 1] if MODE == "old" else [3, 11, 2], "missing": missing}))


STYLE = """<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology"><renderer-v2 type="singleSymbol"><symbols>
<symbol type="fill" name="0" alpha="1"><layer class="SimpleFill" enabled="1"><Option type="Map">
<Option type="QString" name="color" value="1,2,3,255"/></Option></layer></symbol></symbols></renderer-v2>
<layerGeometryType>2</layerGeometryType></qgis>
"""


def copy_with_fields(source: str, target: str, fields: dict[str, object]) -> int:
    """Copy the worker's input as its result, with more fields; NAN stands for a region without data."""
    from osgeo import ogr

    ogr.UseExceptions()
    opened = ogr.Open(source.rpartition("=")[2])  # tables of vectors may come as NAME=PATH
    layer = opened.GetLayer(0)
    made = ogr.GetDriverByName("GPKG").CreateDataSource(target)
    # As the library does when a field is called fid and cannot number the features.
    options = ["FID=_fid"] if layer.GetLayerDefn().GetFieldIndex("fid") >= 0 else []
    out = made.CreateLayer("out", layer.GetSpatialRef(), layer.GetGeomType(), options)
    for index in range(layer.GetLayerDefn().GetFieldCount()):
        out.CreateField(layer.GetLayerDefn().GetFieldDefn(index))
    for name, value in fields.items():
        kind = {int: ogr.OFTInteger, float: ogr.OFTReal, str: ogr.OFTString}[type(value)]
        out.CreateField(ogr.FieldDefn(name, kind))
    count = 0
    # The other way round than it came, since no order is promised.
    for feature in reversed(list(layer)):
        fresh = ogr.Feature(out.GetLayerDefn())
        fresh.SetFrom(feature)
        for name, value in fields.items():
            fresh.SetField(name, value + count if isinstance(value, float) else value)
        out.CreateFeature(fresh)
        count += 1
    made = None
    Path(target).with_suffix(".qml").write_text("<half" if MODE == "ugly" else STYLE)
    return count


def square(target: str) -> int:
    """A grid of one cell."""
    from osgeo import ogr, osr

    ogr.UseExceptions()
    made = ogr.GetDriverByName("GPKG").CreateDataSource(target)
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32630)
    layer = made.CreateLayer("out", crs, ogr.wkbPolygon)
    layer.CreateField(ogr.FieldDefn("region_id", ogr.OFTString))
    feature = ogr.Feature(layer.GetLayerDefn())
    feature.SetField("region_id", "r0c0")
    feature.SetGeometry(ogr.CreateGeometryFromWkt("POLYGON ((0 0, 0 500, 500 500, 500 0, 0 0))"))
    layer.CreateFeature(feature)
    return 1


def work(job: dict) -> dict:
    """Make what the stage's outputs ask for."""
    params, outputs = job["params"], job["outputs"]
    for name, path in outputs.items():
        if name in ("parquet", "raster", "map", "report") or path.endswith(".json"):
            Path(path).write_text("fake")
        elif name == "checkpoint_out" or (name == "out" and job["stage"] in ("train", "importcheckpoint")):
            Path(path).mkdir(parents=True)
            (Path(path) / "manifest.json").write_text("{}")
    if job["stage"] == "embed":
        new = {
            "emb_dim": 4,
            "emb_model": "fake",
            "emb_pca1": 0.5,
            "emb_pca2": -1.0,
            "emb_pca3": 2.0,
            "embedding": "[1,2]",
        }
        count = copy_with_fields(params["regions"], outputs["out"], new) if "out" in outputs else 0
        made = {"regions": count, "dimensions": 4, "uncovered": 1, "model": "fake", "notes": ["a note"]}
        return {**made, "checkpoint": params.get("checkpoint", outputs.get("checkpoint_out", "/kept/here"))}
    if job["stage"] == "embedpois":
        new = {"emb_dim": 4, "emb_pca1": 0.5, "embedding": "[1,2]"}
        count = copy_with_fields(params["pois"], outputs["out"], new) if "out" in outputs else 0
        return {"points": count, "dimensions": 4, "uncovered": 1, "model": "fake", "region_id": "name"}
    if job["stage"] == "search":
        count = copy_with_fields(params["embeddings"], outputs["out"], {"score": 0.1, "rank": 1, "percentile": 50.0})
        return {"regions": count, "top": [["a", 0.9], ["b", 0.8]], "notes": []}
    if job["stage"] == "describe":
        new = {"caption": "Low houses. " * 20, "caption_by": "fake"}
        count = copy_with_fields(params["regions"], outputs["out"], new)
        return {"regions": count, "described": 4, "without a caption": 1, "notes": []}
    if job["stage"] == "cluster":
        source = params.get("regions") or params["embeddings"]
        new = {"cluster": 1, "cluster_name": "Retail", "silhouette": 0.5, "distance": 0.25}
        count = copy_with_fields(source, outputs["out"], new) if "out" in outputs else 0
        said = {"clusters": 2, "silhouette": 0.4, "without_vector": 1, "in_no_cluster": 0}
        return {"regions": count, **said, "table": ["1. Retail: 3 regions, silhouette 0.50, typical: a"]}
    if job["stage"] == "similar":
        new = {"score": 0.1, "rank": 1, "percentile": 50.0, "chosen": 0}
        source = params.get("other") or params["embeddings"]
        count = copy_with_fields(source, outputs["out"], new) if "out" in outputs else 0
        said = {"ranked": 3, "chosen": 2, "without_score": 1, "medoid": None}
        return {"regions": count, **said, "top": [["a", 0.9], ["b", 0.8]]}
    if job["stage"] == "predict":
        source = params.get("regions") or params["embeddings"]
        new = {"pred": 1.5, "pred_lower": 1.0, "pred_upper": 2.0, "pred_residual": 0.5, "pred_outside": 0}
        count = copy_with_fields(source, outputs["out"], new) if "out" in outputs else 0
        return {
            "regions": count,
            "predicted": 4,
            "labelled": 3,
            "outside": 2,
            "coverage": 0.9,
            "moran": 0.1,
            "moran_p": 0.04,
            "scores": {"R2": 0.7, "RMSE": 2.0},
            "table": ["R2: 0.7 (0.6 to 0.8)"],
        }
    if job["stage"] == "attend":
        for name, source, field in (("pois_out", "pois", "attention"), ("regions_out", "regions", "attention_ratio")):
            if name in outputs:
                copy_with_fields(params[source], outputs[name], {field: 0.5})
        numbers = {"regions": 5, "points": 8, "own": 0.1, "uniform": 0.0625, "ratio": 1.6}
        return {**numbers, "said": "Attention on the points' own patches: 0.1"}
    if job["stage"] == "evaluate":
        return {"regions": 5, "table": ["price (regression): 5 regions", "  * mine  ridge  0.5"], "not_beaten": 2}
    if job["stage"] == "grid":
        return {"out": outputs["out"], "regions": square(outputs["out"])}
    if job["stage"] == "train":
        return {"checkpoint": outputs["out"], "method": "aether", "samples": 7, "epochs": 2, "metrics": {"loss": 0.25}}
    if job["stage"] == "embedraster":
        Path(outputs["out"]).write_bytes(b"")
        return {"out": outputs["out"], "dimensions": 4, "valid_pixels": 10}
    if job["stage"] == "check":
        checks = [{"name": "torch", "found": "2.13.0", "ok": True, "remedy": ""}]
        return {"ok": True, "checks": checks}
    return {"checkpoint": outputs.get("out", ""), "summary": {"method": "aether", "dimensions": 4}}


def main() -> int:
    arguments = sys.argv[1:]
    if "-c" in arguments:
        probe(arguments[arguments.index("-c") + 2 :])
        return 0
    job = json.loads(Path(arguments[-1]).read_text())
    if "URBANFM_FAKE_RECORD" in os.environ:
        record = {"job": job, "pid": os.getpid(), "env": sorted(os.environ), "arguments": arguments}
        Path(os.environ["URBANFM_FAKE_RECORD"]).write_text(json.dumps(record))
    if MODE == "silent":
        # Neither speaks nor listens, ignores a request to terminate, and has a child of its own.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        for path in job["outputs"].values():
            Path(path).with_name(
                f".{Path(path).stem}.0a1b-{os.getpid():x}-0a1b2c3d.part{Path(path).suffix}"
            ).write_text("half")
        Path(os.environ["URBANFM_FAKE_RECORD"]).write_text(json.dumps({"pid": os.getpid(), "child": child.pid}))
        time.sleep(600)
    say("hello", protocol=99 if MODE == "protocol" else 1, version="0.1.0")
    if MODE == "slow":
        for step in range(6000):
            say("progress", fraction=step / 6000, message=f"{step}/6,000 steps")
            time.sleep(0.1)
    if MODE == "polite":
        return 3 if sys.stdin.readline().strip() == "cancel" else 1
    if MODE == "error":
        say("error", code="InputError", message="Layer x has no polygons.", hint="Choose another layer.")
        return 2
    if MODE == "bug":
        sys.stderr.write("Traceback: something broke inside\n")
        return 1
    if MODE == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if MODE == "nothing":
        return 0
    if MODE == "garbage":
        print("Downloading 100%")
        print('{"half": ')
        print("[1, 2]")
        print('{"event": "from the future"}')
        print('{"event": "progress", "fraction": "x"}', flush=True)
    for fraction in (0.25, 0.5, 1.0):
        say("progress", fraction=fraction, message=f"half a job {fraction}")
    say("log", level="info", message="device: cpu")
    say("log", level="warning", message="one POI outside")
    say("metric", name="loss", value=0.5, step=1)
    result = work(job)
    if MODE == "tail":
        # The parent of the process that writes the last line is already gone when it is written.
        sys.stdout.flush()
        if os.fork() == 0:
            time.sleep(0.3)
            say("done", result=result)
            os._exit(0)
        os._exit(0)
    say("done", result=result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
