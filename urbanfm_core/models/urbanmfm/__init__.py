"""UrbanMFM: places, streets, regions and their neighbours in five stages (Zhang et al. 2025)."""
