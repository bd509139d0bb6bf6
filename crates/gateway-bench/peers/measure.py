"""What the Python contenders share: the flags and the report of `client`, and what is measured."""

import argparse
import json
import sys
import time

# For who runs them: there is nothing to run here.
SKIPPED = 77

MASK = (1 << 64) - 1


def skip(sentence):
    print(f"skipped: {sentence}", file=sys.stderr)
    sys.exit(SKIPPED)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--job", required=True)
    parser.add_argument("--mode", required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--ca")
    parser.add_argument("--guilds", type=int, default=0)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.shards != 1:
        skip("the Python contenders have one shard")
    return options


def fnv(data):
    """FNV-1a."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & MASK
    return value


class Sums:
    """What a contender saw, as the other contenders sum it up."""

    def __init__(self, check):
        self.check = check
        self.order = 0
        self.names = 0
        self.fields = 0

    def event(self, name, sequence):
        name = fnv(name.encode())
        self.names = self.names + name & MASK
        self.order = (self.order * 31 & MASK) + (name ^ sequence) & MASK

    def message(self, channel, author, content):
        """The content is text, or in ETF the bytes of it."""
        if isinstance(content, str):
            content = content.encode()
        content = fnv(content) if self.check else len(content)
        self.fields = self.fields + ((channel * 31 + author) * 31 + content) & MASK


def memory():
    """RssAnon and VmHWM in bytes."""
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return [int(fields[name].split()[0]) << 10 for name in ("RssAnon", "VmHWM")]


class Course:
    """From before the connection to the last small event."""

    def __init__(self, who, options, versions):
        self.who, self.options, self.versions = who, options, versions
        self.sums = Sums(options.check)
        self.before = memory()[0]

    def start(self):
        """READY and the guilds are through."""
        self.ready = memory()[0]
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def end(self):
        """The last small event has been dealt with: prints the report."""
        cpu, wall = time.process_time(), time.perf_counter()
        after, peak = memory()
        options, sums = self.options, self.sums
        told = lambda value, tell: f"{value:016x}" if tell else None
        print(json.dumps({
            "who": self.who,
            "job": options.job,
            "mode": options.mode,
            "tls": options.url.startswith("wss:"),
            "shards": 1,
            "guilds": options.guilds,
            "events": options.events,
            "order": told(sums.order, options.check),
            "names": told(sums.names, options.check),
            "fields": told(sums.fields, options.job == "small-bot"),
            "cpu_seconds": cpu - self.cpu,
            "wall_seconds": wall - self.wall,
            "process_cpu_seconds": time.process_time(),
            "before_bytes": self.before,
            "ready_bytes": self.ready,
            "after_bytes": after,
            "peak_bytes": peak,
            "bytes_per_shard": after - self.before,
            "versions": self.versions,
        }))
