import Foundation

/// A logout that has not reached the gateway, and how often it was answered without success.
struct QueuedLogout: Codable {
    let token: String
    var refused = 0
}

/// How a queued logout went.
enum LogoutSent {
    case done
    /// No network, or somebody who cannot decide: it counts as not asked. With the seconds of a Retry-After.
    case again(TimeInterval)
    /// Answered with something else than success: worth some more tries, not endless ones.
    case refused
}

extension Array where Element == QueuedLogout {
    /// After so many refusals a logout is given up: it is not going to succeed any more.
    private static var maxRefusals: Int { 20 }
    private static var maxQueued: Int { 20 }

    /// The oldest of too many is forgotten.
    mutating func enqueue(_ token: String) {
        append(QueuedLogout(token: token))
        if count > Self.maxQueued { removeFirst(count - Self.maxQueued) }
    }

    mutating func settle(_ token: String, _ sent: LogoutSent) {
        guard let n = firstIndex(where: { $0.token == token }) else { return }
        switch sent {
        case .again: return
        case .done: remove(at: n)
        case .refused:
            self[n].refused += 1
            if self[n].refused >= Self.maxRefusals { remove(at: n) }
        }
    }
}

/// Sends one logout. The token may have expired: the gateway's `allow_expired` is for this.
func sendLogout(_ url: URL, token: String, http: URLSession) async -> LogoutSent {
    var request = URLRequest(url: url, cachePolicy: .reloadIgnoringLocalCacheData, timeoutInterval: 10)
    request.httpMethod = "POST"
    request.setValue("Bearer \(token)", forHTTPHeaderField: "Authorization")
    guard let (data, answer) = try? await http.data(for: request), let response = answer as? HTTPURLResponse else { return .again(0) }
    if (200 ..< 300).contains(response.statusCode) { return .done }
    let gate = GateAnswer(response, data, method: "POST")
    // Revoked: an earlier try did it, and its answer got lost. Expired: by more than
    // allow_expired, so the token is worthless without us.
    if gate?.code == "token_revoked" || gate?.code == "token_expired" { return .done }
    if let gate, gate.action == .retry { return .again(gate.wait) }
    if response.statusCode == 429 || response.statusCode >= 500 { return .again(GateAnswer.retryAfter(response) ?? 0) }
    return .refused
}
