"""Indicators of a region, observed with noise and gaps, and its noise-free latent truth."""

from __future__ import annotations

import numpy as np

from urbanfm_core.data.samplecity.buildings import Block
from urbanfm_core.data.samplecity.fields import FUNCTIONS, Floats, generator, share
from urbanfm_core.data.samplecity.streets import Layout

OCCUPATIONS = 9
MISSING = {"population": 0.02, "price": 0.08, "carbon": 0.05, "occupation": 0.04, "land_use": 0.03}
"""Share of regions without each indicator (a whole group at once)."""

LAND_USE_FIELDS = tuple(f"lu_{name}" for name in FUNCTIONS)
OCCUPATION_FIELDS = tuple(f"occ_{index}" for index in range(1, OCCUPATIONS + 1))

Record = dict[str, object]


def latent_truth(blocks: list[Block]) -> tuple[Record, Floats]:
    """Mean latent fields over a region's blocks, weighted by area: the record of truth.parquet and the mixture (7,)."""
    weights = np.array([block.area_m2 for block in blocks])
    weights = weights / weights.sum()
    mixture = weights @ np.array([block.values.function for block in blocks])
    realised = weights @ np.array([[block.function == name for name in FUNCTIONS] for block in blocks], dtype=float)
    record: Record = {
        name: float(weights @ np.array([float(getattr(block.values, name)) for block in blocks]))
        for name in ("density", "greenery", "height", "ses")
    }
    record |= {f"function_{name}": float(value) for name, value in zip(FUNCTIONS, mixture, strict=True)}
    record |= {f"realised_{name}": float(value) for name, value in zip(FUNCTIONS, realised, strict=True)}
    return record, mixture


def observe(layout: Layout, row: int, column: int, blocks: list[Block]) -> tuple[Record, Record]:
    """Observed indicators and latent truth of one region.

    Returns:
        The fields of regions.gpkg (None where missing; price in currency per m2, carbon in t CO2 per year, shares sum to 1)
        and the fields of truth.parquet.
    """
    truth, mixture = latent_truth(blocks)
    rng = generator(layout.seed, "indicators", row, column)
    density, ses = float(share(truth["density"])), float(truth["ses"])  # type: ignore[arg-type]
    realised = np.array([truth[f"realised_{name}"] for name in FUNCTIONS], dtype=np.float64)
    area_ha = sum(block.area_m2 for block in blocks) / 1e4
    land = rng.dirichlet(60.0 * (0.5 * mixture + 0.5 * realised) + 0.05)
    home = 0.35 * mixture[0] + 0.65 * realised[0]
    population = rng.poisson(area_ha * (12 + 150 * density) * (0.06 + home) * rng.lognormal(0, 0.15))
    centrality = float(mixture[1] + mixture[2])
    price = 2600 * np.exp(0.42 * ses + 0.35 * (density - 0.5) + 0.45 * centrality + rng.normal(0, 0.1))
    carbon = area_ha * (4 + 30 * density + 60 * land[3] + 12 * land[1]) * np.exp(0.12 * ses + rng.normal(0, 0.12))
    occupation = rng.dirichlet(90.0 * occupation_shares(ses, float(mixture[4])))
    gaps = {name: bool(rng.random() < rate) for name, rate in MISSING.items()}
    record: Record = {
        "population": None if gaps["population"] else float(population),
        "price": None if gaps["price"] else round(float(price), 1),
        "carbon": None if gaps["carbon"] else round(float(carbon), 2),
        "land_use": None if gaps["land_use"] else FUNCTIONS[int(land.argmax())],
    }
    for names, values, gap in ((LAND_USE_FIELDS, land, "land_use"), (OCCUPATION_FIELDS, occupation, "occupation")):
        record |= {name: None if gaps[gap] else float(value) for name, value in zip(names, values, strict=True)}
    return record, truth


def occupation_shares(ses: float, education: float) -> Floats:
    """Expected shares of nine occupation classes, from higher managers (1) to never worked (8) and students (9)."""
    rank = np.linspace(1.0, -1.0, OCCUPATIONS - 1)
    weights = np.exp(0.85 * ses * rank - 0.5 * (rank * 1.1) ** 2)
    students = 0.05 + 0.35 * education
    return np.append((1 - students) * weights / weights.sum(), students)
