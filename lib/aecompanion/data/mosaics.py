"""Mosaics: real photographs in a grid, each of another class, for networks that know the classes.

    x = grid of g·g photographs s×s, all of different classes;   x without cell p = x with another content of cell p

A photograph cannot be rendered without its object, but a cell of a mosaic can show something else. The first fillings
are other photographs whose class is in none of the cells, the last one the cell's own mean colour. Each filling is an
intervention of its own, so the true effect of a cell is a mean over fillings, with a spread. Footprints are the cells:
outside of one, nothing changes.

Mosaics come in rounds. A round takes one photograph of every class in random order and cuts it into as many mosaics as
it yields (`apart`), so that no two of a round show the same photograph or class; the next round begins anew. Which
photographs a mosaic is made of depends on (seed, grid, index) only. Mosaics of different rounds share photographs and
are not independent: an interval over mosaics has to keep to one round. What stands in a cell's place is drawn from all
other classes, those of the round's other mosaics included; this little is shared within a round, too.

The grid as a test of explanations: Böhle, Fritz and Schiele, "Convolutional dynamic alignment networks for
interpretable classifications", CVPR 2021; Rao, Böhle and Schiele, "Towards better understanding attribution methods",
CVPR 2022. There each cell's class is known and an attribution should point at it; the fillings, and with them an
effect, are ours.
"""

import dataclasses

import numpy as np

from aecompanion.data.dataset import Dataset
from aecompanion.data.objects import halved
from aecompanion.data.pixels import bits
from aecompanion.data.worlds import Part, Picture, place_in
from aecompanion.pipeline.rng import derive

ROWS = {2: ("top", "bottom"), 3: ("top", "middle", "bottom")}
COLUMNS = {2: ("left", "right"), 3: ("left", "centre", "right")}


@dataclasses.dataclass(frozen=True, eq=False)
class Mosaics:
    """`count` mosaics of photographs N×3×s×s uint8 with N labels; `classes` are all that the networks know.

    Raises ValueError for a grid other than 2 or 3, fewer than two fillings, labels that do not fit, and photographs of
    too few classes: one mosaic takes grid² different ones, and its fillings come from others.
    """

    photographs: np.ndarray
    labels: np.ndarray
    classes: list[str]
    grid: int = 2
    fillings: int = 4
    seed: int = 0
    count: int = 100
    channels: int = 3
    multi_label: bool = False

    def __post_init__(self) -> None:
        if self.grid not in ROWS:
            raise ValueError(f"grid is {self.grid}, expected 2 or 3 cells to a side")
        if self.fillings < 2:
            raise ValueError(f"fillings is {self.fillings}, expected at least 2, a photograph and the mean colour")
        if len(self.labels) != len(self.photographs):
            raise ValueError(f"labels are {len(self.labels)}, expected {len(self.photographs)}, one per photograph")
        shown, needed = len(set(map(int, self.labels))), self.grid**2 + self.fillings - 1
        if shown < needed:
            raise ValueError(
                f"the photographs show {shown} classes, expected at least {needed}: {self.grid**2} cells and "
                f"{self.fillings - 1} fillings"
            )

    @property
    def name(self) -> str:
        return "mosaics" if self.grid == 2 else f"mosaics {self.grid}x{self.grid}"

    @property
    def size(self) -> int:
        return self.grid * self.photographs.shape[-1]

    def __len__(self) -> int:
        return self.count

    @property
    def apart(self) -> int:
        """How many mosaics a round has: so many, from the first on, show no photograph twice."""
        return len(set(map(int, self.labels))) // self.grid**2

    def drawn(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Which photographs lie in the cells, grid² row by row, and which fill each of them, grid²×(fillings - 1)."""
        whole, place = divmod(place_in(self, index), self.apart)
        order = np.random.default_rng(derive(self.seed, self.grid, whole)).permutation(len(self.photographs))
        _, first = np.unique(self.labels[order], return_index=True)  # one photograph per class, in random order
        cells = order[np.sort(first)][place * self.grid**2 : (place + 1) * self.grid**2]
        rest = order[~np.isin(self.labels[order], self.labels[cells])]
        rng = np.random.default_rng(derive(self.seed, self.grid, whole, place))
        return cells, np.stack([rng.permutation(rest)[: self.fillings - 1] for _ in cells])

    def members(self, index: int) -> np.ndarray:
        """The positions of the photographs in the cells, row by row."""
        return self.drawn(index)[0]

    def picture(self, index: int) -> Picture:
        cells, others = self.drawn(index)
        side, grid = self.photographs.shape[-1], self.grid
        image = np.empty((3, grid * side, grid * side), np.uint8)
        places = [np.s_[..., r * side : (r + 1) * side, c * side : (c + 1) * side] for r, c in np.ndindex(grid, grid)]
        for place, cell in zip(places, cells, strict=True):
            image[place] = self.photographs[cell]
        without = np.broadcast_to(image, (grid**2, self.fillings, *image.shape)).copy()
        parts = []
        for position, (place, cell) in enumerate(zip(places, cells, strict=True)):
            without[position][place][:-1] = self.photographs[others[position]]
            mean = bits(self.photographs[cell].mean((1, 2)) / 255)
            without[position][place][-1] = mean[:, None, None]
            mask = np.zeros(image.shape[1:], bool)
            mask[place] = True
            row, column = divmod(position, grid)
            parts.append(Part(f"{ROWS[grid][row]} {COLUMNS[grid][column]}", int(self.labels[cell]), mask))
        return Picture(f"{self.name} {index}", image, tuple(parts), without)


def of_dataset(dataset: Dataset, used: np.ndarray, **options) -> Mosaics:
    """Mosaics of the photographs at `used`, each halved (2×2 means), so that a 2×2 mosaic has the data set's size.

    Options are those of `Mosaics`.
    """
    images = dataset.batch(used).numpy()
    small = np.stack([bits(halved(image)) for image in images])
    return Mosaics(small, dataset.labels[np.array(used)].numpy(), dataset.classes, **options)
