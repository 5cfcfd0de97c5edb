import pytest
import torch
from torch import nn

from aecompanion.explain.logit_slice import logit_plane
from aecompanion.pipeline.rng import generator


@pytest.fixture
def three(images):
    return images[0], images[1], images[2]


def point(plane, a, b, shape):
    return (plane.origin + a * plane.basis[0] + b * plane.basis[1]).float().reshape(1, *shape)


# the plane


def test_distances_between_the_three_images_are_those_on_the_plane(linear, three):
    plane = logit_plane(linear, *three, steps=3)
    images, places = torch.stack(three).flatten(1).double(), plane.points
    assert torch.allclose(torch.cdist(places, places), torch.cdist(images, images), rtol=0, atol=1e-9)


def test_the_origin_is_zero_the_first_on_the_axis_and_the_second_above_it(linear, three):
    zero, first, second = logit_plane(linear, *three, steps=3).points
    assert zero.tolist() == [0, 0]
    assert first[0] > 0 and first[1].abs() < 1e-9
    assert second[1] > 0


def test_an_image_of_known_coordinates():
    """Pixels (a, b) themselves: x_0 = (1, 1), x_1 = (4, 1), x_2 = (2, 3); two logits that read one pixel each."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    nn.init.eye_(model[1].weight)
    zero, first, second = (torch.tensor(pixels).reshape(1, 1, 2) for pixels in ([1.0, 1], [4.0, 1], [2.0, 3]))
    plane = logit_plane(model, zero, first, second, span=0.5, steps=7)
    assert torch.allclose(plane.points, torch.tensor([[0, 0], [3, 0], [1, 2.0]]).double())
    assert torch.allclose(plane.across, torch.linspace(-1.5, 4.5, 7))  # middle 1.5, half a window 3
    assert torch.allclose(plane.up, torch.linspace(-2, 4, 7))
    assert torch.allclose(plane.logits[..., 0], 1 + plane.across.expand(7, 7), atol=1e-6)
    assert torch.allclose(plane.logits[..., 1], 1 + plane.up[:, None].expand(7, 7), atol=1e-6)


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_every_grid_point_has_the_logits_of_its_own_image(network, three, batch):
    plane = logit_plane(network, *three, steps=5, batch=batch)
    for row in range(5):
        for column in range(5):
            image = point(plane, plane.across[column].double(), plane.up[row].double(), three[0].shape)
            assert torch.allclose(plane.logits[row, column], network(image)[0], rtol=0, atol=1e-5)


def test_the_basis_is_orthonormal_even_for_nearly_parallel_directions(linear, three):
    origin, first, _ = three
    nearly = origin + 2 * (first - origin) + 1e-3 * three[2]
    basis = logit_plane(linear, origin, first, nearly, steps=2).basis
    assert torch.allclose(basis @ basis.T, torch.eye(2).double(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("span", [0.0, 0.3, 1.0])
def test_the_window_is_square_and_reaches_beyond_the_points_by_the_span(linear, three, span):
    plane = logit_plane(linear, *three, span=span, steps=4)
    width, height = (axis[-1] - axis[0] for axis in (plane.across, plane.up))
    extent = (plane.points.amax(0) - plane.points.amin(0)).max().item()
    assert (width.item(), height.item()) == pytest.approx(((1 + 2 * span) * extent,) * 2, rel=1e-5)
    for axis, column in ((plane.across, 0), (plane.up, 1)):
        assert axis[0] <= plane.points[:, column].min() - span * extent + 1e-5
        assert axis[-1] >= plane.points[:, column].max() + span * extent - 1e-5


# projection


def test_images_of_the_plane_project_onto_themselves(linear, three):
    plane = logit_plane(linear, *three, steps=2)
    places, off = plane.project(torch.stack(three))
    assert torch.allclose(places, plane.points, rtol=0, atol=1e-6)
    assert off.max() < 1e-5
    middle = (three[0] + three[1] + three[2]) / 3
    assert torch.allclose(plane.project(middle[None])[0][0], plane.points.mean(0), rtol=0, atol=1e-5)


def test_the_distance_of_a_projection_is_the_shortest(linear, three, images):
    plane = logit_plane(linear, *three, steps=2)
    places, off = plane.project(images[3:])
    draws = torch.randn(200, 2, generator=generator(0, 1), dtype=torch.float64)
    for image, place, distance in zip(images[3:].double(), places, off, strict=True):
        nearest = plane.origin + place @ plane.basis
        assert (image.flatten() - nearest).norm() == pytest.approx(distance.item())
        others = plane.origin + (place + draws) @ plane.basis
        assert ((image.flatten() - others).norm(dim=1) >= distance).all()


# guards


@pytest.mark.parametrize("share", [0.0, 1.0, -2.0, 0.5])
def test_three_images_on_one_line_are_an_error(linear, three, share):
    origin, first, _ = three
    with pytest.raises(ValueError, match="on one line, expected three"):
        logit_plane(linear, origin, first, origin + share * (first - origin))


def test_an_origin_twice_is_an_error(linear, three):
    with pytest.raises(ValueError, match="on one line"):
        logit_plane(linear, three[0], three[0], three[1])


@pytest.mark.parametrize("options", [{"span": -0.1}, {"steps": 1}], ids=str)
def test_a_number_out_of_its_range_is_an_error(linear, three, options):
    with pytest.raises(ValueError, match="expected at least 0 and at least 2"):
        logit_plane(linear, *three, **options)


def test_shapes_that_differ_are_an_error(linear, three):
    with pytest.raises(ValueError, match=r"\(2, 8, 8\), \(2, 8, 8\) and \(2, 8, 4\), expected one shape"):
        logit_plane(linear, three[0], three[1], three[2][..., :4])


def test_the_network_is_asked_in_evaluation_mode_and_returned_as_it_was(convolutional, three, condition, fail_on_call):
    expected = logit_plane(convolutional, *three, steps=4).logits
    before = condition(convolutional.train())
    assert torch.equal(logit_plane(convolutional, *three, steps=4).logits, expected)
    assert condition(convolutional) == before
    fail_on_call(convolutional, 2)
    before = condition(convolutional)
    with pytest.raises(RuntimeError, match="call 2"):
        logit_plane(convolutional, *three, steps=4, batch=4)
    assert condition(convolutional) == before
