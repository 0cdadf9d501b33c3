// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .strictMemorySafety(), .treatAllWarnings(as: .error), .treatWarning("StrictMemorySafety", as: .warning),
]

func library(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(
    _ name: String, _ dependencies: [Target.Dependency], exclude: [String] = [], resources: [Resource] = []
) -> Target {
    .testTarget(
        name: name, dependencies: dependencies + ["TestSupport"], exclude: exclude, resources: resources,
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
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    ],
    targets: [
        // System libraries and C: what Swift cannot say.
        .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
        .systemLibrary(name: "CHDF5", pkgConfig: "hdf5-serial", providers: [.apt(["libhdf5-dev"])]),
        .systemLibrary(name: "CMalloc"),
        .target(name: "CKernels", cSettings: [.unsafeFlags(kernelFlags)]),
        .target(name: "CFiles"),

        // The pipeline, in the order data flows through it.
        library("Files", ["CFiles", .product(name: "Crypto", package: "swift-crypto")]),
        library("Console"),
        library("Random"),
        library("JSON"),
        library("Jinja", ["JSON"]),
        library("Text", ["Files", "JSON", "Random"]),
        library("Kernels", ["CKernels", "COpenBLAS", "Files"]),
        library("Autograd", ["Kernels"]),
        library("Models", ["Autograd", "Kernels", "Random"]),
        library("HDF5", ["CHDF5"]),
        library("Recipes", ["Kernels", "Models"]),
        library("Checkpoints", ["HDF5", "Files", "JSON", "Models", "Text"]),
        library("Inference", ["Models", "Kernels", "Random", "Text"]),
        library("Training", ["Random", "Recipes", "Models", "Text", "Checkpoints", "Inference", "Files"]),
        library("Evaluation", ["JSON", "Models", "Text", "Inference"]),
        library("Conversion", ["Random", "Models", "Text", "Checkpoints", "Training", "Evaluation"]),
        library(
            "Registry",
            ["Checkpoints", "Console", "Training", "Files", "JSON", .product(name: "GRDB", package: "GRDB.swift")]),
        library(
            "Experiments",
            [
                "Recipes", "Training", "Conversion", "Evaluation", "Inference", "Checkpoints", "Console", "Files", "Registry",
            ]),
        library(
            "Server",
            [
                "Console", "Inference", "JSON", "Jinja", "Kernels", "Random", "Text",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"), .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
            ]),
        .executableTarget(
            name: "kvlab",
            dependencies: [
                "CMalloc", "Console", "Files", "Text", "Kernels", "Autograd", "Models", "Checkpoints", "Inference", "Recipes", "Training",
                "Evaluation", "Conversion", "Experiments", "Registry", "Server", .product(name: "Logging", package: "swift-log"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),

        .target(
            name: "TestSupport", dependencies: ["Autograd", "Checkpoints", "Models", "Random", "Text"], path: "Tests/TestSupport",
            swiftSettings: [.treatAllWarnings(as: .error)]),
        tests("ConsoleTests", ["Console"]),
        tests("FilesTests", ["Files"]),
        tests("JSONTests", ["JSON"]),
        tests("TextTests", ["Text", "Files", "Random"], exclude: ["Fixtures"]),
        tests("KernelsTests", ["Kernels", "CKernels", "Random"]),
        tests("AutogradTests", ["Autograd", "Kernels", "Random"]),
        tests("ModelsTests", ["Models", "Autograd", "Kernels"], exclude: ["Fixtures"]),
        tests("HDF5Tests", ["HDF5"]),
        tests("RecipesTests", ["Recipes"]),
        tests("JinjaTests", ["Jinja", "JSON"], exclude: ["Fixtures"]),
        tests("CheckpointsTests", ["Checkpoints", "Inference", "Random", "JSON"], exclude: ["Fixtures"]),
        .target(
            name: "FuzzTargets",
            dependencies: [
                "Checkpoints", "Evaluation", "Experiments", "Jinja", "JSON", "Models", "Random", "Text", "TestSupport",
            ],
            path: "Tests/FuzzTargets", exclude: ["Corpus"], swiftSettings: [.treatAllWarnings(as: .error)]),
        tests("FuzzTests", ["FuzzTargets", "Random"]),
        tests("InferenceTests", ["Inference", "Checkpoints"]),
        tests("TrainingTests", ["Training"]),
        tests("EvaluationTests", ["Evaluation", "Checkpoints", "JSON"], exclude: ["Fixtures"]),
        tests("ConversionTests", ["Conversion"]),
        tests("ExperimentsTests", ["Experiments"]),
        tests("ServerTests", ["Server", "kvlab", "Checkpoints", "Evaluation"]),
        tests("RegistryTests", ["Registry"]),
        tests("KvlabTests", ["kvlab"]),
        tests("TortureTests", ["kvlab", "Checkpoints", "Files", "FuzzTargets", "Inference", "Random", "Server"]),
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
