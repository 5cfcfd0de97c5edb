import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aecompanion.data.pixels import eight_bits, even_spread, read_image, readable

# what one file becomes


def write(file: Path, pixels: np.ndarray, mode: str | None = None, **options) -> Path:
    image = Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes()) if mode else Image.fromarray(pixels)
    image.save(file, **options)
    return file


def gradient(height: int = 32, width: int = 32) -> np.ndarray:
    return np.add.outer(np.arange(height) * 3, np.arange(width) * 2).astype(np.uint8)


def test_a_grey_pgm_of_the_right_size_keeps_its_pixels(tmp_path):
    file = write(tmp_path / "a.pgm", gradient())
    image = read_image(file, channels=1, size=32)
    assert image.dtype == np.uint8
    assert np.array_equal(image[0], gradient())


def test_a_grey_image_read_as_rgb_has_three_equal_channels(tmp_path):
    image = read_image(write(tmp_path / "a.png", gradient()), channels=3, size=32)
    assert np.array_equal(image, np.stack([gradient()] * 3))


def test_an_rgb_jpeg_keeps_the_order_of_its_colours(tmp_path):
    pixels = np.full((32, 32, 3), (200, 100, 50), np.uint8)
    image = read_image(str(write(tmp_path / "a.jpg", pixels, quality=95)), channels=3, size=32)
    assert image.shape == (3, 32, 32)
    np.testing.assert_allclose(image.mean((1, 2)), (200, 100, 50), atol=2)


def test_an_rgb_image_read_as_grey_is_its_luma(tmp_path):
    file = write(tmp_path / "a.png", np.full((32, 32, 3), (200, 100, 50), np.uint8))
    image = read_image(file, channels=1, size=32)
    assert image.shape == (1, 32, 32)
    np.testing.assert_allclose(image, 0.299 * 200 + 0.587 * 100 + 0.114 * 50, atol=1)


def test_a_transparent_pixel_is_white_whatever_colour_lies_under_it(tmp_path):
    pixels = np.full((32, 32, 4), (10, 20, 30, 0), np.uint8)
    pixels[:, 16:, 3] = 255
    image = read_image(write(tmp_path / "a.png", pixels), channels=3, size=32)
    assert (image[:, :, :16] == 255).all()
    assert (image[:, :, 16:] == np.array([10, 20, 30]).reshape(3, 1, 1)).all()


def test_a_cmyk_jpeg_is_read_as_rgb(tmp_path):
    pixels = np.full((32, 32, 4), (255, 0, 0, 0), np.uint8)
    image = read_image(write(tmp_path / "a.jpg", pixels, "CMYK"), channels=3, size=32)
    np.testing.assert_allclose(image.mean((1, 2)), (0, 255, 255), atol=2)


@pytest.mark.parametrize("suffix", ["png", "pgm"])
def test_a_16_bit_image_is_scaled_to_8_bits(tmp_path, suffix):
    pixels = gradient().astype(np.uint16) * 257
    if suffix == "png":
        file = write(tmp_path / "a.png", pixels)
    else:
        file = tmp_path / "a.pgm"
        file.write_bytes(b"P5 32 32 65535\n" + pixels.astype(">u2").tobytes())
    np.testing.assert_allclose(read_image(file, channels=1, size=32)[0].astype(int), gradient(), atol=1)


@pytest.mark.parametrize(("orientation", "upright"), [(3, lambda a: np.rot90(a, 2)), (6, lambda a: np.rot90(a, -1))])
def test_an_exif_rotation_is_applied(tmp_path, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = write(tmp_path / "a.png", gradient(), exif=exif)
    assert np.array_equal(read_image(file, channels=1, size=32)[0], upright(gradient()))


def test_an_exif_rotation_of_a_jpeg_is_applied_before_the_crop(tmp_path):
    stored = np.zeros((32, 64), np.uint8)
    stored[:, :32] = 255  # the left half is bright; orientation 6 turns it up
    exif = Image.Exif()
    exif[0x0112] = 6
    image = read_image(write(tmp_path / "a.jpg", stored, exif=exif), channels=1, size=32)[0]
    assert image[:14].mean() > 250
    assert image[18:].mean() < 5


@pytest.mark.parametrize(("shape", "crop"), [((32, 96), np.s_[:, 32:64]), ((64, 32), np.s_[16:48])])
def test_the_crop_is_the_centre(tmp_path, shape, crop):
    pixels = gradient(*shape)
    assert np.array_equal(read_image(write(tmp_path / "a.png", pixels), channels=1, size=32)[0], pixels[crop])


@pytest.mark.parametrize("side", [20, 100])
def test_the_shorter_side_is_scaled_to_the_size(tmp_path, side):
    pixels = np.zeros((side, 2 * side), np.uint8)
    pixels[:, side:] = 200
    image = read_image(write(tmp_path / "a.png", pixels), channels=1, size=40)
    assert image.shape == (1, 40, 40)
    assert (image[..., :15] == 0).all()
    assert (image[..., 25:] == 200).all()


def damaged(suffix: str, change) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(gradient()).save(buffer, {"png": "PNG", "pgm": "PPM", "jpg": "JPEG"}[suffix])
    return change(buffer.getvalue())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.png", b""),
        ("text.jpg", b"not an image"),
        ("cut.png", damaged("png", lambda content: content[:60])),
        ("cut.jpg", damaged("jpg", lambda content: content[: len(content) // 2])),
        ("cut.pgm", damaged("pgm", lambda content: content[: len(content) // 2])),
        ("header.pgm", b"P5\n32 32\nxx\n" + bytes(1024)),
        ("digits.pgm", b"P2\n2 2\n255\n1 2 3 a\n"),
        ("width.png", damaged("png", lambda content: content.replace(b"IHDR\0\0", b"IHDR\xff\xff"))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_corrupt_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: cannot be read as an image"):
        read_image(tmp_path / name, channels=1, size=32)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.png: cannot be read"):
        read_image(tmp_path / "gone.png", channels=1, size=32)


# a PNG that names one transparent value, which Pillow cannot write in all these forms


GREY, RGB = 0, 2  # colour types of PNG


def png(
    file: Path, rows: list[bytes], width: int, *, bits: int, colour: int, transparent: tuple[int, ...] = ()
) -> Path:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">2I5B", width, len(rows), bits, colour, 0, 0, 0)
    named = chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)) if transparent else b""
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    content = chunk(b"IHDR", head) + named + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return file


@pytest.mark.parametrize("transparent", [65535, 30001])
def test_a_transparent_16_bit_grey_that_no_pixel_has_changes_nothing(tmp_path, transparent):
    rows = [np.linspace(0, 60000, 32).astype(">u2").tobytes()] * 32
    plain = png(tmp_path / "plain.png", rows, 32, bits=16, colour=GREY)
    named = png(tmp_path / "named.png", rows, 32, bits=16, colour=GREY, transparent=(transparent,))
    plain, named = (read_image(file, channels=3, size=32) for file in (plain, named))
    assert np.array_equal(named, plain)
    assert np.array_equal(plain[0, 0], np.round(np.linspace(0, 60000, 32).astype(int) / 257))


def test_only_the_transparent_16_bit_grey_is_white(tmp_path):
    rows = [np.array([1000, 1001] * 16, ">u2").tobytes()] * 32
    image = read_image(
        png(tmp_path / "a.png", rows, 32, bits=16, colour=GREY, transparent=(1001,)), channels=1, size=32
    )
    assert np.array_equal(image[0], np.tile([4, 255], (32, 16)))


@pytest.mark.parametrize(
    ("bits", "row", "levels"),
    [(1, [0b01010101], [0, 255]), (2, [0b00011011], [0, 85, 170, 255]), (4, [0x03, 0xCF], [0, 51, 204, 255])],
)
def test_the_transparent_value_of_a_few_bits_is_white(tmp_path, bits, row, levels):
    """Pillow scales such pixels to 0 to 255 and leaves the value as it is."""
    rows = [bytes(row * (32 * bits // (8 * len(row))))] * 32
    for value in {level * (2**bits - 1) // 255 for level in levels}:
        file = png(tmp_path / "a.png", rows, 32, bits=bits, colour=GREY, transparent=(value,))
        expected = [255 if level == value * 255 // (2**bits - 1) else level for level in levels]
        assert np.array_equal(read_image(file, channels=1, size=32)[0, 0], expected * (32 // len(expected)))


def test_the_transparent_16_bit_colour_is_white(tmp_path):
    rows = [np.array([300, 40000, 7, 301, 300, 300] * 16, ">u2").tobytes()] * 32
    file = png(tmp_path / "a.png", rows, 32, bits=16, colour=RGB, transparent=(300, 40000, 7))
    image = read_image(file, channels=3, size=32)
    assert (image[:, :, ::2] == 255).all()
    assert (image[:, :, 1::2] == 1).all()


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_a_16_bit_tiff_of_either_byte_order_is_scaled(tmp_path, order):
    file = write(tmp_path / "a.tif", (gradient().astype(np.uint16) * 257).astype(order))
    assert np.array_equal(read_image(file, channels=1, size=32)[0], gradient())


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (gradient().astype(np.float32) / 255, "floating-point numbers"),
        (gradient().astype(np.int32) * 1000, "numbers from 0 to 155000"),
        (-gradient().astype(np.int32), "numbers from -155 to 0"),
    ],
    ids=["float", "large", "negative"],
)
def test_other_numbers_are_refused_and_not_wrapped(tmp_path, pixels, found):
    with pytest.raises(ValueError, match=rf"a\.tif: stores {found}, expected 8 or 16 bits per channel$"):
        read_image(write(tmp_path / "a.tif", pixels), channels=1, size=32)


@pytest.mark.parametrize("channels", [0, 2, 4])
def test_other_channels_are_refused(tmp_path, channels):
    with pytest.raises(ValueError, match=f"^channels is {channels}, expected 1"):
        read_image(write(tmp_path / "a.png", gradient()), channels=channels, size=32)


# several files


def test_an_unreadable_file_stops_or_is_left_out(tmp_path):
    files = [write(tmp_path / "a.png", gradient()), tmp_path / "gone.png", write(tmp_path / "c.png", gradient())]
    options = {"channels": 1, "size": 8}
    found = list(readable(files, unreadable="skip", **options))
    assert [position for position, _ in found] == [0, 2]
    assert np.array_equal(found[1][1], read_image(files[2], **options))
    with pytest.raises(ValueError, match=r"gone\.png: cannot be read"):
        list(readable(files, unreadable="error", **options))


@pytest.mark.parametrize(
    ("count", "limit", "expected"),
    [(5, None, [0, 1, 2, 3, 4]), (5, 9, [0, 1, 2, 3, 4]), (5, 3, [0, 2, 4]), (5, 1, [0]), (0, 3, [])],
)
def test_a_spread_is_even_and_has_both_ends(count, limit, expected):
    assert even_spread(count, limit).tolist() == expected


def test_eight_bits_round():
    found = eight_bits(torch.tensor([0.0, 0.4 / 255, 0.6 / 255, 1.0]))
    assert found.dtype == torch.uint8
    assert found.tolist() == [0, 0, 1, 255]
