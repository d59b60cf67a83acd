"""Which pods a change of storage may help that is not about one claim; gathered, so that they are gone through once."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Ripples:
    """Names of what changed since the last `clear`.

    classes : of storage. offers : classes of which a volume became free, or may be made in other places.
    drivers : whose limits, volumes or ways changed. everywhere : it may matter to anybody with volumes.
    """

    classes: set[str] = field(default_factory=set)
    offers: set[str] = field(default_factory=set)
    drivers: set[str] = field(default_factory=set)
    everywhere: bool = False

    def __bool__(self) -> bool:
        return bool(self.everywhere or self.classes or self.offers or self.drivers)

    def clear(self) -> None:
        """Those who wait were told."""
        self.classes.clear()
        self.offers.clear()
        self.drivers.clear()
        self.everywhere = False
