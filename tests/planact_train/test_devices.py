"""What a recipe's device can be."""

import pytest

from planact.recipe import RecipeError, Training
from planact_train.devices import DEVICES, GIB, device_of


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_is_found_by_its_name_and_says_where_its_figures_are_from(name):
    device = device_of(Training(device=name))
    gigabytes = int(name.rsplit("-", 1)[1].removesuffix("gb"))
    assert 0.98 < device.memory / GIB / gigabytes <= 1  # the name says the memory
    assert 100e12 < device.peak < 3000e12 and "NVIDIA" in device.source


def test_processes_share_the_memory_of_a_machine_without_a_gpu():
    one, two = (device_of(Training(device="cpu", processes=n)) for n in (1, 2))
    assert one.memory // 2 == two.memory and one.peak is None


def test_another_name_is_refused_with_the_known_ones():
    with pytest.raises(RecipeError, match="training.device: 'h100' is not known; choose from cpu, .*h100-80gb"):
        device_of(Training(device="h100"))
