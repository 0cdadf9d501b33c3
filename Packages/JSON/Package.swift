// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "JSON",
    products: [.library(name: "JSON", targets: ["JSON"])],
    targets: [
        .target(
            name: "JSON",
            swiftSettings: [
                .strictMemorySafety(), .treatAllWarnings(as: .error), .treatWarning("StrictMemorySafety", as: .warning),
            ]),
        .testTarget(name: "JSONTests", dependencies: ["JSON"], swiftSettings: [.treatAllWarnings(as: .error)]),
    ],
    swiftLanguageModes: [.v6]
)
