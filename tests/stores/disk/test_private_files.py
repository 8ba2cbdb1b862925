"""Whose directories and files the store uses, and which modes it gives them."""

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from botocache._coherence import EvictionRequest
from botocache._errors import StoreError, StoreUnavailableError
from botocache.stores.disk import connections, private_files
from botocache.stores.disk import store as disk_store
from botocache.stores.disk.store import PAUSE, DiskStore, default_directory
from tests.support.clock import FakeClock
from tests.support.digests import key, tag
from tests.support.privileges import NOBODY, as_nobody, is_root

KEY, A = key("an entry"), tag("a")
TTL = 60.0

as_root = pytest.mark.skipif(not is_root(), reason="only root can be two users")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "disk"


@pytest.fixture
def store(root: Path, clock: FakeClock) -> Iterator[DiskStore]:
    with contextlib.closing(DiskStore(root, clock=clock)) as made:
        yield made


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def use(store: DiskStore, entry: bytes = b"entry") -> None:
    store.load(KEY, [A])
    store.fill(KEY, entry, TTL)
    assert store.load(KEY, [A]).entry == entry
    store.evict(EvictionRequest([A], 0.0))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def modes(root: Path) -> dict[str, int]:
    """Return the modes of all that is below a directory, without links."""
    return {
        str(path.relative_to(root)): mode(path)
        for path in sorted(root.rglob("*"))
        if not path.is_symlink()
    }


PRIVATE = {
    "v1": 0o700,
    "v1/default": 0o700,
    "v1/default/entries-2": 0o700,
    "v1/default/entries-2/cache.db": 0o600,
    "v1/default/lock": 0o600,
    "v1/default/slots": 0o600,
}


# --- modes ---------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o077, 0o777])
def test_all_that_is_made_is_private_whatever_the_umask(
    store: DiskStore, root: Path, mask: int, umask: Callable[[int], int]
) -> None:
    umask(mask)
    use(store)
    assert modes(root) == PRIVATE
    assert mode(root) == 0o700


@as_root
def test_the_umask_keeps_no_user_from_the_own_files(
    umask: Callable[[int], int],
) -> None:
    """Root may use files of any mode."""
    # Not tmp_path, which is below a directory that root alone may enter.
    with tempfile.TemporaryDirectory() as place:
        os.chown(place, NOBODY, -1)
        root = Path(place, "disk")
        umask(0o777)
        with as_nobody(), contextlib.closing(DiskStore(root)) as store:
            use(store)
        assert modes(root) == PRIVATE


@pytest.mark.parametrize("mask", [0o000, 0o777])
def test_parents_that_are_made_are_private_whatever_the_umask(
    tmp_path: Path, mask: int, umask: Callable[[int], int]
) -> None:
    umask(mask)
    with contextlib.closing(DiskStore(tmp_path / "a" / "b" / "disk")) as store:
        use(store)
    assert [mode(tmp_path / path) for path in ("a", "a/b", "a/b/disk")] == [0o700] * 3


@pytest.mark.parametrize("before", [0o755, 0o750, 0o711, 0o1777])
def test_a_directory_that_the_user_made_keeps_its_mode_and_what_is_below_is_private(
    store: DiskStore, root: Path, before: int
) -> None:
    root.mkdir()
    root.chmod(before)
    use(store)
    assert mode(root) == before
    assert modes(root) == PRIVATE


def test_the_files_of_an_older_version_become_private_and_stay_in_use(
    store: DiskStore, root: Path
) -> None:
    use(store)
    left = store.load(KEY, [A])
    store.close()
    for path in (root / name for name in PRIVATE if not name.endswith("lock")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert store.load(KEY, [A]) == left
    assert left.entry == b"entry"
    assert modes(root) == PRIVATE


# --- directories that are refused ----------------------------------------------------


def give_away(path: Path) -> None:
    os.chown(path, NOBODY, -1)


def open_to_all(path: Path) -> None:
    path.chmod(0o777)


def open_to_the_group(path: Path) -> None:
    path.chmod(0o770)


def link(path: Path) -> None:
    """Move a directory away, and leave a link to it."""
    path.rename(path.with_name("moved"))
    path.symlink_to(path.with_name("moved"))


REFUSED: dict[str, tuple[str, Callable[[Path], None], str]] = {
    f"{name}: {harm.__name__}": (name, harm, message)
    for names, harm, message in [
        (("above", "disk", "disk/v1", "disk/v1/default"), give_away, "another user"),
        (("above",), open_to_all, "written by all users"),
        (("disk", "disk/v1", "disk/v1/default"), open_to_all, "written by other users"),
        (("disk", "disk/v1", "disk/v1/default"), open_to_the_group, "by other users"),
        (("disk", "disk/v1", "disk/v1/default"), link, "a link, or not a directory"),
    ]
    for name in names
}


@pytest.mark.parametrize("place", REFUSED)
def test_a_directory_that_another_user_may_change_is_refused(
    place: str, tmp_path: Path
) -> None:
    name, harm, message = REFUSED[place]
    if harm is give_away and not is_root():
        pytest.skip("only root can give a directory to another user")
    above = tmp_path / "above"
    with contextlib.closing(DiskStore(above / "disk")) as store:
        use(store)
    harmed = above if name == "above" else above / name
    harm(harmed)
    files = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    with contextlib.closing(DiskStore(above / "disk")) as store:
        for verb in (
            lambda: store.load(KEY, [A]),
            lambda: store.fill(KEY, b"entry", TTL),
            lambda: store.evict(EvictionRequest([A], 0.0)),
            store.clear,
        ):
            with pytest.raises(StoreError, match=message):
                verb()
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == files


def test_a_sticky_directory_of_all_users_may_be_above(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with contextlib.closing(DiskStore(tmp_path / "disk")) as store:
        use(store)


def test_a_link_above_the_root_is_followed_to_what_is_checked(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with contextlib.closing(DiskStore(tmp_path / "link" / "disk")) as store:
        use(store)
        store.close()
        (tmp_path / "real").chmod(0o777)
        with pytest.raises(StoreError, match="written by all users"):
            store.load(KEY, [A])


@pytest.mark.parametrize(
    ("map_of_users", "is_used"), [("0 0 4294967295", False), ("0 100000 65536", True)]
)
@as_root
def test_users_that_a_container_does_not_have_are_trusted_above_the_root(
    map_of_users: str,
    is_used: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a user namespace, `/` and mounts may be of root outside of it."""
    (tmp_path / "map").write_text(f"{map_of_users}\n")
    monkeypatch.setattr(private_files, "_USER_MAP", tmp_path / "map")
    (tmp_path / "above").mkdir()
    os.chown(tmp_path / "above", private_files._NO_USER, -1)
    outcome = contextlib.nullcontext() if is_used else pytest.raises(StoreError)
    with contextlib.closing(DiskStore(tmp_path / "above" / "disk")) as store, outcome:
        use(store)


# --- volumes of containers -----------------------------------------------------------


@pytest.fixture
def no_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of a file that makes this machine a container."""
    for name in private_files._IN_CONTAINER:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(private_files, "_CONTAINER_FILES", [tmp_path / "containerenv"])
    return tmp_path / "containerenv"


def mounted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a directory, and all below it, be on a device of its own, and root's."""
    status_of = os.fstat

    def fstat(number: int) -> os.stat_result:
        fields = list(status_of(number))
        if opened(number) == path:
            fields[stat.ST_UID] = 0
        return os.stat_result(fields)

    def device(number: int) -> int:
        return -1 if opened(number).is_relative_to(path) else status_of(number).st_dev

    monkeypatch.setattr(os, "fstat", fstat)
    monkeypatch.setattr(private_files, "_device", device)


def opened(number: int) -> Path:
    return Path(f"/proc/self/fd/{number}").readlink()


VOLUMES = {
    "an emptyDir is the root": ("disk", 0o777),
    "an emptyDir with an fsGroup is the root": ("disk", 0o2777),
    "a volume with an fsGroup is the root": ("disk", 0o2775),
    "an emptyDir is above": ("", 0o777),
    "an emptyDir with an fsGroup is above": ("", 0o2777),
}


@pytest.mark.parametrize("place", VOLUMES)
@pytest.mark.parametrize("way", ["variable of Kubernetes", "variable of ECS", "file"])
def test_a_volume_of_a_container_is_used_although_others_can_write_to_it(
    place: str,
    way: str,
    tmp_path: Path,
    no_container: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    below, mode_of_volume = VOLUMES[place]
    root = tmp_path / "volume" / "disk"
    root.mkdir(parents=True)
    volume = tmp_path / "volume" / below
    volume.chmod(mode_of_volume)
    mounted(volume, monkeypatch)
    if way == "file":
        no_container.touch()
    else:
        name = private_files._IN_CONTAINER["ECS" in way]
        monkeypatch.setenv(name, "10.0.0.1")
    assert private_files.is_safe_place(root)
    with contextlib.closing(DiskStore(root)) as store:
        use(store)
    assert mode(volume) == mode_of_volume
    assert modes(root) == PRIVATE


@pytest.mark.parametrize("lacking", ["container", "volume", "root as its owner"])
@pytest.mark.parametrize("below", ["disk", ""])
def test_a_directory_that_others_can_write_to_is_refused_unless_it_is_such_a_volume(
    lacking: str,
    below: str,
    tmp_path: Path,
    no_container: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = tmp_path / "volume" / "disk"
    root.mkdir(parents=True)
    volume = tmp_path / "volume" / below
    volume.chmod(0o777)
    if lacking != "container":
        no_container.touch()
    if lacking != "volume":
        mounted(volume, monkeypatch)
    if lacking == "root as its owner":
        status_of = os.fstat

        def fstat(number: int) -> os.stat_result:
            fields = list(status_of(number))
            if opened(number) == volume:
                fields[stat.ST_UID] = NOBODY
            return os.stat_result(fields)

        monkeypatch.setattr(os, "fstat", fstat)
    assert not private_files.is_safe_place(root)
    with (
        contextlib.closing(DiskStore(root)) as store,
        pytest.raises(StoreError, match=r"belongs to another|can be written by"),
    ):
        store.load(KEY, [A])
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("harmed", [0o777, 0o770, 0o2777])
def test_below_a_volume_directories_that_others_can_write_to_are_refused(
    harmed: int, tmp_path: Path, no_container: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_container.touch()
    root = tmp_path / "disk"
    root.mkdir()
    root.chmod(0o777)
    mounted(root, monkeypatch)
    with contextlib.closing(DiskStore(root)) as store:
        use(store)
    (root / "v1").chmod(harmed)
    with (
        contextlib.closing(DiskStore(root)) as store,
        pytest.raises(StoreError, match="can be written by other users"),
    ):
        store.load(KEY, [A])


@pytest.mark.parametrize("is_container", [True, False])
def test_a_volume_that_kubernetes_has_opened_to_a_group_again_is_used(
    *,
    is_container: bool,
    tmp_path: Path,
    no_container: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With an fsGroup, each start of a pod gives the group all that is there."""
    root = tmp_path / "disk"
    root.mkdir()
    mounted(root, monkeypatch)
    no_container.touch()
    with contextlib.closing(DiskStore(root)) as store:
        use(store)
        left = store.load(KEY, [A])
    for path in (root, *(root / name for name in PRIVATE)):
        path.chmod(mode(path) | (0o2070 if path.is_dir() else 0o060))
    if not is_container:
        no_container.unlink()
    with contextlib.closing(DiskStore(root)) as store:
        if is_container:
            assert store.load(KEY, [A]) == left
            lock = {"v1/default/lock": 0o660}  # empty, and not opened again
            assert modes(root) == PRIVATE | lock
        else:
            with pytest.raises(StoreError, match="can be written by other users"):
                store.load(KEY, [A])


def test_a_mount_is_known_by_its_device(
    no_container: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_container.touch()
    with contextlib.ExitStack() as exits:
        numbers = []
        for path in ("/", "/proc", "/etc"):
            numbers.append(os.open(path, os.O_PATH))
            exits.callback(os.close, numbers[-1])
        top, mount, directory = numbers
        assert private_files._is_volume(mount, top)
        assert not private_files._is_volume(directory, top)
        no_container.unlink()
        assert not private_files._is_volume(mount, top)


# --- between the look and the use ----------------------------------------------------


@pytest.mark.parametrize("name", ["v1", "v1/default", "v1/default/entries-2"])
def test_a_directory_that_is_replaced_while_it_is_opened_is_not_used(
    name: str, store: DiskStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replacement comes after the directory was checked, before its use."""
    use(store)
    store.close()
    other = root.with_name("other")
    (other / "default" / "entries-2").mkdir(parents=True)
    checked = private_files._check_directory

    def check_and_replace(path: Path, number: int, *, is_root: bool) -> None:
        checked(path, number, is_root=is_root)
        if path == root / name and not path.is_symlink():
            monkeypatch.undo()
            path.rename(root / "old")
            path.symlink_to(other / path.relative_to(root / "v1"))

    monkeypatch.setattr(private_files, "_check_directory", check_and_replace)
    with contextlib.suppress(StoreError):
        store.load(KEY, [A])
    with contextlib.suppress(StoreError):
        store.fill(KEY, b"secret entry", TTL)
    found = [path for path in other.rglob("*") if path.is_file()]
    assert all(b"secret entry" not in path.read_bytes() for path in found)


FILES = ["slots", "lock", "entries-2/cache.db"]


def replace_by_link(path: Path, precious: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(precious)


def replace_by_hard_link(path: Path, precious: Path) -> None:
    path.unlink(missing_ok=True)
    path.hardlink_to(precious)


def replace_by_pipe(path: Path, _precious: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def replace_by_file_of_another_user(path: Path, precious: Path) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(precious.read_bytes())
    os.chown(path, NOBODY, -1)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "harm",
    [
        replace_by_link,
        replace_by_hard_link,
        replace_by_pipe,
        pytest.param(replace_by_file_of_another_user, marks=as_root),
    ],
)
def test_what_is_put_in_the_place_of_a_file_is_replaced_and_not_written_to(
    store: DiskStore,
    clock: FakeClock,
    tmp_path: Path,
    name: str,
    harm: Callable[[Path, Path], None],
) -> None:
    precious = tmp_path / "precious"
    use(store)
    store.close()
    # Whole files of the store, which would be used.
    (store.directory / name).rename(precious)
    before = precious.read_bytes()
    if name == "lock":  # used where the table is made
        (store.directory / "slots").unlink()
    harm(store.directory / name, precious)
    fresh = DiskStore(store.directory.parents[1], clock=clock)
    with contextlib.closing(fresh):
        for _ in range(2):
            with contextlib.suppress(StoreError):
                use(fresh)
            clock.advance(PAUSE)
        use(fresh, b"new")
    status = (store.directory / name).lstat()
    assert stat.S_ISREG(status.st_mode)
    assert (status.st_uid, status.st_nlink) == (os.geteuid(), 1)
    assert precious.read_bytes() == before


def test_a_database_that_is_replaced_by_a_link_while_sqlite_opens_it_is_not_used(
    store: DiskStore, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(store)
    store.close()
    database = store.directory / "entries-2" / "cache.db"
    precious = tmp_path / "precious"
    precious.write_bytes(database.read_bytes())
    before = precious.stat().st_mtime_ns
    opened = connections.Connection

    def replace_and_open(path: Path, patience: float) -> connections.Connection:
        monkeypatch.undo()
        path.unlink()
        path.symlink_to(precious)
        return opened(path, patience)

    monkeypatch.setattr(connections, "Connection", replace_and_open)
    with contextlib.suppress(StoreError):
        store.load(KEY, [A])
    assert "not open" in repr(store)
    assert precious.stat().st_mtime_ns == before
    clock.advance(PAUSE)
    use(store)
    assert precious.stat().st_mtime_ns == before


def test_no_file_is_made_where_a_link_leads_that_replaces_the_database(
    store: DiskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(store)
    store.close()
    opened = connections.Connection

    def replace_and_open(path: Path, patience: float) -> connections.Connection:
        path.unlink()
        path.symlink_to(tmp_path / "made")
        return opened(path, patience)

    monkeypatch.setattr(connections, "Connection", replace_and_open)
    with contextlib.suppress(StoreError):
        store.load(KEY, [A])
    assert not (tmp_path / "made").exists()


# --- the default directory -----------------------------------------------------------


@pytest.fixture
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shared").mkdir(mode=0o700)
    (tmp_path / "shared").chmod(0o1777)
    (tmp_path / "next").mkdir(mode=0o700)
    places = (str(tmp_path / "shared"), str(tmp_path / "next"))
    monkeypatch.setattr(disk_store, "_TEMPORARY", places)


def planted_by_another(path: Path) -> None:
    path.mkdir()
    os.chown(path, NOBODY, -1)


def planted_open_to_all(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)


def planted_link(path: Path) -> None:
    path.symlink_to(tempfile.gettempdir())


@pytest.mark.usefixtures("_temporary")
@pytest.mark.parametrize(
    "plant",
    [
        pytest.param(planted_by_another, marks=as_root),
        planted_open_to_all,
        planted_link,
    ],
)
def test_a_default_directory_that_was_planted_before_is_passed_over(
    tmp_path: Path, plant: Callable[[Path], None]
) -> None:
    name = f"botocache-{os.getuid()}"
    assert default_directory({}) == tmp_path / "shared" / name
    plant(tmp_path / "shared" / name)
    assert default_directory({}) == tmp_path / "next" / name


@pytest.mark.usefixtures("_temporary")
@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME", "TMPDIR"])
@as_root
def test_a_default_directory_below_one_of_another_user_is_passed_over(
    tmp_path: Path, variable: str
) -> None:
    """`sudo` may keep HOME: root would write where that user can replace things."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    environ = {variable: str(home)}
    assert default_directory(environ).is_relative_to(home)
    os.chown(home, NOBODY, -1)
    assert default_directory(environ).parent == tmp_path / "shared"


@pytest.mark.usefixtures("_temporary")
def test_without_a_place_that_is_safe_there_is_no_default_directory(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(StoreUnavailableError, match="no other user can replace"):
        default_directory({})
