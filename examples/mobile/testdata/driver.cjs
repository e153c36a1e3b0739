// Drives the TypeScript session for the Go tests: one command a line on stdin, one
// JSON object a line on stdout. Arguments: the compiled client, its options.
const fs = require("node:fs");
const readline = require("node:readline");
const { Session } = require(process.argv[2]);
const options = JSON.parse(process.argv[3]);

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const store = {
  async load() {
    return fs.existsSync(options.store) ? fs.readFileSync(options.store, "utf8") : null;
  },
  async save(text) {
    fs.writeFileSync(options.store + ".new", text);
    fs.renameSync(options.store + ".new", options.store);
  },
};

// What navigator.locks is between the tabs of a browser.
const queues = new Map();
const exclusive = (name, work) => {
  const turn = (queues.get(name) ?? Promise.resolve()).then(work);
  queues.set(name, turn.catch(() => undefined));
  return turn;
};

const ended = [];
const open = () =>
  Session.open({
    ...options,
    ...(options.tabs ? { exclusive } : {}),
    store,
    onLoginRequired: (why) => ended.push(why),
    onStoreError: (e) => say({ event: "fault", text: String(e) }),
  });
let session;
let other;
let leaving = false;
let running = false;
let workers = [];
let serial = 0;

async function one({ tab, method = "GET", path = "/orders", prefix = "r", headers = {}, body }) {
  const rid = `${prefix}-${process.pid}-${++serial}`;
  const result = { rid, after: leaving };
  const began = performance.now();
  try {
    const response = await (tab === 2 ? other : session).fetch(path, { method, headers: { ...headers, "X-Request-Id": rid }, ...(body ? { body } : {}) });
    result.status = response.status;
    const text = await response.text();
    if ((response.headers.get("Content-Type") ?? "").startsWith("application/problem+json")) result.code = JSON.parse(text).code;
    else result.body = text;
  } catch (error) {
    result.error = { LoginRequiredError: "login_required", SessionUnavailableError: "unavailable" }[error.name] ?? "network";
    result.text = String(error);
  }
  result.ms = Math.round(performance.now() - began);
  return result;
}

async function worker(command) {
  while (running) {
    say({ event: "call", ...(await one(command)) });
    await pause(command.pause ?? 20);
  }
}

const commands = {
  signIn: async (c) => void (await session.signIn(c.answer)),
  call: async (c) => ({ calls: await Promise.all(Array.from({ length: c.parallel ?? 1 }, () => one(c))) }),
  // Opens a second tab on what the first has stored.
  tab: async () => void (other = await open()),
  load: async (c) => {
    running = true;
    workers.push(...Array.from({ length: c.parallel }, () => worker(c)));
  },
  stop: async () => {
    running = false;
    await Promise.all(workers);
  },
  logout: async () => {
    leaving = true;
    return { logout: await session.logout() };
  },
  flush: async () => void (await session.flushLogouts()),
  state: async () => ({
    signedIn: session.signedIn,
    queued: session.queuedLogouts,
    ended,
    wall: Date.now(),
    server: session.clock.now() ?? 0,
  }),
};

(async () => {
  session = await open();
  say({ event: "ready" });
  const lines = readline.createInterface({ input: process.stdin });
  lines.on("line", async (line) => {
    const command = JSON.parse(line);
    try {
      say({ id: command.id, ...(await commands[command.do](command)) });
    } catch (error) {
      say({ id: command.id, fault: String(error.stack) });
    }
  });
  lines.on("close", () => process.exit(0));
})();
