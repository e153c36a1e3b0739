import Foundation

public struct Options: Sendable {
    /// The API without a slash at the end, `https://api.example.com`. The token goes nowhere else.
    public var api: String
    public var tokenURL: URL
    public var clientID: String
    public var logoutURL: URL
    public var store: Store
    /// The session is over and the user must log in. Called once a session, never for `logout()`.
    public var onLoginRequired: @Sendable (String) -> Void = { _ in }
    public var onStoreError: @Sendable (Error) -> Void = { _ in }
    /// For how many seconds a call may wait in all for the network, the gateway and the issuer.
    public var patience: TimeInterval = 15
    /// How many seconds before its end a token is refreshed, at most a third of its life.
    public var margin: TimeInterval = 30
    public var refreshTimeout: TimeInterval = 10
    public var http = URLSession(configuration: .ephemeral)

    public init(api: String, tokenURL: URL, clientID: String, logoutURL: URL, store: Store) {
        self.api = api
        self.tokenURL = tokenURL
        self.clientID = clientID
        self.logoutURL = logoutURL
        self.store = store
    }
}

public enum SessionError: Error {
    /// There is no session, or not any more. The call was not sent, or its answer is of no use.
    case loginRequired
    /// No good token could be had in time. The session is kept: try again later.
    case unavailable
}

/// The app's session: one a process. State changes only between awaits, so each step below
/// asks again whether its login is still the current one.
public actor Session {
    /// One login, from its first tokens to its end. A call belongs to the one it began with.
    final class Login {
        var tokens: Tokens
        /// The access token was refused: the next call refreshes first.
        var stale = false
        /// The gate has let the access token through.
        var accepted: Bool
        /// Since when tokens were refused that were fresh, and how many in a row.
        var refusedSince: TimeInterval = 0
        var refusals = 0
        var failures = 0
        /// No refresh before this.
        var notBefore = -TimeInterval.infinity
        var refreshing = false
        var loggedOut = false

        init(_ tokens: Tokens, accepted: Bool) {
            self.tokens = tokens
            self.accepted = accepted
        }
    }

    final class Call {
        let login: Login
        let deadline: TimeInterval
        var repeated = false
        var failures = 0
        var sending: Task<(Data, URLResponse), Error>?

        init(_ login: Login, deadline: TimeInterval) {
            self.login = login
            self.deadline = deadline
        }
    }

    // A key that the issuer has just begun to sign with may be unknown to the gateway for
    // half a minute: fresh tokens that are refused for a shorter time end no session.
    static let refusedTooLong: TimeInterval = 60

    let options: Options
    var clock = ServerClock()
    var login: Login?
    var logouts: [QueuedLogout] = []
    var calls: [ObjectIdentifier: Call] = [:]
    var flushing = false
    var flushFailures = 0

    /// Takes up what the store holds. Call `flushLogouts()` next.
    public init(_ options: Options) {
        self.options = options
        do {
            guard let data = try options.store.load() else { return }
            let state = try JSONDecoder().decode(State.self, from: data)
            login = state.session.map { Login($0, accepted: true) }
            logouts = state.logouts
        } catch {
            options.onStoreError(error)
        }
    }

    public var signedIn: Bool { login != nil }

    /// How many logouts have not reached the gateway.
    public var queuedLogouts: Int { logouts.count }

    /// Begins a session with what the issuer answered to the app's login.
    public func signIn(_ answer: TokenAnswer) {
        leave()
        login = Login(Tokens(answer, refresh: nil, clock: clock), accepted: false)
        save()
    }

    /// Ends the session on this device at once, and at the gateway as soon as it can be
    /// reached. No call goes out after this began. Returns whether the gateway knows.
    public func logout() async -> Bool {
        if let login {
            login.loggedOut = true
            leave()
            logouts.enqueue(login.tokens.access)
            save()
        }
        flushLogouts()
        let deadline = clock.elapsed + 5
        while flushing, clock.elapsed < deadline { try? await Task.sleep(nanoseconds: 50_000_000) }
        return logouts.isEmpty
    }

    /// Sends the queued logouts. Call it when the network is back; it tries again by itself, too.
    public func flushLogouts() {
        guard !flushing, !logouts.isEmpty else { return }
        flushing = true
        Task { await flush() }
    }

    private func flush() async {
        var asked: Set<String> = []
        var wait: TimeInterval = 0
        while let next = logouts.first(where: { !asked.contains($0.token) }) {
            asked.insert(next.token)
            let sent = await sendLogout(options.logoutURL, token: next.token, http: options.http)
            if case .again(let seconds) = sent { wait = max(wait, seconds) }
            logouts.settle(next.token, sent)
            save()
        }
        flushing = false
        flushFailures = logouts.isEmpty ? 0 : flushFailures + 1
        guard flushFailures > 0 else { return }
        let seconds = max(wait, min(2 * pow(2, Double(flushFailures)), 300))
        Task {
            try? await Task.sleep(nanoseconds: UInt64(seconds * 1e9))
            flushLogouts()
        }
    }

    /// The session is over without the user's doing. The call that heard of it gets its answer.
    func end(_ login: Login, _ why: String, heardBy call: Call? = nil) {
        guard self.login === login else { return }
        if let call { calls[ObjectIdentifier(call)] = nil }
        leave()
        save()
        options.onLoginRequired(why)
    }

    /// Nothing is sent for the login from here on.
    private func leave() {
        login = nil
        for call in calls.values { call.sending?.cancel() }
    }

    func save() {
        do {
            try options.store.save(JSONEncoder().encode(State(session: login?.tokens, logouts: logouts)))
        } catch {
            options.onStoreError(error)
        }
    }

    /// Half a second, then twice as long each time, up to five; half of it at random, so that devices spread.
    static func backoff(_ failures: Int) -> TimeInterval {
        min(0.5 * pow(2, Double(min(failures, 10))), 5) * Double.random(in: 0.5 ... 1)
    }
}
