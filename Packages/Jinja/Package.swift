// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "Jinja",
    products: [.library(name: "Jinja", targets: ["Jinja"])],
    dependencies: [.package(path: "../JSON")],
    targets: [
        .target(
            name: "Jinja", dependencies: ["JSON"],
            swiftSettings: [
                .strictMemorySafety(), .treatAllWarnings(as: .error), .treatWarning("StrictMemorySafety", as: .warning),
            ]),
        .testTarget(
            name: "JinjaTests", dependencies: ["JSON", "Jinja"], exclude: ["Fixtures"],
            swiftSettings: [.treatAllWarnings(as: .error)]),
    ],
    swiftLanguageModes: [.v6]
)
