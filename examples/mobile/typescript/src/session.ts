import { gateAnswer, type GateAnswer } from "./answer";
import { ServerClock } from "./clock";
import { enqueue, LogoutSender } from "./logout";
import { StateFile, type Exclusive } from "./state";
import type { Store } from "./store";
import { readTokens, refreshTokens, type TokenAnswer, type Tokens } from "./tokens";
import { pause, settled } from "./wait";

export interface Options {
  /** The API without a slash at the end, `https://api.example.com`. The token goes nowhere else. */
  api: string;
  tokenUrl: string;
  clientId: string;
  logoutUrl: string;
  store: Store;
  /** The session is over and the user must log in. Called once a session, never for `logout()`. */
  onLoginRequired?: (why: string) => void;
  onStoreError?: (error: unknown) => void;
  /** `webLocks()` where several tabs share the store. */
  exclusive?: Exclusive;
  /** For how long a call may wait in all for the network, the gateway and the issuer. Default 15 s. */
  patience?: number;
  /** How long before its end a token is refreshed, at most a third of its life. Default 30 s. */
  margin?: number;
  /** For how long the issuer may take to answer. Default 10 s. */
  refreshTimeout?: number;
  clock?: ServerClock;
}

/** There is no session, or not any more. The call was not sent. */
export class LoginRequiredError extends Error {
  override name = "LoginRequiredError";
}

/** No good token could be had in time. The session is kept: try again later. */
export class SessionUnavailableError extends Error {
  override name = "SessionUnavailableError";
}

/** One login, from its first tokens to its end. A call belongs to the one it began with. */
interface Login {
  tokens: Tokens;
  /** The access token was refused: the next call refreshes first. */
  stale: boolean;
  /** The gate has let the access token through. */
  accepted: boolean;
  /** Since when tokens were refused that were fresh, and how many in a row. */
  refused: { since: number; count: number } | undefined;
  failures: number;
  /** No refresh before this, by `clock.elapsed`. */
  notBefore: number;
  flight: Promise<void> | undefined;
  loggedOut: boolean;
}

interface Call {
  login: Login;
  deadline: number;
  abort: AbortController;
  repeated: boolean;
  failures: number;
}

// A key that the issuer has just begun to sign with may be unknown to the gateway for
// half a minute: fresh tokens that are refused for a shorter time end no session.
const refusedTooLong = 60_000;
const maxBackoff = 5_000;
const idempotent = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"];

export class Session {
  readonly clock: ServerClock;
  private readonly file: StateFile;
  private readonly exclusive: Exclusive;
  private login: Login | undefined;
  private readonly calls = new Set<Call>();
  private readonly sender: LogoutSender;

  private constructor(private readonly options: Options) {
    this.clock = options.clock ?? new ServerClock();
    this.exclusive = options.exclusive ?? ((_, work) => work());
    this.file = new StateFile(options.store, this.exclusive, (error) => options.onStoreError?.(error));
    this.sender = new LogoutSender(options.logoutUrl, this.file);
  }

  /** Takes up what the store holds, and sends the logouts that wait in it. */
  static async open(options: Options): Promise<Session> {
    const session = new Session(options);
    const { session: tokens } = await session.file.load();
    if (tokens) session.login = newLogin(tokens, true);
    void session.flushLogouts();
    return session;
  }

  get signedIn(): boolean {
    return this.login !== undefined;
  }

  /** How many logouts have not reached the gateway. */
  get queuedLogouts(): number {
    return this.file.state.logouts.length;
  }

  /** Begins a session with what the issuer answered to the app's login. */
  async signIn(answer: TokenAnswer): Promise<void> {
    const tokens = readTokens(answer, undefined, this.clock);
    this.leave();
    this.login = newLogin(tokens, false);
    await this.file.change((state) => ({ ...state, session: tokens }));
  }

  /**
   * `fetch` with the session's token. `path` begins with a slash. The gate answers a
   * request at most twice; a request that is not idempotent is sent again only after
   * such an answer, never after an error of the network.
   * @throws LoginRequiredError, SessionUnavailableError, and what fetch throws
   */
  async fetch(path: string, init: RequestInit = {}): Promise<Response> {
    if (!path.startsWith("/")) throw new TypeError(`${path} does not begin with a slash: the token goes to ${this.options.api} alone`);
    if (!this.login) throw new LoginRequiredError("not logged in");
    const call: Call = {
      login: this.login,
      deadline: this.clock.elapsed() + (this.options.patience ?? 15_000),
      abort: new AbortController(),
      repeated: false,
      failures: 0,
    };
    const abort = () => call.abort.abort();
    init.signal?.addEventListener("abort", abort);
    if (init.signal?.aborted) abort();
    this.calls.add(call);
    try {
      return await this.run(call, this.options.api + path, init);
    } catch (error) {
      // Whatever broke off because the session ended is told as that.
      if (this.login !== call.login && !init.signal?.aborted) throw new LoginRequiredError("the session has ended");
      throw error;
    } finally {
      this.calls.delete(call);
      init.signal?.removeEventListener("abort", abort);
    }
  }

  private async run(call: Call, url: string, init: RequestInit): Promise<Response> {
    const method = (init.method ?? "GET").toUpperCase();
    const headers = new Headers(init.headers);
    for (;;) {
      const token = await this.usable(call);
      headers.set("Authorization", `Bearer ${token}`);
      const sent = this.clock.elapsed();
      let response: Response;
      try {
        response = await fetch(url, { ...init, headers, signal: call.abort.signal });
      } catch (error) {
        // fetch does not tell whether the request got out before the network failed.
        const harmless = idempotent.includes(method) || headers.has("Idempotency-Key");
        if (call.abort.signal.aborted || !harmless || streams(init)) throw error;
        if (!(await this.wait(call, backoff(call.failures++)))) throw error;
        continue;
      }
      this.clock.learn(response.headers, sent);
      const answer = await gateAnswer(response, method);
      if (call.abort.signal.aborted) throw new DOMException("aborted", "AbortError");
      if (!(await this.again(call, token, answer)) || streams(init)) return response;
    }
  }

  /** Draws the conclusions from an answer, and says whether to repeat the request. */
  private async again(call: Call, token: string, answer: GateAnswer | undefined): Promise<boolean> {
    const { login, repeated } = call;
    const current = token === login.tokens.access;
    switch (answer?.action) {
      case undefined:
      case "none": // the token is good, or the request was bad
        if (current) this.accepted(login);
        return false;
      case "login":
        // What is true of an old token need not be true of its successor.
        if (current) this.end(login, answer.code, call);
        if (current || repeated) return false;
        break;
      case "refresh":
        if (current) this.refused(login, answer.code, call);
        if (repeated) return false;
        break;
      case "retry":
        if (repeated || !(await this.wait(call, answer.wait * (1 + Math.random() / 5)))) return false;
        break;
    }
    call.repeated = true;
    return this.login === login;
  }

  /** The access token to send, refreshed if need be. */
  private async usable(call: Call): Promise<string> {
    const { login } = call;
    for (;;) {
      if (this.login !== login) throw new LoginRequiredError("the session has ended");
      if (call.abort.signal.aborted) throw new DOMException("aborted", "AbortError");
      const now = this.clock.elapsed();
      const left = this.left(login.tokens);
      const margin = Math.min(this.options.margin ?? 30_000, (login.tokens.life ?? Infinity) / 3);
      if (!login.stale && left > margin) return login.tokens.access;
      if (!login.stale && left > Math.min(1_000, margin / 2)) {
        // Still good: nobody waits for a slow issuer.
        if (now >= login.notBefore) void this.refresh(login);
        return login.tokens.access;
      }
      if (now >= call.deadline || login.notBefore > call.deadline) {
        throw new SessionUnavailableError("no fresh token could be had in time; the session is kept");
      }
      if (now < login.notBefore && !login.flight) await pause(login.notBefore - now, call.abort.signal);
      else await settled(this.refresh(login), call.deadline - now, call.abort.signal);
    }
  }

  /** Milliseconds until the token expires. Without the server's time we do not know, and let the gate say. */
  private left(tokens: Tokens): number {
    const now = this.clock.now();
    return tokens.expires === undefined || now === undefined ? Infinity : tokens.expires - now;
  }

  /** Refreshes, or joins the refresh that is under way. */
  private refresh(login: Login): Promise<void> {
    return (login.flight ??= this.exclusive("refresh", () => this.refreshOnce(login)).finally(() => {
      login.flight = undefined;
    }));
  }

  private async refreshOnce(login: Login): Promise<void> {
    if (this.login !== login) return;
    if (this.options.exclusive) {
      // Another tab may have refreshed, or logged out, while this one waited for its turn.
      const stored = (await this.file.load()).session;
      if (!stored) return this.end(login, "elsewhere");
      if (stored.access !== login.tokens.access) return renew(login, stored);
    }
    const { refresh } = login.tokens;
    if (refresh === undefined) return this.end(login, "no refresh token");
    const { tokenUrl, clientId, refreshTimeout } = this.options;
    const result = await refreshTokens(tokenUrl, clientId, refresh, this.clock, refreshTimeout ?? 10_000);
    if (this.login !== login) {
      // Too late: what came is logged out like what it replaces.
      if (login.loggedOut && result.kind === "tokens") await this.queueLogout(result.tokens.access);
      return;
    }
    switch (result.kind) {
      case "tokens":
        renew(login, result.tokens);
        // On disk before anybody uses them: the old refresh token is worthless now.
        return this.file.change((state) => (this.login === login ? { ...state, session: login.tokens } : state));
      case "refused":
        return this.end(login, "invalid_grant");
      case "later":
        login.notBefore = this.clock.elapsed() + Math.max(backoff(login.failures++), Math.min(result.wait ?? 0, 60_000));
    }
  }

  private accepted(login: Login): void {
    login.accepted = true;
    login.refused = undefined;
  }

  private refused(login: Login, code: string, call: Call): void {
    if (login.stale) return; // of parallel calls with one token the first counts
    const now = this.clock.elapsed();
    if (!login.accepted) {
      // Fresh, and refused: another one will hardly do better, so ask ever more slowly.
      const refused = (login.refused ??= { since: now, count: 0 });
      if (code === "token_invalid" && now - refused.since > refusedTooLong) return this.end(login, code, call);
      login.notBefore = Math.max(login.notBefore, now + backoff(refused.count++));
    }
    login.stale = true;
  }

  /** The session is over without the user's doing. The call that heard of it gets its answer. */
  private end(login: Login, why: string, call?: Call): void {
    if (this.login !== login) return;
    if (call) this.calls.delete(call);
    this.leave();
    void this.file.change((state) => {
      // Another tab may have got further: what it has stored is not ours to end.
      const theirs = this.options.exclusive && state.session?.access !== login.tokens.access;
      return theirs ? state : { ...state, session: this.login?.tokens };
    });
    this.options.onLoginRequired?.(why);
  }

  /** Nothing is sent for the login from here on. */
  private leave(): void {
    this.login = undefined;
    for (const call of this.calls) call.abort.abort();
  }

  /**
   * Ends the session on this device at once, and at the gateway as soon as it can be
   * reached: "queued" means that it could not yet. No call goes out after this began.
   */
  async logout(): Promise<"done" | "queued"> {
    const login = this.login;
    if (login) {
      login.loggedOut = true;
      this.leave();
      await this.queueLogout(login.tokens.access);
    }
    await settled(this.flushLogouts(), 5_000);
    return this.queuedLogouts === 0 ? "done" : "queued";
  }

  private async queueLogout(token: string): Promise<void> {
    await this.file.change((state) => ({
      session: this.login?.tokens,
      logouts: enqueue(state.logouts, token),
    }));
    void this.flushLogouts();
  }

  /** Sends the queued logouts. Call it when the network is back; it tries again by itself, too. */
  flushLogouts(): Promise<void> {
    return this.sender.flush();
  }

  /** False at once if the call has not so much patience left. */
  private async wait(call: Call, ms: number): Promise<boolean> {
    if (this.clock.elapsed() + ms > call.deadline) return false;
    await pause(ms, call.abort.signal);
    return !call.abort.signal.aborted;
  }
}

function newLogin(tokens: Tokens, accepted: boolean): Login {
  return { tokens, stale: false, accepted, refused: undefined, failures: 0, notBefore: 0, flight: undefined, loggedOut: false };
}

function renew(login: Login, tokens: Tokens): void {
  login.tokens = tokens;
  login.stale = login.accepted = false;
  login.failures = 0;
}

/** Half a second, then twice as long each time, up to five; half of it at random, so that devices spread. */
function backoff(failures: number): number {
  return Math.min(500 * 2 ** failures, maxBackoff) * (0.5 + Math.random() / 2);
}

/** A body that can be read once cannot be sent twice. */
function streams(init: RequestInit): boolean {
  return typeof ReadableStream !== "undefined" && init.body instanceof ReadableStream;
}
