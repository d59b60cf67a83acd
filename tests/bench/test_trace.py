import pytest

from e2e.bench.trace import Job, Machine, Shape, TraceError, read

NODES = "sn,cpu_milli,memory_mib,gpu,model\nb,64000,1024,2,T4\na,96000,2048,0,\n"
PODS = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos\n"


def written(tmp_path, nodes: str, pods: str):
    (tmp_path / "nodes.csv").write_text(nodes)
    (tmp_path / "pods.csv").write_text(pods)
    return tmp_path / "nodes.csv", tmp_path / "pods.csv"


def test_a_trace_is_read_in_order_of_names(tmp_path):
    files = written(tmp_path, NODES, PODS + "q,2000,8,1,460,T4|A10|T4,LS\np,1000,4,0,0,,BE\n")

    trace = read(*files)

    assert trace.name == "pods"
    assert trace.machines == (Machine("a", 96000, 2048, 0, ""), Machine("b", 64000, 1024, 2, "T4"))
    assert trace.jobs == (Job("p", Shape(1000, 4, 0, 0)), Job("q", Shape(2000, 8, 1, 460, ("A10", "T4"))))
    assert trace.capacity == 2000


def test_pods_without_a_column_for_models_take_any(tmp_path):
    files = written(tmp_path, NODES, "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1000,4,2,1000\n")

    assert read(*files).jobs == (Job("p", Shape(1000, 4, 2, 1000)),)


@pytest.mark.parametrize(
    ("pods", "says"),
    [
        ("name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,one,4,2,1000\n", "line 2: cpu_milli is 'one'"),
        ("name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1,4,2,-1\n", "line 2: gpu_milli is '-1'"),
        ("name,cpu_milli,memory_mib,num_gpu\np,1,4,2\n", "line 2: has no column gpu_milli; it has: name,"),
        (PODS + "p,1,4,2,500,,\n", "line 2: asks for 2 x 500 of 1000"),
        (PODS + "p,1,4,1,1001,,\n", "line 2: asks for 1 x 1001 of 1000"),
        (PODS + "p,1,4,1,1,,\np,1,4,1,1,,\n", "p is there twice"),
        (PODS, "holds no rows"),
        (PODS + "p,1,4\n", "line 2: has no column num_gpu"),
    ],
)
def test_a_bad_file_is_refused_by_file_and_line(tmp_path, pods, says):
    files = written(tmp_path, NODES, pods)

    with pytest.raises(TraceError) as caught:
        read(*files)

    assert str(caught.value).startswith(str(files[1]))
    assert says in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TraceError, match=r"nothing\.csv: cannot be read"):
        read(tmp_path / "nothing.csv", tmp_path / "nothing.csv")


def test_the_digest_tells_traces_apart(tmp_path):
    one = read(*written(tmp_path, NODES, PODS + "p,1000,4,0,0,,BE\n"))
    same = read(*written(tmp_path, NODES, PODS + "p,1000,4,0,0,,LS\n"))
    other = read(*written(tmp_path, NODES, PODS + "p,1001,4,0,0,,BE\n"))

    assert one.digest == same.digest != other.digest
