import numpy as np
import torch

from aecompanion.studies.counterfactual_files import load_features, load_gallery, save_features, save_gallery

FEATURES = {
    (1, "plain", "l1.5", "ID"): np.arange(6.0).reshape(3, 2),
    (12, "multi", "l2", "OD"): np.arange(2.0).reshape(1, 2),
}
REAL = np.ones((4, 2), dtype=np.float32)


def test_features_are_read_as_they_were_written(tmp_path):
    save_features(tmp_path / "features.npz", FEATURES, REAL)
    found, real = load_features(tmp_path / "features.npz")
    assert list(found) == list(FEATURES)
    assert all(np.array_equal(found[key], FEATURES[key]) for key in FEATURES)
    assert np.array_equal(real, REAL)
    assert real.dtype == np.float32


def test_features_stand_in_the_order_given_the_real_ones_last_uncompressed(tmp_path):
    save_features(tmp_path / "features.npz", FEATURES, REAL)
    named = {"1|plain|l1.5|ID": FEATURES[1, "plain", "l1.5", "ID"], "12|multi|l2|OD": FEATURES[12, "multi", "l2", "OD"]}
    np.savez(tmp_path / "by_hand.npz", **named, real=REAL)
    assert (tmp_path / "features.npz").read_bytes() == (tmp_path / "by_hand.npz").read_bytes()


def test_pictures_are_read_as_they_were_written(tmp_path):
    pictures = {("plain", "l1"): torch.zeros(2, 3, 4, 4), ("multi", "l1.5"): torch.ones(1, 3, 4, 4)}
    save_gallery(tmp_path / "gallery.npz", pictures)
    found = load_gallery(tmp_path / "gallery.npz")
    assert list(found) == list(pictures)
    assert all(torch.equal(found[key], pictures[key]) for key in pictures)
