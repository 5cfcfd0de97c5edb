import hashlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from aecompanion.data import public
from aecompanion.networks.cifar_resnet import FILES
from aecompanion.pipeline import parameters


def fill(folder, number=2):
    folder.mkdir(parents=True)
    for i in range(number):
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(folder / f"{i}.png")


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(public, "ROOT", tmp_path)
    return tmp_path


def test_only_parameters_with_a_value_name_a_place(root):
    params = {"faces_data": {"root": "public/faces"}, "chest_data": {"root": None}, "objects_data": {}, "threads": 2}
    assert [(place.section, path) for place, path in public.named(params)] == [("faces_data", root / "public/faces")]


def test_images_are_counted_and_a_file_is_named(root):
    fill(root / "public" / "coco" / "images", 3)
    (root / "public" / "coco" / "instances.json").write_text("{}")
    paths = {"coco_images": "public/coco/images", "coco_instances": "public/coco/instances.json"}
    lines = public.check({"scenes_data": paths})
    assert lines[0].endswith("public/coco/images, 3 images") and lines[1].endswith("instances.json")


def test_every_missing_folder_is_named_with_what_belongs_there(root):
    (root / "public" / "empty").mkdir(parents=True)
    params = {"faces_data": {"root": "public/empty"}, "photos_data": {"root": "public/none"}}
    with pytest.raises(FileNotFoundError) as caught:
        public.check(params)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("faces_data.root: ") and "one folder of images per person" in lines[0]
    assert "--download" not in lines[0] and lines[1].endswith("or add --download")


def test_missing_weights_of_the_recogniser_are_one_sentence(root):
    params = {"faces_train": {"recogniser": "public/weights/net.ckpt"}}
    with pytest.raises(FileNotFoundError) as caught:
        public.check(params)
    assert str(caught.value).startswith(f"faces_train.recogniser: {root}/public/weights/net.ckpt is missing or empty, ")
    (root / "public" / "weights").mkdir(parents=True)
    (root / "public" / "weights" / "net.ckpt").write_bytes(b"1")
    assert public.check(params) == [f"faces_train.recogniser: {root}/public/weights/net.ckpt"]


CONTENT = b"weights"
LISTED = {"public/weights/a.th": {"sha256": hashlib.sha256(CONTENT).hexdigest(), "source": "a site"}}


def test_a_file_has_its_hash(root):
    (root / "public" / "weights").mkdir(parents=True)
    file = root / "public" / "weights" / "a.th"
    file.write_bytes(CONTENT)
    params = {"photos_train": {"start": "public/weights/a.th"}}
    assert public.check(params, LISTED) == [f"photos_train.start: {file}"]
    file.write_bytes(CONTENT[:-1])
    with pytest.raises(FileNotFoundError) as caught:
        public.check(params, LISTED)
    lines = str(caught.value).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"{file} has SHA-256 {hashlib.sha256(CONTENT[:-1]).hexdigest()}, expected ")
    assert lines[0].endswith("take it from a site")


def test_a_missing_file_is_one_sentence_with_its_source_and_hash(root):
    params = {"photos_train": {"start": "public/weights/a.th"}, "objects_train": {"start": "public/weights/a.th"}}
    with pytest.raises(FileNotFoundError) as caught:
        public.check(params, LISTED)
    assert str(caught.value) == (
        f"{root}/public/weights/a.th is missing, put the file of that name there (a site; SHA-256 "
        f"{LISTED['public/weights/a.th']['sha256']})"
    )


def test_a_file_of_ones_own_needs_no_hash(root):
    params = {"objects_train": {"start": "public/mine.pt"}}
    with pytest.raises(FileNotFoundError, match=r"^objects_train.start: .*mine.pt is missing or empty, put a state"):
        public.check(params)
    (root / "public").mkdir()
    (root / "public" / "mine.pt").write_bytes(b"mine")
    assert len(public.check(params)) == 1


def test_the_public_profile_lists_every_file_where_training_begins_with_the_hash_of_the_zoo():
    """The zoo's manifest and the profile name the same files."""
    params = parameters.composed("public")
    listed = {path.rpartition("/")[2]: facts["sha256"] for path, facts in params["files"].items()}
    starts = [params["objects_train"]["start"], params["objects_train"]["judge_start"], params["photos_train"]["start"]]
    assert {*starts, params["faces_train"]["recogniser"]} == set(params["files"])
    known = {each.file: each.sha256 for each in FILES.values()}
    assert {each.rpartition("/")[2] for each in starts} <= known.keys()
    assert all(known.get(name, hashed) == hashed for name, hashed in listed.items())


def test_a_download_fills_what_is_missing_once_and_leaves_what_is_there(root, monkeypatch):
    asked = []

    def fetch(folder):
        asked.append(folder)
        fill(folder)

    places = [public.Place(section, "root", "images", "a site", fetch) for section in ("photos_data", "objects_data")]
    monkeypatch.setattr(public, "PLACES", (*places, public.Place("faces_data", "root", "images", "a site")))
    public.download({name: {"root": f"public/{name[0]}"} for name in ("photos_data", "faces_data")})
    public.download({name: {"root": "public/p"} for name in ("photos_data", "objects_data")})
    assert asked == [root / "public" / "p"]


def test_a_failed_download_says_what_to_do(root, monkeypatch):
    def fail(folder):
        raise OSError("no network")

    monkeypatch.setattr(public, "PLACES", (public.Place("photos_data", "root", "class folders", "a site", fail),))
    with pytest.raises(RuntimeError, match=r"public/x: the download failed \(no network\), put class folders there"):
        public.download({"photos_data": {"root": "public/x"}})


def test_cifar_becomes_an_image_folder(tmp_path, monkeypatch):
    class Fake:
        def __init__(self, root, train, download):
            assert download
            self.classes, self.targets = ["cat", "ship"], [1, 0, 1] if train else [0]
            self.data = np.arange(len(self.targets) * 12, dtype=np.uint8).reshape(-1, 2, 2, 3)

    monkeypatch.setattr("torchvision.datasets.CIFAR10", Fake)
    public.cifar10(tmp_path / "cifar")
    found = sorted(str(file.relative_to(tmp_path / "cifar")) for file in (tmp_path / "cifar").rglob("*.png"))
    assert found == ["test/cat/00000.png", "train/cat/00001.png", "train/ship/00000.png", "train/ship/00002.png"]
    assert np.asarray(Image.open(tmp_path / "cifar" / found[1])).ravel().tolist() == list(range(12, 24))
    assert [each.name for each in tmp_path.iterdir()] == ["cifar"]


def test_the_command_ends_in_one_sentence_for_an_unknown_profile():
    ended = subprocess.run([sys.executable, "-m", "aecompanion", "public", "none"], capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith("aecompanion public: profiles/none.yaml is missing, expected one of: ")
