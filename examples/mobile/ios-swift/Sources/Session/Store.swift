import Foundation

/// Where a session outlives the app's process: one value, read and replaced as a whole.
public protocol Store: Sendable {
    func load() throws -> Data?
    func save(_ data: Data) throws
}

/// What is kept across restarts.
struct State: Codable {
    var session: Tokens?
    var logouts: [QueuedLogout] = []
}

/// Keeps the session in the keychain, on this device alone, readable once it was unlocked
/// after a start: background work goes on while the screen is locked.
public struct KeychainStore: Store {
    public struct Failure: Error { public let status: OSStatus }

    private let service: String

    public init(service: String) { self.service = service }

    private var query: [CFString: Any] {
        [kSecClass: kSecClassGenericPassword, kSecAttrService: service, kSecAttrAccount: "session"]
    }

    public func load() throws -> Data? {
        var found: CFTypeRef?
        let status = SecItemCopyMatching(query.merging([kSecReturnData: true]) { $1 } as CFDictionary, &found)
        if status == errSecItemNotFound { return nil }
        guard status == errSecSuccess else { throw Failure(status: status) }
        return found as? Data
    }

    public func save(_ data: Data) throws {
        var status = SecItemUpdate(query as CFDictionary, [kSecValueData: data] as CFDictionary)
        if status == errSecItemNotFound {
            let item = query.merging([kSecValueData: data, kSecAttrAccessible: kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly]) { $1 }
            status = SecItemAdd(item as CFDictionary, nil)
        }
        guard status == errSecSuccess else { throw Failure(status: status) }
    }
}
