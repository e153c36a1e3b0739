import { gateAnswer, retryAfter } from "./answer";
import type { QueuedLogout } from "./store";

/** How a queued logout went. */
export type Sent =
  | "done"
  /** No network, or somebody who cannot decide: it counts as not asked. */
  | { again: number | undefined }
  /** Answered with something else than success: worth some more tries, not endless ones. */
  | "refused";

const timeout = 10_000;

/** After so many refusals a logout is given up: it is not going to succeed any more. */
export const maxRefusals = 20;
/** The oldest of more than so many logouts is forgotten. */
export const maxQueued = 20;

/** Sends one logout. The token may have expired: the gateway's `allow_expired` is for this. */
export async function sendLogout(url: string, logout: QueuedLogout): Promise<Sent> {
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
