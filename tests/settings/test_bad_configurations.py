"""Generated: whatever is wrong with a configuration is one error that names the key and shows the value, and soon."""

import time

import pytest

from scheduler.core import names
from scheduler.core.errors import ConfigError
from scheduler.service.settings import LARGEST, parse, read_text
from scoring.weights import DEFAULTS

HEAD = f"apiVersion: {names.CONFIG_API_VERSION}\nkind: {names.CONFIG_KIND}\n"
WHERE = "ConfigMap dovetail-system/dovetail-config"


def refusal(text):
    began = time.process_time()
    with pytest.raises(ConfigError) as caught:
        parse(text, WHERE, {})
    message = str(caught.value)
    assert time.process_time() - began < 2.0
    assert message.startswith(f"{WHERE}: ")
    assert message.isprintable()
    assert len(message) < 4000
    return message


NO_NUMBERS = {
    "-1": "-1", "-0.001": "-0.001", "1000001": "1000001", "1e7": "10000000.0", ".nan": "nan", ".inf": "inf",
    "-.inf": "-inf", "1e999": "inf", "'5'": "'5'", '"5"': "'5'", "yes": "'yes'", "on": "'on'", "true": "True",
    "1:30": "'1:30'", "010": "'010'", "1_000": "'1_000'", "0x10": "'0x10'", "0o17": "'0o17'", "0b1": "'0b1'",
    "١": "'?'", "５": "'?'", "∞": "'?'", "1,5": "'1,5'", "--1": "'--1'", "+-1": "'+-1'", "1.2.3": "'1.2.3'",
    "10 s": "'10 s'", "1e": "'1e'", "2026-11-26": "'2026-11-26'", "9" * 400: "999", "-" + "9" * 400: "-999",
    "9" * 5000: "'999", "1e" + "9" * 400: "inf", "": "None", "null": "None", "[1]": "", "{a: 1}": "", "{}": "",
    "[]": "",
    '"a\\u001b[31m\\nb"': "'a\\x1b[31m\\nb'",
}  # fmt: skip
PLACES = {
    "weights.{}": "weights:\n  {}: ",
    "profiles.night.weights.{}": "profiles: \n  night:\n   weights:\n    {}: ",
    "overrides.weights.{}.max": "overrides:\n weights:\n  {}:\n   max: ",
    "overrides.weights.{}.min": "overrides:\n weights:\n  {}:\n   max: 1\n   min: ",
}


@pytest.mark.parametrize("value", NO_NUMBERS, ids=[value[:12] for value in NO_NUMBERS])
def test_what_is_no_weight_is_refused_wherever_a_weight_stands(value):
    for path, text in PLACES.items():
        for scorer in DEFAULTS:
            message = refusal(HEAD + text.format(scorer) + value + "\n")

            assert path.format(scorer) in message, message
            assert NO_NUMBERS[value] in message, message


BOUNDED = {
    "batch": ["0", "-1", "10001", "1.5", "'7'", "true"],
    "jointLimitSeconds": ["0", "-1", "6", ".nan", ".inf", "'1'", "10 s"],
    "bindingTimeoutSeconds": ["0", "-1", "3601", ".nan", "10 s"],
    "volumeTimeoutSeconds": ["0", "-1", "3601", ".nan", "10 s"],
    "writesInFlight": ["0", "1025", "1.5"],
    "seed": ["1.5", "x", "9" * 30, "true"],
    "verifyPlans": ["1", "'true'", "yes"],
    "fabricPartitions": ["0", "on"],
    "solver": ["none", "1", "[regret]", "Regret"],
    "deviceChoice": ["last-fit", "1"],
    "schedulerName": ["''", "-x", "x-", "X", "a..b", "x" * 254, "1", '"a\\0b"', "'a b'"],
    "profile": ["''", "Training", "-x", "x" * 64, "1", "trainig"],
    "http.host": ["''", "'a b'", "1", '"a\\0b"', "x" * 254],
    "http.port": ["-1", "65536", "1.5", "'80'", "true"],
    "configMap.name": ["A", "1", "a/b", "'../x'"],
    "configMap.namespace": ["''", "A", "1"],
    "ownership.nodes": ["''", "none", "1"],
    "leaderElection.leaseSeconds": ["0", "3601", ".nan", "10 s"],
    "leaderElection.enabled": ["1", "yes"],
}
CASES = [(path, value) for path, values in BOUNDED.items() for value in values]


@pytest.mark.parametrize(("path", "value"), CASES, ids=[f"{path}={value[:12]}" for path, value in CASES])
def test_a_value_beyond_its_bounds_is_named_with_its_path(path, value):
    section, _, key = path.rpartition(".")
    text = f"{section}:\n  {key}: {value}\n" if section else f"{key}: {value}\n"

    assert f"{path} = " in refusal(HEAD + text) or f"{path}:" in refusal(HEAD + text)


@pytest.mark.parametrize("scorer", DEFAULTS)
@pytest.mark.parametrize("place", [path for path in PLACES if not path.endswith("min")])
def test_a_misspelt_scorer_is_named_with_the_one_that_is_meant(scorer, place):
    wrong = scorer[:-2] + scorer[-1] + scorer[-2] + "x"

    message = refusal(HEAD + PLACES[place].format(wrong) + "1\n")

    assert wrong in message
    assert f"did you mean {scorer}?" in message


NO_DOCUMENTS = {
    "nothing": ("", "is empty"),
    "a comment": ("# all of it\n", "is empty"),
    "a word": ("dovetail", "holds a str, not a mapping"),
    "a list": ("- 1", "holds a list, not a mapping"),
    "a tab": ("\tweights: {}", "is not YAML"),
    "a NUL": (HEAD + "profile: a\0b", "is not YAML"),
    "half a character": (HEAD + "profile: \ud800", "is not text"),
    "a byte order mark": ("\ufeff" + HEAD, "begins with a byte order mark"),
    "an alias bomb": (
        "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        "b.0 (line 2): uses alias 'a'",
    ),
    "an alias of itself": ("a: &a [*a]", "a.0 (line 1): uses alias 'a'"),
    "a merge key": (HEAD + "weights: {<<: {packing: 1}}", "weights (line 3): merges by '<<'"),
    "a tag": (HEAD + "weights: {packing: !!float '1'}", "weights.packing (line 3): has tag"),
    "a tag that builds objects": ("a: !!python/object/apply:os.system [id]", "a (line 1): has tag"),
    "two documents": (HEAD + "---\n" + HEAD, "more than one document"),
    "a key given twice": (HEAD + "weights:\n  packing: 1\n  packing: 2", "weights.packing (line 5): is given twice"),
    "a section given twice": (HEAD + "weights: {}\nbatch: 1\nweights: {}", "weights (line 5): is given twice"),
    "a list as a key": ("[a]: 1", "has a key that is no text"),
    "depth": ("a: " + "[" * 100_000, "nested more than 20 levels"),
    "depth in blocks": ("- " * 50_000, "nested more than 20 levels"),
    "depth in mappings": ("{a: " * 30_000, "nested more than 20 levels"),
    "size": ("# " + "x" * LARGEST, "is longer than"),
    "many unknown keys": (HEAD + "".join(f"k{i}: 1\n" for i in range(12_000)), "more mistakes"),
    "many unknown weights": (HEAD + "weights:\n" + "".join(f"  k{i}: 1\n" for i in range(9_000)), "no scorer"),
    "a template": ("{{ toYaml .Values.config }}", "no text"),
    "another version": (f"apiVersion: v1\nkind: {names.CONFIG_KIND}", "apiVersion = 'v1'"),
    "another kind": (f"apiVersion: {names.CONFIG_API_VERSION}\nkind: Pod", "kind = 'Pod'"),
    "all weights zero": (HEAD + f"weights: {dict.fromkeys(DEFAULTS, 0)}", "every weight is 0"),
    "the name of kube-scheduler": (HEAD + "schedulerProfiles: {default-scheduler: default}", "belongs to kube-sched"),
    "its own name twice": (HEAD + "schedulerProfiles: {dovetail: training}", "schedulerProfiles.dovetail: is"),
    "a profile that is none": (
        HEAD + "schedulerProfiles: {batch: trainig}",
        "schedulerProfiles.batch = 'trainig': no profile has this name; did you mean training?",
    ),
    "a name that is none": (HEAD + 'schedulerProfiles: {"": default}', "schedulerProfiles: key ''"),
    "an empty name of a profile": (HEAD + 'profiles: {"": {}}', "profiles: key ''"),
}


@pytest.mark.parametrize("name", NO_DOCUMENTS)
def test_a_text_that_is_no_configuration_says_why(name):
    text, said = NO_DOCUMENTS[name]

    assert said in refusal(text)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"weights: \xff", "is not UTF-8 (byte 10"),
        ("weights: {}".encode("utf-16"), "is not UTF-8"),
        (b"\xef\xbb\xbfkind: x", "begins with a byte order mark"),
        (b"\0" * 100, "is not YAML"),
        (b"#" * (5 * LARGEST), "is longer than"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path, content, said):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        parse(read_text(path), str(path), {})

    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_device_or_folder_in_place_of_a_file_ends_soon(tmp_path):
    for path, said in ((tmp_path, "cannot be read"), ("/dev/zero", "is longer than")):
        with pytest.raises(ConfigError, match=said):
            parse(read_text(type(tmp_path)(path)), "x", {})


def test_line_ends_of_windows_and_a_version_line_are_read():
    text = "%YAML 1.2\r\n---\r\n" + HEAD.replace("\n", "\r\n") + "weights:\r\n  packing: 2\r\n"

    assert parse(text, WHERE, {}).weights == {"packing": 2.0}
