"""Coordinates, vector and raster files, grids, and which point lies in which region. No torch here."""
