// @discordjs/ws: the gateway of discord.js alone, with a shard in the same process and a listener of its dispatches.

import { Course, fail, loader, options as read, skip } from "./measure.mjs";

const PACKAGE = "@discordjs/ws";

const options = read();
if (!["raw", "small-bot"].includes(options.job)) skip(`${PACKAGE} does not do ${options.job}`);
if (options.url.startsWith("wss:") && options.ca && process.env.NODE_EXTRA_CA_CERTS !== options.ca) {
  skip("Node reads certificates before the script: set NODE_EXTRA_CA_CERTS to what --ca says");
}

const load = loader(options.packages);
let library;
try {
  library = load(PACKAGE);
} catch (error) {
  if (error.code !== "MODULE_NOT_FOUND") throw error;
  skip(`the package ${PACKAGE} is not installed (${error.message.split("\n")[0]})`);
}
const { CompressionMethod, SimpleShardingStrategy, WebSocketManager, WebSocketShardEvents } = library;

/** Whether a package that need not be there can be loaded. */
function has(name) {
  try {
    load(name);
    return true;
  } catch {
    return false;
  }
}

/** What the library is told to inflate with, and the name of that. */
function compression() {
  switch (options.mode) {
    case "json-plain":
      return [null, "none"];
    case "json-zlib":
      // The library's users are told to install it; without it Node inflates, in threads beside its own.
      return has("zlib-sync")
        ? [CompressionMethod.ZlibSync, `zlib-sync ${load("zlib-sync/package.json").version}`]
        : [CompressionMethod.ZlibNative, `zlib ${process.versions.zlib}`];
    case "json-zstd": {
      // 2.x has none.
      const method = CompressionMethod.ZstdNative;
      if (method === undefined) skip(`this version of ${PACKAGE} has no zstd`);
      if (process.versions.zstd === undefined) skip("this version of Node has no zstd");
      return [method, `zstd ${process.versions.zstd}`];
    }
    default:
      return skip(`${PACKAGE} does not do ${options.mode}`);
  }
}

/** What REST would say of the gateway. */
const gateway = {
  url: options.url,
  shards: 1,
  session_start_limit: { total: 1000, remaining: 1000, reset_after: 86_400_000, max_concurrency: 1 },
};

const [method, inflates] = compression();
const course = new Course("discordjs", options, {
  node: process.versions.node,
  [PACKAGE]: library.version,
  compression: inflates,
});

let session = null;
const manager = new WebSocketManager({
  token: "bench",
  intents: 2 ** 26 - 1,
  shardCount: 1,
  compression: method,
  rest: { get: async () => gateway },
  buildStrategy: (manager) => new SimpleShardingStrategy(manager),
  retrieveSessionInfo: () => session,
  // Nobody but the server is ever asked, whatever READY says of where to resume.
  updateSessionInfo: (_, information) => {
    if (information) information.resumeURL = options.url;
    session = information;
  },
});

const { sums } = course;
const smallBot = options.job === "small-bot";
let lead = 1 + options.guilds;
let left = options.events;
manager.on(WebSocketShardEvents.Dispatch, (event) => {
  if (lead > 0) {
    lead -= 1;
    if (lead === 0) course.start();
    return;
  }
  if (options.check) sums.event(event.t, event.s);
  if (smallBot && event.t === "MESSAGE_CREATE") {
    const message = event.d;
    sums.message(message.channel_id, message.author.id, message.content);
  }
  left -= 1;
  if (left === 0) {
    course.end();
    process.exit(0);
  }
});
manager.on(WebSocketShardEvents.Closed, (code) => fail(`the connection has ended with ${code}`));
manager.on(WebSocketShardEvents.Error, (error) => fail(`the shard has failed: ${error}`));
manager.on(WebSocketShardEvents.SocketError, (error) => fail(`the socket has failed: ${error}`));

await manager.connect();
