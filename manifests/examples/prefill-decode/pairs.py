"""Writes a ResourceClaimTemplate for N GPUs and N network cards, each GPU with a card that shares an attribute with it.

    python3 pairs.py 4 --name decode > aligned/decode-claim.yaml

Exit code 2 for what Kubernetes would refuse. Needs Python 3.9 or newer and nothing else.
"""

import argparse
import sys

MAX_PAIRS = 16  # resource.k8s.io/v1: a claim has at most 32 requests and gets at most 32 devices
DRANET = "dra.net"
RDMA = f'device.attributes["{DRANET}"].?rdma.orValue(false)'
ROOT = "resource.kubernetes.io/pcieRoot"


def template(count: int, name: str, match: str, together: str, gpu: str, nic: str, selector: str) -> str:
    """The YAML of the template.

    match : the attribute that the GPU and the card of a pair have in common; empty for none, which leaves it to the
    scheduler's scores. together : one that all GPUs have in common; empty for none. gpu, nic : names of DeviceClasses.
    selector : CEL that each GPU fulfils; empty for none. Raises ValueError for a count that no claim can have.
    """
    if not 1 <= count <= MAX_PAIRS:
        raise ValueError(f"{count} pairs: a claim holds 1 to {MAX_PAIRS}, since Kubernetes allows it 32 requests")
    lines = [
        "apiVersion: resource.k8s.io/v1",
        "kind: ResourceClaimTemplate",
        "metadata:",
        f"  name: {name}",
        "spec:",
        "  spec:",
        "    devices:",
        "      requests:",
    ]
    for number in range(count):
        lines += _request(f"gpu-{number}", gpu, selector)
        lines += _request(f"nic-{number}", nic, RDMA if nic == DRANET else "")
    constraints = [([f"gpu-{number}", f"nic-{number}"], match) for number in range(count) if match]
    if together and count > 1:
        constraints.append(([f"gpu-{number}" for number in range(count)], together))
    if constraints:
        lines.append("      constraints:")
    for requests, attribute in constraints:
        lines += [f"        - requests: [{', '.join(requests)}]", f"          matchAttribute: {attribute}"]
    return "\n".join(lines) + "\n"


def _request(name: str, device_class: str, selector: str) -> list[str]:
    lines = [f"        - name: {name}", "          exactly:", f"            deviceClassName: {device_class}"]
    if selector:
        lines += ["            selectors:", "              - cel:", f"                  expression: {selector}"]
    return lines


def main(arguments: "list[str] | None" = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("count", type=int, help=f"how many pairs, 1 to {MAX_PAIRS}")
    parser.add_argument("--name", default="pairs", help="of the template")
    parser.add_argument("--match", default=ROOT, help="attribute that GPU and card share; '' for none")
    parser.add_argument("--together", default="", help="attribute that all GPUs share, such as " + ROOT)
    parser.add_argument("--gpu", default="gpu.nvidia.com", help="DeviceClass of the GPUs")
    parser.add_argument("--nic", default=DRANET, help="DeviceClass of the cards")
    parser.add_argument("--selector", default="", help="CEL that each GPU fulfils, on one line")
    told = parser.parse_args(arguments)
    try:
        text = template(told.count, told.name, told.match, told.together, told.gpu, told.nic, told.selector)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
