"""Attacks on the jail: each is stopped by the layer under test, alone, and succeeds once that layer is off too.

A row switches off the layers that would stop the attack earlier; `layer` is then the only one in its way.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from local_modal.runtime.policy import LAYERS, Limits, Policy

from .conftest import Host, serialized

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Host]:
    """One for all attacks: a zygote serves every attack with the same policy, since containers share nothing."""
    made = Host(tmp_path_factory.mktemp("guest"))
    yield made
    await made.close()


CALL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(function, *arguments):
    value = getattr(libc, function)(*arguments)
    if value < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return value
"""


@dataclass(frozen=True)
class Attack:
    name: str
    layer: str
    code: str
    """Sets `result` to True where it succeeds, raises (or sets something else) where it is stopped."""
    off: tuple[str, ...] = ()
    """Layers above, which would stop it first."""
    limits: Limits = Limits()  # noqa: RUF009 - frozen
    hook: str = ""


ATTACKS = [
    Attack("fork", "seccomp", "import os\nif os.fork() == 0: os._exit(0)\nresult = True"),
    Attack("internet socket", "seccomp", "import socket; socket.socket(); result = True"),
    Attack("unix socket", "seccomp", "import socket; socket.socket(socket.AF_UNIX); result = True"),
    Attack(
        "netlink socket", "seccomp", "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW); result = True"
    ),
    Attack("memfd", "seccomp", "import os; os.memfd_create('x'); result = True"),
    Attack(
        "unshare",
        "seccomp",
        CALL + "pid = os.fork()\nif pid == 0: os._exit(libc.unshare(0x10000000))\nresult = os.waitpid(pid, 0)[1] == 0",
    ),
    Attack("pidfd", "seccomp", "import os; os.pidfd_open(1); result = True"),
    Attack("personality", "seccomp", CALL + "call('personality', 0x0040000); result = True"),
    Attack("shared anonymous memory", "seccomp", "import mmap; mmap.mmap(-1, 4096)[0] = 1; result = True"),
    Attack("prctl dumpable", "seccomp", CALL + "call('prctl', 4, 1, 0, 0, 0); result = True"),
    Attack("ptrace", "seccomp", CALL + "call('ptrace', 0, 0, 0, 0); result = True"),
    Attack(
        "run a program",
        "landlock",
        "import os\n"
        "pid = os.posix_spawn('/lib64/ld-linux-x86-64.so.2', ['ld.so', '--version'], {})\n"
        "result = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0",
        off=("seccomp",),
    ),
    Attack("symbolic link", "landlock", "import os; os.symlink('/etc', 'link'); result = True", off=("seccomp",)),
    Attack("fifo", "landlock", "import os; os.mkfifo('pipe'); result = True", off=("seccomp",)),
    Attack("write to a device", "landlock", "open('/dev/urandom', 'w').write('x'); result = True"),
    Attack(
        "mount",
        "no-capabilities",
        CALL + "os.mkdir('m'); call('mount', b'x', b'm', b'tmpfs', 0, None); result = True",
        off=("seccomp", "landlock"),
    ),
    Attack(
        "become another user", "no-capabilities", "import os; os.chroot('/scratch'); result = True", off=("seccomp",)
    ),
    Attack(
        "see other processes",
        "hidden-proc",
        "import os; result = b'local_modal_jail' in open('/proc/2/cmdline', 'rb').read()",
    ),
    Attack(
        "find the zygote's open file",
        "closed-descriptors",
        "import os, stat\n"
        "found = []\n"
        "for fd in range(3, 64):\n"
        "    try: found.append(stat.S_ISREG(os.fstat(fd).st_mode))\n"
        "    except OSError: pass\n"
        "result = True in found",
        hook="leaves-a-file-open",
    ),
    Attack(
        "take memory",
        "limits",
        "x = bytearray(300 << 20); result = True",
        limits=Limits(memory_bytes=128 << 20),
    ),
    Attack(
        "take memory through threads",
        "limits",
        "import threading\n"
        "kept, failed = [], []\n"
        "def take():\n"
        "    try: kept.append(bytearray(40 << 20))\n"
        "    except MemoryError as error: failed.append(error)\n"
        "threads = [threading.Thread(target=take) for _ in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "result = not failed",
        limits=Limits(memory_bytes=200 << 20),
    ),
    Attack("open files without end", "limits", "x = [open('/dev/null') for _ in range(300)]; result = True"),
    Attack(
        "start threads without end",
        "limits",
        "import threading, time\n"
        "for _ in range(100): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n"
        "result = True",
    ),
    Attack(
        "a file without end",
        "limits",
        "open('big', 'wb').write(bytes(2 << 20)); result = True",
        limits=Limits(file_bytes=1 << 20),
    ),
    Attack(
        "compute without end",
        "limits",
        "import time\nwhile time.process_time() < 2: pass\nresult = True",
        limits=Limits(cpu_seconds=1),
    ),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
async def test_a_layer_alone_stops_the_attack_that_succeeds_without_it(host: Host, attack: Attack) -> None:
    async def succeeds(policy: Policy) -> bool:
        key = (policy, attack.limits, attack.hook)
        if key not in host.kept:
            spec = host.spec(policy=policy, limits=attack.limits, env={"GUEST_HOOK": attack.hook})
            host.kept[key] = await host.zygote(spec)
        answer = await host.run(host.kept[key], attack.code)
        return answer.get("result") is True

    everything_on, alone = Policy(), Policy().without(*attack.off)
    assert not await succeeds(everything_on)
    assert not await succeeds(alone)
    assert await succeeds(alone.without(attack.layer))


@pytest.mark.parametrize("kind", ["ipc", "uts", "cgroup", "network"])
async def test_each_container_has_a_namespace_of_its_own(host: Host, kind: str) -> None:
    file = {"network": "net"}.get(kind, kind)
    code = f"import os; result = os.readlink('/proc/self/ns/{file}')"
    visible = Policy().without("hidden-proc", "no-capabilities")

    async def different(policy: Policy) -> bool:
        zygote = await host.zygote(host.spec(policy=policy))
        answers = [(await host.run(zygote, code))["result"] for _ in range(2)]
        return len({*answers, os.readlink(f"/proc/self/ns/{file}")}) == 3

    assert await different(visible)
    assert not await different(visible.without(f"{kind}-namespace"))


async def test_containers_cant_meet_on_abstract_sockets(host: Host) -> None:
    listen = """
import socket
s = socket.socket(socket.AF_UNIX); s.bind('\\0meet'); s.listen()
print('listening', flush=True)
s.accept()
"""
    connect = "import socket; socket.socket(socket.AF_UNIX).connect('\\0meet'); result = True"

    async def meet(policy: Policy) -> bool:
        zygote = await host.zygote(host.spec(policy=policy))
        waiting = await host.fork(zygote, listen)
        before = host.printed().count("listening")
        waiting.container.assign("fu", serialized({"workspace_id": "w"}))
        async with asyncio.timeout(10):
            while host.printed().count("listening") == before:
                await asyncio.sleep(0.01)
        return (await host.run(zygote, connect)).get("result") is True

    assert not await meet(Policy().without("seccomp", "landlock"))
    assert await meet(Policy().without("seccomp", "landlock", "network-namespace"))


@pytest.mark.parametrize("network", [False, True])
async def test_the_machine_is_reachable_only_where_the_network_is_allowed(host: Host, network: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5); result = True"
        for policy in (Policy(), Policy().without("seccomp", "landlock")):
            zygote = await host.zygote(host.spec(policy=policy, network=network))
            assert ((await host.run(zygote, code)).get("result") is True) == network


async def test_landlock_keeps_abstract_sockets_of_the_machine_away_where_the_network_is_shared(host: Host) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        name = f"local-modal-test-{os.getpid()}"
        server.bind("\0" + name)
        server.listen()
        code = f"import socket; socket.socket(socket.AF_UNIX).connect('\\0{name}'); result = True"
        spec = host.spec(network=True, policy=Policy().without("seccomp"))
        assert (await host.run(await host.zygote(spec), code)).get("result") is None
        spec = host.spec(network=True, policy=Policy().without("seccomp", "landlock"))
        assert (await host.run(await host.zygote(spec), code)).get("result") is True


async def test_nothing_of_the_machine_can_be_read(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST_CANARY", "canary-in-the-environment")
    secret = host.folder / "shown" / "secret"
    secret.parent.mkdir()
    secret.write_text("canary-in-a-file")
    host.folder.chmod(0o755)
    code = f"""
import gc, os
seen = {{}}
paths = ['/etc/shadow', '/etc/hostname', '/root/.ssh', '/proc/1/environ', '/proc/self/root/etc/shadow',
         '/proc/2/root/etc/shadow', '/sys/kernel/debug', '/run', '/var', '/home', '/boot',
         '/dev/sda', '/dev/mem', '/dev/shm']
for path in [{str(secret)!r}, *paths]:
    try: seen[path] = open(path).read() if os.path.isfile(path) else str(os.listdir(path))
    except OSError: pass
result = [seen, 'HOST_CANARY' in os.environ, open('/etc/passwd').read().count('\\n')]
"""
    bare = Policy(layers=frozenset())
    for policy in (Policy(), bare.without()):
        zygote = await host.zygote(host.spec(policy=policy))
        seen, environment, users = (await host.run(zygote, code))["result"]
        assert "canary" not in str(seen)
        assert not environment
        assert users == 2
        if policy.layers:
            assert seen == {}
    shown = host.spec(read_only=(*host.spec().read_only, secret.parent), env={"HOST_CANARY": "x"})
    seen, environment, _ = (await host.run(await host.zygote(shown), code))["result"]
    assert seen == {str(secret): "canary-in-a-file"}
    assert environment


async def test_only_scratch_can_be_written_whatever_else_is_off(host: Host) -> None:
    code = """
import os, sys
written = []
for folder in ('/', '/root', '/etc', '/usr/lib', '/dev', '/proc', '/sys/devices/system/cpu', '/.local-modal',
               sys.prefix, os.path.dirname(os.__file__), '/scratch', '/tmp'):
    try:
        open(os.path.join(folder, 'written'), 'w').close(); written.append(folder)
    except OSError: pass
try:
    open('/root/guest.py', 'a').close(); written.append('guest')
except OSError: pass
result = written
"""
    for policy in (Policy(), Policy(layers=frozenset())):
        zygote = await host.zygote(host.spec(policy=policy))
        written = (await host.run(zygote, code))["result"]
        assert "/scratch" in written
        assert set(written) <= {"/scratch", "/tmp"}  # /tmp is a link to it, unless the image itself lies there


async def test_scratch_is_bounded_in_bytes_and_files(host: Host) -> None:
    zygote = await host.zygote(host.spec(limits=Limits(scratch_bytes=4 << 20)))
    fill = """
def count(write):
    n = 0
    try:
        while n < 20000: write(n); n += 1
    except OSError as error: return [n, error.errno]
    return [n, 0]
chunk = bytes(1 << 20)
def block(n): open(f'big{n}', 'wb', buffering=0).write(chunk)
def empty(n): open(f'/scratch/empty{n}', 'w').close()
result = [count(empty), count(block)]
"""
    (files, files_errno), (blocks, blocks_errno) = (await host.run(zygote, fill))["result"]
    assert files_errno == blocks_errno == 28
    assert 1000 < files <= 4096
    assert blocks <= 4


async def test_the_snapshot_phase_cant_make_its_tree_writable(host: Host) -> None:
    zygote = await host.zygote(host.spec(env={"GUEST_HOOK": "remounts"}))
    answer = await host.run(zygote, "result = list(self.remounted.values())")
    assert answer == {"result": [1, 1, 1, 1]}


async def test_a_foreign_architecture_kills_the_container(host: Host) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("NOT RUN: int 0x80 is x86's")
    code = """
import ctypes, mmap, os
code = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3')  # mov eax, 20 (getpid); int 0x80; ret
result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))() == 1
"""
    answer = await host.run(await host.zygote(), code)
    assert answer == {"ended": "killed by SIGSYS"}
    assert await host.run(await host.zygote(host.spec(policy=Policy().without("seccomp"))), code) == {"result": True}


async def test_a_container_has_one_connection_and_cant_make_another(host: Host) -> None:
    zygote = await host.zygote()
    code = """
import asyncio, grpclib.client
async def again():
    channel = grpclib.client.Channel(path='/connection')
    await channel.__connect__()
try: asyncio.run(again())
except Exception as error: result = f'{type(error).__name__}'
"""
    assert await host.run(zygote, code) == {"result": "ConnectionRefusedError"}


async def test_settings_of_the_runtime_are_gone_from_the_environment(host: Host) -> None:
    zygote = await host.zygote(host.spec(env={"MINE": "kept"}))
    code = "import os; result = sorted(os.environ)"
    names = (await host.run(zygote, code))["result"]
    assert "MINE" in names
    assert not {"MODAL_CONTAINER_ARGUMENTS_PATH", "MODAL_RESTORE_STATE_PATH", "GLIBC_TUNABLES"} & set(names)


async def test_every_layer_has_an_attack_that_only_it_stops() -> None:
    elsewhere = {"network-namespace", "ipc-namespace", "uts-namespace", "cgroup-namespace"}
    assert {attack.layer for attack in ATTACKS} | elsewhere == set(LAYERS)
