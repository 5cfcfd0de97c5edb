import pytest
from drawn import plainly


@pytest.fixture(autouse=True)
def settings():
    with plainly():
        yield
