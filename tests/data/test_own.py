import io
import re
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from aecompanion.data.own import OwnImages, class_indices, own_images, read_own
from aecompanion.data.pixels import read_image

HEADER = "file,left,top,right,bottom\n"


def gradient(height: int = 32, width: int = 32) -> np.ndarray:
    return np.add.outer(np.arange(height) * 3, np.arange(width) * 2).astype(np.uint8)


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


@pytest.fixture
def folder(tmp_path):
    """A folder with one 48×64 picture (width 64), a.png, that a test adds to."""
    Image.fromarray(gradient(48, 64)).save(tmp_path / "a.png")
    return tmp_path


def read(root, **options) -> OwnImages:
    return own_images(root, **{"size": 32, "channels": 3} | options)


def sentence(root, **options) -> str:
    """The one sentence of the ValueError that reading the folder raises, without the folder's own path."""
    with pytest.raises(ValueError, match=".") as caught:
        read(root, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text.replace(f"{root}/", "").replace(str(root), "ROOT")


# what files become


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "png", "pgm", "bmp", "tif", "webp"])
def test_every_kind_of_file_is_prepared_as_read_image_prepares_it(tmp_path, suffix):
    file = tmp_path / f"a.{suffix}"
    Image.fromarray(gradient(48, 64)).save(file)
    found = read(tmp_path)
    assert found.names == [file.name]
    assert found.images.dtype == torch.float32
    assert np.array_equal((found.images[0] * 255).round().numpy(), read_image(file, channels=3, size=32))


@pytest.mark.parametrize(("channels", "shape"), [(1, (1, 1, 32, 32)), (3, (1, 3, 32, 32))])
def test_grey_is_kept_or_repeated(folder, channels, shape):
    images = read(folder, channels=channels).images
    assert images.shape == shape
    assert all(torch.equal(images[:, 0], images[:, channel]) for channel in range(channels))


def test_an_rgb_image_is_reduced_to_grey(tmp_path):
    Image.new("RGB", (32, 32), (200, 100, 50)).save(tmp_path / "a.png")
    assert read(tmp_path, channels=1).images[0, 0, 0, 0].item() == pytest.approx(124 / 255, abs=1 / 255)


def test_an_exif_rotation_of_a_jpeg_is_applied(tmp_path):
    stored = np.zeros((32, 64), np.uint8)
    stored[:, :32] = 255
    Image.fromarray(stored).save(tmp_path / "phone.jpg", exif=exif(6))
    image = read(tmp_path).images[0, 0]
    assert image[:14].mean() > 0.97
    assert image[18:].mean() < 0.03


def test_a_cmyk_jpeg_is_read_in_its_colours(tmp_path):
    Image.new("CMYK", (32, 32), (255, 0, 0, 0)).save(tmp_path / "print.jpg")
    np.testing.assert_allclose(read(tmp_path).images.mean((0, 2, 3)), (0, 1, 1), atol=0.01)


@pytest.mark.parametrize("kind", ["RGBA", "LA", "palette"])
def test_transparent_pixels_show_white(tmp_path, kind):
    picture = Image.new("RGBA", (32, 32), (10, 20, 30, 255))
    picture.paste((200, 0, 0, 0), (0, 0, 16, 32))  # red that nobody sees
    if kind == "LA":
        picture = picture.convert("LA")
    if kind == "palette":
        picture = picture.quantize(4)
    picture.save(tmp_path / "a.png")
    image = read(tmp_path).images[0]
    assert (image[:, :, :16] == 1).all()
    assert image[:, :, 16:].max() < 0.15


def test_half_transparent_pixels_are_half_white(tmp_path):
    Image.new("RGBA", (32, 32), (0, 0, 0, 128)).save(tmp_path / "a.png")
    assert read(tmp_path).images.mean().item() == pytest.approx(127 / 255, abs=0.005)


def test_an_opaque_alpha_channel_changes_nothing(tmp_path):
    pixels = np.dstack([gradient(48, 64)] * 3)
    Image.fromarray(pixels).save(tmp_path / "plain.png")
    Image.fromarray(np.dstack([pixels, np.full((48, 64), 255, np.uint8)])).save(tmp_path / "opaque.png")
    opaque, plain = read(tmp_path).images
    assert torch.equal(opaque, plain)


def test_a_turned_transparent_image_is_turned(tmp_path):
    stored = np.zeros((32, 64, 4), np.uint8)
    stored[:, 32:] = (0, 0, 0, 255)
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif(6))
    image = read(tmp_path).images[0, 0]
    assert (image[:16] == 1).all()
    assert (image[16:] == 0).all()


def test_a_palette_image_is_read_in_its_colours(tmp_path):
    Image.new("RGB", (32, 32), (200, 100, 50)).quantize(2).save(tmp_path / "a.png")
    np.testing.assert_allclose(read(tmp_path).images.mean((0, 2, 3)) * 255, (200, 100, 50), atol=2)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bits_are_scaled_and_not_cut(tmp_path, suffix):
    pixels = gradient().astype(np.uint16) * 257
    if suffix == "pgm":
        (tmp_path / "a.pgm").write_bytes(b"P5 32 32 65535\n" + pixels.astype(">u2").tobytes())
    else:
        Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
    np.testing.assert_allclose(read(tmp_path, channels=1).images[0, 0] * 255, gradient(), atol=1)


def test_16_bit_colours_are_scaled_too(tmp_path):
    """Pillow cannot write such a file: a PNG by hand, one colour of 200·257, 100·257 and 50·257 everywhere."""
    row = b"\0" + struct.pack(">3H", 200 * 257, 100 * 257, 50 * 257) * 32
    parts = [
        (b"IHDR", struct.pack(">2I5B", 32, 32, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(row * 32)),
        (b"IEND", b""),
    ]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    np.testing.assert_allclose(read(tmp_path).images.mean((0, 2, 3)) * 255, (200, 100, 50), atol=1)


# files that are refused


def save_odd(folder, name: str):
    """One file that cannot be used."""
    file, plain = folder / name, Image.fromarray(gradient(48, 64))
    if name == "cut.jpg":
        plain.save(file)
        file.write_bytes(file.read_bytes()[:300])
    elif name == "text.png":
        file.write_text("no image")
    elif name == "line.png":
        Image.fromarray(gradient(64, 1)).save(file)
    elif name == "banner.png":
        Image.fromarray(gradient(32, 200)).save(file)
    elif name == "moving.webp":
        plain.save(file, save_all=True, append_images=[plain.transpose(Image.Transpose.ROTATE_180)])
    elif name == "float.tif":
        Image.fromarray(gradient(48, 64).astype(np.float32) / 255).save(file)
    elif name == "32.tif":
        Image.fromarray(gradient(48, 64).astype(np.int32) * 1000).save(file)


ODD = {
    "cut.jpg": "cut.jpg: cannot be read as an image (",
    "text.png": "text.png: cannot be read as an image (",
    "line.png": "line.png: is 1×64 pixels, expected at least 16 on each side",
    "banner.png": "banner.png: is 200×32 pixels, of which the centre crop shows 16%, expected sides of at most 4:1 "
    "(cut it first)",
    "moving.webp": "moving.webp: holds 2 frames, expected a single image",
    "float.tif": "float.tif: stores floating-point numbers, expected 8 or 16 bits per channel",
    "32.tif": "32.tif: stores numbers from 0 to 255000, expected 8 or 16 bits per channel",
}


@pytest.mark.parametrize("name", ODD)
def test_an_unusable_file_is_one_sentence_that_names_it(tmp_path, name):
    save_odd(tmp_path, name)
    assert sentence(tmp_path).startswith(ODD[name])


def test_unusable_files_can_be_skipped_and_are_counted_with_their_sentences(folder):
    for name in ODD:
        save_odd(folder, name)
    found = read(folder, unreadable="skip")
    assert found.names == ["a.png"]
    assert found.counts["skipped"] == len(ODD)
    assert all(any(f"{folder}/{wanted}" in said for said in found.skipped) for wanted in ODD.values())


def test_a_folder_of_unusable_files_only_is_an_error_with_the_first_reason(tmp_path):
    save_odd(tmp_path, "line.png")
    assert sentence(tmp_path, unreadable="skip") == f"ROOT: none of its 1 images can be used ({ODD['line.png']})"


def test_the_least_size_can_be_that_of_the_network(folder):
    assert sentence(folder, least=64) == "a.png: is 64×48 pixels, expected at least 64 on each side"


def test_the_size_of_a_turned_file_is_that_of_the_upright_one(tmp_path):
    Image.fromarray(gradient(10, 30)).save(tmp_path / "a.jpg", exif=exif(8))
    assert sentence(tmp_path) == "a.jpg: is 10×30 pixels, expected at least 16 on each side"


def test_the_first_picture_of_a_phones_jpeg_with_two_views_is_read(tmp_path):
    views = [Image.fromarray(gradient(48, 64)), Image.new("L", (64, 48), 255)]
    views[0].save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=views[1:])
    assert read(tmp_path).images.mean() < 0.6


def test_one_image_is_read_alone(folder):
    assert read_own(folder / "a.png", channels=1, size=8).shape == (1, 8, 8)


# folders


def test_files_of_other_kinds_and_hidden_ones_are_left_out_and_the_former_counted(folder):
    Image.fromarray(gradient()).save(folder / "moving.gif")
    (folder / "notes.txt").touch()
    (folder / "._a.png").write_bytes(b"left by macOS")
    (folder / ".thumbnails").mkdir()
    Image.fromarray(gradient()).save(folder / ".thumbnails" / "a.png")
    found = read(folder)
    assert found.names == ["a.png"]
    assert found.counts["files of other kinds"] == 2


def test_sub_folders_are_labels_and_loose_images_have_none(folder):
    for name in ("cat/b.png", "cat/deeper/c.png", "dog/d.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(gradient()).save(folder / name)
    found = read(folder)
    assert found.names == ["a.png", "cat/b.png", "cat/deeper/c.png", "dog/d.png"]
    assert found.labels == [None, "cat", "cat", "dog"]
    assert found.counts["with a label"] == 3


def test_a_limit_spreads_over_the_files(tmp_path):
    for number in range(9):
        Image.fromarray(gradient()).save(tmp_path / f"{number}.png")
    assert read(tmp_path, limit=3).names == ["0.png", "4.png", "8.png"]


@pytest.mark.parametrize(
    ("kind", "expected"), [("gone", "no such folder"), ("file", "is a file")], ids=["missing", "a-file"]
)
def test_a_wrong_root_is_one_sentence(tmp_path, kind, expected):
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError, match=rf"{kind}: {expected}, expected a folder of images$"):
        read(tmp_path / kind)


def test_a_folder_without_images_says_what_is_there_and_what_is_read(tmp_path):
    (tmp_path / "moving.gif").touch()
    expected = "ROOT: holds no images (there are moving.gif), expected .jpg .jpeg .png .pgm .bmp .tif .tiff .webp"
    assert sentence(tmp_path) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"channels": 4}, "channels is 4, expected 1 (grey) or 3 (RGB)"),
        ({"unreadable": "ignore"}, "unreadable is 'ignore', expected 'error' or 'skip'"),
        ({"limit": 0}, "size 32, limit 0: expected at least 1"),
        ({"size": 0}, "size 0, limit None: expected at least 1"),
    ],
)
def test_an_option_out_of_range_is_one_sentence(folder, options, expected):
    assert sentence(folder, **options) == expected


# boxes


def boxed(folder, *rows: str, header: str = HEADER) -> None:
    (folder / "boxes.csv").write_text(header + "\n".join(rows) + "\n")


def test_a_box_lands_where_the_prepared_image_shows_it(folder):
    boxed(folder, "a.png,8,0,32,24")  # 64×48: the crop starts at x = 8, the scale is 32/48
    mask = read(folder).boxes[0, 0]
    expected = torch.zeros(32, 32, dtype=torch.bool)
    expected[:16, :16] = True
    assert torch.equal(mask, expected)


def test_a_box_is_in_pixels_of_the_upright_file(tmp_path):
    stored = np.zeros((48, 64), np.uint8)
    stored[30:, :20] = 255  # turned by orientation 6: rows 0 to 20, columns 0 to 18 of 64×48 (height × width)
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif(6))
    boxed(tmp_path, "a.png,0,8,18,20")
    found = read(tmp_path, channels=1)
    assert torch.equal(found.boxes[0, 0], found.images[0, 0] > 0.5)


def test_several_boxes_of_an_image_are_united_and_images_without_one_have_an_empty_mask(folder):
    Image.fromarray(gradient()).save(folder / "b.png")
    boxed(folder, "a.png,8,0,20,12", "a.png,32,24,56,48")
    found = read(folder)
    assert found.boxes.shape == (2, 1, 32, 32)
    assert found.boxes[0].sum() == 8 * 8 + 16 * 16
    assert not found.boxes[1].any()
    assert found.counts["with a box"] == 1


def test_a_box_that_the_centre_crop_leaves_nothing_of_is_counted(folder):
    boxed(folder, "a.png,0,0,7,48")
    found = read(folder)
    assert not found.boxes.any()
    assert found.counts["boxes cropped away"] == 1


def test_the_label_of_a_box_stands_in_for_a_folder(folder):
    (folder / "cat").mkdir()
    Image.fromarray(gradient()).save(folder / "cat" / "b.png")
    boxed(folder, "a.png,0,0,9,9,dog", "cat/b.png,0,0,9,9,dog", header=HEADER.replace("\n", ",label\n"))
    assert read(folder).labels == ["dog", "cat"]


def test_columns_in_another_order_a_mark_of_excel_and_backslashes_are_read(folder):
    (folder / "cat").mkdir()
    Image.fromarray(gradient()).save(folder / "cat" / "b.png")
    text = "\ufeffright,left,top,bottom,file\n16,0,0,16,cat\\b.png\n"
    (folder / "boxes.csv").write_text(text, encoding="utf-8")
    assert read(folder).boxes[1].sum() == 256


def test_a_bare_file_name_is_enough_where_it_is_the_only_one(folder):
    for name in ("cat", "dog"):
        (folder / name).mkdir()
        Image.fromarray(gradient()).save(folder / name / "same.png")
    Image.fromarray(gradient()).save(folder / "cat" / "only.png")
    boxed(folder, "only.png,0,0,16,16")
    assert read(folder).boxes.flatten(1).any(1).tolist() == [False, True, False, False]
    boxed(folder, "same.png,0,0,16,16")
    assert sentence(folder).startswith("boxes.csv, line 2: 'same.png' fits 2 images, expected a path below the folder")


def test_a_box_of_a_skipped_file_is_no_error(folder):
    save_odd(folder, "cut.jpg")
    boxed(folder, "cut.jpg,0,0,9,9")
    assert read(folder, unreadable="skip").counts["with a box"] == 0


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("b.png,0,0,9,9", "boxes.csv, line 2: 'b.png' is no image in the folder, expected a path below the folder"),
        ("a.jpg,0,0,9,9", "boxes.csv, line 2: 'a.jpg' is no image in the folder, expected a path below the folder"),
        ("a.png,0,0,65,9", "boxes.csv, line 2: (0, 0, 65, 9) reaches outside a.png, expected pixels of its 64×48"),
        ("a.png,-1,0,9,9", "boxes.csv, line 2: (-1, 0, 9, 9) reaches outside a.png, expected pixels of its 64×48"),
        ("a.png,9,0,9,9", "boxes.csv, line 2: the box is (9, 0, 9, 9), expected left < right and top < bottom"),
        ("a.png,0,9,9,nan", "boxes.csv, line 2: the box is (0, 9, 9, nan), expected left < right and top < bottom"),
        ("a.png,x,0,9,9", "boxes.csv, line 2: left is 'x', expected a number of pixels"),
        ("a.png,0,0,9", "boxes.csv, line 2: bottom is None, expected a number of pixels"),
    ],
)
def test_a_wrong_row_is_one_sentence_with_its_line(folder, row, expected):
    boxed(folder, row)
    assert sentence(folder).startswith(expected)


@pytest.mark.parametrize(
    ("header", "found"),
    [("file,left,top,width,height\n", "file, left, top, width, height"), ("", "nothing"), ("file;left\n", "file;left")],
)
def test_a_missing_column_is_named_with_those_there_are(folder, header, found):
    (folder / "boxes.csv").write_text(header)
    missing = {"file, left, top, width, height": "right"}.get(found, "file")
    expected = f"boxes.csv: has no column '{missing}', expected file, left, top, right, bottom (found: {found})"
    assert sentence(folder) == expected


def test_boxes_may_lie_elsewhere_and_must_exist_if_named(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    boxed(other, "a.png,8,0,32,24")
    assert read(folder, boxes=other / "boxes.csv").boxes.any()
    with pytest.raises(FileNotFoundError, match=r"gone\.csv: no such file, expected a table with the columns file, "):
        read(folder, boxes=folder / "gone.csv")


def test_a_file_of_boxes_that_is_no_text_is_one_sentence(folder):
    buffer = io.BytesIO()
    Image.fromarray(gradient()).save(buffer, "PNG")
    (folder / "boxes.csv").write_bytes(buffer.getvalue())
    assert sentence(folder).startswith("boxes.csv: cannot be read as CSV (")


# labels


def test_labels_are_classes_by_name_or_number_and_may_be_missing():
    classes = ["tabby", "Egyptian cat", "crane", "crane"]
    assert class_indices(["egyptian_cat", None, "3", "crane"], classes).tolist() == [1, -1, 3, 2]


@pytest.mark.parametrize(("label", "hint"), [("Egyptian cats", " (nearest: 'Egyptian cat')"), ("17", "")])
def test_an_unknown_label_is_one_sentence_with_the_nearest_class(label, hint):
    expected = f"label {label!r} is no class of the network, expected one of its 2 class names or a number below that"
    with pytest.raises(ValueError, match=f"^{re.escape(expected + hint)}$"):
        class_indices([label], ["tabby", "Egyptian cat"])


def test_folders_that_are_not_meant_as_classes_can_count_as_no_label():
    assert class_indices(["holiday", "tabby", "9"], ["tabby", "crane"], unknown="none").tolist() == [-1, 0, -1]
    with pytest.raises(ValueError, match="^unknown is 'ignore', expected 'error' or 'none'$"):
        class_indices(["tabby"], ["tabby"], unknown="ignore")
