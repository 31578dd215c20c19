"""Pictures of several cities as one set."""

import numpy as np

from urbanfm_core.data.image_cities import common_settings, join_images
from urbanfm_core.data.image_store import StoredImages


def images(seed, rows, parts):
    """Pictures of 4 pixels for all but the first of some regions, in so many parts."""
    rng = np.random.default_rng(seed)
    kept = np.arange(1, rows)
    part, place = np.full(rows, -1), np.full(rows, -1)
    part[kept], place[kept] = kept % parts, kept // parts
    size = [int(place[part == number].max()) + 1 for number in range(parts)]
    rgb = [rng.integers(0, 256, (count, 3, 4, 4), dtype=np.uint8) for count in size]
    packed = [np.packbits(rng.random((count, 4, 4)) < 0.7, axis=-1) for count in size]
    return StoredImages(4, rng.random(rows), rng.random((3, 3)), rgb, packed, part, place)


def test_each_region_keeps_its_picture():
    first, second = images(1, 6, 2), images(2, 5, 3)
    joined = join_images([first, None, second], [6, 4, 5])
    assert len(joined) == 15
    for rows, city, own in ((np.arange(6), first, np.arange(6)), (np.arange(10, 15), second, np.arange(5))):
        for found, expected in zip(joined.take(rows), city.take(own), strict=True):
            np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(joined.valid_share[rows], city.valid_share)
    assert not joined.has_image[[0, 6, 7, 8, 9, 10]].any() and joined.has_image.sum() == 9
    np.testing.assert_allclose(joined.sums, first.sums + second.sums)
    assert join_images([None, None], [2, 3]) is None


def test_new_imagery_is_read_as_all_cities_agree():
    plain = {"bands": [1, 2, 3], "stretch": None}
    assert common_settings([plain, plain]) == plain
    assert common_settings([plain, {"bands": [4, 3, 2], "stretch": None}])["bands"] is None
    deep = [{"bands": [4, 3, 2], "stretch": [[1, 5, 2], [90, 80, 70]]},
            {"bands": [4, 3, 2], "stretch": [[2, 4, 3], [80, 90, 60]]}]  # fmt: skip
    assert common_settings(deep) == {"bands": [4, 3, 2], "stretch": [[1, 4, 2], [90, 90, 70]]}
    assert common_settings([plain, deep[0]])["stretch"] == deep[0]["stretch"]
