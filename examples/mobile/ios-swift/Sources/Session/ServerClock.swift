import Foundation

/// The server's time, as its `Date` headers told it. The device's clock is never asked: a
/// user may have set it to anything. Between two answers the time goes on by a clock that
/// nobody can set, and that goes on while the device sleeps.
struct ServerClock {
    private let origin = ContinuousClock.now
    private var known: (server: TimeInterval, elapsed: TimeInterval)?

    private static let format: DateFormatter = {
        let f = DateFormatter()
        f.locale = Locale(identifier: "en_US_POSIX")
        f.timeZone = TimeZone(secondsFromGMT: 0)
        f.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        return f
    }()

    /// Seconds since some moment, never set back.
    var elapsed: TimeInterval {
        let d = origin.duration(to: .now).components
        return TimeInterval(d.seconds) + TimeInterval(d.attoseconds) / 1e18
    }

    /// The server's time in seconds since 1970; nil until an answer told it.
    var now: TimeInterval? { known.map { $0.server + (elapsed - $0.elapsed) } }

    /// Takes the time from an answer that has just come; false if it has none to be believed.
    /// An answer out of a cache, which has an `Age`, tells the past.
    @discardableResult
    mutating func learn(_ response: HTTPURLResponse) -> Bool {
        guard response.value(forHTTPHeaderField: "Age") == nil,
              let text = response.value(forHTTPHeaderField: "Date"),
              let date = Self.format.date(from: text) else { return false }
        // A Date has whole seconds: on average the moment is half of one later.
        set(date.timeIntervalSince1970 + 0.5)
        return true
    }

    mutating func set(_ server: TimeInterval) { known = (server, elapsed) }
}
