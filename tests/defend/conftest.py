import numpy as np
import pytest
import skimage.data
from PIL import Image

PHOTOGRAPHS = ("astronaut", "camera", "chelsea", "coffee", "coins", "moon", "rocket")


@pytest.fixture(scope="module")
def photographs():
    """Seven photographs, 64×64 grey, uint8."""
    found = []
    for name in PHOTOGRAPHS:
        image = Image.fromarray(getattr(skimage.data, name)()).convert("L")
        side, middle = min(image.size), (image.width // 2, image.height // 2)
        box = (middle[0] - side // 2, middle[1] - side // 2, middle[0] + side // 2, middle[1] + side // 2)
        found.append(np.asarray(image.crop(box).resize((64, 64), Image.Resampling.BOX)))
    return np.stack(found)
