import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from aecompanion.pipeline.rng import derive, generator, seeded


def test_derive_gives_the_same_seed_for_the_same_path():
    assert derive(3, 1, 4) == derive(3, 1, 4)


def test_derive_fits_in_63_bits():
    assert all(0 <= derive(seed) < 2**63 for seed in range(200))


def test_derive_is_distinct_for_distinct_paths_of_one_length():
    paths = list(itertools.product(range(20), repeat=3))
    assert len({derive(*path) for path in paths}) == len(paths)


@pytest.mark.parametrize("longer", [(7, 0), (7, 0, 0), (7, 1)])
def test_derive_tells_a_path_from_its_continuation(longer):
    assert derive(7) != derive(*longer)


def test_derive_tells_a_large_seed_from_a_path_of_its_halves():
    assert derive(5 + 9 * 2**32) != derive(5, 9)


def test_derive_depends_on_the_order_of_the_path():
    assert derive(1, 2) != derive(2, 1)


def test_generator_repeats_its_numbers_for_the_same_path_only():
    first, again, other = (torch.rand(8, generator=generator(0, index)) for index in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_generator_leaves_the_global_state_alone():
    before = torch.get_rng_state()
    torch.rand(3, generator=generator(0, 1))
    assert torch.equal(torch.get_rng_state(), before)


def test_seeded_restores_the_global_state():
    before = torch.get_rng_state()
    with seeded(0, 1):
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_seeded_restores_the_global_state_after_an_exception():
    before = torch.get_rng_state()
    with pytest.raises(KeyError), seeded(0, 1):
        torch.rand(3)
        raise KeyError
    assert torch.equal(torch.get_rng_state(), before)


def test_seeded_draws_the_numbers_of_the_generator_of_its_path():
    with seeded(4, 2):
        drawn = torch.rand(8)
    assert torch.equal(drawn, torch.rand(8, generator=generator(4, 2)))


def test_a_thread_waits_for_another_ones_block():
    def drawn(seed):
        with seeded(seed):
            first = torch.rand(4)
            time.sleep(0.01)  # another thread would draw here
            return torch.cat([first, torch.rand(4)])

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(drawn, range(8)))
    assert all(torch.equal(each, torch.rand(8, generator=generator(seed))) for seed, each in enumerate(found))
