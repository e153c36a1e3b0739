export { Session, LoginRequiredError, SessionUnavailableError, type Options } from "./session";
export { ServerClock } from "./clock";
export { gateAnswer, type Action, type GateAnswer } from "./answer";
export { webLocks, type Exclusive } from "./state";
export { asyncStorage, indexedDBStore, MemoryStore, secureStore, type Store } from "./store";
export type { TokenAnswer } from "./tokens";
