"""What methods read: regions, points of interest, rasters, and the store of prepared samples."""
