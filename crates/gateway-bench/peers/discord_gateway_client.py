"""The Python package discord-gateway over a blocking socket, as its documentation shows it."""

import platform
import socket
import ssl
from importlib.metadata import version

from measure import Course, arguments, skip

try:
    from discord_gateway import DiscordConnection, Opcode
    from discord_gateway import conn as package
except ImportError as error:
    skip(f"the Python package discord-gateway is not installed ({error})")

# More than its documentation reads at once, in its favour.
BUFFER_BYTES = 1 << 16


def connect(options):
    encoding, compression = options.mode.split("-")
    if compression not in ("plain", "zlib"):
        skip(f"discord-gateway does not do {options.mode}")
    if encoding == "etf" and not package.ERLPACK_AVAILABLE:
        skip("the Python package erlpack is not installed")
    compress = "zlib-stream" if compression == "zlib" else False
    connection = DiscordConnection(options.url, encoding=encoding, compress=compress)
    tcp = socket.create_connection(connection.destination)
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if options.url.startswith("wss:"):
        context = ssl.create_default_context(cafile=options.ca)
        tcp = context.wrap_socket(tcp, server_hostname=connection.destination[0])
    return connection, tcp


def name(event):
    """The event's name, which is an atom in ETF."""
    return str(event["t"])


def main():
    options = arguments()
    if options.job not in ("raw", "small-bot"):
        skip(f"discord-gateway does not do {options.job}")
    versions = {
        "python": platform.python_version(),
        "discord-gateway": version("discord-gateway"),
        "json": package.json_loads.__module__ or "orjson",
    }
    connection, tcp = connect(options)
    course = Course("discord-gateway", options, versions)
    sums, small_bot, check = course.sums, options.job == "small-bot", options.check
    lead, left = 1 + options.guilds, options.events
    tcp.sendall(connection.connect())
    while left:
        data = tcp.recv(BUFFER_BYTES)
        if not data:
            raise SystemExit("the connection has ended")
        for response in connection.receive(data):
            tcp.sendall(response)
        for event in connection.events():
            if event["op"] == Opcode.HELLO:
                identify = connection.identify(token="bench", intents=(1 << 26) - 1, properties={})
                tcp.sendall(identify)
                continue
            if lead:
                lead -= 1
                if lead == 0:
                    course.start()
                continue
            if check:
                sums.event(name(event), event["s"])
            if small_bot and name(event) == "MESSAGE_CREATE":
                d = event["d"]
                sums.message(int(d["channel_id"]), int(d["author"]["id"]), d["content"])
            left -= 1
    course.end()


main()
