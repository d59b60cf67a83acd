from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Flaw(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FLAW_NONE: _ClassVar[Flaw]
    FLAW_NOTED: _ClassVar[Flaw]
    FLAW_REPELLING: _ClassVar[Flaw]
    FLAW_EVICTING: _ClassVar[Flaw]
    FLAW_BROKEN: _ClassVar[Flaw]
FLAW_NONE: Flaw
FLAW_NOTED: Flaw
FLAW_REPELLING: Flaw
FLAW_EVICTING: Flaw
FLAW_BROKEN: Flaw

class RegisterRequest(_message.Message):
    __slots__ = ("header", "nodes")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    header: Header
    nodes: Nodes
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., nodes: _Optional[_Union[Nodes, _Mapping]] = ...) -> None: ...

class RegisterResponse(_message.Message):
    __slots__ = ("generation",)
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    generation: int
    def __init__(self, generation: _Optional[int] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("table", "layouts", "products", "mix")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    LAYOUTS_FIELD_NUMBER: _ClassVar[int]
    PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    MIX_FIELD_NUMBER: _ClassVar[int]
    table: str
    layouts: _containers.RepeatedCompositeFieldContainer[Layout]
    products: _containers.RepeatedScalarFieldContainer[str]
    mix: Mix
    def __init__(self, table: _Optional[str] = ..., layouts: _Optional[_Iterable[_Union[Layout, _Mapping]]] = ..., products: _Optional[_Iterable[str]] = ..., mix: _Optional[_Union[Mix, _Mapping]] = ...) -> None: ...

class Nodes(_message.Message):
    __slots__ = ("nodes",)
    NODES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    def __init__(self, nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ...) -> None: ...

class Layout(_message.Message):
    __slots__ = ("devices", "bandwidth", "islands", "island_gbps", "numa", "pcie_root", "pcie_switch", "rail", "linkable")
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    BANDWIDTH_FIELD_NUMBER: _ClassVar[int]
    ISLANDS_FIELD_NUMBER: _ClassVar[int]
    ISLAND_GBPS_FIELD_NUMBER: _ClassVar[int]
    NUMA_FIELD_NUMBER: _ClassVar[int]
    PCIE_ROOT_FIELD_NUMBER: _ClassVar[int]
    PCIE_SWITCH_FIELD_NUMBER: _ClassVar[int]
    RAIL_FIELD_NUMBER: _ClassVar[int]
    LINKABLE_FIELD_NUMBER: _ClassVar[int]
    devices: int
    bandwidth: _containers.RepeatedScalarFieldContainer[float]
    islands: _containers.RepeatedScalarFieldContainer[int]
    island_gbps: float
    numa: _containers.RepeatedScalarFieldContainer[int]
    pcie_root: _containers.RepeatedScalarFieldContainer[int]
    pcie_switch: _containers.RepeatedScalarFieldContainer[int]
    rail: _containers.RepeatedScalarFieldContainer[int]
    linkable: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, devices: _Optional[int] = ..., bandwidth: _Optional[_Iterable[float]] = ..., islands: _Optional[_Iterable[int]] = ..., island_gbps: _Optional[float] = ..., numa: _Optional[_Iterable[int]] = ..., pcie_root: _Optional[_Iterable[int]] = ..., pcie_switch: _Optional[_Iterable[int]] = ..., rail: _Optional[_Iterable[int]] = ..., linkable: _Optional[_Iterable[bool]] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("name", "layout", "products", "shared", "cpu_milli", "memory_bytes", "state")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    CPU_MILLI_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    name: str
    layout: int
    products: _containers.RepeatedScalarFieldContainer[int]
    shared: _containers.RepeatedScalarFieldContainer[bool]
    cpu_milli: int
    memory_bytes: int
    state: NodeState
    def __init__(self, name: _Optional[str] = ..., layout: _Optional[int] = ..., products: _Optional[_Iterable[int]] = ..., shared: _Optional[_Iterable[bool]] = ..., cpu_milli: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., state: _Optional[_Union[NodeState, _Mapping]] = ...) -> None: ...

class NodeState(_message.Message):
    __slots__ = ("left", "cpu_left_milli", "memory_left_bytes", "used", "flaws", "changes")
    LEFT_FIELD_NUMBER: _ClassVar[int]
    CPU_LEFT_MILLI_FIELD_NUMBER: _ClassVar[int]
    MEMORY_LEFT_BYTES_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    FLAWS_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    left: _containers.RepeatedScalarFieldContainer[int]
    cpu_left_milli: int
    memory_left_bytes: int
    used: bool
    flaws: _containers.RepeatedScalarFieldContainer[Flaw]
    changes: int
    def __init__(self, left: _Optional[_Iterable[int]] = ..., cpu_left_milli: _Optional[int] = ..., memory_left_bytes: _Optional[int] = ..., used: _Optional[bool] = ..., flaws: _Optional[_Iterable[_Union[Flaw, str]]] = ..., changes: _Optional[int] = ...) -> None: ...

class Mix(_message.Message):
    __slots__ = ("kinds", "growth")
    KINDS_FIELD_NUMBER: _ClassVar[int]
    GROWTH_FIELD_NUMBER: _ClassVar[int]
    kinds: _containers.RepeatedCompositeFieldContainer[Kind]
    growth: float
    def __init__(self, kinds: _Optional[_Iterable[_Union[Kind, _Mapping]]] = ..., growth: _Optional[float] = ...) -> None: ...

class Kind(_message.Message):
    __slots__ = ("ask", "cpu_milli", "amount")
    ASK_FIELD_NUMBER: _ClassVar[int]
    CPU_MILLI_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    ask: Ask
    cpu_milli: int
    amount: float
    def __init__(self, ask: _Optional[_Union[Ask, _Mapping]] = ..., cpu_milli: _Optional[int] = ..., amount: _Optional[float] = ...) -> None: ...

class UpdateRequest(_message.Message):
    __slots__ = ("table", "generation", "changes")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    table: str
    generation: int
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    def __init__(self, table: _Optional[str] = ..., generation: _Optional[int] = ..., changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("row", "state", "node", "removed")
    ROW_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    row: int
    state: NodeState
    node: Node
    removed: bool
    def __init__(self, row: _Optional[int] = ..., state: _Optional[_Union[NodeState, _Mapping]] = ..., node: _Optional[_Union[Node, _Mapping]] = ..., removed: _Optional[bool] = ...) -> None: ...

class UpdateResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("table", "generation", "pods", "top", "profile")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    PODS_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    table: str
    generation: int
    pods: _containers.RepeatedCompositeFieldContainer[Pod]
    top: int
    profile: str
    def __init__(self, table: _Optional[str] = ..., generation: _Optional[int] = ..., pods: _Optional[_Iterable[_Union[Pod, _Mapping]]] = ..., top: _Optional[int] = ..., profile: _Optional[str] = ...) -> None: ...

class Pod(_message.Message):
    __slots__ = ("asks", "cpu_milli", "memory_bytes", "rows")
    ASKS_FIELD_NUMBER: _ClassVar[int]
    CPU_MILLI_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    asks: _containers.RepeatedCompositeFieldContainer[Ask]
    cpu_milli: int
    memory_bytes: int
    rows: bytes
    def __init__(self, asks: _Optional[_Iterable[_Union[Ask, _Mapping]]] = ..., cpu_milli: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., rows: _Optional[bytes] = ...) -> None: ...

class Ask(_message.Message):
    __slots__ = ("count", "share", "products")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    count: int
    share: int
    products: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, count: _Optional[int] = ..., share: _Optional[int] = ..., products: _Optional[_Iterable[str]] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("generation", "version", "nodes", "scorers", "pods")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    SCORERS_FIELD_NUMBER: _ClassVar[int]
    PODS_FIELD_NUMBER: _ClassVar[int]
    generation: int
    version: int
    nodes: int
    scorers: _containers.RepeatedScalarFieldContainer[str]
    pods: _containers.RepeatedCompositeFieldContainer[PodScores]
    def __init__(self, generation: _Optional[int] = ..., version: _Optional[int] = ..., nodes: _Optional[int] = ..., scorers: _Optional[_Iterable[str]] = ..., pods: _Optional[_Iterable[_Union[PodScores, _Mapping]]] = ...) -> None: ...

class PodScores(_message.Message):
    __slots__ = ("fitting", "totals", "top")
    FITTING_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    fitting: int
    totals: bytes
    top: _containers.RepeatedCompositeFieldContainer[Placement]
    def __init__(self, fitting: _Optional[int] = ..., totals: _Optional[bytes] = ..., top: _Optional[_Iterable[_Union[Placement, _Mapping]]] = ...) -> None: ...

class Placement(_message.Message):
    __slots__ = ("row", "total", "rank", "devices", "scores")
    ROW_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    row: int
    total: float
    rank: int
    devices: _containers.RepeatedScalarFieldContainer[int]
    scores: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, row: _Optional[int] = ..., total: _Optional[float] = ..., rank: _Optional[int] = ..., devices: _Optional[_Iterable[int]] = ..., scores: _Optional[_Iterable[float]] = ...) -> None: ...

class JudgeRequest(_message.Message):
    __slots__ = ("scorer", "pod", "cpu_milli", "memory_bytes", "candidates")
    SCORER_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    CPU_MILLI_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    scorer: str
    pod: str
    cpu_milli: int
    memory_bytes: int
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    def __init__(self, scorer: _Optional[str] = ..., pod: _Optional[str] = ..., cpu_milli: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("node", "devices", "total")
    NODE_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    node: str
    devices: _containers.RepeatedScalarFieldContainer[str]
    total: float
    def __init__(self, node: _Optional[str] = ..., devices: _Optional[_Iterable[str]] = ..., total: _Optional[float] = ...) -> None: ...

class JudgeResponse(_message.Message):
    __slots__ = ("scores",)
    SCORES_FIELD_NUMBER: _ClassVar[int]
    scores: bytes
    def __init__(self, scores: _Optional[bytes] = ...) -> None: ...
