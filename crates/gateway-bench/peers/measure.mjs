// What the contenders on Node share, as `measure.py` does it for Python: the flags and the report of `client`, and what is
// measured.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import util from "node:util";

/** For who runs them: there is nothing to run here. */
const SKIPPED = 77;
/** What the packages ask for. */
const NODE = 20;

export function skip(sentence) {
  console.error(`skipped: ${sentence}`);
  process.exit(SKIPPED);
}

export function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}

export function options() {
  if (parseInt(process.versions.node, 10) < NODE) skip(`this is Node ${process.versions.node}, and not ${NODE} or newer`);
  const text = { type: "string" };
  const { values } = util.parseArgs({
    options: {
      job: text,
      mode: text,
      url: text,
      ca: text,
      guilds: { type: "string", default: "0" },
      events: text,
      shards: { type: "string", default: "1" },
      check: { type: "boolean", default: false },
      packages: text,
    },
  });
  for (const name of ["job", "mode", "url", "events", "packages"]) {
    if (values[name] === undefined) fail(`--${name} is missing`);
  }
  const numbers = { guilds: Number(values.guilds), events: Number(values.events), shards: Number(values.shards) };
  for (const [name, number] of Object.entries(numbers)) {
    if (!Number.isSafeInteger(number)) fail(`--${name} is not a number`);
  }
  if (numbers.shards !== 1) skip("the contenders on Node have one shard");
  if (numbers.events < 1) fail("--events is less than one");
  return { ...values, ...numbers };
}

/** Loads packages from the folder whose `node_modules` has them: scripts find only what is installed beside them. */
export function loader(folder) {
  return createRequire(join(resolve(folder), "package.json"));
}

const OFFSET = 0xcbf29ce484222325n;
const PRIME = 0x100000001b3n;
const u64 = (number) => BigInt.asUintN(64, number);

/** FNV-1a. */
function fnv(text) {
  let value = OFFSET;
  for (const byte of Buffer.from(text)) value = u64((value ^ BigInt(byte)) * PRIME);
  return value;
}

/** What a contender saw, as the other contenders sum it up. */
class Sums {
  order = 0n;
  names = 0n;
  fields = 0n;

  constructor(check) {
    this.check = check;
  }

  event(name, sequence) {
    const sum = fnv(name);
    this.names = u64(this.names + sum);
    this.order = u64(this.order * 31n + (sum ^ BigInt(sequence)));
  }

  /** The ids are text, the content too. */
  message(channel, author, content) {
    const sum = this.check ? fnv(content) : BigInt(Buffer.byteLength(content));
    this.fields = u64(this.fields + (BigInt(channel) * 31n + BigInt(author)) * 31n + sum);
  }
}

/** RssAnon and VmHWM in bytes. */
function memory() {
  const status = readFileSync("/proc/self/status", "utf8");
  return ["RssAnon", "VmHWM"].map((name) => {
    const field = new RegExp(`^${name}:\\s*(\\d+) kB$`, "m").exec(status);
    return Number(field[1]) * 1024;
  });
}

/** Processor time of all threads, in seconds. */
function cpu() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** From before the connection to the last small event. */
export class Course {
  constructor(who, options, versions) {
    Object.assign(this, { who, options, versions });
    this.sums = new Sums(options.check);
    [this.before] = memory();
  }

  /** READY and the guilds are through. */
  start() {
    [this.ready] = memory();
    this.startWall = performance.now();
    this.startCpu = cpu();
  }

  /** The last small event has been dealt with: prints the report. */
  end() {
    const endCpu = cpu();
    const endWall = performance.now();
    const [after, peak] = memory();
    const { who, options, sums, versions } = this;
    const told = (value, tell) => (tell ? value.toString(16).padStart(16, "0") : null);
    const report = {
      who,
      job: options.job,
      mode: options.mode,
      tls: options.url.startsWith("wss:"),
      shards: 1,
      guilds: options.guilds,
      events: options.events,
      order: told(sums.order, options.check),
      names: told(sums.names, options.check),
      fields: told(sums.fields, options.job === "small-bot"),
      cpu_seconds: endCpu - this.startCpu,
      wall_seconds: (endWall - this.startWall) / 1e3,
      process_cpu_seconds: cpu(),
      before_bytes: this.before,
      ready_bytes: this.ready,
      after_bytes: after,
      peak_bytes: peak,
      bytes_per_shard: after - this.before,
      versions,
    };
    console.log(JSON.stringify(report));
  }
}
