import { gateAnswer, retryAfter } from "./answer";
import type { StateFile } from "./state";
import type { QueuedLogout } from "./store";

/** How a queued logout went. */
type Sent =
  | "done"
  /** No network, or somebody who cannot decide: it counts as not asked. */
  | { again: number | undefined }
  /** Answered with something else than success: worth some more tries, not endless ones. */
  | "refused";

const timeout = 10_000;

/** After so many refusals a logout is given up: it is not going to succeed any more. */
const maxRefusals = 20;
const maxQueued = 20;

/** The queue with one more logout; the oldest of too many is forgotten. */
export function enqueue(logouts: QueuedLogout[], token: string): QueuedLogout[] {
  return [...logouts, { token, refused: 0 }].slice(-maxQueued);
}

/** Sends what is queued, one flush at a time, and again later what could not be sent. */
export class LogoutSender {
  private flushing: Promise<void> | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;

  constructor(
    private readonly url: string,
    private readonly file: StateFile,
  ) {}

  flush(): Promise<void> {
    return (this.flushing ??= this.run().finally(() => {
      this.flushing = undefined;
    }));
  }

  private async run(): Promise<void> {
    const asked = new Set<string>();
    let wait = 0;
    for (;;) {
      const logout = this.file.state.logouts.find((l) => !asked.has(l.token));
      if (!logout) break;
      asked.add(logout.token);
      const sent = await sendLogout(this.url, logout);
      if (typeof sent === "object") {
        wait = Math.max(wait, sent.again ?? 0);
        continue;
      }
      const refused = sent === "done" ? maxRefusals : logout.refused + 1;
      const settle = (l: QueuedLogout) => (l.token !== logout.token ? [l] : refused >= maxRefusals ? [] : [{ ...l, refused }]);
      await this.file.change((state) => ({ ...state, logouts: state.logouts.flatMap(settle) }));
    }
    clearTimeout(this.timer);
    this.failures = this.file.state.logouts.length === 0 ? 0 : this.failures + 1;
    if (this.failures > 0) {
      const next = Math.max(wait, Math.min(2_000 * 2 ** this.failures, 300_000));
      this.timer = setTimeout(() => void this.flush(), next);
    }
  }
}

/** Sends one logout. The token may have expired: the gateway's `allow_expired` is for this. */
async function sendLogout(url: string, logout: QueuedLogout): Promise<Sent> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), timeout);
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { Authorization: `Bearer ${logout.token}` },
      credentials: "omit",
      cache: "no-store",
      signal: controller.signal,
    });
    if (response.ok) return "done";
    const answer = await gateAnswer(response, "POST");
    // Revoked: an earlier try did it, and its answer got lost. Expired: by more than
    // allow_expired, so the token is worthless without us.
    if (answer?.code === "token_revoked" || answer?.code === "token_expired") return "done";
    if (answer?.action === "retry") return { again: answer.wait };
    if (response.status === 429 || response.status >= 500) return { again: retryAfter(response.headers) };
    return "refused";
  } catch {
    return { again: undefined };
  } finally {
    clearTimeout(timer);
  }
}
