import { retryAfter } from "./answer";
import type { ServerClock } from "./clock";

/** What a token endpoint answered (RFC 6749 section 5.1). */
export interface TokenAnswer {
  access_token: string;
  refresh_token?: string;
  expires_in?: number;
}

/** The tokens of a session. Times are the server's, in milliseconds. */
export interface Tokens {
  access: string;
  refresh: string | undefined;
  /** When the access token expires; undefined if nobody said. */
  expires: number | undefined;
  /** For how long it was issued. */
  life: number | undefined;
}

export type Refreshed =
  | { kind: "tokens"; tokens: Tokens }
  /** The issuer has ended the session. */
  | { kind: "refused" }
  /** Anything else: the session may be as good as ever. */
  | { kind: "later"; wait: number | undefined };

/** Reads a token answer that came at once after `sent`. */
export function readTokens(answer: TokenAnswer, refresh: string | undefined, clock: ServerClock): Tokens {
  const { exp, iat } = times(answer.access_token);
  const spoken = typeof answer.expires_in === "number" ? answer.expires_in * 1000 : undefined;
  const now = clock.now();
  const expires = exp ?? (now !== undefined && spoken !== undefined ? now + spoken : undefined);
  const life = spoken ?? (exp !== undefined && iat !== undefined ? exp - iat : undefined);
  return { access: answer.access_token, refresh: answer.refresh_token ?? refresh, expires, life };
}

/** `exp` and `iat` of a JWT in milliseconds, unverified: they only say when to refresh. */
function times(token: string): { exp?: number; iat?: number } {
  try {
    const claims = JSON.parse(atob((token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/"))) as Record<string, unknown>;
    const read = (name: string) => (typeof claims[name] === "number" ? { [name]: (claims[name] as number) * 1000 } : {});
    return { ...read("exp"), ...read("iat") };
  } catch {
    return {}; // not a JWT, or a runtime without atob: expires_in has to do
  }
}

/** Asks for new tokens once. It never throws: no failure here is the user's. */
export async function refreshTokens(url: string, clientId: string, refresh: string, clock: ServerClock, timeout: number): Promise<Refreshed> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), timeout);
  try {
    const sent = clock.elapsed();
    const form = new URLSearchParams({ grant_type: "refresh_token", refresh_token: refresh, client_id: clientId });
    const response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/x-www-form-urlencoded", Accept: "application/json" },
      body: form.toString(),
      credentials: "omit",
      cache: "no-store",
      signal: controller.signal,
    });
    const told = clock.learn(response.headers, sent);
    const body = (await response.json()) as Record<string, unknown>;
    if (response.status === 200 && typeof body["access_token"] === "string") {
      const tokens = readTokens(body as unknown as TokenAnswer, refresh, clock);
      // Across origins a page may not read Date; a token that is fresh tells as well.
      if (!told && tokens.expires !== undefined && tokens.life !== undefined) clock.set(tokens.expires - tokens.life, sent);
      return { kind: "tokens", tokens };
    }
    // Only invalid_grant says that the session is over (RFC 6749 section 5.2); a wrong
    // client_id, for one, is a mistake in a release of the app.
    if ((response.status === 400 || response.status === 401) && body["error"] === "invalid_grant") return { kind: "refused" };
    return { kind: "later", wait: retryAfter(response.headers) };
  } catch {
    return { kind: "later", wait: undefined }; // no network, no answer in time, or no JSON
  } finally {
    clearTimeout(timer);
  }
}
