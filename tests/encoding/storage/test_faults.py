"""Damage is found, moved aside and made good; a passing error of the system is raised with the file's name and loses nothing."""

from __future__ import annotations

import builtins
import errno
import hashlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from encoding import FitSpec, Store, fit
from encoding.analysis.bootstrap import roi_intervals
from encoding.analysis.learning_curve import learning_curve
from encoding.analysis.significance import significance
from encoding.analysis.similarity import similarity
from encoding.analysis.spectrum import spectrum
from encoding.datasets import BadData
from encoding.storage import atomic
from encoding.storage import npy as npy_module
from encoding.storage.inventory import entries, prune
from encoding.storage.locks import InUse, file_lock
from encoding.storage.npy import write_npy
from encoding.storage.store import DamagedResult, StoreFull, StoreReadOnly
from tests import PROJECT
from tests.compat.test_first_release import FITS, HERE
from tests.conftest import TINY
from tests.encoding.runs.test_full_disk import full_after

io_open = io.open
KEY = "stage-0123456789"
PASSING = (errno.EIO, errno.ESTALE, errno.ENOMEM, errno.EMFILE, errno.EACCES)


def put(store, key=KEY, value=1.0):
    store.put(key, {"a": np.full((3, 4), value), "b": np.arange(5)}, {"why": "test"})


# -- damage ------------------------------------------------------------------------------------------------------------------------


def _bytes(change):
    def corrupt(rng, folders):
        folder = folders[rng.integers(len(folders))]
        path = sorted(folder.iterdir())[rng.integers(len(list(folder.iterdir())))]
        path.write_bytes(change(rng, bytearray(path.read_bytes())))

    return corrupt


def _flip(rng, content, stop=None):
    content[rng.integers(min(stop or len(content), len(content)))] ^= 1 << int(rng.integers(8))
    return content


def _two(rng, folders):
    first, second = rng.choice(len(folders), 2, replace=False)
    return folders[first], folders[second]


def _swap_arrays(rng, folders):
    paths = sorted(folders[rng.integers(len(folders))].glob("*.npy"))
    if len(paths) > 1:
        first, second = (paths[i] for i in rng.choice(len(paths), 2, replace=False))
        content = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(content)


def _copy_folder(rng, folders):
    source, target = _two(rng, folders)
    shutil.rmtree(target)
    shutil.copytree(source, target)


def _link_folder(rng, folders):
    source, target = _two(rng, folders)
    shutil.rmtree(target)
    target.symlink_to(source)


def _replace_folder(make):
    def corrupt(rng, folders):
        target = folders[rng.integers(len(folders))]
        shutil.rmtree(target)
        make(target)

    return corrupt


def _provenance(text):
    def corrupt(rng, folders):
        path = folders[rng.integers(len(folders))] / "provenance.json"
        path.write_text(text(json.loads(path.read_text())))

    return corrupt


def _array_with_right_sum(array):
    def corrupt(rng, folders):
        folder = folders[rng.integers(len(folders))]
        path = sorted(folder.glob("*.npy"))[0]
        np.save(path, array(np.load(path)), allow_pickle=True)
        about = json.loads((folder / "provenance.json").read_text())
        about["files"][path.stem] = {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        (folder / "provenance.json").write_text(json.dumps(about))

    return corrupt


CORRUPTIONS = {
    "append": _bytes(lambda rng, content: content + b"x"),
    "flip": _bytes(_flip),
    "flip in the header": _bytes(lambda rng, content: _flip(rng, content, 64)),
    "truncate": _bytes(lambda rng, content: content[: rng.integers(len(content))]),
    "zeros": _bytes(lambda rng, content: bytes(len(content))),
    "no file": lambda rng, folders: next(iter(sorted(folders[rng.integers(len(folders))].iterdir()))).unlink(),
    "no provenance": lambda rng, folders: (folders[rng.integers(len(folders))] / "provenance.json").unlink(),
    "no folder": lambda rng, folders: shutil.rmtree(folders[rng.integers(len(folders))]),
    "swapped arrays": _swap_arrays,
    "another result's folder": _copy_folder,
    "a link to another result": _link_folder,
    "a link to itself": _replace_folder(lambda path: path.symlink_to(path)),
    "a file in place of the folder": _replace_folder(lambda path: path.write_text("x")),
    "an empty folder": _replace_folder(lambda path: path.mkdir()),
    "provenance null": _provenance(lambda about: "null"),
    "provenance nested": _provenance(lambda about: "[" * 100_000),
    "provenance without files": _provenance(lambda about: json.dumps({**about, "files": None})),
    "provenance of another key": _provenance(lambda about: json.dumps({**about, "key": "fit-0"})),
    "provenance with a path": _provenance(lambda about: json.dumps({**about, "files": {"../x": {"bytes": 1, "sha256": ""}}})),
    "pickled objects": _array_with_right_sum(lambda array: np.array([{}], object)),
    "another shape": _array_with_right_sum(lambda array: np.zeros((2, 2))),
}
N_CORRUPTIONS = int(os.environ.get("ENCODING_TEST_CORRUPTIONS", "42"))  # of all kinds together
N_READS = int(os.environ.get("ENCODING_TEST_READS", "1"))  # of those of one fit, that fail with each error
N_KILLS = int(os.environ.get("ENCODING_TEST_KILLS", "2"))
FIRST_SEED = int(os.environ.get("ENCODING_TEST_FIRST_SEED", "0"))
# A campaign takes 840 corruptions, all reads (1000) and 60 kills; CONTRIBUTING.md has the command.


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A Store of today with one finished fit of the data of the first release, and its scores."""
    folder = tmp_path_factory.mktemp("sound")
    with zipfile.ZipFile(HERE / "first_release.zip") as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith("data/")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENCODING_DATA_DIR", str(folder / "data"))
        spec = FitSpec.from_dict(FITS["ridge"]["spec"])
        truth = scores(spec, Store(folder / "store"))
        yield folder, spec, truth


def scores(spec, store):
    result = fit(spec, store)
    return np.concatenate([result.score("lh"), result.score("rh"), result.predicted("lh", [1, 3]).ravel()])


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_corrupted_store_gives_the_right_numbers_or_an_error_and_then_the_right_numbers(sound, tmp_path, kind):
    folder, spec, truth = sound
    for seed in range(FIRST_SEED, FIRST_SEED + -(-N_CORRUPTIONS // len(CORRUPTIONS))):
        rng = np.random.default_rng([seed, *kind.encode()])
        root = tmp_path / str(seed)
        shutil.copytree(folder / "store", root)
        stages = [path for path in root.glob("*/*/") if path.parent.name in ("fit", "weights", "components", "moments", "features")]
        if seed % 2:  # what was made of the damaged result is gone too, so that it is needed
            for path in [path for path in stages if path.parent.name == "fit"]:
                shutil.rmtree(path)
                stages.remove(path)
        CORRUPTIONS[kind](rng, sorted(stages))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DamagedResult)
            try:
                found = scores(spec, Store(root))
            except (OSError, LookupError, ValueError):
                found = scores(spec, Store(root))
            np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-6, err_msg=f"{kind} {seed}")
            Store(root).verify()
            assert Store(root).verify() == []


def test_a_damaged_result_is_moved_aside_and_pruned(store):
    put(store)
    (store.path(KEY) / "a.npy").write_bytes(b"x")
    with pytest.warns(DamagedResult, match="is not what was written"):
        assert store.get(KEY) is None
    (kept,) = store.set_aside()
    assert (kept / "b.npy").exists() and store.keys() == []
    assert prune(store, []).n_leftovers == 1 and store.set_aside() == []


@pytest.mark.parametrize("stage", ["imported", "fit"])
def test_a_result_under_a_key_that_is_not_its_own_is_damaged(store, stage):
    put(store, f"{stage}-1")
    shutil.copytree(store.path(f"{stage}-1"), store.path(f"{stage}-2"))
    assert store.verify(remove=False) == [f"{stage}-2"]
    with pytest.warns(DamagedResult, match="is not that of"):
        assert store.get(f"{stage}-2") is None
    assert store.get(f"{stage}-1") is not None


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + N_KILLS))
def test_a_killed_fit_goes_on_to_the_same_bits_and_leaves_nothing(sound, tmp_path, seed):
    _, spec, truth = sound
    started = time.monotonic()
    np.testing.assert_array_equal(scores(spec, Store(tmp_path / "whole")), truth)
    takes, root = time.monotonic() - started, tmp_path / "killed"
    for moment in np.random.default_rng(seed).uniform(0, takes, 3):  # each goes on where the one before was killed
        child = os.fork()
        if not child:
            try:
                scores(spec, Store(root))
            finally:
                os._exit(0)
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    np.testing.assert_array_equal(scores(spec, Store(root)), truth)
    Store(root).sweep()
    assert Store(root).verify() == [] and not Store(root).leftovers() and not list((root / "locks").iterdir())


# -- passing errors ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", PASSING, ids=errno.errorcode.get)
@pytest.mark.parametrize("what", ["get", "is_sound", "verify", "memo"])
@pytest.mark.parametrize("place", ["checksum", "array", "provenance"])
def test_a_passing_error_is_raised_with_the_files_name_and_loses_nothing(store, monkeypatch, code, what, place):
    put(store)
    call = {
        "get": lambda: store.get(KEY)["a"],
        "is_sound": lambda: store.is_sound(KEY),
        "verify": store.verify,
        "memo": lambda: store.memo(KEY, lambda: pytest.fail("it is there"), {})["a"],
    }[what]

    def fail(*args, **more):
        raise OSError(code, os.strerror(code))

    store = Store(store.root)
    with monkeypatch.context() as patch:
        if place == "checksum":
            patch.setattr(hashlib, "file_digest", fail)
        elif place == "array":
            patch.setattr(npy_module, "read_header", fail)
        else:
            patch.setattr(json, "loads", fail)
        with pytest.raises(OSError, match=KEY) as raised:
            call()
        assert raised.value.errno == code
    assert (Store(store.root).get(KEY)["a"] == 1).all() and store.set_aside() == []


class Reads:
    """Reads of files below a folder: their number, and the one that fails."""

    def __init__(self, folder, failing=-1, code=0):
        self.folder, self.failing, self.code, self.n_reads = folder, failing, code, 0

    def open(self, file, mode="r", *args, **more):
        if isinstance(file, str | os.PathLike) and Path(file).is_relative_to(self.folder) and not set(mode) & set("wax"):
            self.n_reads += 1
            if self.n_reads - 1 == self.failing:
                raise OSError(self.code, os.strerror(self.code), str(file))
        return io_open(file, mode, *args, **more)

    def scores(self, spec, root):
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("error", DamagedResult)
            patch.setattr(io, "open", self.open)
            patch.setattr(builtins, "open", self.open)
            return scores(spec, Store(root))


@pytest.fixture(scope="module", params=[True, False], ids=["a kept fit", "a new fit of kept features"])
def reading(request, sound, tmp_path_factory):
    """Makes copies of a Store, and the number of reads that a fit on one takes."""
    folder, spec, _ = sound
    root = tmp_path_factory.mktemp("reading")

    def prepared(name):
        shutil.copytree(folder / "store", root / name)
        for stage in () if request.param else ("fit", "weights"):
            shutil.rmtree(root / name / stage)
        return root / name

    counted = Reads(root / "counted")
    counted.scores(spec, prepared("counted"))
    assert counted.n_reads > 5
    return prepared, counted.n_reads


@pytest.mark.parametrize("code", PASSING, ids=errno.errorcode.get)
def test_a_passing_error_at_any_read_of_a_fit_loses_nothing(sound, reading, code):
    _, spec, truth = sound
    prepared, n_reads = reading
    for number in np.random.default_rng(code).permutation(n_reads)[:N_READS]:
        root = prepared(f"{number}-{code}")
        before = Store(root).keys()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Fingerprints could not be remembered")
            try:
                np.testing.assert_array_equal(Reads(root, number, code).scores(spec, root), truth)
            except OSError as error:
                assert code in (error.errno, getattr(error.__cause__, "errno", None)) and str(root) in str(error)
        assert not Store(root).set_aside() and set(before) <= set(Store(root).keys())
        np.testing.assert_array_equal(scores(spec, Store(root)), truth)
        shutil.rmtree(root)


def test_a_hundred_fits_are_open_with_few_descriptors(store, tiny):
    results = [fit(replace(TINY, readout="ols", n_components=2, split=f"holdout:0.75:{seed}"), store) for seed in range(3)]
    for number in range(100):
        put(store, f"many-{number}", number)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    n_open = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    resource.setrlimit(resource.RLIMIT_NOFILE, (n_open + 30, hard))
    try:
        found = [store.get(f"many-{number}") for number in range(100)]
        arrays = [(one["a"], one["b"]) for one in found]
        assert [a[0, 0] for a, _ in arrays] == list(range(100))
        assert all(np.isfinite(result.score("lh")).all() for result in results)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("when", ["responses", "stimuli"])
def test_data_that_change_while_a_fit_runs_are_noticed_and_nothing_is_kept(store, tiny, when):
    def change(fraction, text):
        if fraction > 0.6 if when == "responses" else text.startswith("features"):
            subject = tiny.subject
            if when == "responses":
                tiny.change(fingerprints={"lh": "new", "rh": "new"})
            else:
                tiny.change(stimuli=type(subject.stimuli)(255 - subject.stimuli.pixels))

    with pytest.raises(BadData, match="changed while they were read"):
        fit(TINY, store, change)
    assert not {one.stage for one in entries(store)} & {"fit", "moments", "weights"}


@pytest.mark.parametrize("readout", ["ridge", "knn"])
def test_damaged_features_are_computed_again(store, tiny, readout):
    spec = replace(TINY, readout=readout)
    truth = fit(spec, store).score("lh")
    (features,) = (one.key for one in entries(store) if one.stage == "features")
    path = store.path(features) / "X.npy"
    path.write_bytes(_flip(np.random.default_rng(0), bytearray(path.read_bytes())))
    for one in entries(store):
        if one.stage not in ("features", "probe"):
            store.remove(one.key)
    with pytest.warns(DamagedResult):
        np.testing.assert_allclose(fit(spec, Store(store.root)).score("lh"), truth)


# -- writing -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_while_writing_is_named_and_leaves_nothing(store, monkeypatch, code):
    def full(self, block):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(npy_module.NpyWriter, "write", full)
    with pytest.raises(StoreFull, match="No room left"):
        put(store)
    assert store.get(KEY) is None and not store.leftovers()


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nowhere", "~nosuchuser/cache"])
def test_a_store_that_cannot_be_there_names_the_variable_to_set(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(StoreReadOnly, match="Set ENCODING_CACHE_DIR"):
        put(Store(place if place[0] in "/~" else tmp_path / place))


def test_a_real_full_device_is_an_error_of_the_disk():
    with pytest.raises(OSError) as raised:
        write_npy(Path("/dev/full"), np.zeros(10_000))
    assert raised.value.errno == errno.ENOSPC


@pytest.mark.parametrize("kind", ["file", "folder", "files_into"])
def test_what_fails_half_way_leaves_what_was_there(tmp_path, kind):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a").write_text("before")
    writers = {
        "file": lambda: atomic.atomic_file(tmp_path / "old" / "a", "w"),
        "folder": lambda: atomic.atomic_folder(tmp_path / "new"),
        "files_into": lambda: atomic.atomic_files_into(tmp_path / "old"),
    }
    with pytest.raises(KeyboardInterrupt), writers[kind]() as made:
        made.write("cut") if kind == "file" else (made / "a").write_text("cut")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["old"] and (tmp_path / "old" / "a").read_text() == "before"
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["a"]


def test_a_store_without_room_for_its_name_is_full(store, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic, "atomic_file", full)
    with pytest.raises(StoreFull, match="No room left"):
        store.identity()


def test_keys_in_use_are_noted_whole_or_the_work_does_not_begin(store):
    with full_after(100), pytest.raises(OSError, match="File too large"), store.in_use([f"fit-{number}" for number in range(100)]):
        pass
    assert not list((store.root / "locks").iterdir())


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_files_and_folders_follow_the_umask(tmp_path, umask):
    code = (
        f"import os; os.umask({umask})\n"
        "import numpy as np\n"
        "from encoding.storage.store import Store\n"
        f"store = Store({str(tmp_path / 'store')!r})\n"
        "with store.lock('held'):\n"
        "    store.put('stage-1', {'a': np.zeros(2)}, {})\n"
        "    modes = {oct(path.stat().st_mode & 0o777) for path in store.root.rglob('*') if path.is_file()}\n"
        "    folders = {oct(path.stat().st_mode & 0o777) for path in store.root.rglob('*') if path.is_dir()}\n"
        f"assert (modes, folders) == ({{{oct(0o666 & ~umask)!r}}}, {{{oct(0o777 & ~umask)!r}}}), (modes, folders)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 0, done.stderr


def test_leftovers_of_a_killed_process_go_at_the_next_write_and_those_of_a_living_one_stay(store):
    code = (
        "import os, signal, sys\n"
        "from encoding.storage.store import Store\n"
        f"store = Store({str(store.root)!r})\n"
        "with store.lock('fit-1'), store.writing('fit-1', {}) as folder:\n"
        "    (folder / 'a.npy').write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False, cwd=PROJECT)
    assert len(store.leftovers()) == 1
    with store.writing("fit-2", {}):
        assert [path for path in (store.root / "fit").iterdir() if path.name.startswith(atomic.PREFIX)] != []
        assert Store(store.root).leftovers() == []
        assert Store(store.root).sweep() == 0
    assert store.keys() == ["fit-2"] and not list((store.root / "locks").iterdir())


def test_lock_files_are_removed_and_a_waiter_gets_the_lock(store):
    import threading

    entered = []

    def work(number):
        for _ in range(20):
            with store.lock("one"):
                entered.append(number)
                assert not inside
                inside.append(number)
                inside.pop()

    inside: list[int] = []
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(entered) == 80 and not list((store.root / "locks").iterdir())


def test_a_held_lock_is_not_waited_for_when_asked_so(tmp_path):
    with file_lock(tmp_path / "x.lock"), pytest.raises(InUse), file_lock(tmp_path / "x.lock", wait=False):
        pass
    with file_lock(tmp_path / "x.lock", wait=False):
        pass


def test_prune_leaves_what_a_running_fit_uses(store, tiny):
    left = []

    def look(fraction, text):
        if fraction > 0.9 and not left:
            left.append({one.key for one in prune(Store(store.root), entries(store)).in_use})

    result = fit(TINY, store, look)
    assert {*result.plan.feature_keys.values()} <= left[0] and result.score("lh").size == 10
    assert not store.keys_in_use()
    assert prune(store, entries(store)).in_use == () and result.key not in store


@pytest.mark.parametrize(
    ("work", "begins"),
    [
        (lambda result, look: learning_curve(result.plan.spec, result.store, look), "learning curve"),
        (lambda result, look: roi_intervals(result, report=look), "bootstrap"),
        (significance, "permutation test"),
        (similarity, "distances"),
        (lambda result, look: spectrum(result, report=look), "spectrum"),
    ],
    ids=["curve", "intervals", "significance", "similarity", "spectrum"],
)
def test_prune_leaves_what_work_on_a_fit_uses(store, tiny, work, begins):
    result, left = fit(replace(TINY, split="kfold:2:0"), store, device="cpu"), []
    stages = {*result.plan.stage_keys} & set(store.keys())

    def look(fraction, text):
        if text.startswith(begins) and not left:
            left.append({one.key for one in prune(Store(store.root), entries(store)).in_use})

    work(result, look)
    assert left == [stages]
    assert not store.keys_in_use()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to a read-only folder")
def test_prune_of_a_read_only_store_is_an_error_and_reports_nothing(store):
    put(store)
    store.path(KEY).parent.chmod(0o555)
    try:
        with pytest.raises(PermissionError):
            prune(store, entries(store))
    finally:
        store.path(KEY).parent.chmod(0o755)


def test_a_result_that_may_not_be_removed_is_an_error_and_stays(store, monkeypatch):
    put(store)

    def refuse(self, target):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError):
        prune(store, entries(store))
    monkeypatch.undo()
    assert (store.get(KEY)["a"] == 1).all()
