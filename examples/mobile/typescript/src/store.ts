/** Where a session outlives the app's process. One text, read and replaced as a whole. */
export interface Store {
  load(): Promise<string | null>;
  save(text: string): Promise<void>;
}

/** A logout that has not reached the gateway. */
export interface QueuedLogout {
  token: string;
  /** How often it was answered, and not with success. */
  refused: number;
}

/** For tests, and for apps whose sessions end with the process. */
export class MemoryStore implements Store {
  private text: string | null = null;
  async load(): Promise<string | null> {
    return this.text;
  }
  async save(text: string): Promise<void> {
    this.text = text;
  }
}

/** The shape of expo-secure-store. */
export interface SecureStoreLike {
  getItemAsync(key: string): Promise<string | null>;
  setItemAsync(key: string, value: string): Promise<void>;
}

/** Keeps the session in the device's keychain: `secureStore(SecureStore, "session")`. */
export function secureStore(store: SecureStoreLike, key: string): Store {
  return { load: () => store.getItemAsync(key), save: (text) => store.setItemAsync(key, text) };
}

/** The shape of AsyncStorage, and of encrypted stores with the same methods. */
export interface AsyncStorageLike {
  getItem(key: string): Promise<string | null>;
  setItem(key: string, value: string): Promise<void>;
}

/** AsyncStorage itself is not encrypted: give it a store that is. */
export function asyncStorage(store: AsyncStorageLike, key: string): Store {
  return { load: () => store.getItem(key), save: (text) => store.setItem(key, text) };
}

/** For a PWA. A script that gets into the page can read it: keep access tokens short-lived. */
export function indexedDBStore(database = "session"): Store {
  const name = "state";
  const open = () =>
    new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open(database, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(name);
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const run = async <T>(mode: IDBTransactionMode, work: (s: IDBObjectStore) => IDBRequest<T>): Promise<T> => {
    const db = await open();
    try {
      return await new Promise<T>((resolve, reject) => {
        const transaction = db.transaction(name, mode);
        const request = work(transaction.objectStore(name));
        transaction.oncomplete = () => resolve(request.result);
        transaction.onabort = () => reject(transaction.error);
      });
    } finally {
      db.close();
    }
  };
  return {
    load: async () => ((await run("readonly", (s) => s.get(name))) as string | undefined) ?? null,
    save: async (text) => void (await run("readwrite", (s) => s.put(text, name))),
  };
}
