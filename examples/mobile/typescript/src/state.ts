import type { Tokens } from "./tokens";
import type { QueuedLogout, Store } from "./store";

/** What is kept across restarts. */
export interface State {
  session: Tokens | undefined;
  logouts: QueuedLogout[];
}

/** Runs `work` while nobody else who uses the same name does. */
export type Exclusive = <T>(name: string, work: () => Promise<T>) => Promise<T>;

/** For pages: the tabs of a PWA share one session, so they must not refresh it side by side. */
export const webLocks =
  (prefix = "session"): Exclusive =>
  async (name, work) =>
    (await navigator.locks.request(`${prefix}:${name}`, work)) as Awaited<ReturnType<typeof work>>;

/** The stored state. Changes are made one after the other, each to what the store holds. */
export class StateFile {
  state: State = { session: undefined, logouts: [] };
  private last: Promise<void> = Promise.resolve();

  constructor(
    private readonly store: Store,
    private readonly exclusive: Exclusive,
    private readonly failed: (error: unknown) => void,
  ) {}

  /** Reads the store. If it cannot be read, what is in memory counts. */
  async load(): Promise<State> {
    try {
      const text = await this.store.load();
      if (text) this.state = parse(text);
    } catch (error) {
      this.failed(error);
    }
    return this.state;
  }

  /** It does not throw: a session whose store fails goes on until the process ends. */
  change(f: (state: State) => State): Promise<void> {
    const work = async () => {
      this.state = f(await this.load());
      await this.store.save(JSON.stringify(this.state));
    };
    return (this.last = this.last.then(() => this.exclusive("store", work)).catch(this.failed));
  }
}

function parse(text: string): State {
  const value = JSON.parse(text) as Partial<State>;
  const session = value.session;
  return {
    session: session && typeof session.access === "string" ? { ...session } : undefined,
    logouts: (value.logouts ?? []).filter((l) => typeof l.token === "string"),
  };
}
