"""Arrays read from pickles that may be hostile."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import tracemalloc

import numpy as np
import pytest

from encoding.datasets import BadData
from encoding.datasets._pickles import as_array, load_plain
from encoding.datasets._tracks2021 import read_arrays
from encoding.datasets.writers.algonauts2021 import write_pickle


class Runs:
    """Pickles to a call of any function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2", "u1", "<i8", "bool"])
def test_arrays_are_read_from_every_protocol(tmp_path, protocol, dtype):
    values = (np.random.default_rng(0).random((4, 3, 5)) * 100).astype(dtype)
    content = {
        "train": values,
        "turned": np.asfortranarray(values),
        "none": values[:0],
        "who": "sub01",
        "n": np.int64(3),
        "more": [1, (2.5, None)],
    }
    (tmp_path / "V1.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    found = read_arrays(tmp_path / "V1.pkl")
    assert set(found) == {"train", "turned", "none"} and not found["train"].flags.writeable
    for name, array in found.items():
        np.testing.assert_array_equal(array, content[name])
        assert array.dtype == values.dtype


def test_arrays_that_python_2_wrote_as_text_are_read(tmp_path):
    """Protocol 0, which Python 2 took unless told otherwise, spells an array's bytes with escapes."""
    values = np.array([[[1.5, -200.25], [3e30, 0.0]]])
    spelled = "".join(f"\\x{byte:02x}" for byte in values.tobytes())
    (tmp_path / "V1.pkl").write_bytes(
        b"(dp0\nS'train'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntS'b'\ntRp4\n"
        b"(I1\n(I1\nI2\nI2\ntcnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'" + spelled.encode() + b"'\ntbs."
    )
    np.testing.assert_array_equal(read_arrays(tmp_path / "V1.pkl")["train"], values)


WAYS_IN = {
    "value": lambda hostile: {"train": hostile},
    "key": lambda hostile: {hostile: np.zeros(3)},
    "instead": lambda hostile: hostile,
    "nested": lambda hostile: {"train": np.zeros((2, 2, 2)), "more": [{"a": (1, [hostile])}]},
    "in an array of objects": lambda hostile: {"train": np.array([1, hostile], dtype=object)},
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("way", WAYS_IN)
def test_a_pickle_that_would_run_a_command_is_refused_and_runs_nothing(tmp_path, protocol, way):
    witness, path = tmp_path / "witness", tmp_path / "V1.pkl"
    path.write_bytes(pickle.dumps(WAYS_IN[way](Runs(os.system, f"touch {witness}")), protocol=protocol))
    with pytest.raises(
        BadData, match=r"V1\.pkl is refused, and nothing in it was run: it asks for (posix|nt)\.system, which a file of responses"
    ):
        read_arrays(path)
    assert not witness.exists()
    pickle.loads(path.read_bytes())  # the same file does run where it is trusted
    assert witness.exists()


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (builtins.eval, ("open('witness', 'w')",)),
        (builtins.exec, ("open('witness', 'w')",)),
        (builtins.getattr, ({}, "clear")),
        (builtins.bytearray, (10**10,)),
        (np.load, ("x.npy",)),
        (np.frombuffer, (b"12345678",)),
        (pickle.loads, (b"N.",)),
        (io.FileIO, ("witness", "w")),
    ],
)
def test_no_other_function_is_ever_found(tmp_path, monkeypatch, function, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "V1.pkl").write_bytes(pickle.dumps({"train": [Runs(function, *arguments)]}, protocol=2))
    with pytest.raises(BadData, match=r"is refused, and nothing in it was run: it asks for "):
        read_arrays(tmp_path / "V1.pkl")
    assert not (tmp_path / "witness").exists()


def test_a_hostile_pickle_cannot_change_what_reads_it(tmp_path):
    """BUILD sets attributes of whatever is on the stack: here of the function that makes arrays."""
    (tmp_path / "V1.pkl").write_bytes(b"\x80\x02cnumpy\nndarray\nN}X\x05\x00\x00\x00_makeNs\x86b.")
    with pytest.raises(BadData, match=r"is refused, and nothing in it was run: it changes what it calls"):
        read_arrays(tmp_path / "V1.pkl")
    write_pickle({"train": np.zeros((2, 2, 1))}, tmp_path / "V1.pkl")
    assert read_arrays(tmp_path / "V1.pkl")["train"].shape == (2, 2, 1)


def spelled_array(shape, code=b"f8", content=b"\0" * 8):
    """A pickled array that says of itself whatever one likes."""
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU" + bytes([len(code)]) + code + b"K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    state = b"(K\x01" + pickle.dumps(shape, 2)[2:-1] + dtype + b"\x89U" + bytes([len(content)]) + content + b"tb"
    return b"\x80\x02}U\x05train" + made + state + b"s."


def test_an_array_spelled_out_is_read(tmp_path):
    (tmp_path / "V1.pkl").write_bytes(spelled_array((1, 1, 1), content=np.array(2.5).tobytes()))
    assert read_arrays(tmp_path / "V1.pkl")["train"].tolist() == [[[2.5]]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (spelled_array((10**6, 10**6)), r"8 bytes for an array of float64 with shape \(1000000, 1000000\)"),
        (spelled_array((-1, -1)), "an array without a shape"),
        (spelled_array(((),)), "an array without a shape"),
        (spelled_array((1,), code=b"O8"), "values of type O8 where numbers belong"),
        (spelled_array((1,), code=b"S8"), "values of type S8"),
        (spelled_array((1,), code=b"f8,O"), "values of type f8,O"),
        (pickle.dumps({"train": np.array([{}, []], dtype=object)}, 2), "an array of objects where numbers belong"),
        (pickle.dumps([np.zeros(3)]), "holds list where a dict of arrays belongs"),
        (pickle.dumps({"train": np.zeros(3, "f8,i4")}), "type V12 where numbers belong"),
        (b"", "is refused"),
        (b"\x80\x02}" + b"0" * 3 + b"N.", "is refused"),
        (b"\x80\x02" + b"N" + b"\x85" * 100_000 + b".", "it takes more than 5,000 steps"),
        (b"\x80\x02}N" + b"\x85" * 4_900 + b"Ns" + b"N.", "holds NoneType where a dict"),
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "remembers an object as number 2,147,483,647"),
        (b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.", "is refused"),
        (b"\x80\x02T\xff\xff\xff\x7fabc.", "is refused"),
        (b"\x80\x02\x82\x01.", "is refused"),
    ],
)
def test_what_is_no_dict_of_numbers_is_refused(tmp_path, content, message):
    (tmp_path / "V1.pkl").write_bytes(content)
    with pytest.raises(BadData, match=message) as refused:
        read_arrays(tmp_path / "V1.pkl")
    assert "V1.pkl is refused, and nothing in it was run" in str(refused.value)


def test_flipped_and_missing_bytes_give_arrays_or_bad_data_and_nothing_else(tmp_path):
    path, chance = tmp_path / "V1.pkl", np.random.default_rng(0)
    write_pickle({"train": np.zeros((2, 3, 4), np.float32), "voxel_mask": np.zeros((2, 2))}, path)
    whole = path.read_bytes()
    for trial in range(600):
        bent = bytearray(whole)
        for place in chance.integers(0, len(whole), 2):
            bent[place] = chance.integers(256)
        path.write_bytes(bent if trial % 3 else whole[: chance.integers(len(whole))])
        try:
            assert all(isinstance(array, np.ndarray) for array in read_arrays(path).values())
        except BadData as error:
            assert "V1.pkl" in str(error)


def doubled(get):
    """A key of sixty tuples, each of which holds the one before twice: hashing it would take 2^60 steps."""
    return b"\x80\x02}N" + b"".join(get(level) for level in range(60)) + b"Ns."


BOMBS = {
    "a tuple from the memo": doubled(lambda i: b"\x85q%ch%c\x86" % (i, i)),
    "a tuple from a memo that is written twice": doubled(lambda i: b"\x85q\xffq%ch%c\x86" % (i, i)),
    "a tuple behind BUILD": doubled(lambda i: b"\x85Nbq%ch%c\x86" % (i, i)),
    "a tuple behind POP": doubled(lambda i: b"\x85N0q%ch%c\x86" % (i, i)),
    "a doubled top": doubled(lambda i: b"2\x86"),
    "a set": b"\x80\x04(K\x01\x91.",
    "4 GB announced in 12 bytes": b"\x80\x05\x96\x00\x00\x00\x00\x01\x00\x00\x00.",
    "4 GB of bytes": b"\x80\x04\x8e\x00\x00\x00\x00\x01\x00\x00\x00.",
    "4 GB of text": b"\x80\x04\x8d\x00\x00\x00\x00\x01\x00\x00\x00.",
    "a number of 2 GB": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "an object far away in the memo": b"\x80\x02Np2147483646\n.",
    "a scalar of many bytes": b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02u1\x85RJ\xff\xff\xff\x7f\x86R.",
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS)
def test_a_pickle_takes_neither_memory_nor_time_that_its_file_does_not_pay_for(tmp_path, content):
    (tmp_path / "V1.pkl").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(BadData, match="is refused, and nothing in it was run"):
        read_arrays(tmp_path / "V1.pkl")
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path):
    (tmp_path / "V1.pkl").write_bytes(pickle.dumps({"train": np.zeros(1000)}))
    with pytest.raises(ValueError, match=r"it has 8,\d+ bytes, and a file of names has 5,000 at most"):
        load_plain(tmp_path / "V1.pkl", what="a file of names", max_bytes=5_000)
    assert as_array(load_plain(tmp_path / "V1.pkl", what="a file of responses")["train"]).shape == (1000,)
