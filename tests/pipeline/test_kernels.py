import asyncio
import os
from pathlib import Path
from queue import Empty

import pytest

from aecompanion.pipeline import kernels


@pytest.fixture
def asked(monkeypatch):
    """How long jupyter's own channel was told to wait; it sees what lies there when it begins, from the third time on,
    and no later signal.
    """
    waits = []

    async def deaf(channel, timeout=None):
        waits.append(timeout)
        if len(waits) >= 3:
            return {"content": "idle"}
        await asyncio.sleep(3600 if timeout is None else timeout)
        raise Empty

    monkeypatch.setattr(kernels.AsyncZMQSocketChannel, "get_msg", deaf)
    monkeypatch.setattr(kernels, "SLICE", 0.01)
    return waits


def message(timeout):
    channel = object.__new__(kernels.Channel)
    return asyncio.run(asyncio.wait_for(channel.get_msg(timeout), 10))


def test_a_message_whose_signal_was_lost_is_found_with_the_next_slice(asked):
    assert message(None) == {"content": "idle"}
    assert asked == [0.01] * 3


def test_a_time_limit_is_kept(asked):
    with pytest.raises(Empty):
        message(0.02)
    assert asked == [0.02]


def test_replies_and_outputs_come_over_such_channels():
    client = kernels.Client()
    assert client.shell_channel_class is client.iopub_channel_class is kernels.Channel


@pytest.mark.skipif(os.name == "nt", reason="Windows has no channels over files")
def test_no_two_kernels_share_a_channel_and_nothing_of_it_stays():
    with kernels.channels() as one, kernels.channels() as other:
        places = [Path(each.KernelManager.ip) for each in (one, other)]
        assert places[0] != places[1] and all(place.parent.is_dir() for place in places)
        assert all(len(f"{place}-12345") < 100 for place in places)  # a Unix socket's name has 107 bytes at most
    assert not any(place.parent.exists() for place in places)
