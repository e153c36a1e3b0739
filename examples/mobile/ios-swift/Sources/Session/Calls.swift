import Foundation

extension Session {
    private static let idempotent: Set<String> = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"]
    // With these no connection was made, so nothing was sent, whatever the request is.
    private static let notSent: Set<URLError.Code> = [.cannotFindHost, .cannotConnectToHost, .dnsLookupFailed, .notConnectedToInternet]
    private static let hopeless: Set<URLError.Code> = [
        .cancelled, .badURL, .unsupportedURL, .secureConnectionFailed, .serverCertificateUntrusted,
        .serverCertificateHasBadDate, .serverCertificateHasUnknownRoot, .serverCertificateNotYetValid,
        .appTransportSecurityRequiresSecureConnection,
    ]

    /// Sends a request with the session's token. The gate answers a request at most twice; a
    /// request that is not idempotent is sent again only after such an answer, or if no
    /// connection was made. Throws `SessionError`, and what URLSession throws.
    public func data(for original: URLRequest) async throws -> (Data, HTTPURLResponse) {
        guard let url = original.url?.absoluteString, url.hasPrefix(options.api + "/") else {
            throw URLError(.unsupportedURL) // the token goes to the API alone
        }
        guard let login else { throw SessionError.loginRequired }
        let call = Call(login, deadline: clock.elapsed + options.patience)
        calls[ObjectIdentifier(call)] = call
        defer { calls[ObjectIdentifier(call)] = nil }
        do {
            return try await run(call, original)
        } catch where self.login !== login && !Task.isCancelled {
            throw SessionError.loginRequired // whatever broke off because the session ended
        }
    }

    private func run(_ call: Call, _ original: URLRequest) async throws -> (Data, HTTPURLResponse) {
        let method = original.httpMethod ?? "GET"
        var request = original
        while true {
            let token = try await usable(call)
            request.setValue("Bearer \(token)", forHTTPHeaderField: "Authorization")
            let data: Data
            let response: HTTPURLResponse
            do {
                (data, response) = try await send(request, call)
            } catch let error as URLError {
                guard call.login === login, !Self.hopeless.contains(error.code), original.httpBodyStream == nil,
                      Self.notSent.contains(error.code) || Self.idempotent.contains(method)
                        || original.value(forHTTPHeaderField: "Idempotency-Key") != nil,
                      try await pause(call, Self.backoff(call.failures)) else { throw error }
                call.failures += 1
                continue
            }
            clock.learn(response)
            let answer = GateAnswer(response, data, method: method)
            if try await !again(call, token, answer) || original.httpBodyStream != nil { return (data, response) }
        }
    }

    private func send(_ request: URLRequest, _ call: Call) async throws -> (Data, HTTPURLResponse) {
        let http = options.http
        let task = Task { try await http.data(for: request) }
        call.sending = task
        defer { call.sending = nil }
        let (data, response) = try await withTaskCancellationHandler { try await task.value } onCancel: { task.cancel() }
        guard let response = response as? HTTPURLResponse else { throw URLError(.badServerResponse) }
        return (data, response)
    }

    /// Draws the conclusions from an answer, and says whether to repeat the request.
    private func again(_ call: Call, _ token: String, _ answer: GateAnswer?) async throws -> Bool {
        let login = call.login
        let current = token == login.tokens.access
        guard let answer, answer.action != GateAnswer.Action.none else { // the token is good, or the request was bad
            if current {
                login.accepted = true
                login.refusals = 0
            }
            return false
        }
        switch answer.action {
        case .login:
            // What is true of an old token need not be true of its successor.
            if current { end(login, answer.code, heardBy: call) }
            if current || call.repeated { return false }
        case .refresh:
            if current { refused(login, answer.code, call) }
            if call.repeated { return false }
        default:
            if call.repeated { return false }
            guard try await pause(call, answer.wait * Double.random(in: 1 ... 1.2)) else { return false }
        }
        call.repeated = true
        return self.login === login
    }

    /// The access token to send, refreshed if need be.
    private func usable(_ call: Call) async throws -> String {
        let login = call.login
        while true {
            try check(call)
            let now = clock.elapsed
            let left = self.left(login.tokens)
            let margin = min(options.margin, (login.tokens.life ?? .infinity) / 3)
            // Still good: nobody waits for a slow issuer.
            let good = !login.stale && left > min(1, margin / 2)
            if good, left <= margin, now >= login.notBefore { refresh(login) }
            if good { return login.tokens.access }
            if now >= call.deadline || login.notBefore > call.deadline { throw SessionError.unavailable }
            if now >= login.notBefore { refresh(login) }
            try await Task.sleep(nanoseconds: 50_000_000)
        }
    }

    /// Waits; false at once if the call has not so much patience left.
    private func pause(_ call: Call, _ seconds: TimeInterval) async throws -> Bool {
        guard clock.elapsed + seconds <= call.deadline else { return false }
        try await Task.sleep(nanoseconds: UInt64(seconds * 1e9))
        try check(call)
        return true
    }

    private func check(_ call: Call) throws {
        guard login === call.login else { throw SessionError.loginRequired }
        try Task.checkCancellation()
    }

    /// Seconds until the token expires. Without the server's time we do not know, and let the gate say.
    private func left(_ tokens: Tokens) -> TimeInterval {
        guard let now = clock.now, let expires = tokens.expires else { return .infinity }
        return expires - now
    }

    private func refresh(_ login: Login) {
        guard !login.refreshing else { return }
        login.refreshing = true
        Task { await refreshOnce(login) }
    }

    private func refreshOnce(_ login: Login) async {
        defer { login.refreshing = false }
        guard let token = login.tokens.refresh else { return end(login, "no refresh token") }
        let result = await refreshTokens(options.tokenURL, clientID: options.clientID, token: token, http: options.http, timeout: options.refreshTimeout)
        guard self.login === login else {
            // Too late: what came is logged out like what it replaces.
            if login.loggedOut, case .granted(let answer, _) = result {
                logouts.enqueue(answer.access_token)
                save()
                flushLogouts()
            }
            return
        }
        switch result {
        case .granted(let answer, let response):
            let told = clock.learn(response)
            login.tokens = Tokens(answer, refresh: token, clock: clock)
            // Without a Date, a token that is fresh tells the time as well.
            if !told, let expires = login.tokens.expires, let life = login.tokens.life { clock.set(expires - life) }
            login.stale = false
            login.accepted = false
            login.failures = 0
            save() // on disk before anybody uses them: the old refresh token is worthless now
        case .refused:
            end(login, "invalid_grant")
        case .later(let wait):
            login.notBefore = clock.elapsed + max(Self.backoff(login.failures), min(wait, 60))
            login.failures += 1
        }
    }

    private func refused(_ login: Login, _ code: String, _ call: Call) {
        if login.stale { return } // of parallel calls with one token the first counts
        let now = clock.elapsed
        if !login.accepted {
            // Fresh, and refused: another one will hardly do better, so ask ever more slowly.
            if login.refusals == 0 { login.refusedSince = now }
            if code == "token_invalid", now - login.refusedSince > Self.refusedTooLong { return end(login, code, heardBy: call) }
            login.notBefore = max(login.notBefore, now + Self.backoff(login.refusals))
            login.refusals += 1
        }
        login.stale = true
    }
}
