import shutil

import numpy as np
import pytest
from PIL import Image

from aecompanion.data.chest_xray14 import radiographs
from aecompanion.data.files import image_files, visible_files
from aecompanion.data.image_folder import image_folder
from aecompanion.data.own import own_images
from aecompanion.data.public import check

LEFT_BEHIND = [".ipynb_checkpoints/0-checkpoint.png", ".Trash/0.png", "._0.png", ".DS_Store"]


@pytest.fixture
def folder(tmp_path):
    """Two classes of six images each, and below both and beside them what Jupyter and macOS leave."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(6):
            Image.fromarray(rng.integers(0, 256, (48, 64), np.uint8)).save(tmp_path / name / f"{number}.png")
    for place in (tmp_path, tmp_path / "cat", tmp_path / "dog", tmp_path / "__MACOSX" / "cat"):
        for name in LEFT_BEHIND:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            if name.startswith(".ipynb"):
                shutil.copy(tmp_path / "cat" / "0.png", place / name)
            else:
                (place / name).write_bytes(b"\0\5\x16\7")
    return tmp_path


VISIBLE = [f"{name}/{number}.png" for name in ("cat", "dog") for number in range(6)]


def test_hidden_files_and_all_below_hidden_folders_are_none(folder):
    assert [file.relative_to(folder).as_posix() for file in visible_files(folder)] == VISIBLE
    assert visible_files(folder) == image_files(folder, {".png"})


def test_a_folder_below_a_hidden_one_is_read_when_it_is_asked_for(folder):
    inside = folder / ".cache"
    (folder / "cat").rename(inside)
    assert [file.name for file in image_files(inside, {".png"})] == [f"{number}.png" for number in range(6)]


def test_a_folder_with_the_name_of_an_image_is_none(tmp_path):
    (tmp_path / "a.png").mkdir()
    (tmp_path / "b.PNG").touch()
    assert image_files(tmp_path, {".png"}) == [tmp_path / "b.PNG"]


def test_a_folder_of_classes_has_no_hidden_class_and_no_hidden_image(folder):
    found = image_folder(folder, size=16)
    assert found.classes == ["cat", "dog"]
    assert len({image.tobytes() for image in found.images}) == len(found) == 12


def test_a_part_of_a_folder_has_none_either(folder):
    for part in ("train", "test"):
        shutil.copytree(folder / "cat", folder / "parts" / part / "cat")
        shutil.copytree(folder / "dog", folder / "parts" / part / "dog")
    assert len(image_folder(folder / "parts", size=16)) == 24


def test_a_folder_of_pictures_has_none_either(folder):
    assert own_images(folder, size=16, least=16).names == VISIBLE


def test_radiographs_are_not_their_own_copies(folder):
    shutil.rmtree(folder / "dog")
    assert radiographs(folder) == {f"{number}.png": folder / "cat" / f"{number}.png" for number in range(6)}


def test_a_place_that_holds_hidden_images_only_is_empty(folder):
    for name in ("cat", "dog"):
        for file in (folder / name).glob("[0-9].png"):
            file.unlink()
    with pytest.raises(FileNotFoundError, match="is missing or empty"):
        check({"faces_data": {"root": str(folder)}})
