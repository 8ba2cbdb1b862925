"""How commands get to a cluster, and replies back: by redis-py's cluster client.

redis-py knows which server holds which slot, pools connections, and sends the commands
of a pipeline to all servers before it reads any reply. It does not send anything again
by itself here (`allow_redirections=False`): an eviction that is sent again needs fresh
generations, and only the store can make them.

The map of slots is refreshed in a thread of its own, because redis-py asks one server
after the other, and each may use up its time-out.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, ClusterPipeline, PipelineCommand, RedisCluster
from redis.connection import ConnectionPool
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as LostError
from redis.retry import Retry

from botocache._errors import StoreConnectingError, StoreError, pass_on
from botocache._forks import renew_after_fork
from botocache.stores.redis.cluster.batch import Batch
from botocache.stores.redis.cluster.clocks import ServerClocks
from botocache.stores.redis.cluster.connections import (
    ConnectingError,
    UnreachableError,
    bounded,
    deadline_now,
    extend_deadline,
    in_background,
    limit_replies,
    wait_until,
)
from botocache.stores.redis.cluster.urls import ClusterEndpoints, pool_at
from botocache.stores.redis.deadlines import CONNECTING, call_deadline
from botocache.stores.redis.sockets import REPLY_LIMIT
from botocache.stores.redis.types import (
    Address,
    ClusterServer,
    Command,
    Connection,
    Reply,
    SlotMap,
)

ATTEMPTS = 4
"""How often a command is sent: its key may have moved, be on its way again, and get to
a server that does not know the script."""

MOST_SERVERS = 1000
"""The largest cluster that Redis recommends. A map with more primaries is refused."""

_MOST_ASKED = 32
"""Servers that ASK has named and the map does not have: slots move to few of them."""

_AT_ONCE = 32
"""Threads that connect to new primaries."""

_CONNECTING = 0.8
"""The share of a call's time that it waits for the connection to one server."""

_TIME = (b"TIME",)

_Addressed: TypeAlias = tuple[ClusterServer, Command]

_Verify: TypeAlias = Callable[[Connection], object]


class ClusterClient:
    """The primaries of a cluster.

    endpoints: how to connect to its servers.
    verify: see BoundedConnection.
    timeout: seconds that a call may wait.
    with_source: returns a call of a script that brings the script.
    """

    _eviction_deadline: float | None
    _refreshing: threading.Event | None
    _cluster: "_Cluster | None"
    _pipeline: ClusterPipeline | None
    _primaries: dict[str, ClusterServer]
    _new_primaries: list[ClusterServer]
    _asked: dict[Address, ClusterServer]

    def __init__(
        self,
        endpoints: ClusterEndpoints,
        verify: _Verify,
        timeout: float,
        with_source: Callable[[Command], Command],
    ) -> None:
        self.clocks = ServerClocks()
        self._endpoints = endpoints
        self._verify = verify
        self._timeout = timeout
        self._seeds = [*endpoints.seeds]  # the one that failed last comes last
        self._with_source = with_source
        self._reset()
        renew_after_fork(self, ClusterClient._reset)

    def __repr__(self) -> str:
        return f"<ClusterClient {[*self._primaries]}>"

    @property
    def primaries(self) -> list[ClusterServer]:
        """The servers that hold slots, as far as they are known."""
        return [*self._primaries.values()]

    def ask(
        self,
        make: Callable[[], Sequence[Command]],
        *,
        is_eviction: bool = False,
        limit: int = REPLY_LIMIT,
    ) -> list[Reply]:
        """Return the replies to commands, in the time of one round trip.

        make: returns the commands. Those of one slot are carried out in their order,
            others in any. It is called again for what must be sent a second time.
        is_eviction: it may wait longer for connections; see ServerConnections.
        limit: bytes of the replies of one server.

        A reply may be a ResponseError. Raises StoreError.
        """
        began = time.monotonic()
        limit_replies(limit)
        deadline = call_deadline(self._timeout)
        if is_eviction:
            if self._eviction_deadline is None:
                self._eviction_deadline = began + CONNECTING
            connect_deadline = max(deadline, self._eviction_deadline)
            wait_until(deadline, connect_deadline, self._timeout)
        else:
            # A server that cannot be connected to must not take the others' time.
            connect_deadline = began + (deadline - began) * _CONNECTING
            wait_until(deadline, connect_deadline)
        batch = Batch(make, self._with_source)
        for _ in range(ATTEMPTS):
            if self._cluster is None:
                self._await_map(
                    max(deadline, connect_deadline), is_eviction=is_eviction
                )
            self._connect_new_primaries(max(deadline, connect_deadline))
            self._send(batch)
            deadline = deadline_now()
            batch.reopen()
            if not batch.open:
                break
            self._recover(batch, deadline)
            if time.monotonic() >= deadline:
                break
        self.clocks.require_agreement()
        if batch.open:
            trouble = f"the cluster: {batch.trouble}"
            if isinstance(batch.trouble, ConnectingError) and not is_eviction:
                raise StoreConnectingError(trouble) from batch.trouble
            raise StoreError(trouble) from batch.trouble
        return batch.replies

    def _await_map(self, deadline: float, *, is_eviction: bool) -> None:
        """Wait for the first map. Raises StoreConnectingError if a read is late."""
        refreshed = self._refresh_behind()
        is_over = refreshed.wait(max(0.0, deadline - time.monotonic()))
        extend_deadline()
        if not is_over and not is_eviction:
            raise StoreConnectingError("the cluster is still being connected to")

    def ask_server(self, node: ClusterServer, command: Command) -> Reply:
        """Return what one server replies to one command. Raises StoreError.

        For the background, and for what may take longer than a call: each step is
        bounded by the time-outs of a connection, and all of them by nothing.
        """
        cluster = self._cluster
        if cluster is None:
            raise StoreError("closed meanwhile")
        try:
            with in_background():
                return cluster.carry_out(node, command)
        except (RedisError, OSError) as error:
            raise StoreError(f"{type(error).__name__}: {error}") from error

    def holder(self, slot: int) -> ClusterServer:
        """Return the primary that holds a slot. Raises StoreError if none does."""
        cluster = self._cluster
        if cluster is None:
            raise StoreError(self._trouble or "the cluster is not connected yet")
        try:
            return cluster.map.get_node_from_slot(slot)
        except RedisError as error:
            raise StoreError(str(error)) from error

    def probe(self, commands: Callable[[], Sequence[_Addressed]]) -> None:
        """Connect anew and refresh the map; raise StoreError unless all is well.

        commands: returns each primary with a command that it must carry out.
        """
        with in_background(is_discovering=True):
            self._refresh()
        for node, command in commands():
            self._drop_idle(node)
            self.ask_server(node, command)

    def close(self) -> None:
        """Close what is idle. The next call connects again."""
        cluster, self._cluster = self._cluster, None
        self._primaries, self._new_primaries = {}, []
        if cluster is not None:
            for node in cluster.servers():
                self._drop_idle(node)

    # --- one attempt -----------------------------------------------------------------

    def _send(self, batch: Batch) -> None:
        """Send what is open, and take the replies. What fails stays open."""
        parts: dict[str, _Part] = {}
        for at in batch.open:
            try:
                node = batch.redirected.get(at) or self.holder(batch.slots[at])
            except StoreError as error:  # noqa: PERF203 - one slot without a server must not stop the others
                batch.is_lost = True
                batch.fail([at], error)
            else:
                # By its name: before redis-py 5.1 a ClusterNode has no hash.
                parts.setdefault(node.name, _Part(node, [])).indexes.append(at)
        while parts and not self._send_parts(batch, parts):
            pass

    def _send_parts(self, batch: Batch, parts: dict[str, "_Part"]) -> bool:
        """Send commands to their servers.

        Returns False if a server cannot be connected to. Then nothing was sent, and the
        server is no longer among the parts: evictions must reach the others at least.
        """
        sent: dict[int, PipelineCommand] = {}
        stack: list[PipelineCommand] = []
        times: dict[str, PipelineCommand] = {}
        for name, (node, indexes) in parts.items():
            for at in indexes:
                if at in batch.redirected:
                    stack.append(_pipelined((b"ASKING",), node, len(stack)))
                sent[at] = _pipelined(batch.command(at), node, len(stack))
                stack.append(sent[at])
            if self.clocks.is_due(name):
                times[name] = _pipelined(_TIME, node, len(stack))
                stack.append(times[name])
        try:
            self._pipelined(stack)
        except (RedisError, OSError) as error:
            pass_on(error)
            self._lose(batch, parts, error)
            wait_until(deadline_now())  # the rest of the time is for the others
            return False
        for node, indexes in parts.values():
            for at in indexes:
                batch.redirected.pop(at, None)
                self._take(batch, at, node, sent[at].result)
        for name, command in times.items():
            if isinstance(command.result, tuple):
                self.clocks.sync(name, command.result)
        return True

    def _pipelined(self, stack: Sequence[PipelineCommand]) -> None:
        pipeline = self._pipeline
        if pipeline is None:
            raise LostError("closed meanwhile")
        pipeline.send_cluster_commands(  # type: ignore[no-untyped-call]  # see _Cluster
            stack, raise_on_error=False, allow_redirections=False
        )

    def _lose(self, batch: Batch, parts: dict[str, "_Part"], error: Exception) -> None:
        """Give up the server that an error is about; all of them if that is unknown."""
        lost = [
            name
            for name, (node, _) in parts.items()
            if isinstance(error, UnreachableError)
            and error.address == (node.host, node.port)
        ]
        batch.is_lost = True
        for name in lost or [*parts]:
            batch.fail(parts.pop(name).indexes, error)

    def _take(self, batch: Batch, at: int, node: ClusterServer, reply: Reply) -> None:
        match reply:
            case MovedError():
                self._move(reply, node)
                batch.is_moved = True
            case AskError():
                batch.redirected[at] = self._node(*self._address(reply, node))
            case NoScriptError():
                batch.unknown.add(at)
            case ClusterDownError():
                batch.is_lost = True
            case Exception() if not isinstance(reply, ResponseError):
                batch.is_lost = True
                self._drop_idle(node)
            case _:
                batch.replies[at] = reply
                return
        batch.fail([at], reply)

    def _recover(self, batch: Batch, deadline: float) -> None:
        """Do what is needed before the rest can be sent again."""
        if batch.is_lost:
            self._refresh_behind().wait(max(0.0, deadline - time.monotonic()))
        elif batch.is_moved:
            self._refresh_behind()
        batch.is_lost = batch.is_moved = False

    # --- the map ---------------------------------------------------------------------

    def _move(self, moved: MovedError, asked: ClusterServer) -> None:
        """Correct the map by a redirection."""
        cluster = self._cluster
        if cluster is None:
            return
        moved.host, moved.port = self._address(moved, asked)
        # Else a server could name a new one each time, and redis-py keeps all.
        if len(cluster.servers()) < MOST_SERVERS:
            cluster.move_slot(moved)

    def _address(self, error: AskError, asked: ClusterServer) -> Address:
        """Return where MOVED or ASK points to."""
        return self._endpoints.seen((error.host or asked.host, error.port))

    def _node(self, host: str, port: int) -> ClusterServer:
        """Return the server at an address; it may be new."""
        cluster = self._cluster
        known = cluster.server(host, port) if cluster is not None else None
        if known is not None:
            return known
        if len(self._asked) >= _MOST_ASKED:
            with contextlib.suppress(StopIteration, KeyError):  # another thread does
                self._drop_idle(self._asked.pop(next(iter(self._asked))))
        return self._asked.setdefault((host, port), server_at(host, port))

    def _refresh_behind(self) -> threading.Event:
        """Refresh the map in a thread, one at a time. Return what tells its end."""
        with self._lock:
            done = self._refreshing
            if done is None or done.is_set():
                done = self._refreshing = threading.Event()
                thread = threading.Thread(
                    target=self._refresh_and_tell, args=(done,), daemon=True
                )
                try:
                    thread.start()
                except BaseException as error:
                    if thread.ident is None:
                        done.set()
                    # No thread can be started now.
                    if not isinstance(pass_on(error), RuntimeError):
                        raise
            return done

    def _refresh_and_tell(self, done: threading.Event) -> None:
        try:
            with in_background(is_discovering=True), contextlib.suppress(StoreError):
                self._refresh()
        finally:
            done.set()

    def _refresh(self) -> None:
        """Ask for the map. Raises StoreError if no server returns it."""
        try:
            cluster = self._cluster
            if cluster is None or not cluster.refresh():
                cluster = self._connected()
            self._take_over(cluster)
        except Exception as error:
            self._trouble = f"no server returned the map of its slots: {error}"
            raise StoreError(f"the cluster: {self._trouble}") from error
        self._trouble = ""

    def _connected(self) -> "_Cluster":
        """Find the cluster by the servers that its user named."""
        # One by one. redis-py would begin with any of them, so one that hangs would
        # make the first call of some processes fail, for as long as it hangs.
        for seed in [*self._seeds]:
            try:
                return _Cluster(
                    seed, self._endpoints, self._pool_at, self._refresh_behind
                )
            except Exception as error:  # noqa: BLE001, PERF203 - another may be well
                trouble = error
                self._seeds.remove(seed)
                self._seeds.append(seed)
        raise trouble

    def _take_over(self, cluster: "_Cluster") -> None:
        """Use a map, and no server any longer that holds nothing."""
        primaries = {node.name: node for node in cluster.primaries()}
        if not primaries:
            raise StoreError("it holds no slots")
        if len(primaries) > MOST_SERVERS:
            raise StoreError("it has more servers than a cluster can have")
        with self._lock:
            known = self._primaries
            self._new_primaries += [
                node for name, node in primaries.items() if name not in known
            ]
            self._primaries = primaries
            self._asked.clear()
            self._cluster, self._pipeline = cluster, cluster.make_pipeline()
        self.clocks.forget_all_but(primaries)
        for node in cluster.servers():
            if node.name not in primaries:
                # While its server is a replica, an idle connection would not notice
                # that it misses evictions, and then becomes the primary.
                self._drop_idle(node)

    # --- the servers -----------------------------------------------------------------

    def _connect_new_primaries(self, deadline: float) -> None:
        """Connect to all primaries that were discovered, needed or not.

        `verify` may evict everything for each of them. So this happens once, and not
        whenever one of them is needed for the first time.
        """
        if not self._new_primaries:
            return
        with self._lock:
            new, self._new_primaries = self._new_primaries, []
        threads = [
            threading.Thread(target=self._connect_each, args=(new,), daemon=True)
            for _ in new[:_AT_ONCE]
        ]
        with contextlib.suppress(RuntimeError):  # no thread can be started now
            for thread in threads:
                thread.start()
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        extend_deadline()

    def _connect_each(self, nodes: list[ClusterServer]) -> None:
        """Connect to servers, and remove them. Other threads do the same."""
        with contextlib.suppress(IndexError):
            while nodes:
                self._connect(nodes.pop())

    def _connect(self, node: ClusterServer) -> None:
        with contextlib.suppress(Exception):
            self.clocks.sync(node.name, self.ask_server(node, _TIME))

    def _pool_at(self, **settings: Any) -> ConnectionPool:
        """Return a pool of connections to a server. Called by redis-py."""
        return pool_at(
            self._endpoints,
            settings["host"],
            settings["port"],
            connection_class=bounded(self._endpoints.connection_class),
            verify=self._verify_primary,
            patience=self._timeout,
        )

    def _verify_primary(self, connection: Connection) -> None:
        self._verify(connection)
        self._eviction_deadline = None  # the next eviction may wait again

    @staticmethod
    def _drop_idle(node: ClusterServer) -> None:
        if node.redis_connection is not None:
            node.redis_connection.connection_pool.disconnect(inuse_connections=False)

    def _reset(self) -> None:
        """Start as if nothing had been connected, as a child of a fork has to."""
        self._lock = threading.RLock()
        self._refreshing = self._cluster = self._pipeline = None
        self._trouble = ""
        self._primaries, self._new_primaries, self._asked = {}, [], {}
        # Moment at which evictions stop waiting for connections; see ServerConnections.
        self._eviction_deadline = None


class _Part(NamedTuple):
    """The commands of a batch for one server. indexes: theirs in the batch."""

    node: ClusterServer
    indexes: list[int]


class _Cluster(RedisCluster):
    """redis-py's cluster client. Making one asks for the map of the cluster.

    seed: the server that is asked first.
    make_pool: returns a pool, given a host and a port.
    refresh_behind: refreshes the map without making its caller wait.
    """

    def __init__(
        self,
        seed: Address,
        endpoints: ClusterEndpoints,
        make_pool: Callable[..., ConnectionPool],
        refresh_behind: Callable[[], object],
    ) -> None:
        host, port = seed
        super().__init__(
            url=f"redis://{f'[{host}]' if ':' in host else host}:{port}",
            require_full_coverage=False,
            address_remap=endpoints.seen,
            connection_pool_class=make_pool,
            retry=Retry(NoBackoff(), 0),
            **endpoints.cluster_settings,
        )
        self.cluster_error_retry_attempts = 0  # redis-py 5 does not go by `retry`
        self.map: SlotMap = self.nodes_manager
        self._ask_for_map = self.map.initialize
        # redis-py's pipeline calls it in the thread of a call, where no map is asked
        # for: a server that hangs would use up its time-out, and the next one too.
        setattr(self.map, "initialize", lambda *_, **__: refresh_behind())  # noqa: B010 - mypy does not let a method be replaced

    def refresh(self) -> bool:
        """Ask for the map; return False if no known server tells."""
        try:
            self._ask_for_map()
        except Exception:  # noqa: BLE001 - the servers that the user named may tell
            return False
        return True

    def move_slot(self, moved: MovedError) -> None:
        """Correct the map by a redirection."""
        # The other name is that of redis-py 5 and 6.
        names = ("move_slot", "update_moved_exception")
        move, *_ = filter(None, [getattr(self.map, name, None) for name in names])
        move(moved)

    # redis-py has no types for these.

    def primaries(self) -> list[ClusterServer]:
        """Return the servers that hold slots."""
        return [*self.get_primaries()]  # type: ignore[no-untyped-call]

    def servers(self) -> list[ClusterServer]:
        """Return all servers of the map."""
        return [*self.get_nodes()]  # type: ignore[no-untyped-call]

    def server(self, host: str, port: int) -> ClusterServer | None:
        """Return the server at an address, if the map has it."""
        found: ClusterServer | None = self.get_node(host, port)  # type: ignore[no-untyped-call]
        return found

    def carry_out(self, node: ClusterServer, command: Command) -> Reply:
        """Send a command to a server, in a thread that may connect."""
        redis = self.get_redis_connection(node)  # type: ignore[arg-type]
        return redis.execute_command(*_named(command))  # type: ignore[no-untyped-call]

    def make_pipeline(self) -> ClusterPipeline:
        """Return what sends commands. Any number of threads may use it."""
        made: ClusterPipeline = self.pipeline()  # type: ignore[no-untyped-call]
        return made

    # What redis-py would do, and we must not.

    def command(self, **_: object) -> dict[str, dict[str, Any]]:
        """Return no commands.

        redis-py asks a server for all it has, to find the keys in them. We name the
        server of each command, and one that hangs must not keep us from the others.
        """
        return {}

    def close(self) -> None:
        """Do nothing: `ClusterClient.close` closes the connections.

        redis-py calls it when the object is deleted, and takes a lock. In the child of
        a fork that lock may never be free.
        """


def server_at(host: str, port: int) -> ClusterServer:
    """Return a server that the map does not have yet."""
    made: ClusterServer = ClusterNode(host, port, "primary")  # type: ignore[no-untyped-call]
    return made


def _pipelined(command: Command, node: ClusterServer, position: int) -> PipelineCommand:
    options = {"target_nodes": node}
    return PipelineCommand(_named(command), options, position)  # type: ignore[no-untyped-call]


def _named(command: Command) -> tuple[str | bytes, ...]:
    """Return a command as redis-py looks up its rules and its parser: by a text."""
    return command[0].decode(), *command[1:]
