// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .strictMemorySafety(), .treatAllWarnings(as: .error), .treatWarning("StrictMemorySafety", as: .warning),
]

func library(_ name: String, resources: [Resource] = [], _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, resources: resources, swiftSettings: strict)
}

func tests(
    _ name: String, _ dependencies: [Target.Dependency], exclude: [String] = [], resources: [Resource] = []
) -> Target {
    .testTarget(
        name: name, dependencies: dependencies, exclude: exclude, resources: resources,
        swiftSettings: [.treatAllWarnings(as: .error)])
}

// Kernels are optimised in debug builds too, where they would be 20 to 50 times slower.
#if arch(x86_64)
    let kernelFlags = ["-O3", "-ffp-contract=fast", "-fno-math-errno", "-mprefer-vector-width=512"]
#else
    let kernelFlags = ["-O3", "-ffp-contract=fast", "-fno-math-errno"]
#endif

let package = Package(
    name: "kvlab",
    products: [.executable(name: "kvlab", targets: ["kvlab"])],
    dependencies: [
        .package(path: "Packages/JSON"),
        .package(path: "Packages/Jinja"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections.git", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0"),
    ],
    targets: [
        // System libraries and C: what Swift cannot say.
        .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
        .systemLibrary(name: "CHDF5", pkgConfig: "hdf5-serial", providers: [.apt(["libhdf5-dev"])]),
        .systemLibrary(name: "CMalloc"),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .target(name: "CKernels", cSettings: [.unsafeFlags(kernelFlags)]),
        .target(name: "CFiles"),
        .target(name: "CThreads"),

        // The pipeline, in the order data flows through it. `.ci/modules` checks each target's imports.
        library("Files", ["CFiles", "CZlib", "CZstd", .product(name: "Crypto", package: "swift-crypto")]),
        library("Console"),
        library("Random"),
        library("Threads", ["CThreads"]),
        library(
            "Text", ["Files", "JSON", "Jinja", "Random", "Threads", .product(name: "HeapModule", package: "swift-collections")]),
        library("Kernels", ["CKernels", "COpenBLAS", "Files", "Threads"]),
        library("Autograd", ["Kernels"]),
        library("Models", ["Autograd", "Files", "Kernels", "Random"]),
        library("HDF5", ["CHDF5"]),
        library("Checkpoints", ["Files", "HDF5", "JSON", "Kernels", "Models", "Text"]),
        library("Inference", ["Files", "JSON", "Kernels", "Models", "Random", "Text"]),
        library("Training", ["Autograd", "Checkpoints", "Files", "Inference", "Kernels", "Models", "Random", "Text"]),
        library(
            "Evaluation",
            [
                "Autograd", "Files", "Inference", "JSON", "Jinja", "Kernels", "Models", "Random", "Text",
                .product(name: "Yams", package: "Yams"),
            ]),
        library("Conversion", ["Autograd", "Checkpoints", "Evaluation", "Files", "Kernels", "Models", "Random", "Text"]),
        library(
            "Recipes", ["Checkpoints", "Conversion", "Evaluation", "Files", "Inference", "JSON", "Kernels", "Models", "Text"]),
        library(
            "Registry",
            ["Checkpoints", "Console", "Files", "JSON", "Models", "Training", .product(name: "GRDB", package: "GRDB.swift")]),
        library(
            "Experiments",
            [
                "Autograd", "Checkpoints", "Console", "Conversion", "Evaluation", "Files", "Inference", "JSON", "Kernels",
                "Models", "Random", "Recipes", "Registry", "Text", "Threads", "Training",
            ]),
        library(
            "Server", resources: ["playground.html", "playground.css", "playground.js"].map { .embedInCode("Playground/" + $0) },
            [
                "Console", "Files", "Inference", "JSON", "Jinja", "Text", "Threads",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"), .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ]),
        // Benchmark and load programs.
        library(
            "Benchmarking",
            [
                "Autograd", "Inference", "JSON", "Kernels", "Models", "Random", "Text", "Training",
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
            ]),
        .executableTarget(
            name: "kvlab",
            dependencies: [
                "Autograd", "Benchmarking", "CMalloc", "Checkpoints", "Console", "Conversion", "Evaluation", "Experiments",
                "Files", "Inference",
                "JSON", "Kernels", "Models", "Random", "Recipes", "Registry", "Server", "Text", "Threads", "Training",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .target(name: "Documentation", path: "Documentation"),

        .target(
            name: "TestSupport", dependencies: ["Autograd", "Checkpoints", "JSON", "Kernels", "Models", "Random", "Text"],
            path: "Tests/TestSupport", swiftSettings: [.treatAllWarnings(as: .error)]),
        tests("ConsoleTests", ["Console", "TestSupport"]),
        tests("ThreadsTests", ["Threads"]),
        tests("FilesTests", ["Files", "TestSupport"]),
        tests("TextTests", ["Files", "Random", "TestSupport", "Text"], exclude: ["Fixtures"]),
        tests("KernelsTests", ["CKernels", "Kernels", "Random", "TestSupport"], exclude: ["Fixtures"]),
        tests("AutogradTests", ["Autograd", "Kernels", "TestSupport", "Threads"]),
        tests("ModelsTests", ["Autograd", "Kernels", "Models", "Random", "TestSupport", "Threads"], exclude: ["Fixtures"]),
        tests("HDF5Tests", ["CHDF5", "HDF5", "TestSupport"]),
        tests("RecipesTests", ["Inference", "JSON", "Kernels", "Models", "Recipes", "TestSupport"]),
        tests(
            "CheckpointsTests",
            [
                "Autograd", "Checkpoints", "Files", "HDF5", "Inference", "JSON", "Kernels", "Models", "Random", "TestSupport",
                "Text",
            ],
            exclude: ["Fixtures"]),
        .target(
            name: "FuzzTargets",
            dependencies: [
                "Checkpoints", "Evaluation", "Experiments", "Files", "JSON", "Jinja", "Models", "Random", "TestSupport", "Text",
            ],
            path: "Tests/FuzzTargets", exclude: ["Corpus"], swiftSettings: [.treatAllWarnings(as: .error)]),
        tests("FuzzTests", ["FuzzTargets", "Random"]),
        tests("InferenceTests", ["Checkpoints", "Files", "Inference", "Kernels", "Models", "Random", "TestSupport", "Text"]),
        tests("SeamTests", ["Inference", "Kernels", "Models", "Random", "TestSupport", "Text", "Threads"]),
        tests(
            "TrainingTests", ["Checkpoints", "Inference", "Kernels", "Models", "Random", "TestSupport", "Text", "Training"],
            exclude: ["Fixtures"]),
        tests(
            "EvaluationTests",
            ["Checkpoints", "Evaluation", "Files", "Inference", "JSON", "Kernels", "Models", "Random", "TestSupport", "Text"],
            exclude: ["Fixtures"]),
        tests("ConversionTests", ["Autograd", "Checkpoints", "Conversion", "Kernels", "Models", "Random", "TestSupport"]),
        tests(
            "ExperimentsTests",
            [
                "Autograd", "Checkpoints", "Conversion", "Evaluation", "Experiments", "Files", "Inference", "Kernels", "Models",
                "Random", "Recipes", "Registry", "TestSupport", "Text", "Training",
            ]),
        tests(
            "ServerTests",
            [
                "Benchmarking", "Checkpoints", "Evaluation", "Inference", "JSON", "Kernels", "Models", "Random", "Server",
                "TestSupport", "Text",
                "kvlab", .product(name: "Logging", package: "swift-log"),
            ]),
        tests("BenchmarkingTests", ["Benchmarking", "Inference", "Models", "TestSupport", "Text"]),
        tests("RegistryTests", ["Checkpoints", "Files", "Registry", "TestSupport", "Training"]),
        tests(
            "KvlabTests",
            ["Recipes", "TestSupport", "kvlab", .product(name: "ArgumentParser", package: "swift-argument-parser")]),
        tests(
            "TortureTests", ["Checkpoints", "FuzzTargets", "JSON", "Random", "TestSupport", "Threads", "kvlab"]),
    ],
    swiftLanguageModes: [.v6]
)

// libFuzzer is linked only where it is asked for: `make fuzz`.
if Context.environment["KVLAB_LIBFUZZER"] != nil {
    package.targets.append(
        .executableTarget(
            name: "fuzzer", dependencies: ["FuzzTargets"], path: "Tests/Fuzzer", exclude: ["run"],
            swiftSettings: [.treatAllWarnings(as: .error)]))
}
