"""discord.py: its client with an `on_message`, driven as its own loop drives it."""

import asyncio
import json
import platform
import ssl
from importlib.metadata import version

from measure import Course, arguments, skip

try:
    import aiohttp
    import discord
    import yarl
    from discord.gateway import DiscordWebSocket
    from discord.http import Route
except ImportError as error:
    skip(f"the Python package discord.py is not installed ({error})")


class Idler(discord.Client):
    """Without the caches that can be turned off. It listens for nothing; events are decoded all the same."""

    def __init__(self, course, connector):
        super().__init__(
            intents=discord.Intents.all(),
            max_messages=None,
            chunk_guilds_at_startup=False,
            member_cache_flags=discord.MemberCacheFlags.none(),
            connector=connector,
        )
        self.course = course


class SmallBot(Idler):
    async def on_message(self, message):
        if self.course.started:
            self.course.sums.message(message.channel.id, message.author.id, message.content)


def listen(course):
    """Takes names and sequence numbers from the parser, which costs time: to compare contenders alone."""
    parse = discord.utils._from_json

    def parse_and_tell(text):
        payload = parse(text)
        if isinstance(payload, dict) and payload.get("op") == 0 and course.started:
            course.sums.event(payload["t"], payload["s"])
        return payload

    discord.utils._from_json = parse_and_tell


async def run(options, versions):
    _, compression = options.mode.split("-")
    connector = None
    if options.url.startswith("wss:"):
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=options.ca))
    Route.BASE = options.url.replace("ws", "http", 1) + "/api/v10"
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(options.url)
    course = Course("discord.py", options, versions)
    course.started = False
    if options.check:
        listen(course)
    bot = (SmallBot if options.job == "small-bot" else Idler)(course, connector or discord.utils.MISSING)
    await bot.login("bench")
    bot.ws = await DiscordWebSocket.from_client(bot, initial=True, compress=compression != "plain")
    # The frames number their events from READY without a gap.
    while (bot.ws.sequence or 0) < 1 + options.guilds:
        await bot.ws.poll_event()
    course.start()
    course.started = True
    while bot.ws.sequence < 1 + options.guilds + options.events:
        await bot.ws.poll_event()
    # The handlers of the last messages.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    course.end()
    await bot.close()


def main():
    options = arguments()
    if options.job not in ("raw", "small-bot"):
        skip(f"discord.py does not do {options.job}")
    has_zstd = discord.utils._ActiveDecompressionContext.COMPRESSION_TYPE == "zstd-stream"
    spoken = ("json-plain", "json-zstd" if has_zstd else "json-zlib")
    if options.mode not in spoken:
        skip(f"discord.py does {' and '.join(spoken)} here: it takes zstd-stream if `zstandard` is installed")
    versions = {
        "python": platform.python_version(),
        "discord.py": version("discord.py"),
        "json": "json" if discord.utils._from_json is json.loads else "orjson",
    }
    asyncio.run(run(options, versions))


main()
