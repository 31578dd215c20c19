"""From trained weights to vectors: tables of regions, rasters of pixels."""
