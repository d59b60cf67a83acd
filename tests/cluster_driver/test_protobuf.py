"""What is added to a claim in protobuf, beside bytes that an API server sent."""

import pytest

from scheduler.cluster.protobuf import added, finalizer, reservation
from scheduler.core.errors import InputError
from scheduler.core.messages import ClaimRef
from scheduler.core.model import Consumer, Uid

CLAIM = ClaimRef("ns", "c", Uid("u"), "7", False)
IDENTITY = b"\x2a\x01u" + b"\x32\x017"  # fields 5 and 6 of ObjectMeta
# Of a kube-apiserver 1.37.2: a claim whose parameters {"b": 1, "a": 2} were written with spaces and out of order.
WHOLE = bytes.fromhex(
    "6b3873000a230a127265736f757263652e6b38732e696f2f7631120d5265736f75726365436c61696d128f020ac1010a016312001a026e73"
    "22002a2433386433313639342d353566392d343732342d386465332d36306632333335383438643332033231313800420808"
    "95ffa0d80610008a017c0a0c646f76657461696c2d65326512065570646174651a127265736f757263652e6b38732e696f2f7631220808"
    "95ffa0d806100032084669656c647356313a3a0a387b22663a73706563223a7b22663a64657669636573223a7b22663a636f6e666967"
    "223a7b7d2c22663a7265717565737473223a7b7d7d7d7d420012470a450a180a017212130a036770751a0a4578616374436f756e7420"
    "011a2912270a250a0f6770752e6578616d706c652e636f6d12120a107b2262223a20312c202261223a20327d1a001a002200"
)
RAW = WHOLE.index(b"\x12\x8f\x02") + 3  # where the claim begins, behind the envelope's field 2 and its length, 271
END = b"\x1a\x00\x22\x00"  # its empty fields 3 and 4


def test_a_finalizer_is_metadata_with_the_identity_that_makes_the_write_conditional():
    name = b"resource.kubernetes.io/delete-protection"

    fields = IDENTITY + b"\x72" + bytes([len(name)]) + name  # field 14
    assert finalizer(CLAIM) == b"\x0a" + bytes([len(fields)]) + fields


def test_a_reservation_is_an_entry_of_the_status_beside_that_identity():
    pod = b"\x1a\x04pods" + b"\x22\x01p" + b"\x2a\x02p1"  # fields 3, 4 and 5

    entry = b"\x12" + bytes([len(pod)]) + pod  # field 2 of the status, which is field 3
    wanted = b"\x0a" + bytes([len(IDENTITY)]) + IDENTITY + b"\x1a" + bytes([len(entry)]) + entry
    assert reservation(CLAIM, [Consumer("pods", "p", Uid("p1"))]) == wanted


def test_each_of_several_consumers_is_an_entry_of_its_own():
    pods = [Consumer("pods", name, Uid(f"uid-{name}")) for name in ("p", "q")]

    alone = [reservation(CLAIM, [each]) for each in pods]
    metadata = b"\x0a" + bytes([len(IDENTITY)]) + IDENTITY
    entries = [text.removeprefix(metadata)[2:] for text in alone]  # without the status' own number and length
    status = b"".join(entries)
    assert reservation(CLAIM, pods) == metadata + b"\x1a" + bytes([len(status)]) + status


def test_a_group_of_pods_is_reserved_for_with_its_api_group():
    text = reservation(CLAIM, [Consumer("podgroups", "g", Uid("g1"), "scheduling.k8s.io")])

    assert b"\x0a\x11scheduling.k8s.io\x1a\x09podgroups\x22\x01g\x2a\x02g1" in text


@pytest.mark.parametrize("size", [1, 100, 20_000], ids=["same length bytes", "one more", "many"])
def test_an_addition_comes_last_in_the_object_and_changes_no_byte_before_it(size):
    # given
    claim = WHOLE[RAW : -len(END)]
    assert len(claim) == 271
    addition = b"x" * size
    # when
    found = added(WHOLE, addition)
    # then
    assert found.startswith(WHOLE[: RAW - 2])
    assert found.endswith(claim + addition + END)
    length = found[RAW - 2 : -len(claim + addition + END)]
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(length)) == len(claim) + size
    assert [byte >> 7 for byte in length] == [1] * (len(length) - 1) + [0]


@pytest.mark.parametrize(
    "whole", [b"", b'{"kind":"ResourceClaim"}', WHOLE[:60], WHOLE[:5], b"k8s\x00" + b"\xff" * 12, b"k8s\x00\x08\x01"]
)
def test_what_is_no_whole_object_is_refused(whole):
    with pytest.raises(InputError, match="answer of the API server"):
        added(whole, b"")
