// swift-tools-version:5.7
import PackageDescription

let package = Package(
    name: "Session",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [.library(name: "Session", targets: ["Session"])],
    targets: [.target(name: "Session")]
)
