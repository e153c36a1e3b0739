import Foundation

/// What an answer of the gate asks for; see docs/mobile.md.
public struct GateAnswer {
    public enum Action: String { case refresh, login, retry, none }

    public let action: Action
    public let code: String
    /// Seconds to wait before `.retry`.
    public let wait: TimeInterval

    /// Reads an answer of the gate; nil if it comes from anybody else: the API behind it, a
    /// proxy, a captive portal. Those say nothing about the session.
    public init?(_ response: HTTPURLResponse, _ data: Data, method: String) {
        guard [400, 401, 403, 503].contains(response.statusCode) else { return nil }
        let later = Self.retryAfter(response)
        self.wait = later ?? 1
        if method == "HEAD" {
            // There is no body, and the headers do not tell expired from revoked: a refresh will.
            let challenge = response.value(forHTTPHeaderField: "WWW-Authenticate") ?? ""
            self.code = ""
            switch response.statusCode {
            case 401 where challenge.contains("error=\"invalid_token\""): self.action = later == nil ? .refresh : .retry
            case 503 where later != nil: self.action = .retry
            default: return nil
            }
            return
        }
        guard response.value(forHTTPHeaderField: "Content-Type")?.hasPrefix("application/problem+json") == true,
              let body = try? JSONSerialization.jsonObject(with: data) as? [String: Any],
              let word = body["action"] as? String, let action = Action(rawValue: word),
              let code = body["code"] as? String else { return nil }
        self.action = action
        self.code = code
    }

    /// Seconds of a Retry-After in its number form, the only one that the gate uses.
    static func retryAfter(_ response: HTTPURLResponse) -> TimeInterval? {
        guard let text = response.value(forHTTPHeaderField: "Retry-After"), let n = UInt32(text) else { return nil }
        return TimeInterval(n)
    }
}
