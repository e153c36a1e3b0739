/** What an answer of the gate asks for; see docs/mobile.md. */
export type Action = "refresh" | "login" | "retry" | "none";

export interface GateAnswer {
  action: Action;
  code: string;
  /** Milliseconds to wait before `retry`. */
  wait: number;
}

const actions: readonly string[] = ["refresh", "login", "retry", "none"];

/**
 * Reads an answer of the gate; undefined if it comes from anybody else: the API
 * behind it, a proxy, a captive portal. Those say nothing about the session.
 * The caller's body is left unread.
 */
export async function gateAnswer(response: Response, method: string): Promise<GateAnswer | undefined> {
  const status = response.status;
  if (status !== 400 && status !== 401 && status !== 403 && status !== 503) return undefined;
  const wait = retryAfter(response.headers) ?? 1000;
  if (method === "HEAD") return withoutBody(response, wait);
  const type = response.headers.get("Content-Type") ?? "";
  if (!type.startsWith("application/problem+json")) return undefined;
  try {
    const body: unknown = await response.clone().json();
    if (typeof body !== "object" || body === null) return undefined;
    const { action, code } = body as Record<string, unknown>;
    if (typeof action !== "string" || typeof code !== "string" || !actions.includes(action)) return undefined;
    return { action: action as Action, code, wait };
  } catch {
    return undefined; // cut off on the way: no word of the gate
  }
}

/** An answer to HEAD has no body, and its headers do not tell expired from revoked: a refresh will. */
function withoutBody(response: Response, wait: number): GateAnswer | undefined {
  const challenge = response.headers.get("WWW-Authenticate") ?? "";
  if (response.status === 401 && challenge.includes('error="invalid_token"')) {
    return { action: response.headers.has("Retry-After") ? "retry" : "refresh", code: "", wait };
  }
  if (response.status === 503 && response.headers.has("Retry-After")) return { action: "retry", code: "", wait };
  return undefined;
}

/** Milliseconds of a Retry-After in seconds, the only form that the gate uses. */
export function retryAfter(headers: Headers): number | undefined {
  const value = headers.get("Retry-After") ?? "";
  return /^\d{1,9}$/.test(value) ? Number(value) * 1000 : undefined;
}
