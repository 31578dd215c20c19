"""A generated city with known latent fields: physical form, human function and socio-economic level.

The fields (`fields`) drive streets (`streets`), blocks (`buildings`), points of interest (`pois`, `names`), imagery (`imagery`, `draw`), an
embedding raster (`embedding`), street views (`streetview`), captions (`captions`) and indicators (`indicators`); `write`
puts them into files. `resources/help/samplecity.md` says what the city can and cannot show.
"""

from urbanfm_core.data.samplecity.write import generate

__all__ = ["generate"]
