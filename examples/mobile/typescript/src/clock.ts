/**
 * The server's time, as its `Date` headers told it. The device's clock is never
 * asked: a user may have set it to anything. Between two answers the time goes on
 * by a counter that nobody can set.
 */
export class ServerClock {
  private known: { server: number; elapsed: number } | undefined;

  /** @param elapsed milliseconds since some moment, never set back */
  constructor(readonly elapsed: () => number = () => performance.now()) {}

  /** The server's time in milliseconds; undefined until an answer told it. */
  now(): number | undefined {
    return this.known && this.known.server + (this.elapsed() - this.known.elapsed);
  }

  /**
   * Takes the time from an answer to a request that was sent at `sent` (by
   * `elapsed`); false if it has none to be believed. An answer out of a cache,
   * which has an `Age`, tells the past.
   */
  learn(headers: Headers, sent: number): boolean {
    const date = Date.parse(headers.get("Date") ?? "");
    if (Number.isNaN(date) || headers.has("Age")) return false;
    // A Date has whole seconds: on average the moment is half of one later.
    this.set(date + 500, (sent + this.elapsed()) / 2);
    return true;
  }

  /** The server's time was `server` when `elapsed` said `elapsed`. */
  set(server: number, elapsed: number): void {
    this.known = { server, elapsed };
  }
}
