import Foundation

/// What a token endpoint answered (RFC 6749 section 5.1).
public struct TokenAnswer: Decodable {
    public let access_token: String
    public let refresh_token: String?
    public let expires_in: Double?
}

/// The tokens of a session. Times are the server's, in seconds.
struct Tokens: Codable {
    let access: String
    let refresh: String?
    /// When the access token expires; nil if nobody said.
    let expires: TimeInterval?
    /// For how long it was issued.
    let life: TimeInterval?

    /// Reads a token answer that has just come.
    init(_ answer: TokenAnswer, refresh old: String?, clock: ServerClock) {
        let claims = Self.claims(answer.access_token)
        let exp = claims["exp"] as? Double
        let iat = claims["iat"] as? Double
        access = answer.access_token
        refresh = answer.refresh_token ?? old
        if let exp {
            expires = exp
        } else if let now = clock.now, let spoken = answer.expires_in {
            expires = now + spoken
        } else {
            expires = nil
        }
        if let spoken = answer.expires_in {
            life = spoken
        } else if let exp, let iat {
            life = exp - iat
        } else {
            life = nil
        }
    }

    /// The claims of a JWT, unverified: they only say when to refresh.
    private static func claims(_ token: String) -> [String: Any] {
        let parts = token.split(separator: ".")
        guard parts.count == 3 else { return [:] }
        var text = parts[1].replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
        text += String(repeating: "=", count: (4 - text.count % 4) % 4)
        guard let data = Data(base64Encoded: text) else { return [:] }
        return (try? JSONSerialization.jsonObject(with: data) as? [String: Any]) ?? [:]
    }
}

/// How a refresh went.
enum Refreshed {
    case granted(TokenAnswer, HTTPURLResponse)
    /// The issuer has ended the session.
    case refused
    /// Anything else: the session may be as good as ever. With the seconds of a Retry-After.
    case later(TimeInterval)
}

/// Asks for new tokens once. No failure here is the user's.
func refreshTokens(_ url: URL, clientID: String, token: String, http: URLSession, timeout: TimeInterval) async -> Refreshed {
    var allowed = CharacterSet.alphanumerics
    allowed.insert(charactersIn: "-._~")
    func form(_ s: String) -> String { s.addingPercentEncoding(withAllowedCharacters: allowed) ?? "" }
    var request = URLRequest(url: url, cachePolicy: .reloadIgnoringLocalCacheData, timeoutInterval: timeout)
    request.httpMethod = "POST"
    request.setValue("application/x-www-form-urlencoded", forHTTPHeaderField: "Content-Type")
    request.setValue("application/json", forHTTPHeaderField: "Accept")
    request.httpBody = Data("grant_type=refresh_token&refresh_token=\(form(token))&client_id=\(form(clientID))".utf8)
    guard let (data, answer) = try? await http.data(for: request), let response = answer as? HTTPURLResponse else { return .later(0) }
    if response.statusCode == 200, let tokens = try? JSONDecoder().decode(TokenAnswer.self, from: data) {
        return .granted(tokens, response)
    }
    // Only invalid_grant says that the session is over (RFC 6749 section 5.2); a wrong
    // client_id, for one, is a mistake in a release of the app.
    let body = (try? JSONSerialization.jsonObject(with: data) as? [String: Any]) ?? [:]
    if [400, 401].contains(response.statusCode), body["error"] as? String == "invalid_grant" { return .refused }
    return .later(GateAnswer.retryAfter(response) ?? 0)
}
