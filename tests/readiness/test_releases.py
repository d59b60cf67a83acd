"""The table of driver releases, and which release is taken for running."""

import re

import pytest

from scheduler.readiness.published import MEANINGS, TRAITS, published
from scheduler.readiness.record import Workload
from scheduler.readiness.releases import installed, table, table_date
from tests.build import device, slice_of

NVIDIA = table()["gpu.nvidia.com"]
DATE = r"20\d\d-\d\d-\d\d"


@pytest.mark.parametrize("driver", table().values(), ids=lambda driver: driver.driver)
def test_the_table_is_dated_sourced_and_in_order(driver):
    assert re.fullmatch(DATE, table_date())
    dates = [release.date for release in driver.releases]
    assert dates == sorted(dates)
    assert all(re.fullmatch(DATE, date) and date <= table_date() for date in dates)
    for release in driver.releases:
        assert release.source.startswith("github.com/")
        traits = {*release.publishes, *(trait for traits in release.options.values() for trait in traits)}
        assert traits <= set(TRAITS)
    assert len({release.release for release in driver.releases}) == len(driver.releases)
    assert all("/" not in name for name in driver.classes)


def test_every_trait_says_what_it_means():
    assert set(TRAITS) == set(MEANINGS)


def of(*devices, driver="gpu.nvidia.com"):
    [found] = published([slice_of(devices, node="n1", driver=driver)], [])
    return found


def running(*images, gates=None, found=None, unread=""):
    workloads = [Workload("gpu-operator", "plugin", (image,), gates or {}) for image in images]
    return installed(NVIDIA, found or of(device()), workloads, unread)


@pytest.mark.parametrize(
    ("image", "version", "release"),
    [
        ("nvcr.io/nvidia/k8s-dra-driver-gpu:v25.8.1", "v25.8.1", "v25.8.1"),
        ("registry.k8s.io/dra-driver-nvidia/dra-driver-nvidia-gpu:v0.5.0-ubi9", "v0.5.0-ubi9", "v0.5.0"),
        ("localhost:5000/dra-driver-nvidia-gpu:v0.4.1@sha256:" + "0" * 64, "v0.4.1", "v0.4.1"),
        ("dra-driver-nvidia-gpu:0.4.0", "0.4.0", "v0.4.0"),
        ("dra-driver-nvidia-gpu:v0.9.9", "v0.9.9", None),
        ("dra-driver-nvidia-gpu:main", "main", None),
    ],
)
def test_the_image_tells_the_release(image, version, release):
    found = running(image)

    assert found.version == version
    assert (found.release and found.release.release) == release
    assert found.why == "image of DaemonSet gpu-operator/plugin"


@pytest.mark.parametrize(
    "image", ["dra-driver-nvidia-gpu", "localhost:5000/dra-driver-nvidia-gpu", "other-dra-driver-nvidia-gpu-x:v0.5.0"]
)
def test_an_image_without_a_version_or_of_somebody_else_tells_none(image):
    assert running(image).version == ""


def test_two_versions_at_a_time_are_told_and_none_is_taken():
    found = running("dra-driver-nvidia-gpu:v0.4.1", "dra-driver-nvidia-gpu:v0.5.0")

    assert (found.version, found.release) == ("", None)
    assert found.why == "its images say v0.4.1, v0.5.0"


def test_what_is_published_tells_how_old_it_is_at_most():
    new = of(device(attributes={"resource.kubernetes.io/numaNode": 0}))
    old = of(device(attributes={"resource.kubernetes.io/pcieRoot": "pci0000:00"}))

    assert running(found=new).why == "no DaemonSet has one of its images; it publishes numaNode, as v0.5.0 and newer do"
    assert running(found=old, unread="403").why == (
        "DaemonSets could not be read; it publishes pcieRoot, as v25.8.1 and newer do"
    )
    assert running().why == "no DaemonSet has one of its images"


def test_a_driver_that_is_not_in_the_table_is_not_guessed_at():
    found = installed(None, of(device(), driver="new.example.com"), [], "")

    assert (found.version, found.release, found.why) == ("", None, "the driver is not in the table")
