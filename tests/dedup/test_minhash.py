"""Signatures, bands and the S-curve."""

import numpy as np
import pytest

from gristmill.corpus.store.errors import RequestError
from gristmill.dedup.minhash import PRESETS, band_keys, bands_and_rows, preset, s_curve, signatures


def overlapping(jaccard: float, size: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Two sorted sets of this Jaccard coefficient, flat, with offsets."""
    both = round(2 * size * jaccard / (1 + jaccard))
    drawn = np.random.default_rng(0).choice(2**32, 2 * size - both, replace=False).astype(np.uint32)
    left, right = np.sort(drawn[:size]), np.sort(drawn[size - both :])
    return np.concatenate([left, right]), np.array([0, size, 2 * size])


@pytest.mark.parametrize("jaccard", [0.2, 0.5, 0.8, 0.95])
def test_equal_signature_rows_estimate_jaccard(jaccard):
    rows = signatures(*overlapping(jaccard), 1024, 7)
    # 4 standard deviations of a mean of 1,024 draws
    assert abs((rows[0] == rows[1]).mean() - jaccard) < 4 * np.sqrt(jaccard * (1 - jaccard) / 1024)


def test_a_signature_is_the_same_on_every_machine():
    rows = signatures(np.array([1, 2, 3, 70000], np.uint32), np.array([0, 3, 4]), 4, 1)
    assert rows.tolist() == [
        [485841394, 618387811, 571596047, 1157036645],
        [4089442705, 3938792946, 1963381461, 714561904],
    ]


def test_signatures_of_a_batch_are_those_of_its_documents():
    hashes, offsets = overlapping(0.5)
    whole = signatures(hashes, offsets, 16, 1)
    alone = signatures(hashes[offsets[1] :], np.array([0, 2000]), 16, 1)
    assert (whole[1] == alone[0]).all()
    assert signatures(hashes[:0], np.array([0]), 16, 1).shape == (0, 16)


def test_band_keys_are_shared_by_equal_rows_of_the_same_band_and_scope():
    rows = np.array([[1, 2, 3, 4], [1, 2, 9, 9], [3, 4, 1, 2], [1, 2, 3, 4]], np.uint32)
    keys = band_keys(rows, 2, 2, np.array([0, 0, 0, 5], np.uint64))
    assert keys[0, 0] == keys[1, 0]
    assert len(np.unique(keys)) == 7


def test_the_s_curve_is_what_banding_does():
    jaccard, rng = 0.7, np.random.default_rng(1)
    agree = rng.random((20000, 14 * 8)) < jaccard
    shared = agree.reshape(-1, 14, 8).all(axis=2).any(axis=1).mean()
    assert abs(shared - s_curve(np.array([jaccard]), 14, 8)[0]) < 0.015


@pytest.mark.parametrize(
    ("threshold", "num_perm", "expected"),
    [(0.8, 128, (9, 13)), (0.7, 128, (14, 9)), (0.5, 128, (25, 5)), (0.8, 256, (17, 15))],
)
def test_equal_weights_give_the_published_bands(threshold, num_perm, expected):
    assert bands_and_rows(threshold, num_perm, 0.5) == expected


@pytest.mark.parametrize("threshold", [0.01, 0.5, 0.9, 0.99, 0.999])
def test_bands_for_any_threshold_find_nine_in_ten_of_the_pairs_at_it(threshold):
    bands, rows = bands_and_rows(threshold, 128)
    assert bands * rows <= 128
    assert s_curve(np.array([threshold]), bands, rows)[0] > (0.9 if threshold > 0.1 else 0.5)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_cuts_its_bands_out_of_its_signature(name):
    found = preset(name)
    assert found.bands * found.rows <= found.num_perm


def test_an_unknown_preset_is_refused_with_the_nearest_name():
    with pytest.raises(RequestError, match="did you mean fineweb"):
        preset("finewed")
